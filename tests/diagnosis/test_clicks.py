import numpy as np
import pytest
import soxr
from tests.signals import cut, noise, pink_noise, silence, sine

from nitido.diagnosis.analysis import Analysis
from nitido.diagnosis.clicks import ClicksAnalyser, find_clicks
from nitido.diagnosis.edges import StartAnalyser
from nitido.diagnosis.finding import Finding
from nitido.dsp.loop import Loop
from nitido.dsp.wav import Wav

RATE = 48_000


def clicks(
    wav: Wav, *, sample_rate: int = RATE, size: int | None = None, loop: Loop | None = None
) -> Finding:
    analyser = ClicksAnalyser(sample_rate=sample_rate, channels=wav.shape[0], loop=loop)
    for block in cut(wav, size or wav.shape[1] or 1):
        analyser.update(block)
    return analyser.finish()


def music(*, sample_rate: int = RATE, seconds: float = 3.0, channels: int = 1) -> Wav:
    piece = {"seconds": seconds, "sample_rate": sample_rate, "channels": channels}
    return 0.1 * pink_noise(**piece) + sine(220, **piece, amplitude=0.1)


def spiked(wav: Wav, *places: float, sample_rate: int = RATE, samples: int = 3) -> Wav:
    """Return a waveform with spikes of 0.3 at these places, s, in the first channel."""
    out = wav.copy()
    for place in places:
        start = round(place * sample_rate)
        out[0, start : start + samples] += np.float32(0.3)
    return out


@pytest.mark.parametrize("sample_rate", [16_000, 32_000, 44_100, 48_000, 96_000])
def test_each_spike_is_counted_and_placed_at_any_sample_rate(sample_rate: int) -> None:
    places = (0.5, 1.234, 2.1)
    wav = spiked(music(sample_rate=sample_rate), *places, sample_rate=sample_rate)
    finding = clicks(wav, sample_rate=sample_rate)
    assert (finding.value, finding.severity) == (3.0, "severe")
    assert [start for start, _ in finding.where] == pytest.approx(places, abs=1e-3)
    assert all(end - start <= 0.0004 for start, end in finding.where)


@pytest.mark.parametrize("samples", [1, 5, 14])
@pytest.mark.parametrize("fault", ["zero", "held"])
def test_a_glitch_of_a_few_samples_is_a_click(fault: str, samples: int) -> None:
    wav = sine(1500, seconds=2, amplitude=0.3) + 0.01 * noise(seconds=2)
    start = RATE + 8  # the crest of the sine
    wav[0, start : start + samples] = {"zero": 0.0, "held": wav[0, start - 20]}[fault]
    assert clicks(wav).value == 1.0


@pytest.mark.parametrize("quality", ["HQ", "QQ"])
@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(44_100, 48_000), (48_000, 32_000), (32_000, 48_000), (48_000, 96_000)]
)
@pytest.mark.parametrize("level", [1.0, 0.1])
def test_clicks_are_found_after_resampling(
    from_hz: int, to_hz: int, quality: str, level: float
) -> None:
    places = (0.5, 1.234, 2.1)
    clean = level * music(sample_rate=from_hz)
    clicked = level * spiked(music(sample_rate=from_hz), *places, sample_rate=from_hz)
    clean, clicked = (
        soxr.resample(wav[0], from_hz, to_hz, quality=quality)[None] for wav in (clean, clicked)
    )
    found = clicks(clicked, sample_rate=to_hz)
    assert [start for start, _ in found.where] == pytest.approx(places, abs=1e-3)
    assert clicks(clean, sample_rate=to_hz).value == 0.0


def test_one_click_in_both_channels_is_one() -> None:
    wav = music(channels=2)
    wav[:, 70_000:70_004] += np.float32(0.3)
    assert clicks(wav).value == 1.0


def test_a_click_in_silence_is_one() -> None:
    assert clicks(spiked(silence(seconds=1), 0.5)).value == 1.0


def test_the_music_has_none_nor_has_silence_nor_a_piece_too_short_to_tell() -> None:
    for wav in (music(), silence(), noise(seconds=2), noise(seconds=0.01), silence(seconds=0)):
        assert clicks(wav).severity == "ok"


def drum(seconds: float, decay: float) -> Wav:
    """Return noise bursts that begin at once and die away."""
    time = np.arange(round(seconds * RATE)) / RATE % 0.25
    return (noise(seconds=seconds) * np.exp(-time / decay)).astype(np.float32)


@pytest.mark.parametrize("decay", [0.002, 0.01, 0.05])
def test_the_attack_of_a_drum_is_no_click(decay: float) -> None:
    assert clicks(drum(3.0, decay) + 0.02 * music(seconds=3.0)).value == 0.0


@pytest.mark.parametrize("hz", [41.0, 110.0, 440.0, 1760.0])
@pytest.mark.parametrize("duty", [0.125, 0.5])
def test_the_jumps_of_a_pulse_wave_are_no_clicks(hz: float, duty: float) -> None:
    wave = np.where(np.arange(3 * RATE) * hz / RATE % 1 < duty, 0.2, -0.2).astype(np.float32)
    assert clicks(wave[None]).value == 0.0
    assert clicks(wave[None] + 0.1 * music()).value == 0.0


