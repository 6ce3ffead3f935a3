"""Which of several pieces to keep: the one in which the diagnosis finds least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nitido.diagnosis.finding import SEVERITIES, Diagnosis

# What severe artefacts weigh against slight ones: two clear faults are worse than three slight.
POINTS = {"ok": 0, "slight": 1, "moderate": 4, "severe": 9}
# Loudness and width are no artefacts: any piece can be given them.
NO_ARTEFACTS = frozenset({"loudness", "width"})
SILENT_POINTS = 100


@dataclass(frozen=True)
class Candidate:
    """One piece and what was found in it.

    Attributes:
        name: to speak of it.
        raw: diagnosis of the piece as generated.
        restored: diagnosis of the piece as restored; None if it was not.
    """

    name: str
    raw: Diagnosis
    restored: Diagnosis | None = None

    @property
    def score(self) -> tuple[int, int]:
        """Points against it: as restored (as generated if it was not), then as generated."""
        return artefact_points(self.restored or self.raw), artefact_points(self.raw)

    def to_dict(self) -> dict[str, Any]:
        """Return name, points and faults as plain JSON values."""
        points, raw_points = self.score
        return {
            "name": self.name,
            "points": points,
            "points_as_generated": raw_points,
            "faults": faults(self.restored or self.raw),
            "faults_as_generated": faults(self.raw),
        }


@dataclass(frozen=True)
class Choice:
    """The candidate to keep, and why.

    Attributes:
        kept: index of the candidate.
        reason: one sentence.
        candidates: what was found in each, as JSON values.
    """

    kept: int
    reason: str
    candidates: tuple[dict[str, Any], ...]


def artefact_points(diagnosis: Diagnosis) -> int:
    """Return how much is wrong with a piece: 0 for nothing, 1, 4 or 9 for each fault.

    A silent piece has no faults, and is the worst there is.
    """
    if diagnosis["loudness"].value is None:
        return SILENT_POINTS
    return sum(
        POINTS[finding.severity]
        for finding in diagnosis.findings
        if finding.kind not in NO_ARTEFACTS
    )


def faults(diagnosis: Diagnosis) -> dict[str, str]:
    """Return the severity of each artefact that was found, the worst first."""
    found = [f for f in diagnosis.findings if f.found and f.kind not in NO_ARTEFACTS]
    found.sort(key=lambda finding: -SEVERITIES.index(finding.severity))
    return {finding.kind: finding.severity for finding in found}


def choose(candidates: Sequence[Candidate]) -> Choice:
    """Return the candidate with the fewest artefacts; of equal ones the first.

    Where restoring left the same in several, what had to be restored decides.
    """
    kept = min(range(len(candidates)), key=lambda index: candidates[index].score)
    return Choice(kept, _reason(candidates, kept), tuple(c.to_dict() for c in candidates))


def _reason(candidates: Sequence[Candidate], kept: int) -> str:
    best = candidates[kept]
    points, raw_points = best.score
    others = [candidate.score for index, candidate in enumerate(candidates) if index != kept]
    if not others:
        return f"{best.name} is the only one."
    nearest = min(others)
    if nearest == best.score:
        return (
            f"{best.name} is the first of those with {_points(points)} of artefacts; nothing tells "
            "them apart."
        )
    left = ", ".join(f"{kind} {severity}" for kind, severity in _shown(best)) or "nothing"
    if nearest[0] == points:
        return (
            f"{best.name} had fewest artefacts before restoring ({_points(raw_points)}; the next "
            f"best {nearest[1]}); afterwards both have {_points(points)}: {left}."
        )
    return (
        f"{best.name} has fewest artefacts ({_points(points)}; the next best {nearest[0]}): {left}."
    )


def _shown(candidate: Candidate) -> list[tuple[str, str]]:
    return list(faults(candidate.restored or candidate.raw).items())


def _points(points: int) -> str:
    return f"{points} point" + ("" if points == 1 else "s")
