"""Recipes: how music is spoilt, as data. Drawing one and applying it are two functions.

A recipe lists kinds of degradation with ranges; `draw` picks from them with a seed and returns
plain JSON values, so what was done to a piece can be written down, looked at and done again;
`apply` is pure.

    recipe = [{"kind": "mp3", "kbps": [24, 64]}, {"kind": "clip", "over_db": [0, 6], "chance": 0.2}]
    degraded = apply(draw(recipe, seed=7), wav, sample_rate=48000)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from nitido.demo.comb import add_comb
from nitido.dsp.spectral import lower_ceiling
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido_lab.degradation import add_artifacts, lossy, song_faults, stereo
from nitido_lab.degradation.clicks import clicks
from nitido_lab.degradation.encodec import encodec
from nitido_lab.degradation.shimmer import FORMS as SHIMMER_FORMS
from nitido_lab.degradation.shimmer import STRENGTHS as SHIMMER_STRENGTHS
from nitido_lab.degradation.shimmer import shimmer

Recipe = Sequence[Mapping[str, Any]]
Drawn = list[dict[str, Any]]

# Each takes the waveform [C, T], sample_rate and its own settings, and gives back [C, T].
KINDS: Final[Mapping[str, Callable[..., Wav]]] = {
    "aac": lossy.aac,
    "bands": add_artifacts.band_errors,
    "ceiling": lower_ceiling,
    "clicks": clicks,
    "clip": add_artifacts.clip,
    "comb": add_comb,
    "cut": add_artifacts.cut_end,
    "encodec": encodec,
    "harshness": song_faults.harshness,
    "level": add_artifacts.lose_level,
    "mp3": lossy.mp3,
    "mud": song_faults.mud,
    "opus": lossy.opus,
    "phase": add_artifacts.random_phase,
    "phasey": stereo.phasey,
    "sharp_s": song_faults.sharp_s,
    "shimmer": shimmer,
    "sibilance": song_faults.sibilance,
    "slope": add_artifacts.sloped_ceiling,
    "smear": add_artifacts.smear,
    "turn": stereo.turn_band,
    "vorbis": lossy.vorbis,
    "wide_lows": stereo.wide_lows,
}
# These need random numbers of their own.
SEEDED: Final = {
    *("bands", "clicks", "comb", "harshness", "mud", "phase", "shimmer", "sibilance", "wide_lows")
}
WHOLE_NUMBERS: Final = {"kbps"}
STRENGTHS: Final = ("slight", "moderate", "severe")

# Faults of a known strength, to plant in clean music: a recipe for each of three.
PLANTED: Final[Mapping[str, Mapping[str, Recipe]]] = {
    **{
        f"{form} shimmer": {
            name: [{"kind": "shimmer", "form": form, "strength": strength}]
            for name, strength in zip(STRENGTHS, SHIMMER_STRENGTHS, strict=True)
        }
        for form in SHIMMER_FORMS
    },
    **{
        fault: {name: [{"kind": kind, "strength": 1 + n}] for n, name in enumerate(STRENGTHS)}
        for fault, kind in (
            ("sibilance", "sibilance"),
            ("sharp s", "sharp_s"),
            ("harshness", "harshness"),
            ("mud", "mud"),
        )
    },
    "clicks": {
        "slight": [{"kind": "clicks", "over_db": 9.0}],
        "moderate": [{"kind": "clicks", "over_db": 15.0}],
        "severe": [{"kind": "clicks", "over_db": 27.0}],
    },
    "wide lows": {
        "slight": [{"kind": "wide_lows", "side_db": 6.0, "below_hz": [120.0, 200.0]}],
        "moderate": [{"kind": "wide_lows", "side_db": 9.0, "below_hz": [120.0, 200.0]}],
        "severe": [{"kind": "wide_lows", "side_db": 12.0, "below_hz": [120.0, 200.0]}],
    },
    "turned band": {
        "slight": [{"kind": "turn", "low_hz": 500.0, "high_hz": 2000.0, "degrees": 120.0}],
        "moderate": [{"kind": "turn", "low_hz": 300.0, "high_hz": 1500.0, "degrees": 168.5}],
        "severe": [{"kind": "turn", "low_hz": 150.0, "high_hz": 4000.0, "degrees": 180.0}],
    },
    "phasey": {
        "slight": [{"kind": "phasey", "degrees": 90.0}],
        "moderate": [{"kind": "phasey", "degrees": 135.0}],
        "severe": [{"kind": "phasey", "degrees": 180.0}],
    },
}


def draw(recipe: Recipe, *, seed: int) -> Drawn:
    """Return one case of a recipe as plain JSON values: a list of steps, each with its settings.

    Args:
        recipe: steps in their order. `kind` is one of `KINDS`, or a list of steps of which one is
            taken; `chance` (1 if left out) is how often the step is there; every other entry is a
            setting: a range `[low, high]` is drawn from evenly, anything else is taken as it is.
        seed: the same seed gives the same case.

    Raises:
        ConfigError: an unknown kind, or a range that is none.
    """
    rng = np.random.default_rng(seed)
    return [_settled(step, rng) for step in _chosen(recipe, rng)]


def apply(drawn: Sequence[Mapping[str, Any]], wav: Wav, *, sample_rate: int) -> Wav:
    """Return `wav` `[C, T]` after the steps that `draw` gave; same length, not written to.

    Raises:
        ConfigError: an unknown kind, or settings that the kind does not take.
        MissingExtraError: a step needs something that is not installed.
    """
    for step in drawn:
        kind, settings = str(step.get("kind")), {k: v for k, v in step.items() if k != "kind"}
        if kind not in KINDS:
            raise ConfigError(f"There is no degradation {kind!r}; there are {', '.join(KINDS)}.")
        try:
            wav = KINDS[kind](wav, sample_rate=sample_rate, **settings)
        except TypeError as error:
            raise ConfigError(f"The degradation {kind!r} does not fit: {error}.") from None
    return wav


def plant(fault: str, wav: Wav, *, sample_rate: int, strength: str, seed: int = 0) -> Wav:
    """Return `wav` `[C, T]` with a fault of `PLANTED` in one of its strengths.

    Raises:
        ConfigError: no such fault, or no such strength of it.
    """
    if strength not in PLANTED.get(fault, {}):
        known = "; ".join(f"{name}: {', '.join(sizes)}" for name, sizes in PLANTED.items())
        raise ConfigError(f"There is no {strength} {fault} to plant; there are {known}.")
    return apply(draw(PLANTED[fault][strength], seed=seed), wav, sample_rate=sample_rate)


def _chosen(recipe: Recipe, rng: np.random.Generator) -> Sequence[Mapping[str, Any]]:
    chosen = []
    for step in recipe:
        if rng.random() >= step.get("chance", 1.0):
            continue
        one_of = step.get("one_of")
        if one_of is not None:
            weights = np.array([choice.get("weight", 1.0) for choice in one_of], float)
            step = one_of[int(rng.choice(len(one_of), p=weights / weights.sum()))]
        chosen.append(step)
    return chosen


def _settled(step: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    kind = step.get("kind")
    if kind not in KINDS:
        raise ConfigError(f"There is no degradation {kind!r}; there are {', '.join(KINDS)}.")
    settled: dict[str, Any] = {"kind": kind}
    for name, value in step.items():
        if name in {"kind", "chance", "weight"}:
            continue
        settled[name] = _picked(f"{kind}.{name}", value, name in WHOLE_NUMBERS, rng)
    if kind in SEEDED:
        settled.setdefault("seed", int(rng.integers(2**31)))
    return settled


def _picked(name: str, value: Any, whole: bool, rng: np.random.Generator) -> Any:
    if not isinstance(value, list | tuple):
        return value
    if len(value) != 2 or not value[0] <= value[1]:
        raise ConfigError(f"{name} is {value!r}; a range is [low, high].")
    low, high = value
    return int(rng.integers(low, high + 1)) if whole else round(float(rng.uniform(low, high)), 4)
