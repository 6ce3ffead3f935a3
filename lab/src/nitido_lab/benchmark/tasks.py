"""What is measured: each task takes clips, makes pieces of them, and judges what comes back.

Everything is judged at 48 kHz, on the mean of the channels but for planted faults, level matched in
the protected band (60 Hz–7 kHz, RMS), so that loudness counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from nitido.audio import open_source
from nitido.dsp.spectral import PROTECTED_HZ, Frames, band, lower_ceiling
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.optional import available
from nitido_lab.benchmark.clips import (
    SAMPLE_RATE,
    Case,
    Clip,
    at_rate,
    audio_below,
    excerpt_of,
    faded,
    index_rows,
    mono,
    name_of,
    read,
    spread,
)
from nitido_lab.benchmark.codecs import CODECS, DECODER_HZ
from nitido_lab.degradation import PLANTED, plant

EXCERPT_SECONDS = 10.0
FULL_BAND_HZ = 20_000
CEILINGS_HZ = (4_000, 8_000, 11_000, 16_000)

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: under which `judge` returns it.
        label: head of the column.
        better: which way; None for a figure that is neither good nor bad.
        digits: after the point.
        change_counts: False where the figure says how little was changed: doing nothing wins it.
    """

    key: str
    label: str
    better: Literal["high", "low"] | None
    digits: int = 2
    change_counts: bool = True


@dataclass(frozen=True)
class BenchmarkTask:
    """A question, and how it is answered.

    Attributes:
        name: as on the command line.
        what: the question, in words.
        folder: of the audio folder that holds its clips.
        measures: the columns; the first decides.
        clips: folder, at most so many files → clips.
        prepare: clip → piece.
        judge: piece, estimate (mono, 48 kHz, level matched, as long as the reference) → figures.
        left_out: parts of the task that cannot run here, with the reason.
        by_group: how many of the measures, from the first on, are also shown group by group.
    """

    name: str
    what: str
    folder: str
    measures: tuple[Column, ...]
    clips: Callable[[Path, int | None], list[Clip]]
    prepare: Callable[[Clip], Case]
    judge: Callable[[Case, Wav], Figures]
    left_out: Callable[[], Mapping[str, str]] = dict
    by_group: int = 1


def judge(task: BenchmarkTask, piece: Case, wav: Wav) -> Figures:
    """Return the figures of a result `[C, T]` at 48 kHz; None for what is no number."""
    channels, samples = piece.reference.shape
    heard = mono(wav) if channels == 1 else np.broadcast_to(wav, (channels, wav.shape[1]))
    estimate = np.pad(heard[:, :samples], ((0, 0), (0, max(0, samples - wav.shape[1]))))
    figures = task.judge(piece, level_matched(estimate, piece.reference))
    return {
        name: value if value is not None and np.isfinite(value) else None
        for name, value in figures.items()
    }


def level_matched(estimate: Wav, reference: Wav) -> Wav:
    """Return the estimate at the level that the reference has between 60 Hz and 7 kHz."""
    sos = butter(4, PROTECTED_HZ, "bandpass", fs=SAMPLE_RATE, output="sos")
    own, wanted = (float(np.mean(sosfilt(sos, wav) ** 2)) for wav in (estimate, reference))
    return estimate * np.float32(np.sqrt(wanted / own)) if own and wanted else estimate


# Measures that several tasks share.

VISQOL = Column("visqol_mos", "ViSQOL, MOS", "high")
LSD = (
    Column("lsd_below_8_khz_db", "LSD < 8 kHz, dB", "low"),
    Column("lsd_8_to_16_khz_db", "LSD 8–16 kHz, dB", "low"),
    Column("lsd_above_16_khz_db", "LSD > 16 kHz, dB", "low"),
)
SI_SDR = Column("si_sdr_db", "SI-SDR 60 Hz–7 kHz, dB", "high", 1)
UNCHANGED = Column(
    "si_sdr_db", "SI-SDR to the input, 60 Hz–7 kHz, dB", "high", 1, change_counts=False
)


def _visqol(piece: Case) -> bool:
    return piece.visqol and available("visqol")


def _near(piece: Case, estimate: Wav) -> Figures:
    """Return how near the estimate is to the reference, by model and by spectrum."""
    from nitido.metrics import audibility, fidelity, perceptual

    both: dict[str, Any] = {
        "estimate": estimate,
        "reference": piece.reference,
        "sample_rate": SAMPLE_RATE,
    }
    return {
        "visqol_mos": perceptual.visqol(**both) if _visqol(piece) else None,
        **fidelity.log_spectral_distances_db(**both),
        "si_sdr_db": fidelity.protected_si_sdr_db(**both),
        "music_taken_sone": audibility.music_taken_sone(**both),
    }


# comb: real clips, no original.


