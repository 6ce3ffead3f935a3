"""What is asked of a restoration: the same for Python, the command line, many files, the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nitido.errors import ConfigError, check_kind, shown

if TYPE_CHECKING:
    from nitido.audio.limits import Damaged
    from nitido.diagnosis.finding import Diagnosis
    from nitido.restoration.plan import Plan
    from nitido.restoration.preset import Preset
    from nitido.restoration.resources import Resources

CHOICES = ("preset", "stages", "without", "settings", "output_sample_rate")


@dataclass(frozen=True)
class RestoreOptions:
    """The choices of `nitido.restore`, checked; the default of each is stated here, once.

    Attributes:
        preset: see `nitido presets`.
        stages: only these may run; one that the preset leaves off is switched on.
        without: these do not run.
        settings: single settings, ``{"bandwidth.amount": 0.5, "loudness.target_lufs": -16}``.
        output_sample_rate: of the result, Hz.
        plan: carry out this one; it answers all of the above, which are refused beside it.
        stems: also keep the stems.
        album: the piece is one of an album: the edges to its neighbours are left alone.
        demucs_repo: folder of Demucs models in the hub's layout; None: official ones, fetched once.
        device: where networks compute: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        max_seconds: a longer file is refused; None: six hours.
        damaged: ``take`` takes what is there of a file that is cut short, ``refuse`` does not.
    """

    preset: str = "auto"
    stages: Sequence[str] | None = None
    without: Sequence[str] = ()
    settings: Mapping[str, Any] | None = None
    output_sample_rate: int = 48_000
    plan: Plan | None = None
    stems: bool = False
    demucs_repo: str | Path | None = None
    device: str = "auto"
    max_seconds: float | None = None
    damaged: Damaged = "refuse"
    album: bool = False

    def __post_init__(self) -> None:
        """Check the choices, and resolve the preset.

        Raises:
            ConfigError: an unknown preset, stage or setting, a value of another kind or out of
                range, or a choice beside a plan, which answers it already.
        """
        from nitido.audio.limits import check_damaged, check_max_seconds
        from nitido.dsp.wav import check_sample_rate
        from nitido.restoration.plan import Plan

        check_kind("device", self.device, str, "a name, such as 'cpu'")
        check_kind("demucs_repo", self.demucs_repo, str | Path | None, "the path of a folder")
        check_kind("plan", self.plan, Plan | None, "a Plan, from nitido.plan or Plan.from_json")
        check_kind("preset", self.preset, str, "a name, such as 'gentle'")
        for name, value in (("stages", self.stages), ("without", self.without or ())):
            if value is not None:
                check_kind(name, value, list | tuple | set | frozenset, "a list, such as ['width']")
                for stage in value:
                    check_kind(f"one of {name}", stage, str, "a name, such as 'width'")
        settings = {} if self.settings is None else self.settings
        check_kind("settings", settings, Mapping, "a table, such as {'bandwidth.amount': 0.5}")
        for key in settings:
            if not isinstance(key, str) or "." not in key:
                raise ConfigError(
                    f"settings has {shown(key)}; a setting is called 'stage.setting', such as "
                    "'bandwidth.amount'."
                )
        check_sample_rate(self.output_sample_rate)
        if self.max_seconds is not None:
            check_max_seconds(self.max_seconds)
        check_damaged(self.damaged)
        stages = None if self.stages is None else tuple(self.stages)
        repo = None if self.demucs_repo is None else str(self.demucs_repo)
        plain = {"stages": stages, "without": tuple(self.without or ()), "demucs_repo": repo}
        vars(self).update(plain, settings=dict(settings))
        given = [n for n in CHOICES if getattr(self, n) not in (getattr(RestoreOptions, n), {})]
        if self.plan is not None and given:
            raise ConfigError(
                f"A plan says everything already: `plan=` and `{given[0]}=` exclude each other."
            )
        _ = self._presets  # an unknown stage or a value out of range is said here

    @cached_property
    def _presets(self) -> Mapping[str, Preset]:
        """The preset, or those among which ``auto`` picks, with the choices on top of each."""
        from nitido.restoration.preset import AUTO, PICKED, adjust, load_preset

        return {
            name: adjust(
                load_preset(name),
                stages=self.stages,
                without=self.without,
                settings={**({"stems.mode": "on"} if self.stems else {}), **(self.settings or {})},
            )
            for name in (PICKED if self.preset == AUTO else (self.preset,))
        }

    @property
    def loop(self) -> bool:
        """Whether it is asked for that the end runs on into the start, whatever the file says."""
        if self.plan is not None:
            return self.plan.loop
        return any(one.stages["ending"].settings["loop"] for one in self._presets.values())

    @property
    def reading(self) -> dict[str, Any]:
        """How a file is read: keyword arguments of `nitido.audio.open_source`."""
        longest = {} if self.max_seconds is None else {"max_seconds": self.max_seconds}
        return {"damaged": self.damaged, **longest}

    @property
    def choice(self) -> dict[str, Any]:
        """What a plan is made from; equal choices give equal plans."""
        return {name: getattr(self, name) for name in CHOICES}

    def with_plan(self, plan: Plan) -> RestoreOptions:
        """Return the options with a plan instead of what one is made from."""
        return replace(self, plan=plan, **{name: getattr(RestoreOptions, name) for name in CHOICES})

    def plans_for(self, diagnoses: Sequence[Diagnosis]) -> list[Plan]:
        """Return what is to be done to the pieces; those of an album have one preset.

        Where ``auto`` picks differently for them, that is what most of them ask for; ``song``, the
        more careful one, where as many ask for either.
        """
        plans = [self.plan_for(diagnosis) for diagnosis in diagnoses]
        picked = [plan.preset for plan in plans]
        if not self.album or len(set(picked)) < 2:
            return plans
        name = max(sorted(set(picked), reverse=True), key=picked.count)
        why = f"as {picked.count(name)} of the {len(picked)} pieces of the album ask for"
        alike = replace(self, preset=name)
        return [replace(alike.plan_for(one), preset_reason=why) for one in diagnoses]

    def plan_for(self, diagnosis: Diagnosis) -> Plan:
        """Return what is to be done to the piece of that diagnosis."""
        from nitido.restoration.plan import make_plan
        from nitido.restoration.preset import AUTO, pick_preset

        plan = self.plan
        if plan is None:
            auto = self.preset == AUTO
            name, why = pick_preset(diagnosis) if auto else (self.preset, "")
            plan = make_plan(diagnosis, self._presets[name], sample_rate=self.output_sample_rate)
            plan = replace(plan, preset_reason=why)
        elif self.stems:
            plan = plan.with_step(replace(plan["stems"], on=True))
        if self.album:
            edges = replace(plan["ending"], on=False, reason="album: its edges are left alone")
            plan = plan.with_step(edges)
        return plan

    def prepare(self, resources: Resources) -> None:
        """Check that what the stages need beside the sound is there, before any is read.

        Raises:
            MissingExtraError: a library is not installed.
            WeightsError: the weights of a network cannot be had.
        """
        from nitido.restoration.registry import STAGES

        if self.plan is None:
            stages = [one for preset in self._presets.values() for one in preset.stages.items()]
            may_run = [(name, stage.settings) for name, stage in stages if stage.mode != "off"]
        else:
            may_run = [(step.stage, step.settings) for step in self.plan.steps if step.on]
        for name, settings in may_run:
            STAGES[name].prepare(settings, resources)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as plain JSON values."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**content, "plan": None if self.plan is None else self.plan.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> RestoreOptions:
        """Return the options that `to_dict` gave."""
        from nitido.restoration.plan import Plan

        plan = content["plan"]
        return cls(**{**content, "plan": None if plan is None else Plan.from_dict(plan)})
