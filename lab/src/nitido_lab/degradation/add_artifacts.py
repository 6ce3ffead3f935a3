"""Single faults, each a plain function of the waveform: what codecs and decoders do to music.

The sizes that were measured on MusicGen's decoder are the defaults.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.spectral import Frames, fft_size
from nitido.dsp.wav import Wav

FRAME_SECONDS = 0.0427  # n_fft 2048 at 48 kHz
LOG_BANDS = 48
LEVEL_LOSS_HZ = (1_000.0, 8_000.0)  # where the decoder loses level
EDGE_HZ = 200.0


def sloped_ceiling(
    wav: Wav, *, sample_rate: int, ceiling_hz: float, width_hz: float = 400.0
) -> Wav:
    """Return `wav` `[C, T]` sinking to nothing over the last `width_hz` below `ceiling_hz`."""
    hz = np.fft.rfftfreq(wav.shape[1], 1 / sample_rate)
    down_db = -100.0 * np.clip((hz - ceiling_hz + width_hz) / width_hz, 0.0, 1.0) ** 2
    gain = np.where(hz < ceiling_hz, 10 ** (down_db / 20), 0.0)
    return _filtered(wav, gain)


def lose_level(
    wav: Wav,
    *,
    sample_rate: int,
    level_db: float = 1.35,
    top_db: float = 6.5,
    top_hz: float = 14_000.0,
) -> Wav:
    """Return `wav` `[C, T]` with less level from 1 to 8 kHz, and above `top_hz`."""
    hz = np.fft.rfftfreq(wav.shape[1], 1 / sample_rate)
    low, high = LEVEL_LOSS_HZ
    inside = np.clip((hz - low) / EDGE_HZ, 0, 1) * np.clip((high - hz) / EDGE_HZ, 0, 1)
    above = np.clip((hz - top_hz) / EDGE_HZ, 0, 1)
    return _filtered(wav, 10 ** (-(level_db * inside + top_db * above) / 20))


def random_phase(wav: Wav, *, sample_rate: int, from_hz: float = 2_000.0, seed: int = 0) -> Wav:
    """Return `wav` `[C, T]` with the phase of every frame and bin above `from_hz` lost."""
    rng = np.random.default_rng(seed)
    frames, spec = _analysed(wav, sample_rate)
    first = int(np.ceil(from_hz * frames.n_fft / sample_rate))
    turn = np.exp(2j * np.pi * rng.random(spec[:, :, first:].shape))
    spec[:, :, first:] *= turn.astype(np.complex64)
    return _synthesised(frames, spec, wav.shape[1])


def smear(wav: Wav, *, sample_rate: int, smear_ms: float = 20.0, from_hz: float = 1_000.0) -> Wav:
    """Return `wav` `[C, T]` with the level of each band above `from_hz` smoothed over time."""
    from scipy.ndimage import gaussian_filter1d

    n_fft = fft_size(FRAME_SECONDS / 8, sample_rate=sample_rate)
    frames, spec = _analysed(wav, sample_rate, n_fft)
    first = int(np.ceil(from_hz * n_fft / sample_rate))
    magnitude = np.abs(spec[:, :, first:]) + 1e-9
    wide = gaussian_filter1d(
        magnitude, smear_ms / 1000 / 2 * sample_rate / frames.hop_length, axis=1
    )
    spec[:, :, first:] *= wide / magnitude
    return _synthesised(frames, spec, wav.shape[1])


def band_errors(wav: Wav, *, sample_rate: int, share: float = 1.0, seed: int = 0) -> Wav:
    """Return `wav` `[C, T]` with a wrong level per band and frame, as a neural codec leaves it.

    48 bands even on a logarithmic scale from 50 Hz; standard deviation 7 dB below 200 Hz, 4 dB at
    1 kHz, 2.5 dB at 10 kHz, times `share`; correlated over about 50 ms.
    """
    from scipy.ndimage import gaussian_filter1d

    rng = np.random.default_rng(seed)
    frames, spec = _analysed(wav, sample_rate)
    centres = np.geomspace(50, sample_rate / 2, LOG_BANDS)
    size_db = share * np.interp(np.log(centres), np.log([200, 1_000, 10_000]), [7.0, 4.0, 2.5])
    error = gaussian_filter1d(rng.standard_normal((spec.shape[1], LOG_BANDS)), 2.0, axis=0)
    error_db = error / max(float(error.std()), 1e-9) * size_db
    hz = np.maximum(np.arange(spec.shape[2]) * sample_rate / frames.n_fft, 1.0)
    band = np.interp(np.log(hz), np.log(centres), np.arange(LOG_BANDS))
    low = np.minimum(band.astype(int), LOG_BANDS - 2)
    part = band - low
    gain_db = error_db[:, low] * (1 - part) + error_db[:, low + 1] * part
    return _synthesised(frames, spec * (10 ** (gain_db / 20)).astype(np.float32), wav.shape[1])


def clip(wav: Wav, *, sample_rate: int, over_db: float = 3.0) -> Wav:
    """Return `wav` `[C, T]` with its peak `over_db` above the level at which it is cut flat."""
    del sample_rate
    top = float(np.abs(wav).max(initial=0.0)) * 10 ** (-over_db / 20)
    return np.clip(wav, -top, top)


def cut_end(wav: Wav, *, sample_rate: int, seconds: float = 0.5) -> Wav:
    """Return `wav` `[C, T]` silent from `seconds` before its end on, without a fade."""
    out = wav.copy()
    out[:, max(0, wav.shape[1] - round(seconds * sample_rate)) :] = 0
    return out


def _filtered(wav: Wav, gain: NDArray[np.float64]) -> Wav:
    spectrum = np.fft.rfft(wav, axis=1) * gain
    return np.asarray(np.fft.irfft(spectrum, wav.shape[1], axis=1), np.float32)


def _analysed(
    wav: Wav, sample_rate: int, n_fft: int | None = None
) -> tuple[Frames, NDArray[np.complex64]]:
    """Return the frames of a whole piece, with those that reach over its ends."""
    n_fft = n_fft or fft_size(FRAME_SECONDS, sample_rate=sample_rate)
    frames = Frames(n_fft, n_fft // 4)
    return frames, frames.analyse(np.pad(wav, ((0, 0), (n_fft, n_fft))), first=-n_fft)


def _synthesised(frames: Frames, spec: NDArray[np.complex64], samples: int) -> Wav:
    n_fft = frames.n_fft
    wide = frames.synthesise(spec.astype(np.complex64), first=-n_fft, length=samples + 2 * n_fft)
    return np.ascontiguousarray(wide[:, n_fft : n_fft + samples])
