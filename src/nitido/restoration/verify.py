"""How much a stage changed, and what to do when it was too much.

Input and output are held against each other in the protected band, 60 Hz to 7 kHz, where the music
lives and nothing but the planned repair may happen; and band by band over the whole spectrum.
Where the budget of a stage asks for it, the music that it took is measured as the ear has it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np

from nitido.dsp.spectral import PROTECTED_HZ
from nitido.dsp.wav import Wav
from nitido.metrics.audibility import MusicTakenMeter
from nitido.metrics.fidelity import SDR_LIMIT_DB, DifferenceMeter
from nitido.notebook import ShownInNotebook
from nitido.restoration.plan import Plan
from nitido.restoration.registry import STAGES
from nitido.restoration.stage import Budget, Step

BANDS_HZ = tuple(pairwise((0, 60, 250, 1000, 4000, 8000, 16_000, 96_000)))
TURN_DOWNS = 2  # a stage over budget is halved this often, then bypassed


@dataclass(frozen=True, repr=False)
class Change(ShownInNotebook):
    """What one stage, or the whole chain, did to the signal.

    Attributes:
        stage: its name, or ``"whole"``.
        si_sdr_db: of output to input in the protected band, the overall gain taken out; 120 when
            nothing changed there.
        budget_db: the least that was allowed.
        gain_db: the overall gain, protected band.
        bands: per band of `BANDS_HZ`, `{"low_hz", "high_hz", "level_db", "difference_db"}`: change
            of level, and level of what was changed against the whole input.
        verdict: ``"kept"``, ``"turned down"`` or ``"bypassed"``.
        taken_sone: the music that was taken, sones (`nitido.metrics.audibility`), beside the fault
            that was mended; None where the budget of the stage does not ask.
        budget_sone: the most that was allowed.
        beside_faults_db: of the whole, what is held against `budget_db` where a stage ran that may
            change everything: the SI-SDR that the other stages make up together, for what that one
            changed is the fault; else None.
        with_ends_db: of the whole, the SI-SDR with the ends that were faded and are not judged, as
            a comparison of both files reads; None where nothing was faded.
        level_change_db: of the whole, the most by which a third octave of the music in the
            protected band changed its level, as a comparison reads; None in silence.
    """

    stage: str
    si_sdr_db: float
    budget_db: float
    gain_db: float
    bands: tuple[Mapping[str, float], ...]
    verdict: str = "kept"
    taken_sone: float | None = None
    budget_sone: float | None = None
    beside_faults_db: float | None = None
    with_ends_db: float | None = None
    level_change_db: float | None = None

    @property
    def within_budget(self) -> bool:
        """Whether the stage changed no more than it may."""
        return self.music_kept_db >= self.budget_db and not self.takes_too_much

    @property
    def music_kept_db(self) -> float:
        """The SI-SDR that is held against the budget, dB."""
        return self.si_sdr_db if self.beside_faults_db is None else self.beside_faults_db

    @property
    def unbounded(self) -> bool:
        """Whether it changed something, and may change anything: what it changes is the fault."""
        return self.budget_db <= 0 and self.si_sdr_db < SDR_LIMIT_DB

    @property
    def takes_too_much(self) -> bool:
        """Whether the ear would miss more of the music than it may."""
        return (self.taken_sone or 0.0) > (inf if self.budget_sone is None else self.budget_sone)

    def __repr__(self) -> str:
        taken = "" if self.taken_sone is None else f", {self.taken_sone:.2f} sone of music taken"
        return (
            f"Change by {self.stage}: {self.verdict}, {self.si_sdr_db:.1f} dB SI-SDR in the "
            f"protected band (budget {self.budget_db:.1f}), gain {self.gain_db:+.1f} dB{taken}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the change as plain JSON values."""
        return asdict(self)


