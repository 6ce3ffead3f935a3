"""What was measured, as it is shown: means with their intervals, the worst clip, who wins.

A system counts on the clips that every system has a result for: same clips, same table. Intervals
are 95 % bootstrap intervals of the mean (percentiles, 10 000 drawings, seeded). What is drawn is
the piece of music, with all that was made of it: five codecs do not make five pieces of one.
Two systems are compared clip by clip, so what a hard clip does to both cancels out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nitido_lab.benchmark.runner import Result, TaskResults
from nitido_lab.benchmark.tasks import TASKS, BenchmarkTask, Column

Array = NDArray[np.float64]

DRAWINGS = 10_000
CONFIDENCE = 0.95
GROUPS_WIDE = 8  # more of them stand below each other
PIECES_MIN = 6  # fewer can all fall to one side by chance more often than once in twenty
OWN = "nitido"
NOTHING = "resample"  # the system that does nothing


@dataclass(frozen=True)
class Table:
    """Rows of text under heads; the first column is a name, the others are figures, in lines."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def heads(self) -> tuple[str, ...]:
        """The columns as `nitido.cli.printing.table` takes them: figures are set to the right."""
        return (self.columns[0], *(f"{head}>" for head in self.columns[1:]))

    def parts(self, columns: int) -> list[Table]:
        """Return the table in parts of at most so many columns of figures."""
        starts = range(1, len(self.columns), columns)
        return [
            Table(
                self.title,
                (self.columns[0], *self.columns[start : start + columns]),
                tuple((row[0], *row[start : start + columns]) for row in self.rows),
            )
            for start in starts
        ]


@dataclass(frozen=True)
class Cell:
    """One measure of one system over the clips.

    Attributes:
        mean: over the clips.
        low: end of its 95 % interval.
        high: its other end.
        worst: of all clips; None where a figure is neither good nor bad.
        worst_clip: whose that is.
    """

    mean: float
    low: float
    high: float
    worst: float | None
    worst_clip: str | None


@dataclass(frozen=True)
class Duel:
    """nitido against a system in one measure; a positive difference is a better nitido.

    Attributes:
        system: its name.
        measure: which.
        own: mean of nitido.
        other: mean of the system.
        better: mean of how much better nitido is.
        low: end of the 95 % interval of that mean.
        high: its other end.
        count: of clips.
    """

    system: str
    measure: Column
    own: float
    other: float
    better: float
    low: float
    high: float
    count: int

    def sentence(self) -> str:
        """Return the outcome in words."""
        digits = self.measure.digits
        own, other = (f"{value:.{digits}f}" for value in (self.own, self.other))
        low, high = sorted((abs(self.low), abs(self.high)))
        numbers = (
            f"{own} against {other}, by {abs(self.better):.{digits}f} "
            f"(95 % {_interval(low, high, digits)}), {self.count} clips"
        )
        outcome = "loses to" if self.better < 0 else "beats"
        return f"{OWN} {outcome} {self.system} in {self.measure.label}: {numbers}."


def interval(values: Array) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of `values` `[N]`; the same on every call."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(DRAWINGS, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def by_piece(figures: Mapping[str, float], pieces: Mapping[str, str]) -> Array:
    """Return the mean of the figures of each piece, `[N]`, of figures by clip."""
    found: dict[str, list[float]] = {}
    for clip, value in figures.items():
        found.setdefault(pieces[clip], []).append(value)
    return np.array([np.mean(values) for values in found.values()])


