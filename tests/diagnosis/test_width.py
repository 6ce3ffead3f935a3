import numpy as np
import pytest

from nitido.diagnosis.width import WidthAnalyser


def analyse(wav, *, sample_rate=48000, cut=10**9):
    analyser = WidthAnalyser(sample_rate=sample_rate, channels=wav.shape[0])
    for start in range(0, wav.shape[1], cut):
        analyser.update(wav[:, start : start + cut])
    return analyser.finish()


def noise(channels=2, seconds=4.0, *, sample_rate=48000):
    rng = np.random.default_rng(0)
    return 0.1 * rng.standard_normal((channels, round(seconds * sample_rate))).astype(np.float32)


def stereo(side_db):
    middle, side = noise()
    side = side * np.float32(10 ** (side_db / 20))
    return np.stack([middle + side, middle - side])


@pytest.mark.parametrize("wav", [noise(1), np.repeat(noise(1), 2, axis=0)])
def test_one_channel_and_two_equal_ones_are_mono(wav):
    finding = analyse(wav)
    assert finding.value == 1
    assert finding.details["mono"] is True
    assert finding.severity == "slight"


def test_channels_that_differ_by_rounding_only_are_mono():
    wav = np.repeat(noise(1), 2, axis=0)
    wav[1] += np.float32(1e-6) * noise(1)[0]
    assert analyse(wav).details["mono"] is True


@pytest.mark.parametrize("side_db", [-40, -20, -10, -3])
def test_the_side_is_found_at_its_level(side_db):
    finding = analyse(stereo(side_db))
    share = 10 ** (side_db / 10)
    assert finding.details["side_db"] == pytest.approx(side_db, abs=0.1)
    assert finding.value == pytest.approx((1 - share) / (1 + share), abs=0.01)
    assert finding.details["mono"] is False
    assert not finding.found


def test_unrelated_channels_have_no_correlation():
    assert analyse(noise()).value == pytest.approx(0, abs=0.01)


def test_a_side_that_is_upside_down_is_clear():
    finding = analyse(stereo(20))
    assert finding.details["polarity_inverted"] is True
    assert finding.severity == "moderate"
    assert finding.value < -0.9


def test_a_second_of_out_of_phase_effect_is_not_a_swapped_wire():
    wav = stereo(-10)
    wav[1, :48000] *= -1
    assert not analyse(wav).found


@pytest.mark.parametrize(("channel", "name"), [(0, "left"), (1, "right")])
@pytest.mark.parametrize("left_over", [0.0, 0.001])
def test_a_channel_without_music_is_silent_and_the_piece_is_not_mono(channel, name, left_over):
    wav = noise()
    wav[channel] *= np.float32(left_over)
    finding = analyse(wav)
    assert finding.severity == "moderate"
    assert finding.summary == f"The {name} channel is silent."
    assert finding.details["mono"] is False


@pytest.mark.parametrize("gain_db", [-60, 0])
def test_a_fold_to_mono_loses_what_the_sides_do_not_share(gain_db):
    gain = np.float32(10 ** (gain_db / 20))
    for side_db, lost_db in ((-200, 0.0), (0, -3.0), (20, -20.0)):
        assert analyse(gain * stereo(side_db)).details["fold_db"] == pytest.approx(lost_db, abs=0.1)
    assert "20 dB softer" in analyse(gain * stereo(20)).summary


def test_more_than_two_channels_are_not_judged():
    finding = analyse(noise(6))
    assert finding.value is None
    assert not finding.found


@pytest.mark.parametrize(
    ("silent", "severity", "said"),
    [
        ([4], "moderate", "; back left is silent."),
        ([1, 3], "moderate", "; front right is silent."),
        ([2], "ok", "; front centre is silent."),  # mixed without
        ([4, 5], "ok", "; back left, back right are silent."),
        ([3], "ok", "on its own."),  # low frequencies are few
    ],
)
def test_a_speaker_of_which_nothing_comes_is_named_and_at_fault_where_its_twin_plays(
    silent, severity, said
):
    wav = noise(6)
    wav[silent] = 0
    finding = analyse(wav)
    assert finding.severity == severity
    assert finding.summary.endswith(said)


@pytest.mark.parametrize("samples", [0, 1, 96000])
@pytest.mark.parametrize("channels", [1, 2, 64])
def test_silence_has_no_width(samples, channels):
    finding = analyse(np.zeros((channels, samples), np.float32))
    assert finding.value is None
    assert not finding.found


@pytest.mark.parametrize("sample_rate", [8000, 192000])
def test_it_works_at_every_rate(sample_rate):
    assert analyse(noise(2, 1, sample_rate=sample_rate), sample_rate=sample_rate).value < 0.1


@pytest.mark.parametrize("cut", [997, 48000, 100000])
def test_it_does_not_depend_on_how_the_piece_is_cut(cut):
    wav = stereo(20)
    whole, parts = analyse(wav), analyse(wav, cut=cut)
    assert parts.severity == whole.severity
    for name, value in whole.details.items():
        assert parts.details[name] == (value if value == [] else pytest.approx(value, abs=1e-3))
