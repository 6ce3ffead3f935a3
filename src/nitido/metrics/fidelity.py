"""How near an estimate is to its reference.

Conventions: waveforms `[C, T]` of equal shape and sample rate, already aligned and matched in level
(`nitido.dsp.alignment`); `estimate` and `reference` are keyword-only, since libraries disagree
about their order. Channels are measured together: energies are summed over them, distances are
means over them, so a fault in one of two channels counts half.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.fourier import rfft
from nitido.dsp.spectral import (
    PROTECTED_HZ,
    Frames,
    Spec,
    band,
    fft_size,
    hann,
    sum_products,
    windowed_spectra,
)
from nitido.dsp.wav import Wav
from nitido.errors import AudioShapeError, AudioTooShortError

Array = NDArray[np.float32]
BandsHz = Mapping[str, tuple[float, float]]

LOG_FLOOR_DB = -120.0  # of a spectral bin, re a full-scale sine; 16-bit noise lies near −128
DIFFERENCE_SECONDS = 0.085  # 12 Hz per bin: rumble below 20 Hz hardly leaks beyond 60 Hz
SI_SDR_LEAST_DB = -60.0  # something where nothing was
SDR_LIMIT_DB = 120.0  # beyond float32; `evaluate` gives this for an unchanged signal
ROUNDING = float(np.finfo(np.float32).eps)  # a difference of so much is none, −138 dB
SDR_BANDS_HZ: BandsHz = {  # in which a codec keeps the waveform, and where only envelopes survive
    "sdr_below_250_hz_db": (0.0, 250.0),
    "sdr_250_to_1000_hz_db": (250.0, 1000.0),
    "sdr_1_to_4_khz_db": (1000.0, 4000.0),
    "sdr_4_to_8_khz_db": (4000.0, 8000.0),
    "sdr_8_to_16_khz_db": (8000.0, 16_000.0),
    "sdr_above_16_khz_db": (16_000.0, np.inf),
}
LSD_BANDS_HZ: BandsHz = {
    "lsd_db": (0.0, np.inf),
    "lsd_below_8_khz_db": (0.0, 8000.0),
    "lsd_8_to_16_khz_db": (8000.0, 16_000.0),
    "lsd_above_16_khz_db": (16_000.0, np.inf),
}
MELS = 128
# As in auraloss: size, hop and window of each resolution, samples, at any sample rate.
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))

_FRAMES = 16  # of `DifferenceMeter` at once: few enough for the cache of a core
_PART_SAMPLES = 2**18  # of the waveform that are transformed at once


def validate(*, estimate: Wav, reference: Wav) -> None:
    """Check that the two can be compared.

    Raises:
        AudioShapeError: their shapes differ, or there are no samples.
    """
    if estimate.shape != reference.shape or not estimate.size:
        raise AudioShapeError(
            f"Estimate {list(estimate.shape)} and reference {list(reference.shape)} need one shape "
            "and at least one sample; resample, align or downmix them first."
        )


def sdr_db(*, estimate: Wav, reference: Wav) -> float:
    """Return the signal-to-distortion ratio, dB: infinite if equal; a gain counts as distortion.

    Source: Vincent et al., First stereo audio source separation evaluation campaign, ICA 2007, the
    SDR of source images; equal to that of museval.
    """
    validate(estimate=estimate, reference=reference)
    wanted = reference.astype(np.float64).ravel()
    error = estimate.astype(np.float64).ravel() - wanted
    return _ratio_db(float(wanted @ wanted), float(error @ error))


def si_sdr_db(*, estimate: Wav, reference: Wav) -> float:
    """Return the scale-invariant signal-to-distortion ratio, dB; infinite for a mere gain.

    Source: Le Roux et al., SDR – half-baked or well done?, ICASSP 2019, eq. 5.
    """
    validate(estimate=estimate, reference=reference)
    estimated, wanted = (wav.astype(np.float64).ravel() for wav in (estimate, reference))
    power = float(wanted @ wanted)
    if power == 0:
        return -np.inf
    target = (estimated @ wanted / power) * wanted
    error = estimated - target
    return _ratio_db(float(target @ target), float(error @ error))


class DifferenceMeter:
    """Power of two streams `[C, n]` and of their difference, by frequency, block by block.

    Attributes:
        before: Σ|X|² per bin, over frames and channels.
        after: Σ|Y|².
        error: Σ|Y − X|².
    """

    def __init__(self, sample_rate: int, *, all_of_it: bool = True) -> None:
        """Prepare for two streams.

        Args:
            sample_rate: Hz.
            all_of_it: false: what is the same in both is passed over, and told to `finish`.
        """
        self._sample_rate = sample_rate
        self.all_of_it = all_of_it
        self._n_fft = fft_size(DIFFERENCE_SECONDS, sample_rate=sample_rate)
        bins = self._n_fft // 2 + 1
        self.before, self.after, self.error = np.zeros((3, bins))
        self._cross = np.zeros(bins)  # Σ Re (Y − X) X*
        self._rest = (np.zeros((1, 0), np.float32), np.zeros((1, 0), np.float32))

    def update(self, before: Wav, after: Wav) -> None:
        """Take the next samples of both streams, `[C, n]` each."""
        error = after - before
        held, held_error = self._rest
        if held.shape[1]:
            before = np.concatenate([held, before], axis=1)
            error = np.concatenate([held_error, error], axis=1)
        self._rest = self._take(before, error, _FRAMES)

    def _take(self, before: Wav, error: Wav, count: int) -> tuple[Wav, Wav]:
        """Take so many frames at a time, as often as they are there; return what is left.

        Always so many: how the streams were cut does not change how the sums are rounded.
        """
        hop = self._n_fft // 2
        times = max(0, before.shape[1] // hop - 1) // count
        if times:
            both = before, error
            cuts = [np.lib.stride_tricks.sliding_window_view(w, 2 * hop, axis=1) for w in both]
            spectra, wrong = (cut[:, ::hop] for cut in cuts)
        for start in range(0, times * count, count):
            part = slice(start, start + count)
            samples = slice(start * hop, (start + count + 1) * hop)
            if _highest(error[:, samples]) > ROUNDING * _highest(before[:, samples]):
                self._add(spectra[:, part], wrong[:, part])
            elif self.all_of_it:
                self._add(spectra[:, part], None)
        rest = times * count * hop
        return before[:, rest:].copy(), error[:, rest:].copy()

    def finish(self, *, before: Array | None = None, after: Array | None = None) -> None:
        """Take what is left, the last mirrored to one frame: a sudden stop would leak anywhere.

        Args:
            before: Σ|X|² of all of it, as another meter has it, for what was passed over.
            after: Σ|Y|², if that is what is known.
        """
        left, wrong = self._take(*self._rest, 1)
        if left.shape[1]:
            pad = ((0, 0), (0, self._n_fft - left.shape[1]))
            self._take(np.pad(left, pad, "symmetric"), np.pad(wrong, pad, "symmetric"), 1)
        self._rest = (left[:, :0], wrong[:, :0])
        for whole, changed in ((before, self.before), (after, self.after)):
            if whole is not None and not self.all_of_it:
                same = np.maximum(whole - changed, 0)
                self.before, self.after = self.before + same, self.after + same

    def bins(self, low_hz: float, high_hz: float) -> slice:
        """Return the bins from `low_hz` (included) to `high_hz` (excluded)."""
        return band(low_hz, high_hz, n_fft=self._n_fft, sample_rate=self._sample_rate)

    def si_sdr_db(self, low_hz: float, high_hz: float) -> tuple[float, float]:
        """Return the SI-SDR in a band, −60 to 120 dB, and the gain that it leaves out, dB."""
        inside = self.bins(low_hz, high_hz)
        before, error, cross = (
            float(sums[inside].sum()) for sums in (self.before, self.error, self._cross)
        )
        if not (before > 0 and error > 0):
            return SDR_LIMIT_DB if error <= 0 else SI_SDR_LEAST_DB, 0.0
        gain = 1 + cross / before
        if abs(gain) < 1e-6:  # silence keeps nothing
            return SI_SDR_LEAST_DB, -SDR_LIMIT_DB
        rest = max(error - cross**2 / before, 0.0)  # what no gain explains
        ratio = gain**2 * before / rest if rest > 0 else np.inf
        si_sdr_db = float(np.clip(10 * np.log10(ratio + 1e-30), SI_SDR_LEAST_DB, SDR_LIMIT_DB))
        return si_sdr_db, float(20 * np.log10(abs(gain)))

    def level_change_db(self, low_hz: float, high_hz: float) -> float | None:
        """Return the largest change of level of any third octave of the music in a band, dB.

        The overall change of the band is taken out first. Third octaves 50 dB below the loudest are
        left out: nobody hears them beside it. None in silence.
        """
        third_octaves = np.geomspace(low_hz, high_hz, 1 + round(3 * np.log2(high_hz / low_hz)))
        cuts = [self.bins(low, high) for low, high in pairwise(third_octaves)]
        cuts = [slice(cut.start, max(cut.stop, cut.start + 2)) for cut in cuts]  # one bin leaks
        before, after = (
            np.array([sums[cut].sum() for cut in (self.bins(low_hz, high_hz), *cuts)])
            for sums in (self.before, self.after)
        )
        if not before[0] > 0 or not after[0] > 0:
            return None
        heard = before > 1e-5 * before[1:].max()
        change = 10 * np.log10(np.maximum(after[heard], 1e-12 * after[0]) / before[heard])
        return float(np.abs(change - change[0]).max())

    def _add(self, before: Wav, error: Wav | None) -> None:
        """Take some frames `[C, N, n_fft]`; no error: they are the same."""
        spec = windowed_spectra(before).reshape(-1, self._n_fft // 2 + 1)
        power = sum_products(spec, spec)
        self.before += power
        if error is None:
            self.after += power
            return
        wrong = windowed_spectra(error).reshape(-1, self._n_fft // 2 + 1)
        self.error += sum_products(wrong, wrong)
        self._cross += sum_products(spec, wrong)
        spec += wrong
        self.after += sum_products(spec, spec)


def _highest(wav: Wav) -> float:
    return max(float(wav.max()), -float(wav.min()))


def protected_si_sdr_db(*, estimate: Wav, reference: Wav, sample_rate: int) -> float:
    """Return the SI-SDR between 60 Hz and 7 kHz, dB: what a repair must leave as it was.

    From the spectra, as each stage of a restoration is held to its budget.
    """
    meter = difference(estimate=estimate, reference=reference, sample_rate=sample_rate)
    return meter.si_sdr_db(*PROTECTED_HZ)[0]


def difference(*, estimate: Wav, reference: Wav, sample_rate: int) -> DifferenceMeter:
    """Return what was measured of the difference of two whole waveforms."""
    validate(estimate=estimate, reference=reference)
    meter = DifferenceMeter(sample_rate)
    meter.update(reference, estimate)
    meter.finish()
    return meter


def sdr_by_band_db(
    *, estimate: Wav, reference: Wav, sample_rate: int, bands_hz: BandsHz = SDR_BANDS_HZ
) -> dict[str, float | None]:
    """Return the SDR of each band, dB, from the spectra; None where the reference has nothing.

    Args:
        estimate: `[C, T]`.
        reference: `[C, T]`.
        sample_rate: Hz.
        bands_hz: from (included) and to (excluded), Hz, by the name under which it is returned.
    """
    validate(estimate=estimate, reference=reference)
    frames = _frames(sample_rate)
    wanted, error = (
        np.sum(
            [_power(spec).sum(axis=(0, 1), dtype=np.float64) for spec in _spectra(wav, frames)], 0
        )
        for wav in (reference, estimate - reference)
    )
    result: dict[str, float | None] = {}
    for name, (low_hz, high_hz) in bands_hz.items():
        bins = _bins(low_hz, high_hz, sample_rate)
        # What lies 120 dB under the whole is rounding of float32, not a signal.
        there = wanted[bins].sum() > 1e-12 * wanted.sum()
        ratio = _ratio_db(float(wanted[bins].sum()), float(error[bins].sum())) if there else None
        result[name] = ratio
    return result


def log_spectral_distance_db(
    *,
    estimate: Wav,
    reference: Wav,
    sample_rate: int,
    low_hz: float = 0.0,
    high_hz: float = np.inf,
) -> float:
    """Return the log-spectral distance in a band, dB: RMS over the bins, mean over the frames.

    Bins below `LOG_FLOOR_DB` count as that floor, so silence in both is no difference. NaN where
    the sample rate leaves no bins in the band.

    Source: Gray and Markel, Distance measures for speech processing, IEEE ASSP 1976.
    """
    distances = log_spectral_distances_db(
        estimate=estimate,
        reference=reference,
        sample_rate=sample_rate,
        bands_hz={"band": (low_hz, high_hz)},
    )
    distance = distances["band"]
    return np.nan if distance is None else distance


def log_spectral_distances_db(
    *, estimate: Wav, reference: Wav, sample_rate: int, bands_hz: BandsHz = LSD_BANDS_HZ
) -> dict[str, float | None]:
    """Return `log_spectral_distance_db` of several bands; None where there are no bins."""
    validate(estimate=estimate, reference=reference)
    bins = {name: _bins(*edges, sample_rate) for name, edges in bands_hz.items()}
    sums, count = dict.fromkeys(bins, 0.0), 0
    for estimated, wanted in _pairs(estimate, reference, sample_rate):
        square = (_level_db(_power(estimated)) - _level_db(_power(wanted))) ** 2
        count += square.shape[0] * square.shape[1]
        for name, inside in bins.items():
            if inside.start < inside.stop:
                rms = np.sqrt(square[:, :, inside].mean(axis=2))
                sums[name] += float(rms.sum(dtype=np.float64))
    return {
        name: sums[name] / count if inside.start < inside.stop else None
        for name, inside in bins.items()
    }


def multi_resolution_stft(*, estimate: Wav, reference: Wav) -> float:
    """Return the multi-resolution STFT distance, 0 if equal: the loss of auraloss, same settings.

    Mean over three resolutions of spectral convergence, and of the mean absolute differences of the
    magnitudes and of their natural logarithms; all channels together.

    Raises:
        AudioTooShortError: fewer than 1025 samples.

    Source: Yamamoto et al., Parallel WaveGAN, ICASSP 2020; Steinmetz and Reiss, auraloss: audio
    focused loss functions in PyTorch, DMRN+15, 2020.
    """
    validate(estimate=estimate, reference=reference)
    longest = max(n_fft for n_fft, _, _ in RESOLUTIONS)
    if estimate.shape[1] <= longest // 2:
        raise AudioTooShortError(
            f"{estimate.shape[1]} samples are too few for a spectrum; give {longest // 2 + 1}."
        )
    return float(np.mean([_stft_distance(estimate, reference, *sizes) for sizes in RESOLUTIONS]))


def mel_l1_db(*, estimate: Wav, reference: Wav, sample_rate: int) -> float:
    """Return the mean absolute difference of the mel spectra, dB; 0 if equal.

    128 Slaney bands from 0 to half the sample rate, of the power; bands below `LOG_FLOOR_DB` count
    as that floor.
    """
    validate(estimate=estimate, reference=reference)
    filters = mel_filters(sample_rate=sample_rate, n_fft=_frames(sample_rate).n_fft, mels=MELS).T
    total, count = 0.0, 0
    for estimated, wanted in _pairs(estimate, reference, sample_rate):
        difference = _level_db(_power(estimated) @ filters) - _level_db(_power(wanted) @ filters)
        total += float(np.abs(difference).sum(dtype=np.float64))
        count += difference.size
    return total / count


@lru_cache(maxsize=8)
def mel_filters(*, sample_rate: int, n_fft: int, mels: int) -> Array:
    """Return the mel filters `[mels, n_fft // 2 + 1]`, triangles of peak 1.

    Source: Slaney, Auditory Toolbox, 1998: linear up to 1 kHz, logarithmic above.
    """
    step = np.log(6.4) / 27  # of a mel above 1 kHz
    top_hz = sample_rate / 2
    top = 15 + np.log(top_hz / 1000) / step if top_hz > 1000 else top_hz * 3 / 200
    at = np.linspace(0.0, top, mels + 2)
    edges = np.where(at < 15, at * 200 / 3, 1000 * np.exp(step * (at - 15)))
    hz = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    rising = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.asarray(np.maximum(0, np.minimum(rising, falling)), np.float32)
    filters.flags.writeable = False
    return filters


def evaluate(*, estimate: Wav, reference: Wav, sample_rate: int) -> dict[str, float | None]:
    """Return every measure of this family by name; None where the rate has no such band.

    Ratios are held between ±120 dB, so that equal signals give a number.
    """
    by_band = sdr_by_band_db(estimate=estimate, reference=reference, sample_rate=sample_rate)
    ratios: dict[str, float | None] = {
        "si_sdr_db": si_sdr_db(estimate=estimate, reference=reference),
        "sdr_db": sdr_db(estimate=estimate, reference=reference),
        **by_band,
    }
    long_enough = estimate.shape[1] > max(n_fft for n_fft, _, _ in RESOLUTIONS) // 2
    return {
        **{name: held(value) for name, value in ratios.items()},
        **log_spectral_distances_db(
            estimate=estimate, reference=reference, sample_rate=sample_rate
        ),
        "multi_resolution_stft": multi_resolution_stft(estimate=estimate, reference=reference)
        if long_enough
        else None,
        "mel_l1_db": mel_l1_db(estimate=estimate, reference=reference, sample_rate=sample_rate),
    }


def held(ratio_db: float | None) -> float | None:
    """Return a ratio between ±`SDR_LIMIT_DB`: an unchanged signal gives 120, not infinity."""
    if ratio_db is None:
        return None
    return float(np.clip(ratio_db, -SDR_LIMIT_DB, SDR_LIMIT_DB))


def _ratio_db(signal: float, error: float) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(10 * np.log10(signal) - 10 * np.log10(error)) if signal else -np.inf


def _frames(sample_rate: int) -> Frames:
    """Return frames of 2048 samples, longer above 48 kHz, a quarter apart."""
    n_fft = max(2048, fft_size(0.043, sample_rate=sample_rate))
    return Frames(n_fft, n_fft // 4)


def _bins(low_hz: float, high_hz: float, sample_rate: int) -> slice:
    if low_hz >= sample_rate / 2:  # a single bin at the very end is no band
        return slice(0, 0)
    n_fft = _frames(sample_rate).n_fft
    return band(low_hz, min(high_hz, sample_rate), n_fft=n_fft, sample_rate=sample_rate)


def _pairs(estimate: Wav, reference: Wav, sample_rate: int) -> Iterator[tuple[Spec, Spec]]:
    frames = _frames(sample_rate)
    return zip(_spectra(estimate, frames), _spectra(reference, frames), strict=True)


def _spectra(wav: Wav, frames: Frames) -> Iterator[Spec]:
    """Yield the spectrum `[C, N, F]`, some frames at a time; a full-scale sine has |X| = 1."""
    half, hop = frames.n_fft // 2, frames.hop_length
    padded = np.pad(wav, ((0, 0), (half, half)))
    step = _PART_SAMPLES // hop * hop
    for start in range(0, wav.shape[1] + 1, step):
        part = padded[:, start : start + step - hop + 2 * half]
        spec = frames.analyse(part, first=start - half)
        if spec.shape[1]:
            yield spec * np.float32(2 / half)


def _power(spec: Spec) -> Array:
    return np.asarray(spec.real**2 + spec.imag**2, np.float32)


def _level_db(power: Array) -> Array:
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (LOG_FLOOR_DB / 10))), np.float32)


def _stft_distance(estimate: Wav, reference: Wav, n_fft: int, hop: int, length: int) -> float:
    """Return spectral convergence + L1 of log magnitudes + L1 of magnitudes at one resolution."""
    window = np.zeros(n_fft, np.float32)
    window[(n_fft - length) // 2 :][:length] = hann(length)
    count = 0
    wrong = wanted = linear = logarithmic = 0.0
    for spec in zip(
        _magnitudes(estimate, window, hop), _magnitudes(reference, window, hop), strict=True
    ):
        difference = spec[0] - spec[1]
        count += difference.size
        wrong += float(np.square(difference).sum(dtype=np.float64))
        wanted += float(np.square(spec[1]).sum(dtype=np.float64))
        linear += float(np.abs(difference).sum(dtype=np.float64))
        logarithmic += float(np.abs(np.log(spec[0] / spec[1])).sum(dtype=np.float64))
    return float(np.sqrt(wrong / wanted)) + logarithmic / count + linear / count


def _magnitudes(wav: Wav, window: Array, hop: int) -> Iterator[Array]:
    """Yield the magnitudes `[C, N, F]`, some frames at a time, at least 10⁻⁴ each."""
    half = len(window) // 2
    padded = np.pad(wav, ((0, 0), (half, half)), mode="reflect")
    every = np.lib.stride_tricks.sliding_window_view(padded, len(window), axis=1)[:, ::hop]
    step = max(1, 2**20 // len(window))
    for start in range(0, every.shape[1], step):
        spec = rfft(every[:, start : start + step] * window)
        yield np.sqrt(np.maximum(_power(spec), np.float32(1e-8)))