class Summary:
    """A task that was run, ready to be shown."""

    def __init__(self, outcome: TaskResults) -> None:
        """Take the results of a task."""
        self.task: BenchmarkTask = TASKS[outcome.task]
        self.left_out = dict(outcome.left_out)
        self.systems = list(dict.fromkeys(result.system for result in outcome.results))
        self.failed = [result for result in outcome.results if result.error]
        clips = list(dict.fromkeys(result.clip for result in outcome.results))
        lost = {result.clip for result in self.failed}
        self.clips = [clip for clip in clips if clip not in lost]
        self.results = [result for result in outcome.results if result.clip not in lost]
        # A clip is named after its piece, and its group if there is one.
        self.pieces = {r.clip: r.clip.removesuffix(f".{r.group}") for r in self.results}
        self._all = len(clips)

    def figures(
        self, system: str, measure: Column, *, group: str | None = None
    ) -> dict[str, float]:
        """Return one measure of one system, by clip; clips without it are not there."""
        return {
            result.clip: value
            for result in self.results
            if result.system == system and group in (None, result.group)
            if (value := result.figures.get(measure.key)) is not None
        }

    def tables(self) -> list[Table]:
        """Return the table of all measures, then the first measure by group if there are some."""
        clips, pieces = len(self.clips), len(set(self.pieces.values()))
        counts = f"{clips} clips" + (f" of {pieces} pieces" if pieces < clips else "")
        found = [Table(f"{self.task.name}, {counts}", *self._main())]
        groups = list(dict.fromkeys(result.group for result in self.results if result.group))
        if len(groups) > 1:
            for measure in self.task.measures[: self.task.by_group]:
                cells = {
                    (system, group): _mean(self._cell(system, measure, group), measure)
                    for system in self.systems
                    for group in groups
                }
                heads, rows = ("system", *groups), self.systems
                if len(groups) > GROUPS_WIDE:
                    heads, rows = ("group", *self.systems), groups
                    cells = {(group, system): cell for (system, group), cell in cells.items()}
                made = tuple((row, *(cells[row, head] for head in heads[1:])) for row in rows)
                found.append(Table(f"{measure.label}, mean", heads, made))
        return found

    def _main(self) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        shown = [m for m in self.task.measures if any(self.figures(s, m) for s in self.systems)]
        columns = ("system", *(_head(measure) for measure in shown))
        rows = [
            (system, *(_show(self._cell(system, measure), measure) for measure in shown))
            for system in self.systems
        ]
        return columns, tuple(rows)

    def _cell(self, system: str, measure: Column, group: str | None = None) -> Cell | None:
        figures = self.figures(system, measure, group=group)
        if not figures:
            return None
        worst_clip = None
        if measure.better is not None:
            pick = min if measure.better == "high" else max
            worst_clip = pick(figures, key=lambda clip: figures[clip])
        return Cell(
            float(np.mean(list(figures.values()))),
            *interval(by_piece(figures, self.pieces)),
            None if worst_clip is None else figures[worst_clip],
            worst_clip,
        )

    def duels(self) -> list[Duel]:
        """Return nitido against each system in each measure, where the difference is certain."""
        found = []
        for measure in self.task.measures:
            own = self.figures(OWN, measure)
            for system in self.systems:
                # who does nothing wins every measure of how little was changed
                idle = system == NOTHING and not measure.change_counts
                if system.startswith(OWN) or idle or measure.better is None:
                    continue
                if duel := self._duel(system, measure, own, self.figures(system, measure)):
                    found.append(duel)
        return found

    def _duel(
        self, system: str, measure: Column, own: dict[str, float], other: dict[str, float]
    ) -> Duel | None:
        """Return the outcome if it is beyond chance: the interval leaves out 0."""
        sign = 1 if measure.better == "high" else -1
        better = {clip: sign * (own[clip] - other[clip]) for clip in own if clip in other}
        pieces = by_piece(better, self.pieces)
        if len(pieces) < PIECES_MIN:
            return None
        low, high = interval(pieces)
        if low <= 0 <= high:
            return None
        mine, theirs = (
            float(np.mean([figures[clip] for clip in better])) for figures in (own, other)
        )
        gain = float(np.mean(list(better.values())))
        return Duel(system, measure, mine, theirs, gain, low, high, len(better))

    def harmed(self) -> str | None:
        """Return on how many clips nitido does harm by the first measure, and the worst of them."""
        measure = self.task.measures[0]
        if not measure.change_counts:
            return None
        own, idle = self.figures(OWN, measure), self.figures(NOTHING, measure)
        sign = 1 if measure.better == "high" else -1
        better = {clip: sign * (own[clip] - idle[clip]) for clip in own if clip in idle}
        if not better:
            return None
        harm = {clip: gain for clip, gain in better.items() if gain < -0.5 * 10**-measure.digits}
        said = f"By {measure.label}, {OWN} is worse than doing nothing on "
        if not harm:
            return f"{said}none of {len(better)} clips."
        worst = min(harm, key=lambda clip: harm[clip])
        return (
            f"{said}{len(harm)} of {len(better)} clips, most on {worst} "
            f"(by {-harm[worst]:.{measure.digits}f})."
        )

    def sentences(self) -> list[str]:
        """Return where nitido loses, plainly, and what is not in the table."""
        losses = [duel.sentence() for duel in self.duels() if duel.better < 0]
        said = losses or [f"{OWN} loses to none of these in any measure, beyond chance."]
        if (count := len(set(self.pieces.values()))) < PIECES_MIN:
            said = [f"Too few pieces of music to tell a difference from chance: {count}."]
        if harm := self.harmed():
            said.append(harm)
        if lost := self._all - len(self.clips):
            said.append(
                f"{lost} of {self._all} clips are left out, for not every system has them: "
                + "; ".join(_failures(self.failed))
                + "."
            )
        said += [f"Left out: {name} ({reason})." for name, reason in self.left_out.items()]
        return said

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values, with the figures of each clip."""
        return {
            "task": self.task.name,
            "clips": self.clips,
            "systems": {
                system: {
                    measure.key: vars(found)
                    for measure in self.task.measures
                    if (found := self._cell(system, measure))
                }
                for system in self.systems
            },
            "figures": [
                {"clip": r.clip, "group": r.group, "system": r.system, **dict(r.figures)}
                for r in self.results
            ],
            "sentences": self.sentences(),
        }


def _failures(failed: Iterable[Result]) -> list[str]:
    reasons: dict[tuple[str, str], int] = {}
    for result in failed:
        error = (result.error or "").replace(result.clip, "…").rstrip(".")
        reasons[result.system, error] = reasons.get((result.system, error), 0) + 1
    return [f"{system} {count} ×, {error}" for (system, error), count in reasons.items()]


def _head(measure: Column) -> str:
    arrow = {"high": " ↑", "low": " ↓", None: ""}[measure.better]
    return measure.label + arrow


def _show(found: Cell | None, measure: Column) -> str:
    """Return a cell as lines of text: mean, interval, worst clip."""
    if found is None:
        return "–"
    lines = [_mean(found, measure), _interval(found.low, found.high, measure.digits)]
    if found.worst is not None:
        lines.append(f"worst {shown(found.worst, measure.digits)}")
    return "\n".join(lines)


def _mean(found: Cell | None, measure: Column) -> str:
    return "–" if found is None else shown(found.mean, measure.digits)


def _interval(low: float, high: float, digits: int) -> str:
    return f"{shown(low, digits)}…{shown(high, digits)}"


def shown(value: float, digits: int) -> str:
    """Return a number as tables show it."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")
