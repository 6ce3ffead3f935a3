import numpy as np
import pytest

from nitido.diagnosis.level import LoudnessAnalyser


def analyse(wav, *, sample_rate=48000, cut=10**9):
    analyser = LoudnessAnalyser(sample_rate=sample_rate, channels=wav.shape[0])
    for start in range(0, wav.shape[1], cut):
        analyser.update(wav[:, start : start + cut])
    return analyser.finish()


def tone(level_dbfs, seconds=5.0, *, sample_rate=48000, channels=2):
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    wav = 10 ** (level_dbfs / 20) * np.sin(2 * np.pi * 997 * t)
    return np.tile(wav.astype(np.float32), (channels, 1))


@pytest.mark.parametrize(
    ("lufs", "severity"), [(-14, "ok"), (-17, "ok"), (-20, "slight"), (-30, "moderate")]
)
def test_quiet_music_is_reported_the_more_the_quieter(lufs, severity):
    finding = analyse(tone(lufs))  # a stereo sine reads its peak level
    assert finding.value == pytest.approx(lufs, abs=0.05)
    assert finding.severity == severity


def test_a_sine_has_the_numbers_of_a_sine():
    details = analyse(tone(-10)).details
    assert details["rms_dbfs"] == pytest.approx(-13.01, abs=0.01)
    assert details["sample_peak_dbfs"] == pytest.approx(-10, abs=0.01)
    assert details["true_peak_dbtp"] == pytest.approx(-10, abs=0.01)
    assert details["crest_db"] == pytest.approx(3.01, abs=0.01)
    assert details["range_lu"] == pytest.approx(0, abs=0.01)
    assert details["momentary_max_lufs"] == pytest.approx(-10, abs=0.05)
    assert details["short_term_max_lufs"] == pytest.approx(-10, abs=0.05)
    assert details["plr_db"] == pytest.approx(0, abs=0.05)


def test_peaks_over_full_scale_between_the_samples_are_clear():
    t = np.arange(48000)
    wav = (0.9 * np.sin(np.pi / 2 * t + np.pi / 4)).astype(np.float32)[None] * np.float32(2**0.5)
    finding = analyse(wav)
    assert finding.details["sample_peak_dbfs"] < 0
    assert finding.details["true_peak_dbtp"] > 1
    assert finding.severity == "moderate"


@pytest.mark.parametrize("seconds", [0.1, 2])
@pytest.mark.parametrize("level_dbfs", [-200, -96, -80])
def test_silence_and_its_hiss_have_no_loudness_and_are_said_to_be_silent(seconds, level_dbfs):
    noise = np.random.default_rng(0).standard_normal((2, round(48000 * seconds)))
    finding = analyse((noise * 10 ** (level_dbfs / 20)).astype(np.float32))
    assert finding.value is None
    assert finding.severity == "severe"
    assert "Silence" in finding.summary


@pytest.mark.parametrize("samples", [0, 1, 19199])
def test_less_than_0_4_seconds_have_a_peak_but_no_loudness(samples):
    finding = analyse(tone(-10)[:, 1 : 1 + samples])
    assert finding.value is None
    assert (finding.details["sample_peak_dbfs"] is None) == (samples == 0)


@pytest.mark.parametrize(("sample_rate", "channels"), [(32000, 1), (44100, 64), (192000, 2)])
def test_it_works_at_every_rate_and_width(sample_rate, channels):
    finding = analyse(
        tone(-23, 1, sample_rate=sample_rate, channels=channels), sample_rate=sample_rate
    )
    assert finding.value == pytest.approx(-23 + 10 * np.log10(channels / 2), abs=0.1)


@pytest.mark.parametrize("cut", [997, 48000])
def test_it_does_not_depend_on_how_the_piece_is_cut(cut):
    wav = np.concatenate([tone(-30), tone(-14), tone(-20)], axis=1)
    assert analyse(wav, cut=cut).details == pytest.approx(analyse(wav).details, abs=1e-4)
