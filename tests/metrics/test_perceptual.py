import importlib.util
import sys
import types

import numpy as np
import pytest
from tests.signals import noise, pink_noise, silence

from nitido import optional
from nitido.demo.render import render
from nitido.errors import AudioShapeError, AudioTooShortError, MissingExtraError
from nitido.metrics import perceptual
from nitido.metrics.catalogue import CATALOGUE
from nitido.spectral import lower_ceiling

RATE = 48_000
needs_visqol = pytest.mark.skipif(
    importlib.util.find_spec("visqol") is None,
    reason="needs visqol-python: pip install 'nitido[metrics]'",
)


@pytest.fixture(scope="module")
def music():
    return render(seconds=4.0)


def rows(count, *, mean=0.0, spread=1.0, seed=0, size=8):
    return mean + spread * np.random.default_rng(seed).standard_normal((count, size))


def levels(wav, sample_rate):
    """An embedding simple enough to check by hand: level of 16 bands in each tenth of a second."""
    tiles = wav.mean(axis=0)[: wav.shape[1] // 4800 * 4800].reshape(-1, 4800)
    power = np.abs(np.fft.rfft(tiles)) ** 2
    return np.log(power[:, 1:2401].reshape(len(tiles), 16, 150).mean(axis=2) + 1e-9)


@needs_visqol
def test_the_same_sound_is_rated_best(music):
    best = perceptual.visqol(estimate=music, reference=music, sample_rate=RATE)
    assert best == pytest.approx(4.73, abs=0.01)


@needs_visqol
def test_visqol_hears_more_noise_and_less_treble(music):
    noisy = [music + noise(seconds=4.0, rms=rms, channels=2) for rms in (0.0, 0.003, 0.01, 0.03)]
    dull = [lower_ceiling(music, sample_rate=RATE, ceiling_hz=hz) for hz in (14e3, 8e3, 3e3)]
    for series in (noisy, dull):
        scores = [
            perceptual.visqol(estimate=wav, reference=music, sample_rate=RATE) for wav in series
        ]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] - scores[-1] > 1


@needs_visqol
def test_other_rates_are_brought_to_48_khz():
    music = pink_noise(seconds=2.0, sample_rate=32_000)
    scores = perceptual.evaluate(estimate=music, reference=music, sample_rate=32_000)
    assert scores["visqol_mos"] == pytest.approx(4.73, abs=0.01)


@needs_visqol
def test_silence_is_the_worst_and_cannot_be_a_reference(music):
    silent = np.zeros_like(music)
    worst = perceptual.visqol(estimate=silent, reference=music, sample_rate=RATE)
    assert worst == pytest.approx(1, abs=0.1)
    assert perceptual.visqol(estimate=music, reference=silent, sample_rate=RATE) is None


def test_less_than_a_second_and_unequal_shapes_are_refused(music):
    short = music[:, :40_000]
    with pytest.raises(AudioTooShortError):
        perceptual.visqol(estimate=short, reference=short, sample_rate=RATE)
    with pytest.raises(AudioShapeError):
        perceptual.visqol(estimate=short, reference=music, sample_rate=RATE)


def test_a_shift_of_a_set_is_its_frechet_distance_and_sets_alike_have_none():
    one = rows(2000)
    assert perceptual.frechet_distance(estimate=one, reference=one) == pytest.approx(0, abs=1e-9)
    shifted = perceptual.frechet_distance(estimate=one + 0.5, reference=one)
    assert shifted == pytest.approx(8 * 0.5**2)
    wider = perceptual.frechet_distance(estimate=3 * one, reference=one)
    expected = 4 * np.trace(np.cov(one, rowvar=False)) + 4 * np.sum(one.mean(axis=0) ** 2)
    assert wider == pytest.approx(expected)  # (3σ − σ)² in every direction


def test_the_frechet_distance_is_that_by_the_matrix_root():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(1)
    one, other = (rows(300, seed=i) @ rng.standard_normal((8, 8)) for i in (2, 3))
    first, second = (np.cov(part, rowvar=False) for part in (one, other))
    shift = one.mean(axis=0) - other.mean(axis=0)
    direct = shift @ shift + np.trace(first + second - 2 * np.real(sqrtm(first @ second)))
    found = perceptual.frechet_distance(estimate=one, reference=other)
    assert found == pytest.approx(direct, rel=1e-6)