class ChangeMeter:
    """Compares two streams of the same length and rate, block by block.

    Equal channels are compared one by one; where the number differs, the downmixes are. Only the
    samples from `judged[0]` to `judged[1]` count; of the whole, all are measured beside them.

    Attributes:
        stage: its name, or ``"whole"``.
        budget: of the stage.
        difference: the powers that were measured.
    """

    def __init__(
        self,
        stage: str,
        *,
        sample_rate: int,
        budget: Budget,
        loudness_lufs: float | None = None,
        judged: tuple[int, int] = (0, sys.maxsize),
        all_of_it: bool = True,
    ) -> None:
        """Prepare for a stage; `all_of_it` as of `DifferenceMeter`."""
        self.stage = stage
        self.budget = budget
        self._judged = judged
        self._samples = 0
        self.difference = DifferenceMeter(sample_rate, all_of_it=all_of_it)
        self._with_ends: DifferenceMeter | None = None  # of the whole, once there is more
        self._taken: MusicTakenMeter | None = None
        if budget.taken_sone is not None:
            self._taken = MusicTakenMeter(
                sample_rate, loudness_lufs=loudness_lufs, fault_hz=budget.fault_hz
            )
        self._sample_rate = sample_rate

    def update(self, before: Wav, after: Wav) -> None:
        """Take the next samples of both streams, `[C, n]`."""
        position = self._samples
        self._samples += before.shape[1]
        if before.shape[0] != after.shape[0]:
            before, after = (w.mean(axis=0, keepdims=True) for w in (before, after))
        first, last = (max(0, edge - position) for edge in self._judged)
        self.difference.update(before[:, first:last], after[:, first:last])
        if self._taken is not None:
            self._taken.update(before[:, first:last], after[:, first:last])
        if self.stage == "whole":
            self._update_with_ends(before, after, last)

    def _update_with_ends(self, before: Wav, after: Wav, last: int) -> None:
        """Take all samples; up to a fade-out they are those that are judged, and taken once."""
        if self._with_ends is None:
            if self._judged[0] > 0:
                self._with_ends = DifferenceMeter(self._sample_rate)
            elif last < before.shape[1]:
                self._with_ends = deepcopy(self.difference)
        if self._with_ends is not None:
            start = 0 if self._judged[0] > 0 else last
            self._with_ends.update(before[:, start:], after[:, start:])

    def finish(self, **known: Any) -> Change:
        """Return the change, after the last block; `known` as of `DifferenceMeter.finish`."""
        self.difference.finish(**known)
        si_sdr_db, gain_db = self.difference.si_sdr_db(*PROTECTED_HZ)
        change = Change(
            self.stage,
            round(si_sdr_db, 2),
            self.budget.si_sdr_db,
            round(gain_db, 3),
            self._bands(),
            taken_sone=None if self._taken is None else round(self._taken.finish(), 3),
            budget_sone=self.budget.taken_sone,
        )
        if self.stage != "whole":
            return change
        heard = self.difference
        if self._with_ends is not None:
            heard = self._with_ends
            heard.finish()
            change = replace(change, with_ends_db=round(heard.si_sdr_db(*PROTECTED_HZ)[0], 2))
        level_db = heard.level_change_db(*PROTECTED_HZ)
        return replace(change, level_change_db=None if level_db is None else round(level_db, 2))

    def _bands(self) -> tuple[Mapping[str, float], ...]:
        power = self.difference
        whole = float(power.before.sum()) + 1e-30
        rows = []
        for low, high in BANDS_HZ:
            inside = power.bins(low, high)
            if inside.start == inside.stop:
                continue
            before, after, error = (
                float(sums[inside].sum()) + 1e-12 * whole
                for sums in (power.before, power.after, power.error)
            )
            rows.append(
                {
                    "low_hz": float(low),
                    "high_hz": float(min(high, self._sample_rate / 2)),
                    "level_db": round(10 * float(np.log10(after / before)), 2),
                    "difference_db": round(10 * float(np.log10(error / whole)), 1),
                }
            )
        return tuple(rows)


def beside_faults(whole: Change, stages: Sequence[Change]) -> Change:
    """Return the change of the whole, judged without the stages whose change is the fault itself.

    What the others changed adds up as energy. (To take the fault out of the measured whole instead
    would do the same where it is small; a band in anti-phase is as large as the music.)
    """
    if whole.unbounded or not any(change.unbounded for change in stages):
        return whole
    errors = [10 ** (-one.si_sdr_db / 10) for one in stages if not one.unbounded]
    rest_db = -10 * float(np.log10(sum(errors) + 10 ** (-SDR_LIMIT_DB / 10)))
    return replace(whole, beside_faults_db=round(max(rest_db, whole.si_sdr_db), 2))


def correct(plan: Plan, change: Change, *, tries: int) -> Plan:
    """Return the plan with the stage of a change that is over its budget turned down or bypassed.

    Args:
        plan: that was carried out.
        change: of one of its stages, over its budget; or of the one that changed most, where only
            the whole is over its own.
        tries: how often this stage was turned down already.
    """
    step = plan[change.stage]
    budget = STAGES[step.stage].budget
    setting = budget.turn_down
    if change.takes_too_much:
        why = (
            f"more would take too much of the music ({change.taken_sone:.2f} sone of it;"
            f" {change.budget_sone:g} is the most)"
        )
    elif change.within_budget:  # the whole is not, and this stage changed most of it
        why = (
            f"more would change too much of the music, all stages together ({plan.budget_db:.1f} dB"
            " SI-SDR in 60 Hz–7 kHz is the least)"
        )
    else:
        why = (
            f"more would change too much of the music ({change.si_sdr_db:.1f} dB SI-SDR in"
            f" 60 Hz–7 kHz; {change.budget_db:.1f} is the least)"
        )
    if setting is None or tries > TURN_DOWNS or (tries == TURN_DOWNS and budget.bypass):
        return plan.with_step(replace(step, on=False, reason=f"left out: {why}"))
    value = step.settings[setting] / 2 if tries < TURN_DOWNS else 0.0
    settings = {**step.settings, setting: value}
    reason = f"{step.reason}; only {setting} {value:g}: {why}"
    return plan.with_step(Step(step.stage, True, reason, settings))
