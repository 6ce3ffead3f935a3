"""What a visitor chose on the page, and what that means for a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nitido.errors import ConfigError
from nitido.restoration.restore_options import RestoreOptions

# What each preset, and each stage, is called on the page. What is not named here the page has not:
# a stage or a preset that fetches weights from a hub would ask another host.
PRESETS = {"musicgen": "Standard", "gentle": "Gentle", "master": "Master"}
STAGES = {
    "declip": "Rebuild cut-off peaks",
    "dc": "Centre the waveform, take out rumble",
    "decomb": "Take out the metallic comb",
    "tone": "Balance the tone",
    "bandwidth": "Bring back the treble",
    "transients": "Sharpen attacks",
    "width": "Widen mono",
    "ending": "Mend start and end",
    "loudness": "Set the loudness",
}


@dataclass(frozen=True)
class Amount:
    """The one setting of a stage that has a slider.

    Attributes:
        setting: its name.
        low: leftmost value.
        high: rightmost value.
        step: between two values.
        unit: shown after the value; ``"%"`` shows a share of 1 as per cent.
        label: what it is, in a word or two.
    """

    setting: str
    low: float
    high: float
    step: float
    unit: str = "%"
    label: str = "Amount"

    def show(self, value: float | None) -> str:
        """Return a value with its unit.

        >>> Amount("amount", 0, 1, 0.05).show(0.5), Amount("t", -24, -8, 1, "LUFS").show(-14)
        ('50 %', '−14 LUFS')
        """
        if value is None:
            return "as it is"
        number = {"%": f"{100 * value:.0f}", "s": f"{value:.2f}"}.get(self.unit, f"{value:g}")
        return f"{number} {self.unit}".replace("-", "−")


AMOUNTS: Mapping[str, Amount] = {
    "declip": Amount("amount", 0.0, 1.0, 0.05),
    "decomb": Amount("amount", 0.0, 1.0, 0.05),
    "tone": Amount("amount", 0.0, 2.0, 0.05),
    "bandwidth": Amount("amount", 0.0, 2.0, 0.05),
    "transients": Amount("amount", 0.0, 2.0, 0.05),
    "width": Amount("amount", 0.0, 2.0, 0.05),
    "ending": Amount("fade_out_seconds", 0.0, 5.0, 0.05, "s", "Fade-out"),
    "loudness": Amount("target_lufs", -24.0, -8.0, 0.5, "LUFS", "Target"),
}


def choose(
    preset: str = RestoreOptions.preset,
    *,
    switches: Mapping[str, bool] | None = None,
    amounts: Mapping[str, float] | None = None,
    loop: bool | None = None,
    settings: Mapping[str, Any] | None = None,
) -> RestoreOptions:
    """Return a preset, with where the visitor differs from what it would do.

    Args:
        preset: its name.
        switches: stages that were switched on or off by hand.
        amounts: values of the sliders that were moved, by stage.
        loop: whether the piece is a loop; None: as the file says, unless its ends are to be mended.
        settings: further settings by name; the page has none of these, programs do.

    Raises:
        ConfigError: a preset or stage that the page does not have, or a value out of range.
    """
    if preset not in PRESETS:
        raise ConfigError(f"There is no preset {preset!r} here; there are {', '.join(PRESETS)}.")
    if loop is None and (switches or {}).get("ending"):
        loop = False
    chosen: dict[str, Any] = {
        **{f"{stage}.mode": "on" if on else "off" for stage, on in (switches or {}).items()},
        **{f"{stage}.{AMOUNTS[stage].setting}": value for stage, value in (amounts or {}).items()},
        **({} if loop is None else {"ending.loop": loop}),
        **(settings or {}),
    }
    for name in chosen:
        if name.partition(".")[0] not in STAGES:
            raise ConfigError(
                f"There is no setting {name!r} here; the stages are {', '.join(STAGES)}."
            )
    return RestoreOptions(preset, settings=chosen)


def shown(options: RestoreOptions) -> dict[str, Any]:
    """Return choices as plain JSON values, as the page sends them back to `read`."""
    settings = dict(options.settings or {})
    sliders = {stage: f"{stage}.{amount.setting}" for stage, amount in AMOUNTS.items()}
    return {
        "preset": options.preset,
        "switches": {
            stage: settings[f"{stage}.mode"] != "off"
            for stage in STAGES
            if f"{stage}.mode" in settings
        },
        "amounts": {stage: settings[key] for stage, key in sliders.items() if key in settings},
        "loop": settings.get("ending.loop"),
    }


def read(content: Any) -> RestoreOptions:
    """Return the choices that the page sent.

    Raises:
        ConfigError: they are no choices, which the page never sends, or as `choose`.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f"The choices are {type(content).__name__}, not a table.")
    switches, amounts = content.get("switches", {}), content.get("amounts", {})
    for table, known, kinds in ((switches, STAGES, bool), (amounts, AMOUNTS, int | float)):
        if not isinstance(table, Mapping) or not all(
            name in known and isinstance(value, kinds) for name, value in table.items()
        ):
            raise ConfigError(f"{table!r} names no stage with such a value.")
    preset = str(content.get("preset", RestoreOptions.preset))
    return choose(preset, switches=switches, amounts=amounts, loop=content.get("loop"))