def _comb_clips(folder: Path, limit: int | None) -> list[Clip]:
    paths = [p for p in audio_below(folder) if open_source(p).sample_rate >= DECODER_HZ]
    return [Clip(name_of(path, folder), path) for path in spread(paths, limit)]


def _comb_piece(clip: Clip) -> Case:
    wav, rate = read(clip.path, seconds=clip.seconds)
    return Case(clip.name, wav, rate, mono(at_rate(wav, from_hz=rate)))


def _judge_comb(piece: Case, estimate: Wav) -> Figures:
    from nitido.metrics import artefacts, content, fidelity

    both: dict[str, Any] = {
        "estimate": estimate,
        "reference": piece.reference,
        "sample_rate": SAMPLE_RATE,
    }
    # At the decoder's rate: above it there are no lines, only what a system put there.
    narrow = at_rate(estimate, from_hz=SAMPLE_RATE, to_hz=DECODER_HZ)
    listens = available("librosa")
    reach = artefacts.bandwidth(estimate=estimate, sample_rate=SAMPLE_RATE)
    return {
        **artefacts.comb(estimate=narrow, sample_rate=DECODER_HZ),
        "si_sdr_db": fidelity.protected_si_sdr_db(**both),
        "bandwidth_khz": (reach["bandwidth_hz"] or 0) / 1000,
        "chroma_cosine": content.chroma_cosine(**both) if listens else None,
        "onset_f1": content.onset_f1(**both) if listens else None,
    }


COMB = BenchmarkTask(
    "comb",
    "How much of the decoder's comb is left in real MusicGen clips, and was the music kept? Lines "
    "are measured at 32 kHz, over their surroundings; without a comb they read what the control "
    "lines between them do, about 1 dB.",
    "musicgen",
    (
        Column("comb_8000_hz_db", "8 kHz lines, dB", "low", 1),
        Column("comb_2000_hz_db", "2 kHz lines, dB", "low", 1),
        Column("comb_400_hz_db", "400 Hz lines, dB", "low", 1),
        Column("comb_50_hz_db", "50 Hz lines, dB", "low", 1),
        Column("comb_control_db", "control, dB", None, 1),
        UNCHANGED,
        Column("bandwidth_khz", "bandwidth, kHz", None, 1),
        Column("chroma_cosine", "chroma cosine", "high", 3, change_counts=False),
        Column("onset_f1", "onset F1", "high", 3, change_counts=False),
    ),
    _comb_clips,
    _comb_piece,
    _judge_comb,
)


# codec: clean music through codecs.


def _excerpts(paths: Sequence[Path], folder: Path, groups: Sequence[str]) -> list[Clip]:
    clips = []
    for path in paths:
        start, seconds = excerpt_of(path, EXCERPT_SECONDS)
        clips += [
            Clip(f"{name_of(path, folder)}.{group}", path, group, start, seconds)
            for group in groups
        ]
    return clips


def _original(clip: Clip) -> Wav:
    """Return the part of a clean file that a clip is about, `[C, T]` at 48 kHz."""
    wav, _ = read(
        clip.path,
        start_seconds=clip.start_seconds,
        seconds=clip.seconds,
        sample_rate=SAMPLE_RATE,
    )
    return faded(wav, sample_rate=SAMPLE_RATE)


def _codec_clips(folder: Path, limit: int | None) -> list[Clip]:
    usable = [name for name, codec in CODECS.items() if codec.missing() is None]
    return _excerpts(spread(audio_below(folder), limit), folder, usable)


def _codec_piece(clip: Clip) -> Case:
    clean, codec = _original(clip), CODECS[clip.group]
    return Case(clip.name, codec.apply(clean), codec.sample_rate, mono(clean))


