from __future__ import annotations

import numpy as np
import pytest
import soxr
from scipy.signal import resample_poly
from tests.signals import noise, pink_noise

from nitido.demo.comb import add_comb
from nitido.demo.render import render
from nitido.diagnosis.comb import CombAnalyser
from nitido.diagnosis.finding import Finding
from nitido.dsp.spectral import lower_ceiling
from nitido.dsp.wav import Wav


def analyse(wav: Wav, *, sample_rate: int, block: int | None = None) -> Finding:
    analyser = CombAnalyser(sample_rate=sample_rate, channels=len(wav))
    block = block or max(wav.shape[1], 1)
    for start in range(0, wav.shape[1], block):
        analyser.update(wav[:, start : start + block])
    return analyser.finish()


def lines(spacing_hz: float, *, sample_rate: int, seconds: float, amplitude: float) -> Wav:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    hz = np.arange(spacing_hz, sample_rate / 2, spacing_hz)
    total = sum(np.sin(2 * np.pi * f * time + f) for f in hz)
    return np.asarray(amplitude * total, np.float32)[None]


def test_a_planted_comb_is_found_on_its_grid() -> None:
    finding = analyse(add_comb(noise(seconds=6), sample_rate=48_000, seed=1), sample_rate=48_000)
    assert finding.found
    assert finding.details["spacing_hz"] == 400
    assert finding.details["by_spacing_db"]["8000"] == pytest.approx(8.8, abs=1.5)


def test_a_stronger_comb_reads_higher() -> None:
    heights = [
        analyse(
            add_comb(pink_noise(seconds=6), sample_rate=48_000, seed=1, level_db=level_db),
            sample_rate=48_000,
        ).details["excess_db"]
        for level_db in (-6.0, 0.0, 6.0)
    ]
    assert heights == sorted(heights)
    assert heights[2] > heights[0] + 5


@pytest.mark.parametrize(("rate", "spacing_hz"), [(44_100, 689.0625), (48_000, 75.0)])
def test_the_comb_of_another_decoder_is_found_from_the_data(rate: int, spacing_hz: float) -> None:
    wav = noise(seconds=8, sample_rate=rate, rms=0.1)
    wav = wav + lines(spacing_hz, sample_rate=rate, seconds=8, amplitude=0.005)
    finding = analyse(wav, sample_rate=rate)
    assert finding.details["spacing_hz"] == pytest.approx(spacing_hz, rel=1e-3)


@pytest.mark.parametrize("spacing_hz", [44_100 / 1024, 25.0])
def test_frame_rates_of_generators_are_grids_too(spacing_hz: float) -> None:
    wav = noise(seconds=8, sample_rate=48_000, rms=0.1)
    wav = wav + lines(spacing_hz, sample_rate=48_000, seconds=8, amplitude=0.008)
    assert analyse(wav, sample_rate=48_000).details["spacing_hz"] == pytest.approx(
        spacing_hz, rel=1e-3
    )


def test_the_line_at_the_end_of_the_spectrum_belongs_to_the_comb() -> None:
    rate = 44_100
    wav = lower_ceiling(noise(seconds=8, sample_rate=rate), sample_rate=rate, ceiling_hz=16_000)
    wav = wav + lines(689.0625, sample_rate=rate, seconds=8, amplitude=0.005)
    wav = wav + np.float32(0.01) * np.float32((-1.0) ** np.arange(wav.shape[1]))  # 22 050 Hz
    assert analyse(wav, sample_rate=rate).details["lines_hz"][-1] == rate / 2


def test_a_low_comb_is_found_again_in_a_file_that_was_resampled() -> None:
    wav = lower_ceiling(pink_noise(seconds=8), sample_rate=48_000, ceiling_hz=15_000)
    came = soxr.resample(wav[0], 48_000, 32_000)[None].astype(np.float32)
    came = add_comb(came, sample_rate=32_000, seed=1, level_db=-2.0)
    wide = resample_poly(came, 3, 2, axis=1).astype(np.float32)
    before, after = (
        analyse(sound, sample_rate=rate) for sound, rate in ((came, 32_000), (wide, 48_000))
    )
    assert after.details["spacing_hz"] == before.details["spacing_hz"] == 400


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_comb_is_as_high_at_any_sample_rate(rate: int) -> None:
    wav = noise(seconds=10, sample_rate=32_000, rms=0.1)
    wav += lines(400, sample_rate=32_000, seconds=10, amplitude=0.003)
    other = soxr.resample(wav[0], 32_000, rate)[None]
    assert analyse(other, sample_rate=rate).value == pytest.approx(
        analyse(wav, sample_rate=32_000).value, abs=0.2
    )


def test_music_and_noise_have_no_comb() -> None:
    assert not analyse(noise(seconds=6, channels=2), sample_rate=48_000).found
    assert not analyse(render(seconds=10), sample_rate=48_000).found


@pytest.mark.parametrize("pitch_hz", [100.0, 200.0, 220.0, 261.63, 400.0])
def test_one_note_with_its_partials_is_no_comb(pitch_hz: float) -> None:
    rate = 48_000
    time = np.arange(6 * rate) / rate
    partials = np.arange(1, 12)
    wave = sum(np.sin(2 * np.pi * pitch_hz * n * time) / n**1.5 for n in partials)
    wav = (0.1 * wave).astype(np.float32)[None] + noise(seconds=6, rms=0.002)
    assert not analyse(wav, sample_rate=rate).found


@pytest.mark.parametrize("rate", [32_000, 48_000])
@pytest.mark.parametrize("hits_per_second", [10.0, 12.5, 16.0, 20.0])  # sixteenths at 150 bpm, …
def test_a_beat_that_a_machine_plays_is_no_comb(hits_per_second: float, rate: int) -> None:
    fall = np.exp(-np.arange(rate // 20) / (0.012 * rate))
    hit = fall * noise(seconds=0.05, rms=0.2, sample_rate=rate)[0, : len(fall)]
    wav = noise(seconds=12, rms=0.001, sample_rate=rate)
    for number in range(round(11.9 * hits_per_second)):
        start = round(number * rate / hits_per_second)
        wav[0, start : start + len(hit)] += hit * (1.0 if number % 2 else 0.6)
    assert not analyse(wav, sample_rate=rate).found


@pytest.mark.parametrize("samples", [0, 1, 1000, 48_000])
def test_silence_of_any_length_has_no_comb(samples: int) -> None:
    finding = analyse(np.zeros((2, samples), np.float32), sample_rate=48_000)
    assert not finding.found
    assert finding.value is None


def test_the_reading_does_not_depend_on_how_the_stream_is_cut() -> None:
    wav = add_comb(noise(seconds=5), sample_rate=48_000, seed=1)
    whole, cut = (analyse(wav, sample_rate=48_000, block=block) for block in (None, 7777))
    assert cut.details["excess_db"] == pytest.approx(whole.details["excess_db"], abs=0.02)
    assert cut.details["spacing_hz"] == whole.details["spacing_hz"]


def test_a_quieter_copy_has_the_same_comb() -> None:
    wav = add_comb(noise(seconds=5), sample_rate=48_000, seed=1)
    loud, quiet = (analyse(gain * wav, sample_rate=48_000) for gain in (1.0, np.float32(0.001)))
    assert quiet.value == pytest.approx(loud.value, abs=0.05)
