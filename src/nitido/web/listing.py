"""What was found in a piece, what is done about it, what is left and why: one list, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nitido.diagnosis.finding import SEVERITIES, Diagnosis, Finding
from nitido.report.formatting import amount, minus, places
from nitido.report.text import NOTHING_FOUND, REMEDIES, mended
from nitido.restoration.registry import STAGES as REGISTERED
from nitido.restoration.stage import Step
from nitido.web.choices import FINDINGS, STAGES, slider
from nitido.web.sessions import SessionPiece, Told

REMEDY = {**REMEDIES, "loudness": "loudness"}  # the stage that mends a finding
STATES = ("left", "done", "will", "off", "none")  # as they come in the list
SPANS_MAX = 20  # places of a row
HELD_BACK = "Left as it was: mending it would have changed too much of the music."
SOFTENED = " Softened: more would have changed too much of the music."


@dataclass(frozen=True)
class Row:
    """A fault, a repair, or both, and how it stands with them.

    Attributes:
        key: name of the stage, or of the finding that no stage mends.
        title: what it is called.
        technical: what it is called elsewhere, and what is measured.
        findings: what was found; if that was nothing, what was measured.
        state: one of `STATES`.
        told: that in words.
        picture: of the worst finding, HTML of our own template.
        step: of the stage; None where there is none to switch.
        own: whether the visitor chose so.
    """

    key: str
    title: str
    technical: str
    findings: Sequence[Finding]
    state: str
    told: str
    picture: str = ""
    step: Step | None = None
    own: bool = False

    @property
    def slider(self) -> Told | None:
        """The one setting that has a slider, and where it stands."""
        return slider(self.step) if self.step else None

    @property
    def worst(self) -> Finding | None:
        """The fault that matters most; None if nothing is wrong."""
        return max((f for f in self.findings if f.found), key=_weight, default=None)

    @property
    def severity(self) -> str:
        """Of the worst fault; ``"ok"`` if nothing is wrong."""
        return self.worst.severity if self.worst else "ok"

    @property
    def heard(self) -> str:
        """How it sounds."""
        return " ".join(FINDINGS[f.kind]["heard"] for f in self.findings)

    @property
    def where(self) -> str:
        """The places, in words; the edges of a piece need none."""
        worst = self.worst
        told = worst and worst.where and worst.kind not in ("start", "end")
        return places(worst) if worst and told else ""

    @property
    def spans(self) -> list[tuple[float, float]]:
        """The places, s."""
        return [span for f in self.findings if f.found for span in f.where][:SPANS_MAX]


def rows(piece: SessionPiece) -> list[Row]:
    """Return the list of a piece that was examined: the worst first, what was fine last."""
    diagnosis, plan = piece.diagnosis, piece.plan
    if diagnosis is None or plan is None or diagnosis.silent:
        return []
    result = {} if piece.stale else piece.result
    after = {kind: Finding.from_dict(one) for kind, one in result.get("after", {}).items()}
    made = []
    for step in plan.steps:
        if step.stage in STAGES:
            ran = Step(**result["steps"][step.stage]) if result else step
            found = [f for f in diagnosis.findings if REMEDY.get(f.kind) == step.stage]
            made.append(_repair(piece, ran, found, after, result))
    for finding in diagnosis.findings:
        if finding.found and REMEDY.get(finding.kind) not in STAGES:
            told = "Left: nothing here mends it."
            made.append(_fault(piece, finding, finding.kind, "", told))
    for kind in result.get("new_faults", ()):
        told = "It was not there before; less of the repairs may avoid it."
        made.append(_fault(piece, after[kind], f"new-{kind}", "New: ", told))
    return sorted(made, key=lambda row: (-SEVERITIES.index(row.severity), STATES.index(row.state)))


def _fault(piece: SessionPiece, finding: Finding, key: str, prefix: str, told: str) -> Row:
    title = f"{prefix}{FINDINGS[finding.kind]['title']}"
    picture = "" if prefix else piece.pictures.get(finding.kind, "")
    return Row(key, title, _measured([finding]), [finding], "left", told, picture)


def _repair(
    piece: SessionPiece,
    step: Step,
    findings: list[Finding],
    after: dict[str, Finding],
    result: dict[str, Any],
) -> Row:
    faults = [finding for finding in findings if finding.found]
    worst, shown = max(faults, key=_weight, default=None), faults or findings
    measured = f"; measured: {_measured(shown)}" if shown else ""
    name = FINDINGS[shown[0].kind] if len(shown) == 1 else STAGES[step.stage]
    chosen = {name: value for name, value in piece.choices.settings.items()
              if name.partition(".")[0] == step.stage}  # fmt: skip
    if chosen.get(f"{step.stage}.mode") == "off":
        state, told = "off", "Left: you switched it off."
    else:
        state, told = _state(step, faults, after, result)
    return Row(
        step.stage,
        name["title"],
        f"{step.stage}: {REGISTERED[step.stage].summary}{measured}",
        shown,
        state,
        told,
        piece.pictures.get(worst.kind, "") if worst else "",
        step,
        own=bool(chosen),
    )


def _measured(findings: list[Finding]) -> str:
    return ", ".join(
        f"{f.kind} {minus(amount(f))}{f', {f.compared_with}' if f.compared_with else ''}"
        for f in findings
    )


def _state(
    step: Step, faults: list[Finding], after: dict[str, Finding], result: dict[str, Any]
) -> tuple[str, str]:
    """Return how it stands with a repair, and that in words."""
    reason, repair = minus(step.reason), STAGES[step.stage]["repair"]
    verdict = result["verdicts"].get(step.stage, "kept") if result else ""
    if verdict == "bypassed":
        return "left", HELD_BACK
    if not step.on:
        if not faults and reason.startswith("off"):
            return "none", f"{reason.capitalize()}; its switch tries it."
        return ("left", f"Left: {reason}.") if faults else ("none", f"Not needed: {reason}.")
    if not result:
        return "will", f"Will {repair}: {reason}."
    more = SOFTENED if verdict == "turned down" else ""
    if not faults:
        return "done", f"Done: {repair}; {reason}.{more}"
    pairs = [(fault, after[fault.kind]) for fault in faults if fault.kind in after]
    said = [text for old, new in pairs if old.kind in REMEDIES for text in mended(old, new)]
    if step.stage == "loudness":
        said = [minus(new.summary) for _, new in pairs]
    if left := [minus(new.summary) for _, new in pairs if new.found]:
        still = " ".join(left)
        return "left", f"Less of it, but not gone. {' '.join(said)} Now: {still}{more}"
    return "done", f"Repaired. {' '.join(said)}{more}"


def _weight(finding: Finding) -> int:
    return SEVERITIES.index(finding.severity)


def sentence(diagnosis: Diagnosis) -> str:
    """Return what is wrong with a piece in one sentence, the worst first."""
    if diagnosis.silent:
        return "There is no sound in it."
    faults = sorted((f for f in diagnosis.findings if f.found), key=_weight, reverse=True)
    said = "; ".join(_short(fault) for fault in faults)
    return f"{said[:1].upper()}{said[1:]}." if said else NOTHING_FOUND


def _short(fault: Finding) -> str:
    words, details = FINDINGS[fault.kind], fault.details
    forms = [form for key, form in words.get("forms", {}).items()
             if details.get(key, key in fault.summary)]  # fmt: skip
    told = {"summary": fault.summary[:1].lower() + fault.summary[1:-1], **details}
    told |= {"amount": amount(fault), "severity": fault.severity}
    return minus(next(iter(forms), words["short"]).format_map(told))


def verdict(piece: SessionPiece) -> str:
    """Return in a few words what became of a piece."""
    if piece.said or piece.diagnosis is None:
        return piece.said
    if piece.diagnosis.silent:
        return "nothing to restore"
    faults = [f for f in piece.diagnosis.findings if f.found]
    if not piece.result:
        return f"{len(faults)} found" if faults else "nothing wrong"
    if piece.stale:
        return "changed since it was restored"
    left = sum(piece.result["after"].get(f.kind, {}).get("severity", "ok") != "ok" for f in faults)
    more = f", {new} new" if (new := len(piece.result["new_faults"])) else ""
    return f"{len(faults) - left} of {len(faults)} repaired{more}" if faults else f"finished{more}"