def test_the_kernel_distance_is_around_zero_for_sets_alike_and_needs_few_rows():
    values = [
        perceptual.kernel_distance(estimate=rows(40, seed=i), reference=rows(40, seed=i + 100))
        for i in range(40)
    ]
    assert min(values) < 0 < max(values)
    assert np.mean(values) == pytest.approx(0, abs=0.2)


def test_the_kernel_distance_of_four_numbers_is_that_by_hand():
    one, other = np.array([[0.0], [1.0]]), np.array([[2.0], [4.0]])
    k = {d: np.exp(-(d**2) / (2 * 2.0**2)) for d in (1, 2, 3, 4)}
    expected = 100 * (k[1] + k[2] - 2 * (k[2] + k[4] + k[1] + k[3]) / 4)
    assert perceptual.kernel_distance(estimate=one, reference=other) == pytest.approx(expected)


@pytest.mark.parametrize("distance", [perceptual.frechet_distance, perceptual.kernel_distance])
def test_sets_further_apart_score_worse(distance):
    reference = rows(200, seed=1)
    values = [
        distance(estimate=rows(200, mean=mean, seed=2), reference=reference)
        for mean in (0.0, 0.3, 1.0, 3.0)
    ]
    assert values == sorted(values)


def test_any_callable_can_be_the_embedding(music):
    dull = lower_ceiling(music, sample_rate=RATE, ceiling_hz=6000.0)
    near, far = (
        perceptual.embedding_distances(
            estimates=[wav[:, :96_000], wav[:, 96_000:]], references=[music], sample_rate=RATE,
            embed=levels,
        )
        for wav in (music, dull)
    )  # fmt: skip
    for name in ("fad", "kad"):
        assert far[name] > near[name] + 1


@needs_visqol
def test_a_pair_is_measured_with_an_embedding_too(music):
    scores = perceptual.evaluate(estimate=music, reference=music, sample_rate=RATE, embed=levels)
    assert scores["fad"] == pytest.approx(0, abs=1e-6)
    assert set(scores) <= {measure.name for measure in CATALOGUE["perceptual"]}


def test_sets_that_cannot_be_compared_are_refused():
    with pytest.raises(AudioTooShortError):
        perceptual.frechet_distance(estimate=rows(1), reference=rows(10))
    with pytest.raises(AudioShapeError):
        perceptual.kernel_distance(estimate=rows(5, size=3), reference=rows(5, size=4))


def test_a_missing_library_is_named_with_the_command_that_adds_it(monkeypatch, music):
    monkeypatch.setattr(optional, "available", lambda module: False)
    perceptual._visqol.cache_clear()
    with pytest.raises(MissingExtraError, match=r"visqol.*pip install 'nitido\[metrics\]'"):
        perceptual.visqol(estimate=music, reference=music, sample_rate=RATE)
    with pytest.raises(MissingExtraError, match="pip install audiobox_aesthetics"):
        perceptual.aesthetics(estimate=music, sample_rate=RATE)


class Predictor:
    """Stands for Audiobox Aesthetics: the louder, the better."""

    def forward(self, items):
        return [dict.fromkeys(("CE", "CU", "PC", "PQ"), float(abs(i["path"]).max())) for i in items]


def test_audiobox_aesthetics_is_asked_where_it_is_installed(monkeypatch):
    audiobox, infer = (types.ModuleType(f"audiobox_aesthetics{part}") for part in ("", ".infer"))
    infer.initialize_predictor = Predictor
    torch = types.ModuleType("torch")
    torch.from_numpy = lambda array: array
    for module in (audiobox, infer, torch):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(optional, "available", lambda module: True)
    perceptual._audiobox.cache_clear()
    scores = perceptual.aesthetics(estimate=silence() + np.float32(0.5), sample_rate=RATE)
    perceptual._audiobox.cache_clear()
    assert scores == dict.fromkeys(perceptual.AESTHETICS.values(), 0.5)
