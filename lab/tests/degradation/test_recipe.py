import json

import numpy as np
import pytest
from tests.signals import noise, pink_noise

from nitido.errors import ConfigError
from nitido_lab.degradation import KINDS, PLANTED, apply, draw, plant

RATE = 48_000
RECIPE = [
    {"one_of": [{"kind": "mp3", "kbps": [32, 64]}, {"kind": "ceiling", "ceiling_hz": 8_000}]},
    {"kind": "bands", "share": [0.2, 1.0], "chance": 0.5},
    {"kind": "clip", "over_db": [0, 6]},
]


def test_what_is_drawn_is_plain_json_and_the_same_for_the_same_seed() -> None:
    drawn = draw(RECIPE, seed=3)
    assert json.loads(json.dumps(drawn)) == drawn == draw(RECIPE, seed=3)
    assert len({json.dumps(draw(RECIPE, seed=seed)) for seed in range(20)}) > 15


def test_settings_are_drawn_from_their_ranges_and_steps_by_their_chance() -> None:
    drawn = [draw(RECIPE, seed=seed) for seed in range(200)]
    rates = [step["kbps"] for steps in drawn for step in steps if step["kind"] == "mp3"]
    assert all(isinstance(rate, int) and 32 <= rate <= 64 for rate in rates)
    assert 60 < len(rates) < 140
    assert 60 < sum(len(steps) == 3 for steps in drawn) < 140


def test_the_same_case_gives_the_same_samples_and_leaves_the_input_alone() -> None:
    wav = noise(seconds=1, channels=2)
    before = wav.copy()
    drawn = draw(RECIPE[1:], seed=1)
    first, again = (apply(drawn, wav, sample_rate=RATE) for _ in range(2))
    assert np.array_equal(first, again)
    assert np.array_equal(wav, before)
    assert first.shape == wav.shape
    assert not np.array_equal(first, wav)


def test_an_empty_recipe_changes_nothing() -> None:
    wav = noise(seconds=0.2)
    assert apply(draw([], seed=0), wav, sample_rate=RATE) is wav


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ([{"kind": "tape"}], "no degradation 'tape'"),
        ([{"kind": "clip", "over_db": [6, 0]}], r"a range is \[low, high\]"),
    ],
)
def test_a_recipe_that_is_none_is_refused(recipe: list, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        draw(recipe, seed=0)


def test_settings_that_a_kind_does_not_take_are_refused() -> None:
    with pytest.raises(ConfigError, match="does not fit"):
        apply([{"kind": "clip", "loudness": 3}], noise(seconds=0.1), sample_rate=RATE)


def test_every_kind_keeps_the_length() -> None:
    given = {
        "aac": {"kbps": 64}, "bands": {}, "ceiling": {"ceiling_hz": 8_000}, "clip": {}, "comb": {},
        "cut": {}, "level": {}, "mp3": {"kbps": 48}, "opus": {"kbps": 48}, "phase": {},
        "shimmer": {"strength": 0.5}, "slope": {"ceiling_hz": 6_000}, "smear": {},
        "vorbis": {"quality": 0.1},
        "harshness": {}, "mud": {}, "sharp_s": {}, "sibilance": {},
        "clicks": {}, "phasey": {}, "turn": {"low_hz": 200, "high_hz": 900}, "wide_lows": {},
    }  # fmt: skip
    assert set(KINDS) - set(given) == {"encodec"}
    wav = noise(seconds=1.1, channels=2)
    for kind, settings in given.items():
        if kind != "aac":
            assert apply([{"kind": kind, **settings}], wav, sample_rate=RATE).shape == wav.shape


def test_a_stronger_planted_fault_changes_more_and_each_is_repeatable() -> None:
    wav = pink_noise(seconds=3) + 0.3 * pink_noise(seconds=3, channels=2, seed=1)
    beat = np.sin(np.pi * 2 * np.arange(wav.shape[1]) / RATE) ** 8  # an s is what bursts
    wav = np.asarray(0.1 * wav * (0.3 + beat), np.float32)  # room for clicks 27 dB over it
    for fault, strengths in PLANTED.items():
        changes = []
        for strength in strengths:
            piece = {"sample_rate": RATE, "strength": strength, "seed": 2}
            spoilt, again = (plant(fault, wav, **piece) for _ in range(2))
            assert np.array_equal(spoilt, again)
            changes.append(float(np.square(spoilt - wav).sum()))
        assert 0 < changes[0] < changes[1] < changes[2], fault


def test_a_strength_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no faint clicks to plant; there are .*clicks: slight"):
        plant("clicks", noise(seconds=1), sample_rate=RATE, strength="faint")
