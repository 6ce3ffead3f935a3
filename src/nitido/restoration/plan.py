"""What will be done to a piece, as data: made from a diagnosis before any sample moves."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.wav import check_sample_rate
from nitido.errors import ConfigError, shown
from nitido.notebook import ShownInNotebook
from nitido.restoration.preset import Preset, check_settings, suggest
from nitido.restoration.registry import STAGES
from nitido.restoration.setting import is_number
from nitido.restoration.stage import Budget, Remedy, Step

REPR_LINES = 7
FORMAT = 1  # raised when an older nitido could no longer read the plan


@dataclass(frozen=True, repr=False)
class Plan(ShownInNotebook):
    """The stages in order, each with its settings and the reason for it, or why it is skipped.

    A plan reads and writes as JSON, so it can be looked at, edited and replayed.

    Attributes:
        preset: name of the preset it was made with.
        preset_reason: why this one, where the preset ``auto`` chose it.
        sample_rate: of the result, Hz.
        steps: all stages, in the order of `nitido.restoration.registry.STAGES`.
        budget_db: the least SI-SDR of the whole result to the input in 60 Hz–7 kHz, dB.
        budgets_db: the same for single stages, where the preset differs from the stage's own.
    """

    preset: str
    sample_rate: int
    steps: tuple[Step, ...]
    budget_db: float = 0.0
    budgets_db: Mapping[str, float] | None = None
    preset_reason: str = ""

    def __getitem__(self, stage: str) -> Step:
        """Return the step of that stage.

        Raises:
            KeyError: no such stage.
        """
        for step in self.steps:
            if step.stage == stage:
                return step
        raise KeyError(stage)

    @property
    def loop(self) -> bool:
        """Whether the piece is treated as a loop: after its end comes its start again."""
        return bool(self["ending"].settings["loop"])

    @property
    def preset_told(self) -> str:
        """The preset, and why this one if it was not asked for."""
        return f"{self.preset} ({self.preset_reason})" if self.preset_reason else self.preset

    def __repr__(self) -> str:
        on = [step for step in self.steps if step.on]
        lines = [f"{step.stage}: {step.reason}" for step in on[:REPR_LINES]]
        if len(on) > REPR_LINES:
            lines[-1] = "and " + ", ".join(step.stage for step in on[REPR_LINES - 1 :])
        head = f"Plan of preset {self.preset_told}, result at {self.sample_rate} Hz"
        return "\n  ".join([head, *(lines or ["No stage is on."])])

    def with_step(self, changed: Step) -> Plan:
        """Return the plan with the step of the same stage replaced."""
        steps = tuple(changed if step.stage == changed.stage else step for step in self.steps)
        return replace(self, steps=steps)

    def stage_budget(self, stage: str) -> Budget:
        """Return how much this stage may change."""
        own = STAGES[stage].budget
        return replace(own, si_sdr_db=(self.budgets_db or {}).get(stage, own.si_sdr_db))

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        return {
            "format": FORMAT,
            "preset": self.preset,
            "preset_reason": self.preset_reason,
            "sample_rate": self.sample_rate,
            "budget_db": self.budget_db,
            "budgets_db": dict(self.budgets_db or {}),
            "steps": [asdict(step) for step in self.steps],
        }

    def to_json(self) -> str:
        """Return the plan as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Return the plan that `to_json` wrote, or the one inside a sidecar.

        Raises:
            ConfigError: not JSON, not a plan, or a stage or setting that does not exist.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"The plan is not valid JSON: {error}.") from None
        if isinstance(content, dict) and isinstance(content.get("plan"), dict):
            content = content["plan"]
        return cls.from_dict(content)

    @classmethod
    def from_dict(cls, content: Any) -> Plan:
        """Return the plan from plain JSON values; stages that are not named are off.

        Raises:
            ConfigError: as `from_json`.
        """
        if not isinstance(content, dict) or not isinstance(content.get("steps"), list):
            raise ConfigError("This is not a plan: it has no list of steps.")
        _only(content, {field.name for field in fields(cls)} | {"format"})
        if content.get("format", FORMAT) != FORMAT:
            raise ConfigError(
                f"The plan has format {shown(content['format'])}, this nitido reads {FORMAT}."
            )
        rate = content.get("sample_rate", 48_000)
        if not isinstance(rate, int) or not is_number(rate):
            raise ConfigError(
                f"The plan's sample_rate is {shown(rate)}; it is a whole number of Hz."
            )
        budgets = content.get("budgets_db", {})
        if not isinstance(budgets, dict):
            raise ConfigError("The plan's budgets_db is not a table of stage and dB.")
        for name, value in {**budgets, "budget_db": content.get("budget_db", 0.0)}.items():
            if not is_number(value):
                raise ConfigError(
                    f"The plan's budget {shown(name)} is {shown(value)}; it is a number in dB."
                )
            if name != "budget_db" and name not in STAGES:
                raise ConfigError(f"There is no stage {shown(name)}{suggest(name, STAGES)}")
        named: dict[str, Step] = {}
        for entry in content["steps"]:
            step = _read_step(entry)
            if step.stage in named:
                raise ConfigError(f"The plan names the stage {step.stage!r} twice.")
            named[step.stage] = step
        steps = tuple(
            named.get(name) or Step(name, False, "not in the plan", dict(stage.defaults))
            for name, stage in STAGES.items()
        )
        return cls(
            str(content.get("preset", "")),
            check_sample_rate(rate),
            steps,
            float(content.get("budget_db", 0.0)),
            {name: float(value) for name, value in budgets.items()},
            str(content.get("preset_reason", "")),
        )


