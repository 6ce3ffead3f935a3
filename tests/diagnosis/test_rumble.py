import numpy as np
import pytest
import soundfile

from nitido.diagnosis.rumble import RumbleAnalyser


def analyse(wav, *, sample_rate=48000, cut=10**9):
    analyser = RumbleAnalyser(sample_rate=sample_rate, channels=wav.shape[0])
    for start in range(0, wav.shape[1], cut):
        analyser.update(wav[:, start : start + cut])
    return analyser.finish()


def tone(hz, level_db=0.0, *, seconds=4.0, sample_rate=48000, channels=1):
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    wav = 0.3 * 10 ** (level_db / 20) * np.sin(2 * np.pi * hz * t)
    return np.tile(wav.astype(np.float32), (channels, 1))


@pytest.mark.parametrize(("level_db", "severity"), [(-30, "ok"), (-10, "moderate"), (-3, "severe")])
def test_a_12_hz_rumble_is_found_at_its_level(level_db, severity):
    finding = analyse(tone(440) + tone(12, level_db))
    share = 10 ** (level_db / 10)
    assert finding.value == pytest.approx(10 * np.log10(share / (1 + share)), abs=0.2)
    assert finding.severity == severity


@pytest.mark.parametrize("hz", [27.5, 30, 41.2, 55])
def test_the_lowest_notes_of_music_are_not_rumble(hz):
    finding = analyse(tone(hz))
    assert finding.value < -40
    assert not finding.found


@pytest.mark.parametrize("hz", [1990, 2010, 4005, 12000])
def test_high_notes_do_not_fold_down_into_rumble(hz):
    assert analyse(tone(hz)).value < -30


def test_kick_drums_are_not_rumble():
    rate = 48000
    t = np.arange(rate // 2) / rate
    kick = np.sin(2 * np.pi * (50 * t + 12 * (1 - np.exp(-t * 25)))) * np.exp(-t * 8)
    assert not analyse(np.tile(kick, 8).astype(np.float32)[None]).found


def test_a_constant_offset_is_not_rumble():
    assert analyse(tone(440) + np.float32(0.2)).value < -60


def test_silence_has_no_rumble():
    finding = analyse(np.zeros((2, 96000), np.float32))
    assert finding.value is None
    assert finding.details == {"below_20_hz_db": None}


@pytest.mark.parametrize("samples", [0, 1, 4800])
def test_a_moment_is_too_short_to_tell(samples):
    finding = analyse(np.ones((1, samples), np.float32))
    assert finding.value is None
    assert not finding.found


@pytest.mark.parametrize(("sample_rate", "channels"), [(8000, 1), (44100, 64), (192000, 2)])
def test_it_works_at_every_rate_and_width(sample_rate, channels):
    settings = {"sample_rate": sample_rate, "channels": channels, "seconds": 2}
    wav = tone(440, **settings) + tone(12, **settings)
    assert analyse(wav, sample_rate=sample_rate).value == pytest.approx(-3, abs=0.2)


@pytest.mark.parametrize("cut", [997, 48000, 100000])
def test_it_does_not_depend_on_how_the_piece_is_cut(cut):
    wav = tone(440, channels=2) + tone(12, -10, channels=2)
    assert analyse(wav, cut=cut).value == pytest.approx(analyse(wav).value, abs=1e-3)


@pytest.mark.parametrize("name", ["castanets", "contrabassoon", "glock", "harpsichord", "strauss"])
def test_good_recordings_have_no_rumble(shared_audio, name):
    wav, sample_rate = soundfile.read(
        shared_audio / "clean" / "test" / f"visqol_{name}.flac", dtype="float32", always_2d=True
    )
    assert not analyse(wav.T, sample_rate=sample_rate).found
