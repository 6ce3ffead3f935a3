"""What a visitor may choose, and what that means for a plan; what things are called on the page."""

from __future__ import annotations

import tomllib
from functools import cached_property
from importlib import resources
from typing import Any

from pydantic import BaseModel

from nitido.errors import ConfigError
from nitido.report.formatting import minus
from nitido.restoration.preset import PICKED
from nitido.restoration.registry import STAGES as REGISTERED
from nitido.restoration.restore_options import RestoreOptions
from nitido.restoration.stage import Step

WORDS = tomllib.loads(resources.files("nitido.web").joinpath("words.toml").read_text("utf-8"))
PRESETS, STAGES, FINDINGS = WORDS["presets"], WORDS["stages"], WORDS["findings"]
AMOUNT = {"setting": "amount", "label": "How much", "step": 0.05, "unit": "%"}


class Choices(BaseModel):
    """What is to be done: a preset, and single settings as `nitido restore --set` takes them.

    A reference is the number of a piece whose tone it shall come nearer to. The pieces of an album
    are restored together, at one gain, and their edges are left alone.
    """

    preset: str = RestoreOptions.preset
    settings: dict[str, Any] = {}
    reference: int | None = None
    album: bool = False

    @cached_property
    def options(self) -> RestoreOptions:
        """The same for the library.

        Who asks for the end to be mended says that the piece is no loop, unless they say that, too.

        Raises:
            ConfigError: a preset or stage that the page does not have, or a value out of range.
        """
        settings = dict(self.settings)
        if self.preset not in (*PRESETS, *PICKED):
            had = ", ".join(PRESETS)
            raise ConfigError(f"There is no preset {self.preset!r} here; there are {had}.")
        for name in settings:
            if name.partition(".")[0] not in STAGES:
                had = ", ".join(STAGES)
                raise ConfigError(f"There is no setting {name!r} here; the stages are {had}.")
        if settings.get("ending.mode") == "on":
            settings.setdefault("ending.loop", False)
        return RestoreOptions(self.preset, settings=settings, album=self.album)

    def but(self, **others: Any) -> Choices:
        """Return the same choices, but for some."""
        return Choices(**{**self.model_dump(), **others})


def slider(step: Step) -> dict[str, Any] | None:
    """Return the one setting of a stage that has a slider, with its bounds and where it stands."""
    schema = REGISTERED[step.stage].schema
    made = {**AMOUNT, **STAGES[step.stage].get("slider", {})}
    if made["setting"] not in schema:
        return None
    low, high = schema[made["setting"]].range or (0.0, 1.0)
    made = {"low": low, "high": high, **made}
    value = step.settings[made["setting"]]
    at = made["low"] if value is None else min(max(value, made["low"]), made["high"])
    name = f"{step.stage}.{made['setting']}"
    return {**made, "name": name, "value": at, "shown": _with_unit(value, made["unit"])}


def _with_unit(value: float | None, unit: str) -> str:
    """Return a value with its unit; a share of 1 as per cent.

    >>> _with_unit(0.5, "%"), _with_unit(-14.0, "LUFS")
    ('50 %', '−14 LUFS')
    """
    if value is None:
        return "as it is"
    number = {"%": f"{100 * value:.0f}", "s": f"{value:.2f}"}.get(unit, f"{value:g}")
    return minus(f"{number} {unit}")
