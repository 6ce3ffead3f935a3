"""From codes to sound, and pieces longer than the model hears at once.

MusicGen was trained on 30 s. A longer piece is made in windows: each goes on from the last seconds
of the one before, handed over as codes. They are not decoded and encoded again on the way, so the
model sees exactly what it wrote, level and all, and the decoder never learns that there was a seam.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from nitido.dsp.wav import Wav
from nitido.generation.musicgen import Checkpoint

WINDOW_SECONDS = 30.0  # on such pieces it was trained
CONTEXT_SECONDS = 10.0  # what the next window goes on from
DECODE_SECONDS = 30.0  # decoded in one go: bounds the memory of the decoder
MARGIN_SECONDS = 1.0  # decoded beyond a cut, so that the decoder has forgotten where it began
FADE_SECONDS = 0.25


def sample_windows(
    sample: Callable[[Any | None, int, int], Any],
    *,
    frames: int,
    window: int,
    context: int,
    known: Any | None = None,
) -> Any:
    """Return the codes of pieces of any length, `[B, K, known + frames]`.

    Args:
        sample: `(known, frames, start)` → the codes known and new; `start` is where in the piece
            the window begins.
        frames: how many to add.
        window: most frames in a window, those known included.
        context: frames that the next window goes on from.
        known: codes `[B, K, F]` to go on from; the last of them are used.
    """
    codes = known
    wanted = frames + (0 if known is None else known.shape[-1])
    while codes is None or codes.shape[-1] < wanted:
        done = 0 if codes is None else codes.shape[-1]
        heard = None if codes is None else codes[..., -context:]
        room = window - (0 if heard is None else heard.shape[-1])
        new = min(room, wanted - done)
        start = done - (0 if heard is None else heard.shape[-1])
        made = sample(heard, new, start)[..., -new:]
        codes = made if codes is None else torch.cat([codes, made], dim=-1)
    return codes


def decode(checkpoint: Checkpoint, codes: Any) -> Wav:
    """Return the sound of one piece's codes `[K, F]`, `[C, F · frame_samples]`.

    Long pieces are decoded in parts that overlap and fade into each other. Both sides of a fade
    are the same codes with their surroundings, so they differ only by what the decoder remembers of
    more than a second ago.
    """
    rate = checkpoint.frame_rate
    part, margin = round(DECODE_SECONDS * rate), round(MARGIN_SECONDS * rate)
    frames = codes.shape[-1]
    if frames <= part:
        return _decode_part(checkpoint, codes)
    size = checkpoint.frame_samples
    fade = round(FADE_SECONDS * checkpoint.sample_rate)
    result = np.zeros((checkpoint.channels, frames * size), np.float32)
    rise = np.linspace(0, 1, fade, dtype=np.float32)
    for start in range(0, frames, part):
        first = max(0, start - margin)
        sound = _decode_part(checkpoint, codes[:, first : start + part + margin])
        sound = sound[:, (start - first) * size - (fade if start else 0) :]
        at = start * size - (fade if start else 0)
        end = min(start + part, frames) * size
        sound = sound[:, : end - at]
        if start:
            sound[:, :fade] = result[:, at : at + fade] * (1 - rise) + sound[:, :fade] * rise
        result[:, at:end] = sound
    return result


def _decode_part(checkpoint: Checkpoint, codes: Any) -> Wav:
    """Return the sound of codes `[K, F]`; those of two channels are interleaved."""
    codec = checkpoint.model.audio_encoder
    with checkpoint.at_work():
        channels = [
            codec.decode(codes[None, None, side :: checkpoint.channels], [None]).audio_values[0]
            for side in range(checkpoint.channels)
        ]
        wav: Wav = torch.cat(channels).float().cpu().numpy()
    return wav


def encode(checkpoint: Checkpoint, wav: Wav) -> Any:
    """Return the codes of a recording, `[K, F]`.

    Args:
        checkpoint: whose codec is used.
        wav: `[C, T]`, at the checkpoint's rate and with its channels.
    """
    codec = checkpoint.model.audio_encoder
    with checkpoint.at_work():
        sides = [
            codec.encode(
                torch.from_numpy(side.copy())[None, None].to(checkpoint.device)
            ).audio_codes[0, 0]
            for side in wav
        ]
    return torch.stack(sides, dim=1).flatten(0, 1)