def _codecs_missing() -> dict[str, str]:
    reasons = {name: codec.missing() for name, codec in CODECS.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


CODEC = BenchmarkTask(
    "codec",
    "Clean music through a codec, then restored: how near is it to the original? "
    + "; ".join(f"{name}: {codec.what}" for name, codec in CODECS.items())
    + ".",
    "clean/test",
    (VISQOL, *LSD, SI_SDR),
    _codec_clips,
    _codec_piece,
    _near,
    _codecs_missing,
)


# pairs: a folder of originals and what became of them.


def _pair_clips(folder: Path, limit: int | None) -> list[Clip]:
    inside = folder.absolute()
    clips: dict[Path, Clip] = {}
    for row, place in index_rows(folder):
        path = (place / row["path"]).absolute()
        if row.get("reference") and inside in path.parents:
            clips[path] = Clip(
                name_of(path, inside),
                path,
                reference=place / row["reference"],
                lag_seconds=float(row.get("lag_ms") or 0) / 1000,
            )
    if not clips:
        raise ConfigError(
            f"{folder} has no pairs: an index.csv in it or above it has to list them, with the "
            "columns path, reference and lag_ms."
        )
    return [clips[path] for path in spread(sorted(clips), limit)]


def _pair_piece(clip: Clip) -> Case:
    if clip.reference is None:
        raise ConfigError(f"The clip {clip.name} has no reference.")
    wav, rate = read(clip.path, start_seconds=clip.lag_seconds, seconds=clip.seconds)
    clean, _ = read(clip.reference, seconds=clip.seconds, sample_rate=SAMPLE_RATE)
    seconds = min(wav.shape[1] / rate, clean.shape[1] / SAMPLE_RATE)
    wav, clean = wav[:, : int(seconds * rate)], clean[:, : int(seconds * SAMPLE_RATE)]
    return Case(clip.name, wav, rate, mono(clean))


PAIRS = BenchmarkTask(
    "pairs",
    "Files that a coder has spoilt, with their originals: how near is the restored file?",
    "pairs",
    (VISQOL, *LSD, SI_SDR),
    _pair_clips,
    _pair_piece,
    _near,
)


# bandwidth: the treble cut off, and nothing else.


def _full_band(folder: Path) -> list[Path]:
    """Return the files that reach 20 kHz, by the folder's index; all, where there is none."""
    known = {
        (place / row["path"]).absolute(): int(float(row.get("bandwidth_max_hz") or 0))
        for row, place in _index_above(folder)
    }
    paths = audio_below(folder)
    return [p for p in paths if known.get(p.absolute(), FULL_BAND_HZ) >= FULL_BAND_HZ]


def _index_above(folder: Path) -> list[tuple[dict[str, str], Path]]:
    for place in (folder.absolute(), *folder.absolute().parents[:2]):
        if rows := list(index_rows(place)):
            return rows
    return []


def _bandwidth_clips(folder: Path, limit: int | None) -> list[Clip]:
    groups = [f"{ceiling_hz / 1000:g}-khz" for ceiling_hz in CEILINGS_HZ]
    return _excerpts(spread(_full_band(folder), limit), folder, groups)


def _bandwidth_piece(clip: Clip) -> Case:
    clean = _original(clip)
    ceiling_hz = 1000.0 * float(clip.group.removesuffix("-khz"))
    narrow = lower_ceiling(clean, sample_rate=SAMPLE_RATE, ceiling_hz=ceiling_hz)
    return Case(clip.name, narrow, SAMPLE_RATE, mono(clean), {"ceiling_hz": ceiling_hz})


def _judge_bandwidth(piece: Case, estimate: Wav) -> Figures:
    from nitido.metrics import fidelity

    ceiling_hz = piece.about["ceiling_hz"]
    parts = {"lsd_above_db": (ceiling_hz, np.inf), "lsd_below_db": (0.0, 0.9 * ceiling_hz)}
    distances = fidelity.log_spectral_distances_db(
        estimate=estimate, reference=piece.reference, sample_rate=SAMPLE_RATE, bands_hz=parts
    )
    return {**_near(piece, estimate), **distances}


BANDWIDTH = BenchmarkTask(
    "bandwidth",
    "Full-band music with its treble cut off at "
    + ", ".join(f"{ceiling_hz / 1000:g}" for ceiling_hz in CEILINGS_HZ)
    + " kHz: is what comes back like what was there, and was the rest left alone?",
    "clean/test",
    (
        VISQOL,
        Column("lsd_above_db", "LSD above the ceiling, dB", "low"),
        Column("lsd_below_db", "LSD below it, dB", "low", change_counts=False),
        UNCHANGED,
    ),
    _bandwidth_clips,
    _bandwidth_piece,
    _judge_bandwidth,
)


# clean: nothing to repair.


def _clean_clips(folder: Path, limit: int | None) -> list[Clip]:
    return [
        Clip(name_of(path, folder), path, "", *excerpt_of(path, EXCERPT_SECONDS))
        for path in spread(_full_band(folder), limit)
    ]


def _clean_piece(clip: Clip) -> Case:
    clean = _original(clip)
    return Case(clip.name, clean, SAMPLE_RATE, mono(clean))


CLEAN = BenchmarkTask(
    "clean",
    "Music made by people, full band, with no fault: is it left alone? Repairs are the stages that "
    "ran, loudness aside; each is a false alarm.",
    "clean/test",
    (
        Column("repairs", "repairs", "low", change_counts=False),
        Column("music_taken_sone", "music taken, sone", "low", change_counts=False),
        UNCHANGED,
        Column("lsd_db", "LSD, dB", "low", change_counts=False),
        Column("visqol_mos", "ViSQOL, MOS", "high", change_counts=False),
    ),
    _clean_clips,
    _clean_piece,
    _near,
)

# planted: a fault of known strength in clean music, of which what it was is known.

PLANTED_GROUPS: Mapping[str, tuple[str, str]] = {
    f"{fault}-{strength}".replace(" ", "-"): (fault, strength)
    for fault, strengths in PLANTED.items()
    for strength in strengths
}
FAULTY_SHARE = 0.99  # of the energy of a fault; what lies outside of these cells is not it


def _planted_clips(folder: Path, limit: int | None) -> list[Clip]:
    return _excerpts(spread(_full_band(folder), limit), folder, list(PLANTED_GROUPS))


def _planted_piece(clip: Clip) -> Case:
    clean = np.ascontiguousarray(np.broadcast_to(wav := _original(clip)[:2], (2, wav.shape[1])))
    fault, strength = PLANTED_GROUPS[clip.group]
    planted = plant(fault, clean, sample_rate=SAMPLE_RATE, strength=strength)
    return Case(clip.name, planted, SAMPLE_RATE, clean, {"fault": fault})


def _judge_planted(piece: Case, estimate: Wav) -> Figures:
    """Return how much of a planted fault went, and what it cost.

    Left, right and their mean are judged, so that what only a fold to mono shows counts, too.
    Cost is the music taken, in sones, where and by how much the result is farther from the original
    than what went in was: what was wrong there before is not held against it.
    """
    from nitido.dsp.loudness import integrated_lufs
    from nitido.metrics import audibility, perceptual

    clean, planted = piece.reference, piece.wav
    hears = audibility.ear(SAMPLE_RATE)
    lufs = integrated_lufs(clean, sample_rate=SAMPLE_RATE)
    played_db = 0.0 if lufs is None else audibility.PLAYED_LUFS - lufs
    frames = Frames(hears.n_fft, hears.n_fft // 2)
    spectra = [
        np.abs(frames.analyse(_folded(w), first=0)) for w in (clean, planted, estimate)
    ]  # [3, N, F]
    # Most cells are as they went in: their median is the gain of a system, whatever else it does.
    inside = band(*PROTECTED_HZ, n_fft=hears.n_fft, sample_rate=SAMPLE_RATE)
    put, now = (spectrum[:, :, inside] for spectrum in spectra[1:])
    loud = put > 1e-3 * put.max(initial=0.0)
    gain = np.float32(np.median(put[loud] / np.maximum(now[loud], 1e-9)) if loud.any() else 1.0)
    fault, left = ((spectra[i] * g - spectra[0]) ** 2 for i, g in ((1, 1.0), (2, gain)))
    ranked = np.sort(fault, axis=None)[::-1]
    enough = np.searchsorted(np.cumsum(ranked, dtype=np.float64), FAULTY_SHARE * fault.sum())
    faulty = fault >= ranked[min(int(enough), ranked.size - 1)]
    gone = 1 - float(left[faulty].sum()) / max(float(fault[faulty].sum()), 1e-12)
    excitations = (
        hears.excitation(_folded(w * g) * np.float32(10 ** (played_db / 20)))
        for w, g in ((clean, 1.0), (planted, 1.0), (estimate, gain))
    )
    was, *others = excitations
    before, after = (hears.difference(one, was) for one in others)
    shimmers = "shimmer" in piece.about["fault"] and _visqol(piece)
    both: dict[str, Any] = {"estimate": mono(estimate), "reference": mono(clean)}
    return {
        "gone_percent": 100 * max(gone, -1.0),
        "cost_sone": _rms_sone(np.maximum(after - before, 0)),
        "heard_sone": _rms_sone(after),
        "heard_before_sone": _rms_sone(before),
        "visqol_mos": perceptual.visqol(**both, sample_rate=SAMPLE_RATE) if shimmers else None,
    }


def _folded(wav: Wav) -> Wav:
    return np.concatenate([wav, mono(wav)])


def _rms_sone(difference: NDArray[np.float32]) -> float:
    """Return the RMS over the frames of a difference `[C, N, Z]`."""
    return float(np.sqrt(np.mean(difference.sum(axis=2).mean(axis=0) ** 2)))


PLANT = BenchmarkTask(
    "planted",
    "Faults of songs, planted in clean music in three strengths: how much of their energy goes, "
    "and what does it cost? Cost counts where, and by how much, the result is farther from the "
    "original than what went in.",
    "clean/test",
    (
        Column("gone_percent", "fault gone, %", "high", 0),
        Column("cost_sone", "cost, sone", "low", change_counts=False),
        Column("heard_sone", "heard of the fault and the cure, sone", "low"),
        Column("heard_before_sone", "before, sone", None),
        VISQOL,
    ),
    _planted_clips,
    _planted_piece,
    _judge_planted,
    by_group=2,
)

TASKS: Mapping[str, BenchmarkTask] = {
    task.name: task for task in (COMB, CODEC, PAIRS, BANDWIDTH, CLEAN, PLANT)
}
