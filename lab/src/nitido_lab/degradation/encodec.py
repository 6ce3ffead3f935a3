"""EnCodec, MusicGen's own codec, there and back; with weights that are on this computer already."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from nitido.dsp.wav import Wav
from nitido.errors import MissingExtraError
from nitido.optional import available, load
from nitido_lab.degradation.lossy import at_rate

ENCODEC = "facebook/encodec_32khz"  # weights CC-BY-NC 4.0
ENCODEC_KBPS = 2.2


def encodec(
    wav: Wav,
    *,
    sample_rate: int,
    name: str = ENCODEC,
    kbps: float = ENCODEC_KBPS,
    model: Any = None,
) -> Wav:
    """Return `wav` `[C, T]` after EnCodec; a mono model codes the mean of the channels.

    Args:
        wav: waveform `[C, T]`.
        sample_rate: Hz.
        name: of the checkpoint, which has to be in the local cache: nothing is downloaded.
        kbps: bandwidth of the codes, kbit/s; one of those the model knows.
        model: a transformers ``EncodecModel`` to take instead of `name`.

    Raises:
        MissingExtraError: torch, transformers or the weights are not there.
    """
    torch = load("torch", need="EnCodec", remedy="pip install 'nitido[generate]'")
    model = model or _cached(name)
    rate, coded_channels = model.config.sampling_rate, model.config.audio_channels
    given = wav if wav.shape[0] == coded_channels else wav.mean(axis=0, keepdims=True)
    given = np.repeat(given, coded_channels // given.shape[0], axis=0)
    narrow = at_rate(np.asarray(given, np.float32), from_hz=sample_rate, to_hz=rate)
    with torch.inference_mode():
        coded = model.eval().encode(torch.from_numpy(narrow)[None], bandwidth=kbps)
        decoded = model.decode(coded.audio_codes, coded.audio_scales)[0][0].float().numpy()
    decoded = np.pad(decoded, ((0, 0), (0, max(0, narrow.shape[1] - decoded.shape[1]))))
    wide = at_rate(decoded[:, : narrow.shape[1]], from_hz=rate, to_hz=sample_rate)
    wide = np.pad(wide, ((0, 0), (0, max(0, wav.shape[1] - wide.shape[1]))))[:, : wav.shape[1]]
    # As many channels as came in: the steps of a recipe follow one another.
    whole = wide if wide.shape[0] == wav.shape[0] else np.repeat(wide[:1], wav.shape[0], axis=0)
    return np.ascontiguousarray(whole, np.float32)


def encodec_missing(name: str = ENCODEC) -> str | None:
    """Return why EnCodec cannot be used here; None if it can."""
    for module in ("torch", "transformers", "huggingface_hub"):
        if not available(module):
            return f"{module} is not installed: pip install 'nitido[generate]'"
    cached = load("huggingface_hub").try_to_load_from_cache(name, "config.json")
    return None if isinstance(cached, str) else f"the weights of {name} are not cached here"


@lru_cache(maxsize=1)
def _cached(name: str) -> Any:
    reason = encodec_missing(name)
    if reason is not None:
        raise MissingExtraError(f"EnCodec cannot be used: {reason}.")
    transformers = load("transformers", need="EnCodec", remedy="pip install 'nitido[generate]'")
    return transformers.EncodecModel.from_pretrained(name, local_files_only=True)