def make_plan(diagnosis: Diagnosis, preset: Preset, *, sample_rate: int = 48_000) -> Plan:
    """Return what the preset would do to the piece of that diagnosis. Pure.

    Args:
        diagnosis: of the input.
        preset: see `nitido.restoration.preset`.
        sample_rate: of the result, Hz.
    """
    steps: list[Step] = []
    for name, stage in STAGES.items():
        chosen = preset.stages[name]
        settled = dict(stage.settle(diagnosis, chosen.settings))
        if chosen.mode == "off":
            steps.append(Step(name, False, "off in this preset", settled))
            continue
        if diagnosis.silent:
            step = Step(name, False, "silence stays silent", settled)
        else:
            step = stage.plan(_as_it_comes(diagnosis, steps), chosen.settings)
        if chosen.mode == "on" and not step.on:
            step = replace(step, on=True, reason=f"asked for, although {step.reason}")
        steps.append(step)
    budgets = {
        name: chosen.budget_db
        for name, chosen in preset.stages.items()
        if chosen.budget_db is not None
    }
    return Plan(
        preset.name, check_sample_rate(sample_rate), tuple(steps), preset.budget_db, budgets
    )


def _as_it_comes(diagnosis: Diagnosis, steps: Sequence[Step]) -> Diagnosis:
    """Return the diagnosis as far as earlier steps change it: mono made stereo plays on both sides.

    Source: ITU-R BS.1770-4, whose loudness adds up the energies of the channels.
    """
    if diagnosis.channels != 1 or not any(step.on and step.stage == "width" for step in steps):
        return diagnosis
    loudness = diagnosis["loudness"]
    if loudness.value is None:
        return diagnosis
    lufs = loudness.value + 10 * math.log10(2)
    details = {**loudness.details, "integrated_lufs": lufs, "widened": True}
    louder = replace(loudness, details=details)
    findings = tuple(louder if one is loudness else one for one in diagnosis.findings)
    return replace(diagnosis, findings=findings)


def build(step: Step, *, sample_rate: int, channels: int, samples: int) -> Remedy:
    """Return the stage of a step, bound to a piece."""
    return STAGES[step.stage](
        step.settings, sample_rate=sample_rate, channels=channels, samples=samples
    )


def _read_step(entry: Any) -> Step:
    if not isinstance(entry, dict) or not isinstance(entry.get("stage"), str):
        raise ConfigError("A step of the plan has no stage.")
    _only(entry, {"stage", "on", "reason", "settings"})
    name = entry["stage"]
    if name not in STAGES:
        raise ConfigError(f"There is no stage {shown(name)}{suggest(name, STAGES)}")
    on, settings = entry.get("on", True), entry.get("settings", {})
    if not isinstance(on, bool) or not isinstance(settings, dict):
        raise ConfigError(f"The step {name!r} needs on = true or false, and a table of settings.")
    return Step(name, on, str(entry.get("reason", "")), check_settings(STAGES[name], settings))


def _only(content: Mapping[str, Any], known: set[str]) -> None:
    for key in content:
        if key not in known:
            raise ConfigError(f"A plan has no entry {shown(key)}{suggest(key, known)}")
