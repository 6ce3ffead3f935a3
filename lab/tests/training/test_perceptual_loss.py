"""What the ear makes of an error: shapes and silences count, a decibel more or less does not."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nitido.restoration.treble.levels import BAND_HZ, BANDS, ENVELOPES, PER_ENVELOPE  # noqa: E402
from nitido_lab.training.perceptual_loss import dissimilarity, filters, heard_power  # noqa: E402

CROSSOVER = 80  # 7.5 kHz
FRAMES = 120


def music(*, treble_db: float = -18.0) -> np.ndarray:
    """Levels `[N, 256]` that fall towards the top and pulse, twice a second."""
    hz = (np.arange(BANDS) + 0.5) * BAND_HZ
    falling = np.interp(hz, [0, 2_000, 8_000, 24_000], [12, 0, treble_db, treble_db - 20])
    pulse = -14.0 * (np.arange(FRAMES) % 47) / 47
    return (falling + pulse[:, None]).astype(np.float32)


def unlike(levels: np.ndarray, said: np.ndarray) -> float:
    """How unlike `levels` it sounds with the levels `said` `[N, 64]` above the crossover."""
    share = np.zeros((1, ENVELOPES, FRAMES), np.float32)
    share[:, CROSSOVER // PER_ENVELOPE :] = 1
    below, whole = heard_power(levels, below=CROSSOVER), heard_power(levels)
    arrays = (said.T[None], share, below.T[None], whole.T[None])
    return float(dissimilarity(*(torch.tensor(array, dtype=torch.float32) for array in arrays)))


def wide(levels: np.ndarray) -> np.ndarray:
    return levels.reshape(FRAMES, ENVELOPES, PER_ENVELOPE).mean(axis=2)


def test_the_music_itself_sounds_like_it() -> None:
    assert unlike(music(), wide(music())) < 0.01


def test_a_small_steady_error_hardly_counts_a_lost_attack_does() -> None:
    levels = music()
    steady = np.broadcast_to(wide(levels).mean(axis=0), (FRAMES, ENVELOPES)).copy()
    assert unlike(levels, wide(levels) + 2) < 0.25 * unlike(levels, steady)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_larger_error_counts_for_more(sign: int) -> None:
    levels, wrong = music(), sign * np.array([0, 4, 9, 15])
    unlikes = [unlike(levels, wide(levels) + error) for error in wrong]
    assert unlikes == sorted(unlikes)


def test_hiss_where_the_treble_was_silent_counts() -> None:
    silent = music(treble_db=-70.0)
    assert unlike(silent, wide(silent)) < 0.01
    assert unlike(silent, np.full((FRAMES, ENVELOPES), -20.0, np.float32)) > 0.1


def test_what_is_too_faint_to_be_heard_does_not_count() -> None:
    silent = music(treble_db=-90.0)
    assert unlike(silent, np.full((FRAMES, ENVELOPES), -85.0, np.float32)) < 0.01


def test_a_loud_bass_hides_no_error_of_the_treble() -> None:
    quiet, loud = music(), music()
    loud[:, :10] += 15.0
    dull = wide(music()) - 20
    assert unlike(loud, dull) == pytest.approx(unlike(quiet, dull), abs=0.05)


def test_bands_lie_where_the_ear_has_them() -> None:
    centres = (filters().argmax(axis=1) + 0.5) * BAND_HZ
    assert np.all(np.diff(centres) >= 0)
    assert centres[-1] == pytest.approx(20_845, rel=0.02)
    assert filters().max() == pytest.approx(1.0, abs=0.01)