def test_a_click_right_where_a_sound_begins_is_one_and_the_beginning_is_none() -> None:
    wav = music()
    wav[:, : RATE + 300] *= np.float32(0.1)
    assert clicks(wav).value == 0.0
    assert clicks(spiked(wav, 1.0)).value == 1.0


@pytest.mark.parametrize("depth", [0.0, 4.0])
@pytest.mark.parametrize("bed", [0.0, 0.0005])
def test_notes_that_begin_and_end_in_mid_wave_are_no_clicks(depth: float, bed: float) -> None:
    time = np.arange(3 * RATE) / RATE
    since, hz = time % 0.25, 110 * 2 ** (time // 0.25 % 12 / 12)
    bent = depth * np.exp(-20 * since) * np.sin(2 * np.pi * 3.5 * hz * since)
    wave = np.arccos(np.cos(2 * np.pi * hz * since + bent)) / np.pi * 2 - 1  # triangles
    notes = 0.4 * wave * (since < 0.2) + bed * noise(seconds=3.0)
    assert clicks(notes.astype(np.float32)).value == 0.0


@pytest.mark.parametrize("height", [0.2, 0.9])
@pytest.mark.parametrize("decay", [0.0003, 0.0004])
@pytest.mark.parametrize("level", [1.0, 0.1])
def test_rim_shots_over_a_pad_are_no_clicks(height: float, decay: float, level: float) -> None:
    time = np.arange(RATE // 20) / RATE
    shot = height * np.sin(2 * np.pi * 2500 * time) * np.exp(-time / decay)
    pad = sum(sine(hz, seconds=4.0, amplitude=0.03) for hz in (110.0, 164.8, 277.2, 330.0))
    for start in range(RATE // 2, 3 * RATE, RATE // 2):
        pad[:, start : start + shot.size] += shot.astype(np.float32)
    assert clicks(np.float32(level) * pad).value == 0.0


@pytest.mark.parametrize("offset", [0.4, -0.6])
def test_an_offset_does_not_hide_a_click(offset: float) -> None:
    wav = spiked(music(), 0.5, 1.234, 2.1)
    (one, *_), _ = find_clicks(wav[0], first=0, sample_rate=RATE)
    moved = wav + np.float32(offset)
    (other, *_), _ = find_clicks(moved[0], first=0, sample_rate=RATE)
    assert clicks(moved).value == clicks(wav).value == 3.0
    assert other.rebuilt == pytest.approx(one.rebuilt + offset, abs=0.01)


@pytest.mark.parametrize("place", [200, 3 * RATE - 200])
def test_a_click_at_the_seam_of_a_loop_is_one(place: int) -> None:
    wav = sine(220, seconds=3.0, amplitude=0.1) + 0.05 * np.tile(pink_noise(seconds=1.0), 3)
    wav[:, place] += np.float32(0.3)
    assert clicks(wav).value == 0.0
    found = clicks(wav, loop=Loop(0, 3 * RATE), size=7_001)
    assert [start for start, _ in found.where] == [place / RATE]
    assert found == clicks(wav, loop=Loop(0, 3 * RATE))


def test_music_that_is_made_of_clicks_and_more_is_left_alone() -> None:
    wav = spiked(music(), 0.5, 1.0)
    burst = noise(seconds=0.0008, rms=0.2)
    for place in (0.3, 0.7, 1.3, 1.7, 2.2, 2.6):  # nearly clicks, but longer
        start = round(place * RATE)
        wav[:, start : start + burst.shape[1]] += burst
    finding = clicks(wav)
    assert finding.severity == "ok"
    assert finding.details["alike"] >= 4


def test_a_click_at_the_very_start_is_the_business_of_the_start() -> None:
    wav = music()
    wav[0, :10] += np.float32(0.5)
    start = StartAnalyser(sample_rate=RATE, channels=1)
    start.update(wav)
    assert start.finish().details["click"]
    assert clicks(wav).value == 0.0


def test_a_dropout_and_a_click_have_different_names() -> None:
    wav = music(seconds=4.0)
    wav[0, 2 * RATE : 2 * RATE + 480] = 0  # 10 ms
    analysis = Analysis(sample_rate=RATE, channels=1)
    for _ in analysis.listen([wav]):
        pass
    found = analysis.finish()
    assert (found["gaps"].value, found["clicks"].value) == (1.0, 0.0)


def test_blocks_of_any_size_give_the_same_finding() -> None:
    wav = spiked(music(channels=2), 0.4, 0.99999, 1.00001 + 0.3, 2.5)
    assert clicks(wav, size=7_001) == clicks(wav, size=100_000) == clicks(wav)


CLEAN = [
    "train/librosa_vibe-ace.ogg",  # one jump, where it was cut
    "train/opensurge_options.ogg",
    "train/sonicpi_arovane-beat-e.flac",
    "train/sonicpi_loop-safari.flac",
    "train/sms_vibraphone-c6.wav",
    "train/lofi_florist.mp3",
]


@pytest.mark.parametrize("name", CLEAN)
def test_good_recordings_do_not_click(shared_audio, name) -> None:
    import soundfile as sf

    wav, sample_rate = sf.read(
        shared_audio / "clean" / name, dtype="float32", always_2d=True, frames=30 * RATE
    )
    assert clicks(np.ascontiguousarray(wav.T), sample_rate=sample_rate).severity == "ok"
