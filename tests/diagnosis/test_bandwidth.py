from __future__ import annotations

import math

import numpy as np
import pytest
import soxr
from scipy.signal import resample_poly
from tests.signals import noise, pink_noise, sine

from nitido.demo.render import render
from nitido.diagnosis.bandwidth import BandwidthAnalyser
from nitido.diagnosis.finding import Finding
from nitido.dsp.spectral import lower_ceiling
from nitido.dsp.wav import Wav


def analyse(wav: Wav, *, sample_rate: int = 48_000, block: int | None = None) -> Finding:
    analyser = BandwidthAnalyser(sample_rate=sample_rate, channels=len(wav))
    block = block or max(wav.shape[1], 1)
    for start in range(0, wav.shape[1], block):
        analyser.update(wav[:, start : start + block])
    return analyser.finish()


def fading(wav: Wav, db_per_khz: float = 6.0) -> Wav:
    """Return a sound that falls evenly towards the top."""
    hz = np.fft.rfftfreq(wav.shape[1], 1 / 48_000)
    faded = np.fft.irfft(np.fft.rfft(wav) * 10 ** (-db_per_khz * hz / 1000 / 20), wav.shape[1])
    return faded.astype(np.float32)


@pytest.mark.parametrize("ceiling_hz", [4_000, 8_000, 11_000, 16_000])
def test_a_wall_is_found_where_it_stands(ceiling_hz: int) -> None:
    wav = lower_ceiling(pink_noise(seconds=4), sample_rate=48_000, ceiling_hz=ceiling_hz)
    finding = analyse(wav)
    assert finding.found
    assert finding.value == pytest.approx(ceiling_hz, abs=450)


@pytest.mark.parametrize("block", [None, 1_000])
def test_a_piece_that_sets_in_at_once_hides_no_wall(block: int | None) -> None:
    wav = lower_ceiling(pink_noise(seconds=4), sample_rate=48_000, ceiling_hz=8_000)
    begins = 500 + int(np.argmax(np.abs(wav[0, 500:4_000])))  # cut where it is loud: a step
    finding = analyse(wav[:, begins:], block=block)
    assert finding.found
    assert finding.details["wall_db"] > 40


def test_an_s_over_dark_music_is_no_ceiling_where_its_band_ends() -> None:
    dark = fading(pink_noise(seconds=8), db_per_khz=8.0)
    band = lower_ceiling(noise(seconds=8), sample_rate=48_000, ceiling_hz=9_000)
    band -= lower_ceiling(band, sample_rate=48_000, ceiling_hz=5_000)
    now_and_then = np.arange(band.shape[1]) % 24_000 < 2_400  # twice a second, for 50 ms
    assert not analyse(dark).found
    assert not analyse(dark + 0.3 * band * now_and_then).found


def test_a_very_short_sound_has_a_ceiling_too() -> None:
    wav = lower_ceiling(pink_noise(seconds=1), sample_rate=48_000, ceiling_hz=8_000)
    hz = analyse(wav[:, 20_000:24_000]).value
    assert hz is not None


def test_a_low_sample_rate_is_a_ceiling() -> None:
    finding = analyse(pink_noise(seconds=3, sample_rate=32_000), sample_rate=32_000)
    assert finding.found
    assert finding.value == 16_000


def test_full_band_music_has_no_ceiling() -> None:
    assert not analyse(render(seconds=8)).found
    assert not analyse(noise(seconds=3)).found


def test_music_that_fades_towards_the_top_has_no_ceiling() -> None:
    assert not analyse(fading(pink_noise(seconds=4))).found


def test_the_rolloff_is_where_the_sound_begins_to_sink() -> None:
    wav = pink_noise(seconds=4)
    low, wall = (lower_ceiling(wav, sample_rate=48_000, ceiling_hz=hz) for hz in (7_300, 8_000))
    sinking, upright = analyse(low + np.float32(0.1) * (wall - low)), analyse(wall)
    assert sinking.value == pytest.approx(8_000, abs=200)
    assert sinking.details["rolloff_hz"] == pytest.approx(7_200, abs=200)
    assert upright.details["rolloff_hz"] > 7_700


def test_music_that_falls_evenly_has_no_rolloff_before_its_ceiling() -> None:
    wav = lower_ceiling(fading(pink_noise(seconds=4)), sample_rate=48_000, ceiling_hz=8_000)
    assert analyse(wav).details["rolloff_hz"] > 7_700


