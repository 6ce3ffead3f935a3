"""A melody as MusicGen-melody hears it: the strongest of twelve pitch classes, eight a second.

transformers computes this with torchaudio, whose wheels break beside CPU torch; the same features
come from `torch.stft` here.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.audio_utils import chroma_filter_bank

from nitido.dsp.wav import Wav
from nitido.errors import AudioTooShortError

N_FFT = 16_384
HOP_LENGTH = 4096
PITCH_CLASSES = 12
MELODY_SECONDS_MIN = 1.0


def melody_features(wav: Wav, *, sample_rate: int) -> Any:
    """Return the strongest pitch class of each frame, one-hot: a tensor `[N, 12]`, C first.

    Octave, timbre and loudness are gone; silence reads as C, as in training.

    Args:
        wav: waveform `[C, T]`; channels are mixed.
        sample_rate: Hz; that of the checkpoint.

    Raises:
        AudioTooShortError: less than a second.

    Source: Copet et al., Simple and controllable music generation, 2023, sec. 2.3;
        `MusicgenMelodyFeatureExtractor` of transformers.
    """
    seconds = wav.shape[1] / sample_rate
    if seconds < MELODY_SECONDS_MIN:
        raise AudioTooShortError(
            f"The melody lasts {seconds:.2f} s; give at least {MELODY_SECONDS_MIN:g} s."
        )
    mix = torch.from_numpy(wav.mean(axis=0))
    spec = torch.stft(mix, N_FFT, HOP_LENGTH, window=torch.hann_window(N_FFT), return_complex=True)
    filters = chroma_filter_bank(
        sampling_rate=sample_rate, num_frequency_bins=N_FFT, tuning=0, num_chroma=PITCH_CLASSES
    )
    chroma = torch.from_numpy(filters).float() @ spec.abs().square()
    return torch.nn.functional.one_hot(chroma.argmax(dim=0), PITCH_CLASSES).float()


def no_melody() -> Any:
    """Return what a melody checkpoint hears when there is no melody: one frame of C, `[1, 12]`."""
    return torch.eye(1, PITCH_CLASSES)


def melody_from(features: Any, start: int, length: int) -> Any:
    """Return `length` frames of a melody `[N, 12]` from `start` on; at its end it begins anew.

    MusicGen does the same with a melody that is shorter than the piece.
    """
    indices = torch.arange(start, start + length) % len(features)
    return features[indices]
