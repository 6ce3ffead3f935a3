import numpy as np
import pytest
from tests.signals import noise, pink_noise, silence, sine

from nitido.diagnosis.analysis import Analysis
from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.diagnosis.phase import PhaseAnalyser
from nitido.dsp.wav import Wav

RATE = 48_000


def phase(wav: Wav, *, sample_rate: int = RATE, size: int = 10**9) -> Finding:
    analyser = PhaseAnalyser(sample_rate=sample_rate, channels=wav.shape[0])
    for start in range(0, wav.shape[1], size):
        analyser.update(wav[:, start : start + size])
    return analyser.finish()


def diagnosis(wav: Wav) -> Diagnosis:
    analysis = Analysis(sample_rate=RATE, channels=2)
    for _ in analysis.listen([wav]):
        pass
    return analysis.finish()


def narrow(*, sample_rate: int = RATE) -> Wav:
    """Return pink noise in the middle, with a side 20 dB under it."""
    piece = {"seconds": 6.0, "sample_rate": sample_rate}
    middle, side = pink_noise(**piece), 0.1 * pink_noise(**piece, seed=1)
    return np.concatenate([middle + side, middle - side])


def turned(wav: Wav, low_hz: float, high_hz: float, degrees: float, sample_rate: int = RATE) -> Wav:
    """Return stereo with the right channel turned in a band."""
    spectrum = np.fft.rfft(wav[1])
    hz = np.fft.rfftfreq(wav.shape[1], 1 / sample_rate)
    spectrum[(hz >= low_hz) & (hz < high_hz)] *= np.exp(1j * np.deg2rad(degrees))
    return np.stack([wav[0], np.fft.irfft(spectrum, wav.shape[1])]).astype(np.float32)


@pytest.mark.parametrize("sample_rate", [32_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("degrees", [120.0, -120.0, 170.0])
def test_a_band_that_is_turned_is_found_with_its_edges_and_its_angle(
    degrees: float, sample_rate: int
) -> None:
    wav = turned(narrow(sample_rate=sample_rate), 400, 2500, degrees, sample_rate)
    finding = phase(wav, sample_rate=sample_rate)
    hz, turns = (np.array(finding.details[key]) for key in ("turn_hz", "turn_degrees"))
    assert finding.found
    assert 350 < hz[0] < hz[1] < 450
    assert 2200 < hz[-2] < hz[-1] < 2900
    assert np.median(turns) == pytest.approx(-degrees, abs=5)
    assert turns[0] == turns[-1] == 0.0


def test_wide_lows_are_found_and_told_in_db() -> None:
    lows = pink_noise(seconds=6.0, seed=2)
    spectrum = np.fft.rfft(lows)
    spectrum[:, 6 * 120 :] = 0
    side = 3 * np.fft.irfft(spectrum, lows.shape[1]).astype(np.float32)
    finding = phase(narrow() + np.concatenate([side, -side]))
    assert finding.found
    assert finding.details["side_over_middle_db"] == pytest.approx(9.5, abs=1.0)
    assert finding.details["side_db"][:2] == [-60.0, -60.0]
    assert not any(finding.details["side_db"][2:])
    assert "Wide lows: the side is" in finding.summary


def test_music_in_the_middle_wide_music_silence_and_other_layouts_have_no_fault() -> None:
    wide = pink_noise(seconds=4.0, channels=2)
    for wav in (narrow(), wide, silence(channels=2), noise(channels=1), noise(channels=6)):
        assert phase(wav).severity == "ok"


def test_one_sound_in_opposite_phase_in_a_mix_that_is_right_is_how_it_was_mixed() -> None:
    pad = pink_noise(seconds=6.0, seed=3)
    assert phase(narrow() + 0.7 * np.concatenate([pad, -pad])).severity == "ok"


def test_single_tones_each_at_an_angle_of_its_own_are_two_microphones() -> None:
    wav = 0.001 * narrow()
    for hz, degrees in ((523, 170), (880, -20), (1397, 120), (2794, -150), (4186, 60)):
        tone = {"seconds": 6.0, "amplitude": 0.1}
        wav += np.concatenate([sine(hz, **tone), sine(hz, **tone, phase=np.deg2rad(degrees))])
    assert phase(wav).severity == "ok"


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.3])
def test_a_piece_of_any_length_is_judged(seconds: float) -> None:
    assert phase(noise(seconds=seconds, channels=2)).severity == "ok"


def test_a_side_that_is_upside_down_as_a_whole_has_one_name() -> None:
    whole = narrow() * np.array([[1], [-1]], np.float32)
    found = diagnosis(whole)
    assert (found["width"].found, found["phase"].found) == (True, False)
    found = diagnosis(turned(narrow(), 20, 600, 180.0))
    assert (found["width"].found, found["phase"].found) == (False, True)


def test_lows_that_outweigh_all_else_on_the_side_turn_no_side_upside_down() -> None:
    spectrum = np.fft.rfft(pink_noise(seconds=6.0, seed=2))
    spectrum[:, 6 * 120 :] = 0
    side = 9 * np.fft.irfft(spectrum, 6 * RATE).astype(np.float32)
    found = diagnosis(narrow() + np.concatenate([side, -side]))
    assert found["width"].details["polarity_inverted"]
    assert found["phase"].found
    assert "upside down" not in found["width"].summary


def test_the_fold_is_told_per_band_and_does_not_depend_on_the_blocks() -> None:
    low = sine(60, seconds=3.0, amplitude=0.1)
    wav = noise(seconds=3.0, channels=2, rms=0.03) + np.concatenate([low, -low])
    rows = phase(wav).details["bands"]
    folds = {row["low_hz"]: row["fold_db"] for row in rows}
    assert folds[20.0] < -20
    assert folds[2000.0] == pytest.approx(-3.0, abs=0.3)
    for one, other in zip(rows, phase(wav, size=777).details["bands"], strict=True):
        assert one == pytest.approx(other, abs=1e-3)


CLEAN = ["timbeek_pink-blue.ogg", "sonicpi_loop-weirdo.flac", "timbeek_the-protagonist.ogg"]


@pytest.mark.parametrize("name", CLEAN)
def test_good_recordings_work_together(shared_audio, name) -> None:
    import soundfile as sf

    wav, sample_rate = sf.read(
        shared_audio / "clean" / "train" / name, dtype="float32", always_2d=True, frames=10 * RATE
    )
    assert phase(np.ascontiguousarray(wav.T), sample_rate=sample_rate).severity == "ok"
