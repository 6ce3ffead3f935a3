"""How an estimate sounds beside its reference, by models of hearing and of music.

Conventions: waveforms `[C, T]`, aligned and matched in level; at 48 kHz, else they are resampled.
All models here hear one channel: the mean of the channels. None of them is a listener: ViSQOL does
not hear combs or quiet passages, and distances between embeddings need many clips.

An embedding is any callable `embed(wav, sample_rate)` that takes `[C, T]` and returns `[N, D]`: one
row for each stretch of the sound. `nitido.metrics.clap.Clap` is one that is ready.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

from nitido.audio import resample
from nitido.chunks import join
from nitido.errors import AudioShapeError, AudioTooShortError
from nitido.metrics import fidelity
from nitido.optional import available, load
from nitido.wav import Wav

Embeddings: TypeAlias = NDArray[Any]  # `[N, D]`
Embed: TypeAlias = Callable[[Wav, int], Embeddings]

SAMPLE_RATE = 48_000
SECONDS_MIN = 1.0  # ViSQOL compares patches of 0.6 s
KAD_SCALE = 100.0  # a mere unit, as its authors print it
AESTHETICS = {  # of Audiobox Aesthetics, 1 to 10
    "CE": "content_enjoyment",
    "CU": "content_usefulness",
    "PC": "production_complexity",
    "PQ": "production_quality",
}


def validate(*, estimate: Wav, reference: Wav, sample_rate: int) -> None:
    """Check that the two can be compared.

    Raises:
        AudioShapeError: their shapes differ, or there are no samples.
        AudioTooShortError: fewer than 1 s.
    """
    fidelity.validate(estimate=estimate, reference=reference)
    if estimate.shape[1] < SECONDS_MIN * sample_rate:
        raise AudioTooShortError(
            f"{estimate.shape[1] / sample_rate:.2f} s are too short to be judged by ear or model; "
            f"give {SECONDS_MIN:g} s or more."
        )


def visqol(*, estimate: Wav, reference: Wav, sample_rate: int) -> float | None:
    """Return ViSQOL's guess of what listeners would say, MOS-LQO from 1 (bad) to 4.73 (the same).

    Audio mode at 48 kHz, with its own search for lags of parts. None where the reference is silent.

    Raises:
        AudioShapeError: their shapes differ, or there are no samples.
        AudioTooShortError: fewer than 1 s.
        MissingExtraError: visqol-python is not installed.

    Source: Chinen et al., ViSQOL v3: an open source production ready objective speech and audio
    metric, QoMEX 2020.
    """
    validate(estimate=estimate, reference=reference, sample_rate=sample_rate)
    judge = _visqol()
    wanted, heard = (_at_48_khz(wav, sample_rate) for wav in (reference, estimate))
    if not wanted.any():
        return None
    # Digital silence has no spectrum to compare: noise at −160 dBFS.
    noise = 1e-8 * np.random.default_rng(0).standard_normal(wanted.size)
    return float(judge.measure_from_arrays(wanted + noise, heard + noise, SAMPLE_RATE).moslqo)


def frechet_distance(*, estimate: Embeddings, reference: Embeddings) -> float:
    """Return the Fréchet distance (FAD) of two sets of embeddings `[N, D]`; 0 for the same set.

    Of two normal distributions with their means and covariances. It is too large for few rows: use
    many more than D, or compare only sets of one size.

    Raises:
        AudioShapeError: not two sets of D numbers each, or fewer than two rows.

    Source: Kilgour et al., Fréchet audio distance, Interspeech 2019.
    """
    one, other = _sets(estimate, reference)
    shift = one.mean(axis=0) - other.mean(axis=0)
    first, second = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (one, other))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    # The trace of √(AB) is that of √(√A · B · √A), which is symmetric.
    mixed = np.linalg.eigvalsh(root @ second @ root)
    common = np.sqrt(np.maximum(mixed, 0)).sum()
    return float(max(0.0, shift @ shift + np.trace(first) + np.trace(second) - 2 * common))


def kernel_distance(*, estimate: Embeddings, reference: Embeddings) -> float:
    """Return the kernel distance (KAD) of two sets of embeddings `[N, D]`, times 100.

    Unbiased, so also for few rows; around 0, and below it by chance, for the same distribution.
    Gaussian kernel as wide as the median distance within the reference.

    Raises:
        AudioShapeError: not two sets of D numbers each, or fewer than two rows.

    Source: Chung et al., KAD: no more FAD! An effective and efficient evaluation metric for audio
    generation, ICML 2025; Gretton et al., A kernel two-sample test, JMLR 2012, eq. 3.
    """
    one, other = _sets(estimate, reference)
    width = float(np.median(pdist(other))) or 1.0

    def kernel(squares: Any) -> Any:
        return np.exp(-squares / (2 * width**2))

    within = sum(float(kernel(pdist(rows, "sqeuclidean")).mean()) for rows in (one, other))
    between = float(kernel(cdist(one, other, "sqeuclidean")).mean())
    return KAD_SCALE * (within - 2 * between)


def embedding_distances(
    *,
    estimates: Iterable[Wav],
    references: Iterable[Wav],
    sample_rate: int,
    embed: Embed,
) -> dict[str, float | None]:
    """Return FAD and KAD between two sets of clips; the sets may differ in size and content.

    Args:
        estimates: waveforms `[C, T]`.
        references: waveforms `[C, T]`, such as clean music of the same kind.
        sample_rate: of all, Hz.
        embed: see the module.
    """
    one, other = (
        np.concatenate([np.asarray(embed(wav, sample_rate), np.float64) for wav in wavs])
        for wavs in (estimates, references)
    )
    return {
        "fad": frechet_distance(estimate=one, reference=other),
        "kad": kernel_distance(estimate=one, reference=other),
    }


def aesthetics(*, estimate: Wav, sample_rate: int) -> dict[str, float | None]:
    """Return the four scores of Audiobox Aesthetics, 1 to 10, by name; no reference is needed.

    Its weights (CC-BY 4.0, 400 MB) are downloaded at the first call.

    Raises:
        MissingExtraError: audiobox_aesthetics is not installed.

    Source: Tjandra et al., Meta Audiobox Aesthetics, arXiv 2502.05139.
    """
    remedy = "pip install audiobox_aesthetics"
    predictor = _audiobox(remedy)
    torch = load("torch", remedy=remedy)
    wav = torch.from_numpy(np.ascontiguousarray(estimate))
    (scores,) = predictor.forward([{"path": wav, "sample_rate": sample_rate}])
    return {name: float(scores[axis]) for axis, name in AESTHETICS.items()}


def evaluate(
    *, estimate: Wav, reference: Wav, sample_rate: int, embed: Embed | None = None
) -> dict[str, float | None]:
    """Return every measure of this family by name.

    Args:
        estimate: `[C, T]`.
        reference: `[C, T]`.
        sample_rate: Hz.
        embed: adds `fad` and `kad` between the stretches of the two.

    Raises:
        MissingExtraError: visqol-python is not installed. Audiobox Aesthetics may be absent.
    """
    result = {"visqol_mos": visqol(estimate=estimate, reference=reference, sample_rate=sample_rate)}
    if embed is not None:
        result |= embedding_distances(
            estimates=[estimate], references=[reference], sample_rate=sample_rate, embed=embed
        )
    if available("audiobox_aesthetics"):
        result |= aesthetics(estimate=estimate, sample_rate=sample_rate)
    return result


@lru_cache(maxsize=1)
def _visqol() -> Any:
    judge = load("visqol").VisqolApi()
    judge.create(mode="audio")
    return judge


@lru_cache(maxsize=1)
def _audiobox(remedy: str) -> Any:
    return load("audiobox_aesthetics.infer", remedy=remedy).initialize_predictor()


def _at_48_khz(wav: Wav, sample_rate: int) -> NDArray[np.float64]:
    """Return the mean of the channels `[T]` at 48 kHz."""
    mono = wav.mean(axis=0, keepdims=True, dtype=np.float32)
    blocks = resample(
        [mono], from_hz=sample_rate, to_hz=SAMPLE_RATE, samples=mono.shape[1], channels=1
    )
    return np.asarray(join(blocks, channels=1)[0], np.float64)


def _sets(estimate: Embeddings, reference: Embeddings) -> tuple[Any, Any]:
    one, other = (np.asarray(rows, np.float64) for rows in (estimate, reference))
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise AudioShapeError(
            f"Embeddings {list(one.shape)} and {list(other.shape)} need one row per stretch of "
            "sound, and as many numbers in each."
        )
    if min(len(one), len(other)) < 2:
        raise AudioTooShortError(
            f"Sets of {len(one)} and {len(other)} embeddings have no spread to compare; give two "
            "or more each: longer pieces, or more of them."
        )
    return one, other
