import numpy as np
import pytest
import scipy.signal
import soundfile

from nitido.diagnosis.edges import EndAnalyser, StartAnalyser


def analyse(analyser, wav, *, sample_rate=48000, cut=10**9):
    listener = analyser(sample_rate=sample_rate, channels=wav.shape[0])
    for start in range(0, wav.shape[1], cut):
        listener.update(wav[:, start : start + cut])
    return listener.finish()


def chord(seconds=3.0, *, sample_rate=48000, channels=1):
    """A steady chord that begins at a zero crossing and stops dead."""
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    wav = sum(0.1 * np.sin(2 * np.pi * hz * t) for hz in (220, 277, 330, 1760))
    return np.tile(wav.astype(np.float32), (channels, 1))


def silence(seconds, *, channels=1):
    return np.zeros((channels, round(seconds * 48000)), np.float32)


def fade(wav, seconds):
    count = round(seconds * 48000)
    wav = wav.copy()
    wav[:, -count:] *= (0.5 + 0.5 * np.cos(np.pi * np.arange(count) / count)).astype(np.float32)
    return wav


def test_music_that_stops_dead_ends_in_a_cut():
    finding = analyse(EndAnalyser, chord())
    assert finding.details["cut"] is True
    assert finding.severity == "moderate"
    assert finding.value == pytest.approx(10 * np.log10(4 * 0.1**2 / 2), abs=2)
    assert finding.where[0][1] == pytest.approx(3)


@pytest.mark.parametrize("seconds", [0.036, 0.2, 1.5])
def test_a_faded_end_is_not_a_cut(seconds):
    finding = analyse(EndAnalyser, fade(chord(), seconds))
    assert finding.details["cut"] is False
    assert not finding.found


def test_notes_that_ring_out_are_not_cut():
    t = np.arange(3 * 48000) / 48000
    ringing = chord() * np.exp(-2.5 * t).astype(np.float32)
    assert analyse(EndAnalyser, ringing).details["cut"] is False


def test_a_cut_far_below_the_music_does_not_matter():
    wav = np.concatenate([chord(), 0.03 * chord(0.5)], axis=1, dtype=np.float32)
    assert analyse(EndAnalyser, wav).details["cut"] is False


@pytest.mark.parametrize("gain_db", [-40, -20, 12])
def test_a_gain_changes_neither_how_a_piece_begins_nor_how_it_ends(gain_db):
    gain = np.float32(10 ** (gain_db / 20))
    quieter = np.concatenate([chord(), 0.1 * chord(0.5)], axis=1, dtype=np.float32)
    for wav in (chord()[:, 30:], fade(chord(), 0.2), quieter):
        for analyser, fault in ((StartAnalyser, "click"), (EndAnalyser, "cut")):
            before, after = (analyse(analyser, w) for w in (wav, wav * gain))
            assert after.details[fault] == before.details[fault]


def test_a_cut_that_a_decoder_smeared_is_still_a_cut():
    assert analyse(EndAnalyser, fade(chord(), 0.008)).details["cut"] is True


def test_silence_at_the_end_is_measured():
    finding = analyse(EndAnalyser, np.concatenate([chord(), silence(2.5)], axis=1))
    assert finding.details["silence_seconds"] == pytest.approx(2.5, abs=0.001)
    assert finding.details["cut"] is False
    assert finding.severity == "slight"


def test_silence_at_the_start_is_measured():
    finding = analyse(StartAnalyser, np.concatenate([silence(2.5), chord()], axis=1))
    assert finding.details["silence_seconds"] == pytest.approx(2.5, abs=0.001)
    assert finding.severity == "slight"


def test_noise_60_db_under_the_music_counts_as_silence():
    rng = np.random.default_rng(0)
    hiss = (3e-5 * rng.standard_normal((1, 48000))).astype(np.float32)
    wav = np.concatenate([hiss, chord(), hiss], axis=1)
    assert analyse(StartAnalyser, wav).details["silence_seconds"] == pytest.approx(1, abs=0.001)
    assert analyse(EndAnalyser, wav).details["silence_seconds"] == pytest.approx(1, abs=0.001)


