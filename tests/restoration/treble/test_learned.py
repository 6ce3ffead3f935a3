"""The learned treble with networks whose answers are known, so that the sound can be judged."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from tests.signals import noise

from nitido.demo.render import render
from nitido.dsp.chunks import windows
from nitido.dsp.spectral import lower_ceiling
from nitido.dsp.wav import Wav
from nitido.restoration.stages.bandwidth import Bandwidth
from nitido.restoration.treble.learned import SWING_LIMIT_DB, TRUST, LearnedTreble
from nitido.restoration.treble.levels import BANDS

RATE = 48_000
CEILING_HZ, CROSSOVER_HZ = 8_000.0, 7_480.0
RMS_DB = -20.0


class Says:
    """A network that says the same of every frame: level in dB, presence, tonality."""

    def __init__(self, level_db: float | None, presence: float = 9.0, tonal: float = -9.0) -> None:
        self.level_db, self.presence, self.tonal = level_db, presence, tonal

    def get_modelmeta(self) -> Any:
        class Meta:
            custom_metadata_map = {"context_frames": "4"}  # noqa: RUF012

        return Meta()

    def run(self, _: Any, given: dict[str, Any]) -> list[Any]:
        base = given["seen"][:, 2 * BANDS :]
        level = base if self.level_db is None else np.full_like(base, self.level_db / 20)
        parts = [level, np.full_like(base, self.presence), np.full_like(base, self.tonal)]
        return [np.concatenate(parts, axis=1)]


def treble(wav: Wav, says: Says, *, size: int | None = None, **settings: Any) -> Wav:
    settled = {
        **Bandwidth.defaults,
        "ceiling_hz": CEILING_HZ,
        "crossover_hz": CROSSOVER_HZ,
        "rms_db": RMS_DB,
        **settings,
    }
    model = LearnedTreble(says, settled, sample_rate=RATE, samples=wav.shape[1])
    side = model.context_samples
    cut = windows([wav], size=size or wav.shape[1], context=side)
    return np.concatenate(
        [
            model.treble(window, first=start - side)[:, side : window.shape[1] - side]
            for window, start in cut
        ],
        axis=1,
    )


def level_db(wav: Wav, low_hz: float, high_hz: float) -> float:
    """Density in a band, dB re white noise of RMS 1 that fills 24 kHz."""
    middle = wav[0, 6_000:-6_000]  # the ends are cut off, and leak
    window = np.hanning(len(middle))
    spectrum = np.abs(np.fft.rfft(middle * window)) ** 2 / np.sum(window**2)
    hz = np.fft.rfftfreq(len(middle), 1 / RATE)
    return float(10 * np.log10(spectrum[(hz >= low_hz) & (hz < high_hz)].mean() + 1e-20))


@pytest.fixture(scope="module")
def dull() -> Wav:
    return lower_ceiling(noise(seconds=3, channels=2), sample_rate=RATE, ceiling_hz=CEILING_HZ)


@pytest.mark.parametrize("tonal", [-9.0, 0.0])
def test_the_level_lies_between_the_rules_and_the_networks(dull: Wav, tonal: float) -> None:
    # The rule carries white noise on from the level below the ceiling at −2.5 dB per kHz.
    rule_hz = (0.78 / 0.935 + 1) / 2 * CROSSOVER_HZ
    added = treble(dull, Says(-12.0, tonal=tonal))
    for low in (9_000, 13_000, 18_000):
        rule_db = -2.5 * (low + 1_000 - rule_hz) / 1000
        said = RMS_DB + rule_db + TRUST * (-12 - rule_db)
        assert level_db(added, low, low + 2_000) == pytest.approx(said, abs=1.0)


def test_where_the_music_falls_steeply_less_is_added_however_steeply_it_falls(dull: Wav) -> None:
    gentle, steep, steepest = (
        level_db(treble(dull, Says(-12.0), slope_db_per_khz=slope), 13_000, 15_000)
        for slope in (-2.5, -6.0, -20.0)
    )
    octaves = np.log2(14_000 / CROSSOVER_HZ)
    per_octave_db = 3.5 * CROSSOVER_HZ / 1000 * np.log(2)  # that is 3.5 dB per kHz at the ceiling
    assert gentle - steep == pytest.approx((1 - TRUST) * per_octave_db * octaves, abs=1)
    assert steepest == pytest.approx(steep, abs=0.1)


def test_below_the_crossover_nothing_is_added(dull: Wav) -> None:
    added = treble(dull, Says(-5.0))
    assert level_db(added, 100, CROSSOVER_HZ - 100) < level_db(dull, 100, CROSSOVER_HZ) - 80


def test_where_the_network_hears_nothing_the_rule_decides(dull: Wav) -> None:
    unsure, rule = (
        treble(dull, says) for says in (Says(0.0, presence=-30.0), Says(None, presence=-30.0))
    )
    assert np.allclose(unsure, rule, atol=1e-6)


def test_music_without_treble_below_the_ceiling_gets_none_above(dull: Wav) -> None:
    faded = noise(seconds=2) * np.hanning(2 * RATE).astype(np.float32)
    low = lower_ceiling(faded, sample_rate=RATE, ceiling_hz=4_000)
    assert not treble(low, Says(0.0), holes=False).any()


def test_blocks_of_any_length_give_the_same_treble() -> None:
    dull = lower_ceiling(render(seconds=4), sample_rate=RATE, ceiling_hz=CEILING_HZ)
    whole = treble(dull, Says(None, tonal=0.0))
    assert np.abs(whole).max() > 1e-4
    for size in (RATE, 23_456):
        assert np.abs(treble(dull, Says(None, tonal=0.0), size=size) - whole).max() < 3e-5


def test_a_hole_that_a_coder_cut_is_filled_and_its_surroundings_are_not_touched() -> None:
    spectrum = np.fft.rfft(noise(seconds=3))
    hz = np.fft.rfftfreq(3 * RATE, 1 / RATE)
    spectrum[:, (hz > 4_500) & (hz < 6_000)] = 0
    spectrum[:, hz > CEILING_HZ] = 0
    wav = np.fft.irfft(spectrum).astype(np.float32)
    filled = treble(wav, Says(0.0, presence=9.0))
    assert level_db(filled, 4_900, 5_600) == pytest.approx(RMS_DB, abs=1.5)
    assert level_db(filled, 2_500, 4_000) < RMS_DB - 80
    kept = treble(wav, Says(0.0), holes=False)
    assert level_db(kept, 4_900, 5_600) < RMS_DB - 80


def test_music_without_holes_gets_none_filled(dull: Wav) -> None:
    with_holes, without = treble(dull, Says(0.0)), treble(dull, Says(0.0), holes=False)
    middle = slice(6_000, -6_000)  # this network says that there is sound after the end, too
    assert np.array_equal(with_holes[:, middle], without[:, middle])


def test_half_the_amount_is_half_the_treble(dull: Wav) -> None:
    whole, half = treble(dull, Says(-10.0)), treble(dull, Says(-10.0), amount=0.5)
    assert np.allclose(half, 0.5 * whole, atol=1e-6)


@pytest.mark.parametrize("rate", [32_000, 44_100, 96_000])
def test_other_sample_rates_get_the_same_level(rate: int) -> None:
    wav = noise(seconds=1.5, sample_rate=rate, rms=0.1 * np.sqrt(rate / RATE))
    wav = lower_ceiling(wav, sample_rate=rate, ceiling_hz=CEILING_HZ)
    settled = {**Bandwidth.defaults, "crossover_hz": CROSSOVER_HZ, "rms_db": RMS_DB}
    model = LearnedTreble(Says(-12.0), settled, sample_rate=rate, samples=wav.shape[1])
    side = model.context_samples
    added = model.treble(wav, first=0)[:, side:-side]
    spectrum = np.abs(np.fft.rfft(added[0])) ** 2 / added.shape[1] * RATE / rate
    hz = np.fft.rfftfreq(added.shape[1], 1 / rate)
    level = 10 * np.log10(spectrum[(hz > 9_000) & (hz < 13_000)].mean())
    assert level == pytest.approx(RMS_DB - 12, abs=1.2)


def test_where_the_band_below_the_ceiling_is_a_hole_the_network_says_whether_there_is_treble() -> (
    None
):
    faded = noise(seconds=2) * np.hanning(2 * RATE).astype(np.float32)
    low = lower_ceiling(faded, sample_rate=RATE, ceiling_hz=4_000)  # a coder kept half of it
    added = treble(low, Says(-6.0))
    assert level_db(added, 10_000, 14_000) == pytest.approx(RMS_DB - 6, abs=1.5)
    assert not treble(low, Says(-6.0, presence=-9.0)).any()
    # Above the ceiling sound so faint stays out, whoever tells of it.
    assert level_db(treble(low, Says(-50.0)), 10_000, 14_000) < RMS_DB - 80


def test_treble_that_swells_and_fades_swings_more_than_the_sound_below_the_ceiling() -> None:
    t = np.arange(4 * RATE) / RATE
    swell_db = 6 * np.sin(2 * np.pi * 3 * t)
    wav = noise(seconds=4) * (10 ** (swell_db / 20)).astype(np.float32)
    low = lower_ceiling(wav, sample_rate=RATE, ceiling_hz=CEILING_HZ)
    added = treble(low, Says(None))
    period = RATE // 3
    parts = added[0, RATE : RATE + 6 * period].reshape(6, 8, -1)
    over_db = 10 * np.log10((parts**2).mean(axis=(0, 2)))
    swing_db = float(over_db.max() - over_db.min())
    below = low[0, RATE : RATE + 6 * period].reshape(6, 8, -1)
    below_db = 10 * np.log10((below**2).mean(axis=(0, 2)))
    heard_db = float(below_db.max() - below_db.min())
    assert heard_db + 1 < swing_db < heard_db + 2 * SWING_LIMIT_DB


def test_what_follows_silence_does_not_jump(dull: Wav) -> None:
    late = dull.copy()
    late[:, :RATE] = 0
    added = treble(late, Says(None))
    onset = slice(RATE + 2_400, RATE + 7_200)
    steady = slice(2 * RATE, 2 * RATE + 24_000)
    onset_db, steady_db = (10 * np.log10((added[:, s] ** 2).mean()) for s in (onset, steady))
    assert onset_db - steady_db < SWING_LIMIT_DB + 0.5


def test_many_channels_take_little_more_memory_than_one(dull: Wav) -> None:
    def peak(channels: int) -> int:
        wav = np.repeat(dull[:1], channels, axis=0)
        tracemalloc.start()
        treble(wav, Says(-12.0))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(4) < 2 * peak(1)