@pytest.mark.parametrize("ceiling_hz", [17_500, 20_000])
def test_a_ceiling_above_which_little_is_missed_is_no_fault(ceiling_hz: int) -> None:
    finding = analyse(
        lower_ceiling(pink_noise(seconds=4), sample_rate=48_000, ceiling_hz=ceiling_hz)
    )
    assert not finding.found
    assert finding.value == pytest.approx(ceiling_hz, abs=450)


def test_a_few_clicks_do_not_hide_a_ceiling() -> None:
    wav = lower_ceiling(pink_noise(seconds=10), sample_rate=48_000, ceiling_hz=10_000)
    for second in range(1, 10, 2):
        wav[:, 48_000 * second : 48_000 * second + 200] = noise(seconds=200 / 48_000, rms=0.3)
    assert analyse(wav).value == pytest.approx(10_000, abs=450)


def test_a_pilot_tone_does_not_move_the_ceiling() -> None:
    wav = lower_ceiling(pink_noise(seconds=4), sample_rate=48_000, ceiling_hz=15_000)
    finding = analyse(wav + sine(19_000, seconds=4, sample_rate=48_000, amplitude=0.02))
    assert finding.value == pytest.approx(15_000, abs=450)


def soft_end(wav: Wav) -> Wav:
    """Return a sound that fades out between 14 and 16 kHz, as a decoder's does, at 32 kHz."""
    hz = np.fft.rfftfreq(wav.shape[1], 1 / 48_000)
    gain = 10 ** (-np.interp(hz, [13_500, 14_500, 16_000], [0, 6, 40]) / 20)
    narrow = np.fft.irfft(np.fft.rfft(wav) * gain * (hz < 16_000), wav.shape[1])
    return soxr.resample(narrow[0], 48_000, 32_000)[None].astype(np.float32)


def test_what_lies_above_a_ceiling_in_the_quiet_does_not_move_it() -> None:
    sound, other = pink_noise(seconds=8), pink_noise(seconds=8)[:, ::-1]
    wav = lower_ceiling(sound, sample_rate=48_000, ceiling_hz=15_000)
    wav = wav * np.where(np.arange(wav.shape[1]) % 48_000 < 12_000, 1.0, 0.2)
    residue = lower_ceiling(other, sample_rate=48_000, ceiling_hz=16_500)
    residue = residue - lower_ceiling(residue, sample_rate=48_000, ceiling_hz=15_000)
    finding = analyse((wav + 0.07 * residue).astype(np.float32))
    assert finding.value == pytest.approx(15_000, abs=300)