def test_a_start_in_the_middle_of_a_wave_is_a_click():
    wav = chord()[:, 30:]
    assert abs(wav[0, 0]) > 0.1
    finding = analyse(StartAnalyser, wav)
    assert finding.details["click"] is True
    assert finding.severity == "slight"


def test_a_start_from_zero_is_not_a_click():
    assert not analyse(StartAnalyser, chord()).found


@pytest.mark.parametrize("begin", [0, 30])
def test_another_sample_rate_changes_neither_how_a_piece_begins_nor_how_it_ends(begin):
    rng = np.random.default_rng(1)
    wav = chord(sample_rate=16000)[:, begin // 3 :]
    noisy = wav + (0.1 * rng.standard_normal(wav.shape)).astype(np.float32)
    for piece, click in ((wav, begin > 0), (noisy, False)):
        for up, down, rate in ((1, 1, 16000), (3, 1, 48000), (441, 160, 44100)):
            moved = scipy.signal.resample_poly(piece, up, down, axis=1).astype(np.float32)
            assert analyse(StartAnalyser, moved, sample_rate=rate).details["click"] is click
            assert analyse(EndAnalyser, moved, sample_rate=rate).details["cut"] is True


def test_a_hi_hat_on_the_first_sample_is_not_a_click():
    rng = np.random.default_rng(0)
    hat = 0.3 * rng.standard_normal(24000) * np.exp(-np.arange(24000) / 2000)
    assert not analyse(StartAnalyser, hat.astype(np.float32)[None]).found


@pytest.mark.parametrize("analyser", [StartAnalyser, EndAnalyser])
def test_an_empty_piece_has_no_edges(analyser):
    finding = analyse(analyser, silence(0))
    assert finding.value is None
    assert not finding.found


@pytest.mark.parametrize("analyser", [StartAnalyser, EndAnalyser])
@pytest.mark.parametrize("samples", [1, 50, 48000])
def test_pure_silence_has_neither_click_nor_cut(analyser, samples):
    finding = analyse(analyser, np.zeros((2, samples), np.float32))
    assert finding.value == -120
    assert finding.details["silence_seconds"] == pytest.approx(samples / 48000)
    assert not finding.found


@pytest.mark.parametrize("samples", [1, 2, 100])
def test_a_moment_is_too_short_to_be_cut(samples):
    assert analyse(EndAnalyser, np.full((1, samples), 0.5, np.float32)).details["cut"] is False


@pytest.mark.parametrize(("sample_rate", "channels"), [(8000, 1), (44100, 64), (192000, 2)])
def test_it_works_at_every_rate_and_width(sample_rate, channels):
    wav = chord(1, sample_rate=sample_rate, channels=channels)
    assert analyse(EndAnalyser, wav, sample_rate=sample_rate).details["cut"] is True
    assert not analyse(StartAnalyser, wav, sample_rate=sample_rate).found


@pytest.mark.parametrize("analyser", [StartAnalyser, EndAnalyser])
@pytest.mark.parametrize("cut", [101, 4800, 50000])
def test_it_does_not_depend_on_how_the_piece_is_cut(analyser, cut):
    rising = chord(channels=2) * np.linspace(0.001, 1, 3 * 48000, dtype=np.float32)
    wav = np.concatenate([silence(0.3, channels=2), rising, silence(0.7, channels=2)], axis=1)
    assert analyse(analyser, wav, cut=cut) == analyse(analyser, wav)


def test_most_real_musicgen_clips_end_in_a_cut(shared_audio):
    cut = 0
    for name in ("cinematic-epic", "lofi-calm", "piano-melancholic", "rock-90s"):
        wav, sample_rate = soundfile.read(
            shared_audio / "musicgen" / f"azira18_{name}.wav", dtype="float32", always_2d=True
        )
        cut += analyse(EndAnalyser, wav.T, sample_rate=sample_rate).details["cut"]
    assert cut >= 3
