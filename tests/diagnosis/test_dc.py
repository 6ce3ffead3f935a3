import numpy as np
import pytest
import soundfile

from nitido.diagnosis.dc import DcAnalyser


def analyse(wav, *, sample_rate=48000, cut=10**9):
    analyser = DcAnalyser(sample_rate=sample_rate, channels=wav.shape[0])
    for start in range(0, wav.shape[1], cut):
        analyser.update(wav[:, start : start + cut])
    return analyser.finish()


def music(seconds=3.0, *, sample_rate=48000, channels=2):
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    wav = 0.2 * np.sin(2 * np.pi * 110 * t) + 0.1 * np.sin(2 * np.pi * 1234 * t)
    return np.tile(wav.astype(np.float32), (channels, 1))


def test_a_planted_offset_is_found_at_its_height_in_its_channel():
    wav = music()
    wav[1] += np.float32(0.02)
    finding = analyse(wav)
    assert finding.severity == "moderate"
    assert finding.value == pytest.approx(20 * np.log10(0.02), abs=0.1)
    assert finding.details["offset"] == pytest.approx([0, 0.02], abs=1e-4)


@pytest.mark.parametrize("gain", [0.03, 0.3, 3.0])
def test_a_gain_changes_no_verdict(gain):
    verdicts = [
        [
            analyse(np.float32(scale) * (music() + np.float32(offset))).severity
            for scale in (1, gain)
        ]
        for offset in (0.002, 0.02, 0.1)
    ]
    assert verdicts == [["ok"] * 2, ["moderate"] * 2, ["severe"] * 2]


def test_centred_music_has_no_offset():
    assert not analyse(music()).found


def test_an_offset_that_the_silence_at_the_end_has_not_is_not_steady():
    wav = music(2.0) + np.float32(0.02)
    held = np.concatenate([wav, np.full((2, 12_000), 0.02, np.float32)], axis=1)
    gone = np.concatenate([wav, np.zeros((2, 12_000), np.float32)], axis=1)
    assert analyse(held).details["steady"] > 20
    assert analyse(gone).found
    assert analyse(gone).details["steady"] < 3


def test_slow_bass_is_not_an_offset():
    t = np.arange(3 * 48000) / 48000
    wander = 0.5 * np.sin(2 * np.pi * 0.4 * t) + 0.01  # its mean over 3 s is well above the fault
    finding = analyse(wander.astype(np.float32)[None])
    assert finding.value > -40
    assert not finding.found


def test_silence_has_no_offset():
    finding = analyse(np.zeros((2, 48000), np.float32))
    assert finding.value is None
    assert not finding.found


@pytest.mark.parametrize("samples", [0, 1, 100])
def test_a_moment_is_too_short_to_have_an_offset(samples):
    assert not analyse(np.full((1, samples), 0.5, np.float32)).found


@pytest.mark.parametrize(("sample_rate", "channels"), [(8000, 1), (44100, 64), (192000, 2)])
def test_it_works_at_every_rate_and_width(sample_rate, channels):
    wav = music(1, sample_rate=sample_rate, channels=channels) + np.float32(0.05)
    assert analyse(wav, sample_rate=sample_rate).value == pytest.approx(-26.02, abs=0.1)


@pytest.mark.parametrize("cut", [997, 24000, 100000])
def test_it_does_not_depend_on_how_the_piece_is_cut(cut):
    wav = music() + np.float32(0.02)
    whole, parts = analyse(wav), analyse(wav, cut=cut)
    assert parts.severity == whole.severity
    assert parts.details["offset"] == pytest.approx(whole.details["offset"], abs=1e-12)


@pytest.mark.parametrize("name", ["castanets", "contrabassoon", "glock", "harpsichord", "strauss"])
def test_good_recordings_have_no_offset(shared_audio, name):
    wav, sample_rate = soundfile.read(
        shared_audio / "clean" / "test" / f"visqol_{name}.flac", dtype="float32", always_2d=True
    )
    assert not analyse(wav.T, sample_rate=sample_rate).found