@pytest.mark.parametrize("sample_rate", [44_100, 48_000])
def test_a_soft_end_stays_where_it_is_under_the_mirror_of_a_resampler(sample_rate: int) -> None:
    wav = soft_end(pink_noise(seconds=6))
    came = analyse(wav, sample_rate=32_000)
    divisor = math.gcd(sample_rate, 32_000)
    mirrored = resample_poly(wav, sample_rate // divisor, 32_000 // divisor, axis=1)
    finding = analyse(mirrored.astype(np.float32), sample_rate=sample_rate)
    assert came.found
    assert finding.found
    assert finding.value == pytest.approx(came.value, abs=300)


def hard_end(wav: Wav, sample_rate: int) -> Wav:
    """Return a sound that was cut at 32 kHz, resampled so that a mirror is left above 16 kHz."""
    cut = soxr.resample(wav[0], 48_000, 32_000)
    divisor = math.gcd(sample_rate, 32_000)
    mirrored = resample_poly(cut, sample_rate // divisor, 32_000 // divisor)
    return mirrored[None].astype(np.float32)


@pytest.mark.parametrize("sample_rate", [44_100, 48_000])
@pytest.mark.parametrize("quietly", [1.0, 0.01])
def test_the_mirror_that_a_resampler_leaves_is_no_treble(sample_rate: int, quietly: float) -> None:
    wav = noise(seconds=6)
    wav = np.where(np.arange(wav.shape[1]) < 144_000, wav, quietly * wav)
    finding = analyse(hard_end(wav, sample_rate), sample_rate=sample_rate)
    assert finding.found
    assert finding.value == pytest.approx(15_600, abs=300)
    assert finding.details["top_share"] == 0


@pytest.mark.parametrize("low_rate", [8_000, 11_025, 12_000])
def test_the_ceiling_of_a_low_rate_stays_where_it_is_under_a_mirror(low_rate: int) -> None:
    cut = soxr.resample(pink_noise(seconds=6)[0], 48_000, low_rate)
    divisor = math.gcd(48_000, low_rate)
    mirrored = resample_poly(cut, 48_000 // divisor, low_rate // divisor)[None].astype(np.float32)
    finding = analyse(mirrored)
    assert finding.found
    assert finding.value == pytest.approx(low_rate / 2, rel=0.03)


def test_treble_that_is_as_faint_as_a_mirror_but_of_its_own_is_treble() -> None:
    sound = hard_end(noise(seconds=6), 48_000)
    other = hard_end(noise(seconds=6)[:, ::-1], 48_000)
    low, other_low = (
        lower_ceiling(w, sample_rate=48_000, ceiling_hz=16_000) for w in (sound, other)
    )
    assert analyse(low + (other - other_low)).details["top_share"] == pytest.approx(1.0)
    assert analyse(sound).details["top_share"] == 0


def test_a_mirror_as_loud_as_what_it_mirrors_is_part_of_the_sound() -> None:
    held = np.repeat(noise(seconds=4, sample_rate=22_050), 2, axis=1)  # as old games play samples
    finding = analyse(
        lower_ceiling(held, sample_rate=44_100, ceiling_hz=12_400), sample_rate=44_100
    )
    assert finding.value == pytest.approx(12_400, abs=450)


def test_dull_music_that_ends_is_not_called_faulty() -> None:
    wav = lower_ceiling(fading(pink_noise(seconds=4), 3.5), sample_rate=48_000, ceiling_hz=15_000)
    finding = analyse(wav)
    assert finding.value == pytest.approx(15_000, abs=450)
    assert finding.details["treble_db"] < -41
    assert not finding.found


def test_how_much_of_the_time_there_is_treble_is_told() -> None:
    bright, dull = pink_noise(seconds=10), fading(pink_noise(seconds=10))
    dull[:, : 3 * 48_000] = bright[:, : 3 * 48_000]
    finding = analyse(dull)
    assert finding.details["top_share"] == pytest.approx(0.3, abs=0.03)
    assert "30% of the time" in finding.summary
    assert finding.value < 16_500  # most of the time nothing reaches further


@pytest.mark.parametrize("share", [0.65, 0.9])
def test_how_fast_the_sound_falls_is_not_told_by_one_note(share: float) -> None:
    wav = lower_ceiling(pink_noise(seconds=4), sample_rate=48_000, ceiling_hz=8_000)
    note = sine(share * 8_000, seconds=4, amplitude=0.05)
    falls, beside = (analyse(one).details["fall_db_per_khz"] for one in (wav, wav + note))
    assert falls == pytest.approx(-10 / math.log(10) / 8, abs=0.2)  # pink: 3 dB per octave
    assert beside == pytest.approx(falls, abs=1.5)


def test_treble_below_the_ceiling_is_measured_against_the_piece() -> None:
    wav = lower_ceiling(noise(seconds=4), sample_rate=48_000, ceiling_hz=16_000)
    loud, quiet = (analyse(np.float32(gain) * wav) for gain in (1.0, 0.01))
    # White noise up to 16 of 24 kHz: 1.8 dB more per Hz than white noise of the same RMS.
    assert loud.details["treble_db"] == pytest.approx(1.8, abs=1.2)
    assert quiet.details["treble_db"] == pytest.approx(loud.details["treble_db"], abs=0.2)


@pytest.mark.parametrize("sample_rate", [44_100, 48_000, 96_000])
def test_the_treble_below_the_ceiling_reads_the_same_at_any_sample_rate(sample_rate: int) -> None:
    wav = noise(seconds=6, sample_rate=32_000)  # up to the last bin; resampling takes some of it
    fall = 10 ** (-5 / 20 * np.fft.rfftfreq(wav.shape[1], 1 / 32))
    wav = np.fft.irfft(np.fft.rfft(wav) * fall, wav.shape[1]).astype(np.float32)
    resampled = soxr.resample(wav[0], 32_000, sample_rate)[None]
    came, finding = analyse(wav, sample_rate=32_000), analyse(resampled, sample_rate=sample_rate)
    assert finding.details["treble_db"] == pytest.approx(came.details["treble_db"], abs=1.5)


@pytest.mark.parametrize("samples", [0, 1, 1000, 48_000])
def test_silence_of_any_length_gives_no_ceiling(samples: int) -> None:
    finding = analyse(np.zeros((2, samples), np.float32))
    assert not finding.found
    assert finding.value is None


def test_the_reading_does_not_depend_on_how_the_stream_is_cut() -> None:
    wav = lower_ceiling(pink_noise(seconds=4), sample_rate=48_000, ceiling_hz=16_000)
    assert analyse(wav, block=7777).details == analyse(wav).details
