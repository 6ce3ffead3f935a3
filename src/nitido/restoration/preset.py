"""Presets: which stages may run, with which settings; TOML that names only a difference."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from nitido.diagnosis.finding import Diagnosis
from nitido.errors import ConfigError, shown
from nitido.restoration.registry import STAGES
from nitido.restoration.stage import Remedy

Mode = Literal["auto", "on", "off"]

PRESETS = Path(__file__).parents[1] / "presets"  # `importlib.resources` loads zipfile first
AUTO = "auto"
PICKED = ("musicgen", "song")  # among these
AUTO_DESCRIPTION = "The repairs for MusicGen or for songs, by what the file shows and its tags say."
MUSICGEN_HZ = 32_000
MUSICGEN_END_HZ = 16_100.0  # its decoder ends at 16 kHz, also after a resampler
MUSICGEN_SPACING_HZ = 400.0
MUSICGEN_COMB_DB = 3.0  # songs of Suno have lines at 400 Hz, too, of 1.1 to 2.4 dB


@dataclass(frozen=True)
class StagePreset:
    """How a preset treats one stage.

    Attributes:
        mode: ``auto`` lets the findings decide, ``on`` runs it whatever they say, ``off`` never.
        budget_db: the least SI-SDR of the stage's output to its input; None for the stage's own.
        settings: every setting of the stage.
    """

    mode: Mode
    budget_db: float | None
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Preset:
    """A named choice of stages and settings."""

    name: str
    description: str
    budget_db: float  # the least SI-SDR of the whole result to the input, protected band
    stages: Mapping[str, StagePreset] = field(default_factory=dict)


def pick_preset(diagnosis: Diagnosis) -> tuple[str, str]:
    """Return the preset that `auto` stands for in a piece, and why. Pure.

    ``musicgen`` for what MusicGen signed, or shows: its sample rate, its ceiling, its comb, one
    channel; two of them where any alone can be chance. Everything else is a ``song``.
    """
    comb, end_hz = diagnosis["comb"], diagnosis["bandwidth"].value
    ends = end_hz is not None and end_hz <= MUSICGEN_END_HZ
    lines = comb.found and comb.details["spacing_hz"] == MUSICGEN_SPACING_HZ
    mono = bool(diagnosis["width"].details.get("mono"))
    if diagnosis.made_by:
        name = "musicgen" if diagnosis.made_by == "MusicGen" else "song"
        return name, f"its tags name {diagnosis.made_by}"
    if diagnosis.sample_rate == MUSICGEN_HZ:
        return "musicgen", "it comes at 32 kHz, as MusicGen makes it"
    if mono and ends:
        return "musicgen", f"it is mono and has nothing above {MUSICGEN_END_HZ / 1000:.0f} kHz"
    if lines and (mono or (ends and (comb.value or 0.0) >= MUSICGEN_COMB_DB)):
        return "musicgen", "its comb is that of MusicGen's decoder"
    return "song", "nothing in it is MusicGen's"


def preset_names() -> list[str]:
    """Return the names of the presets that come with nitido."""
    return sorted(file.stem for file in PRESETS.glob("*.toml"))


def describe_preset(name: str) -> str:
    """Return what a preset is for, ``auto`` included.

    Raises:
        ConfigError: no preset has this name.
    """
    return AUTO_DESCRIPTION if name == AUTO else load_preset(name).description


@cache
def load_preset(name: str) -> Preset:
    """Return the preset of that name, complete.

    Raises:
        ConfigError: no preset has this name.
    """
    if name not in preset_names():
        known = [AUTO, *preset_names()]
        raise ConfigError(f"There is no preset {shown(name)}{suggest(name, known)}")
    content = tomllib.loads((PRESETS / f"{name}.toml").read_text("utf-8"))
    base = load_preset(content["extends"]) if "extends" in content else None
    stages = dict(base.stages) if base else {}
    for stage_name, stage in STAGES.items():
        own = dict(content.get("stages", {}).get(stage_name, {}))
        below = stages.get(stage_name) or StagePreset("auto", None, dict(stage.defaults))
        mode = own.pop("mode", below.mode)
        budget_db = own.pop("budget_db", below.budget_db)
        stages[stage_name] = StagePreset(
            mode, budget_db, check_settings(stage, {**below.settings, **own})
        )
    return Preset(
        name,
        content["description"],
        float(content.get("budget_db", base.budget_db if base else 0.0)),
        stages,
    )


def adjust(
    preset: Preset,
    *,
    stages: Sequence[str] | None = None,
    without: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> Preset:
    """Return the preset with the user's own choice on top.

    Args:
        preset: to start from.
        stages: only these may run; one that the preset leaves off is switched on.
        without: these do not run, whatever the settings say.
        settings: ``"stage.setting"`` → value, such as ``{"bandwidth.amount": 0.5}``.

    Raises:
        ConfigError: an unknown stage or setting, or a value out of range.
    """
    for name in [*(stages or []), *without]:
        if name not in STAGES:
            raise ConfigError(f"There is no stage {shown(name)}{suggest(name, STAGES)}")
    result = dict(preset.stages)
    for name, current in preset.stages.items():
        mode: Mode = current.mode
        if stages is not None:
            mode = "off" if name not in stages else "on" if mode == "off" else mode
        if name in without:
            mode = "off"
        result[name] = StagePreset(mode, current.budget_db, current.settings)
    asked: dict[str, dict[str, Any]] = {}
    for key, value in (settings or {}).items():
        name, _, setting = key.partition(".")
        if name not in STAGES:
            raise ConfigError(f"There is no stage {shown(name)}{suggest(name, STAGES)}")
        if setting == "mode":
            if value not in get_args(Mode):
                raise ConfigError(f"{key} is {shown(value)}; it can be auto, on or off.")
            mode = "off" if name in without else value
            result[name] = StagePreset(mode, result[name].budget_db, result[name].settings)
            continue
        asked.setdefault(name, {})[setting] = value
    for name, own in asked.items():  # together: some settings are points of one curve
        current = result[name]
        changed = check_settings(STAGES[name], {**current.settings, **own})
        for setting in own:
            if STAGES[name].schema[setting].measured:
                raise ConfigError(
                    f"{name}.{setting} is measured on each piece; it is nothing to set."
                )
        result[name] = StagePreset(current.mode, current.budget_db, changed)
    return Preset(preset.name, preset.description, preset.budget_db, result)


def check_settings(stage: type[Remedy], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return `settings` over the stage's defaults, if every one is known and in range.

    Raises:
        ConfigError: an unknown setting, a wrong type, or a value out of range.
    """
    for key, value in settings.items():
        if key not in stage.schema:
            raise ConfigError(
                f"The stage {stage.name!r} has no setting {shown(key)}{suggest(key, stage.schema)}"
            )
        stage.schema[key].check(f"{stage.name}.{key}", value)
    complete = {**stage.defaults, **settings}
    stage.check(complete)
    return complete


def suggest(name: str, known: Any) -> str:
    """Return the end of an error sentence: the nearest known name, or all of them."""
    close = get_close_matches(str(name)[:80], list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(known))}."
