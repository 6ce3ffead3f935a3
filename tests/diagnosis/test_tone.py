import numpy as np
import pytest

from nitido.diagnosis.tone import ToneAnalyser


def analyse(wav, *, sample_rate=48000, cut=10**9):
    analyser = ToneAnalyser(sample_rate=sample_rate, channels=wav.shape[0])
    for start in range(0, wav.shape[1], cut):
        analyser.update(wav[:, start : start + cut])
    return analyser.finish()


def white_noise(seconds=20.0, *, sample_rate=48000, channels=1):
    rng = np.random.default_rng(0)
    return 0.1 * rng.standard_normal((channels, round(seconds * sample_rate))).astype(np.float32)


def tone(hz, level_db=0.0, *, seconds=3.0, sample_rate=48000):
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    return (0.1 * 10 ** (level_db / 20) * np.sin(2 * np.pi * hz * t)).astype(np.float32)[None]


def test_two_notes_are_found_at_their_balance():
    finding = analyse(tone(500) + tone(3000, -12))
    assert finding.value == pytest.approx(-12, abs=0.1)
    assert finding.details["mid_db"] == pytest.approx(-10 * np.log10(1 + 10**-1.2), abs=0.1)


def test_a_note_is_loudest_in_its_own_band():
    details = analyse(tone(2000)).details
    assert details["bands_hz"][int(np.argmax(details["bands_db"]))] == pytest.approx(1995.3)


def test_white_noise_rises_by_1_db_per_third_octave():
    details = analyse(white_noise()).details
    slope = np.polyfit(np.arange(len(details["bands_db"])), details["bands_db"], 1)[0]
    assert slope == pytest.approx(1.0, abs=0.05)
    # 7 kHz of bandwidth against 750 Hz
    assert analyse(white_noise()).value == pytest.approx(10 * np.log10(7000 / 750), abs=0.3)


def test_the_balance_does_not_depend_on_the_volume():
    wav = tone(500) + tone(3000, -12)
    assert analyse(wav * np.float32(0.01)).value == pytest.approx(analyse(wav).value, abs=0.01)


def test_only_a_muffled_piece_is_called_dull():
    assert not analyse(tone(500) + tone(3000, -30)).found
    assert analyse(tone(500) + tone(3000, -60)).severity == "slight"


def test_an_offset_does_not_count_as_bass():
    wav = tone(500) + tone(3000, -12)
    assert analyse(wav + np.float32(0.3)).details["low_db"] < -40


@pytest.mark.parametrize("samples", [0, 1, 96000])
def test_silence_has_no_balance(samples):
    finding = analyse(np.zeros((2, samples), np.float32))
    assert finding.value is None
    assert not finding.found


def test_a_tenth_of_a_second_is_enough():
    short = (tone(500) + tone(3000, -12))[:, :3000]
    assert analyse(short).value == pytest.approx(-12, abs=0.5)


@pytest.mark.parametrize(("sample_rate", "channels"), [(8000, 1), (44100, 64), (192000, 2)])
def test_it_works_at_every_rate_and_width(sample_rate, channels):
    seconds = 2
    wav = white_noise(seconds, sample_rate=sample_rate, channels=channels)
    finding = analyse(wav, sample_rate=sample_rate)
    assert max(finding.details["bands_hz"]) <= min(20000, sample_rate / 2)
    top = min(8000, sample_rate / 2) - 1000
    assert finding.value == pytest.approx(10 * np.log10(top / 750), abs=1.0)


@pytest.mark.parametrize("cut", [997, 24000, 100000])
def test_it_does_not_depend_on_how_the_piece_is_cut(cut):
    wav = white_noise(3, channels=2)
    whole, parts = analyse(wav).details, analyse(wav, cut=cut).details
    assert parts["bands_db"] == pytest.approx(whole["bands_db"], abs=1e-4)
