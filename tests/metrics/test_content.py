import numpy as np
import pytest
from tests.signals import noise, pink_noise, silence, sine

from nitido.demo.render import render
from nitido.errors import AudioShapeError, AudioTooShortError
from nitido.metrics import content, fidelity
from nitido.metrics.catalogue import CATALOGUE

pytest.importorskip("librosa", reason="needs librosa: pip install 'nitido[metrics]'")
RATE = 48_000


@pytest.fixture(scope="module")
def music():
    return render(seconds=12.0)


def clicks(*times, seconds=6.0):
    """Short bursts of noise at these times."""
    wav = silence(seconds=seconds)
    burst = noise(seconds=0.02, rms=0.3, seed=2) * np.linspace(1, 0, 960, dtype=np.float32)
    for time in times:
        start = round(time * RATE)
        wav[:, start : start + 960] += burst[:, : wav.shape[1] - start]
    return wav


def test_the_same_music_at_another_gain_is_fully_kept(music):
    scores = content.evaluate(estimate=0.5 * music, reference=music, sample_rate=RATE)
    assert set(scores) == {measure.name for measure in CATALOGUE["content"]}
    assert scores["protected_si_sdr_db"] == 120
    assert scores["protected_level_change_db"] == pytest.approx(0, abs=1e-3)
    assert scores["chroma_cosine"] == pytest.approx(1, abs=1e-6)
    assert (scores["onset_f1"], scores["beat_f1"], scores["tempo_change_percent"]) == (1, 1, 0)


def test_another_key_is_another_harmony():
    one, fifth, semitone = (sine(hz, seconds=2.0) for hz in (440.0, 659.26, 466.16))

    def like(estimate, reference):
        return content.chroma_cosine(estimate=estimate, reference=reference, sample_rate=RATE)

    assert like(one, one) == pytest.approx(1)
    assert like(fifth, one) < 0.1
    assert like(semitone, one) < 0.5
    assert like(sine(880.0, seconds=2.0), one) > 0.95  # an octave is the same note


def test_onsets_within_50_ms_are_right_and_beyond_are_not():
    times = np.arange(0.5, 5.5, 0.5)
    reference = clicks(*times)
    for shift, f1 in ((0.0, 1.0), (0.03, 1.0), (0.1, 0.0)):
        found = content.onset_f1(
            estimate=clicks(*(times + shift)), reference=reference, sample_rate=RATE
        )
        assert found == f1


def test_every_second_onset_lost_is_an_f1_of_two_thirds():
    times = np.arange(0.5, 5.5, 0.5)
    found = content.onset_f1(
        estimate=clicks(*times[::2]), reference=clicks(*times), sample_rate=RATE
    )
    assert found == pytest.approx(2 / 3, abs=0.01)


def test_a_faster_piece_has_another_tempo():
    slow, fast = (clicks(*np.arange(0.25, 11.5, 60 / bpm), seconds=12.0) for bpm in (100, 120))
    pair = {"estimate": fast, "reference": slow, "sample_rate": RATE}
    assert content.tempo_change_percent(**pair) == pytest.approx(20, abs=4)
    assert content.beat_f1(**pair) < 0.7


def test_one_band_raised_by_3_db_is_a_change_of_3_db():
    music = pink_noise(seconds=4.0)
    spectrum = np.fft.rfft(music)
    hz = np.fft.rfftfreq(music.shape[1], 1 / RATE)
    spectrum[:, (hz > 1000) & (hz < 2000)] *= 10 ** (3 / 20)
    louder = np.fft.irfft(spectrum).astype(np.float32)
    change = content.protected_level_change_db(estimate=louder, reference=music, sample_rate=RATE)
    share = np.log(2000 / 1000) / np.log(7000 / 60)  # of the music, which is as loud in any octave
    overall_db = 10 * np.log10(1 + share * (10 ** (3 / 10) - 1))
    assert change == pytest.approx(3 - overall_db, abs=0.1)


def test_nothing_above_7_khz_counts_in_the_protected_band():
    music = pink_noise(seconds=2.0)
    spectrum = np.fft.rfft(music)
    spectrum[:, np.fft.rfftfreq(music.shape[1], 1 / RATE) > 11_000] = 0
    dull = np.fft.irfft(spectrum).astype(np.float32)
    pair = {"estimate": dull, "reference": music, "sample_rate": RATE}
    assert fidelity.protected_si_sdr_db(**pair) > 30
    assert content.protected_level_change_db(**pair) < 0.05


def test_more_noise_scores_worse_by_every_measure(music):
    scores = [
        content.evaluate(
            estimate=music + noise(seconds=12.0, rms=rms, channels=2), reference=music,
            sample_rate=RATE,
        )
        for rms in (0.0, 0.001, 0.01, 0.1, 1.0)
    ]  # fmt: skip
    for measure in CATALOGUE["content"][:4]:
        values = [found[measure.name] for found in scores]
        assert values == sorted(values, reverse=measure.better == "higher"), measure.name
    # Tempo and beats hold out until the music drowns: then all of a sudden they are gone.
    assert scores[2]["beat_f1"] > 0.9
    assert scores[2]["tempo_change_percent"] < 1
    assert scores[4]["beat_f1"] < 0.7


@pytest.mark.parametrize(
    ("estimated", "wanted", "f1"),
    [
        ([], [], 0),
        ([1.0], [], 0),
        ([1.0], [1.0], 1),
        ([1.0, 1.01], [1.0], 2 / 3),  # each is matched at most once
        ([0.96, 1.04], [1.0, 1.08], 1),
    ],
)
def test_times_are_matched_one_to_one(estimated, wanted, f1):
    assert content.f_measure(estimated, wanted, tolerance=0.05) == pytest.approx(f1)


def test_silence_has_no_music_to_keep():
    scores = content.evaluate(estimate=silence(), reference=silence(), sample_rate=RATE)
    assert {name for name, value in scores.items() if value is not None} == {"protected_si_sdr_db"}
    lost = content.evaluate(estimate=silence(), reference=pink_noise(), sample_rate=RATE)
    assert (lost["chroma_cosine"], lost["protected_si_sdr_db"]) == (0, -60)


def test_a_piece_too_short_for_rhythm_is_refused():
    with pytest.raises(AudioTooShortError):
        content.evaluate(
            estimate=noise(seconds=0.4), reference=noise(seconds=0.4), sample_rate=RATE
        )
    with pytest.raises(AudioShapeError):
        content.evaluate(estimate=noise(channels=2), reference=noise(), sample_rate=RATE)


def test_half_a_second_is_enough():
    wav = pink_noise(seconds=0.5)
    scores = content.evaluate(estimate=wav, reference=wav, sample_rate=RATE)
    assert scores["chroma_cosine"] == pytest.approx(1)


def test_a_pad_without_attacks_is_not_accused_of_having_lost_them() -> None:
    rng = np.random.default_rng(3)
    time = np.arange(6 * 48_000) / 48_000
    pad = sum(
        np.sin(2 * np.pi * hz * time) * (1 + 0.5 * np.sin(2 * np.pi * (0.1 + 0.03 * n) * time))
        for n, hz in enumerate((110.0, 164.8, 220.0, 277.2))
    )[None].astype(np.float32)
    hiss = 0.02 * rng.standard_normal((2, *pad.shape)).astype(np.float32)
    found = content.onset_f1(estimate=pad + hiss[0], reference=pad + hiss[1], sample_rate=48_000)
    assert found is None or found >= 0.95
