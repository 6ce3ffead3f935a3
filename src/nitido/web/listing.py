"""What was found in a piece, what is done about it, what is left and why: one list, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nitido.diagnosis.finding import SEVERITIES, Diagnosis, Finding
from nitido.report.formatting import amount, minus, places
from nitido.report.text import NOTHING_FOUND, REMEDIES, mended
from nitido.restoration.registry import STAGES as REGISTERED
from nitido.restoration.stage import Step
from nitido.web.choices import AMOUNTS, FINDINGS, REPAIRS, STAGES
from nitido.web.sessions import SessionPiece

SILENT = "There is no sound in it."
REMEDY = {**REMEDIES, "loudness": "loudness"}  # the stage that mends a finding


@dataclass(frozen=True)
class Slider:
    """How much of a repair: the one setting of its stage that a hand may move."""

    name: str
    label: str
    low: float
    high: float
    step: float
    value: float
    shown: str
    unit: str


@dataclass(frozen=True)
class Row:
    """A fault, a repair, or both, and how it stands with them.

    Attributes:
        key: name of the stage, or of the finding that no stage mends.
        title: what it is called.
        technical: what it is called elsewhere, and what is measured.
        severity: the worst of what was found; ``"ok"`` if nothing was.
        found: sentences about what was found.
        heard: how it sounds.
        where: places, in words.
        spans: places, s.
        picture: of the finding, HTML of our own template.
        stage: whether there is a stage to switch.
        on: whether it will be repaired, or was.
        own: whether the visitor chose so.
        state: ``"done"``, ``"left"``, ``"will"``, ``"off"`` or ``"none"``.
        told: that in words.
        slider: None if there is nothing to move.
        loop: whether it is a loop; None where that is no question.
    """

    key: str
    title: str
    technical: str
    severity: str = "ok"
    found: list[str] = field(default_factory=list)
    heard: str = ""
    where: str = ""
    spans: list[tuple[float, float]] = field(default_factory=list)
    picture: str = ""
    stage: bool = False
    on: bool = False
    own: bool = False
    state: str = "none"
    told: str = ""
    slider: Slider | None = None
    loop: bool | None = None


def rows(piece: SessionPiece) -> list[Row]:
    """Return the list of a piece that was examined: the worst first, what was fine last."""
    diagnosis, plan = piece.diagnosis, piece.plan
    if diagnosis is None or plan is None or diagnosis.silent:
        return []
    result = {} if piece.stale else piece.result
    made = []
    for step in plan.steps:
        if step.stage in STAGES:
            findings = [f for f in diagnosis.findings if REMEDY.get(f.kind) == step.stage]
            ran = Step(**result["steps"][step.stage]) if result else None
            made.append(_repair(piece, ran or step, findings, result))
    for finding in diagnosis.findings:
        if finding.found and REMEDY.get(finding.kind) not in STAGES:
            told = "Left: nothing here mends it."
            made.append(Row(**_about(piece, [finding]), key=finding.kind, state="left", told=told))
    for kind in result.get("new_faults", ()):
        summary = minus(result["after"][kind]["summary"])
        title, heard = FINDINGS.get(kind, (kind, ""))
        severity = result["after"][kind]["severity"]
        made.append(
            Row(f"new-{kind}", f"New: {title}", kind, severity, [summary], heard,
                state="left", told="It was not there before; less of the repairs may avoid it.")
        )  # fmt: skip
    order = ("left", "done", "will", "off", "none")
    return sorted(made, key=lambda r: (-SEVERITIES.index(r.severity), order.index(r.state)))


def _about(piece: SessionPiece, findings: list[Finding]) -> dict[str, Any]:
    """Return what a row says of what was found."""
    faults = [finding for finding in findings if finding.found]
    worst = max(faults, key=lambda f: SEVERITIES.index(f.severity), default=None)
    shown = faults or findings
    names = [FINDINGS.get(fault.kind, (fault.kind, "")) for fault in faults]
    told = worst is not None and worst.where and worst.kind not in ("start", "end")
    return {
        "title": names[0][0] if len(names) == 1 else "",
        "technical": ", ".join(
            f"{f.kind} {minus(amount(f))}{f', {f.compared_with}' if f.compared_with else ''}"
            for f in shown
        ),
        "severity": worst.severity if worst else "ok",
        "found": [minus(finding.summary) for finding in shown],
        "heard": " ".join(heard for _, heard in names),
        "where": places(worst) if worst and told else "",
        "spans": [span for finding in faults for span in finding.where][:20],
        "picture": piece.pictures.get(worst.kind, "") if worst else "",
    }


def _repair(
    piece: SessionPiece, step: Step, findings: list[Finding], result: dict[str, Any]
) -> Row:
    settings = dict(piece.choices.settings or {})
    about = _about(piece, findings)
    stage = step.stage
    known = f"{stage}: {REGISTERED[stage].summary}"
    measured = f"; measured: {about['technical']}" if about["technical"] else ""
    about["technical"] = f"{known}{measured}"
    state, told = _state(step, findings, result, settings)
    about["title"] = about["title"] or STAGES[stage]
    return Row(
        **about,
        key=stage,
        stage=True,
        on=step.on,
        own=any(name.partition(".")[0] == stage for name in settings),
        state=state,
        told=told,
        slider=_slider(step),
        loop=bool(step.settings["loop"]) if stage == "ending" else None,
    )


def _slider(step: Step) -> Slider | None:
    amount = AMOUNTS.get(step.stage)
    if amount is None:
        return None
    value = step.settings[amount.setting]
    at = amount.low if value is None else min(max(value, amount.low), amount.high)
    name = f"{step.stage}.{amount.setting}"
    return Slider(
        name,
        amount.label,
        amount.low,
        amount.high,
        amount.step,
        at,
        amount.show(value),
        amount.unit,
    )


def _state(
    step: Step, findings: list[Finding], result: dict[str, Any], settings: dict[str, Any]
) -> tuple[str, str]:
    """Return how it stands with a repair, and that in words."""
    faults, repair = [finding for finding in findings if finding.found], REPAIRS[step.stage]
    reason = minus(step.reason)
    verdict = result["verdicts"].get(step.stage, "kept") if result else ""
    if verdict == "bypassed":
        return "left", "Left as it was: mending it would have changed too much of the music."
    if not step.on:
        if settings.get(f"{step.stage}.mode") == "off":
            return "off", "Left: you switched it off."
        return ("left" if faults else "none"), f"{'Left' if faults else 'Not needed'}: {reason}."
    if not result:
        return "will", f"Will {repair}: {reason}."
    softened = " Softened: more would have changed too much of the music."
    more = softened if verdict == "turned down" else ""
    if not faults:
        return "done", f"Done: {repair}; {reason}.{more}"
    after = {kind: Finding.from_dict(one) for kind, one in result["after"].items()}
    left = [after[f.kind] for f in faults if f.kind in after and after[f.kind].found]
    said = [
        text
        for fault in faults
        if fault.kind in REMEDIES and fault.kind in after
        for text in mended(fault, after[fault.kind])
    ]
    if step.stage == "loudness":
        said = [minus(after["loudness"].summary)] if "loudness" in after else []
    if left:
        still = " ".join(minus(f.summary) for f in left)
        return "left", f"Less of it, but not gone. {' '.join(said)} Now: {still}{more}"
    return "done", f"Repaired. {' '.join(said)}{more}"


def sentence(diagnosis: Diagnosis) -> str:
    """Return what is wrong with a piece in one sentence, the worst first."""
    if diagnosis.silent:
        return SILENT
    faults = [finding for finding in diagnosis.findings if finding.found]
    faults.sort(key=lambda finding: -SEVERITIES.index(finding.severity))
    said = "; ".join(_short(finding) for finding in faults)
    return f"{said[:1].upper()}{said[1:]}." if said else NOTHING_FOUND


def _short(finding: Finding) -> str:
    details = finding.details
    width = "mono" if details.get("mono") else finding.summary[:1].lower() + finding.summary[1:-1]
    start = "begins with a click" if details.get("click") else "begins with silence"
    texts = {
        "bandwidth": f"treble ends at {amount(finding)}",
        "clicks": "clicks" if finding.value != 1 else "clicks once",
        "clipping": "loud peaks are cut off",
        "comb": f"metallic whine, {finding.severity}",
        "dc": "off centre",
        "end": "the end breaks off" if details.get("cut") else "a long silence at the end",
        "gaps": f"drops out {details.get('count', 0)} times",
        "harshness": "harsh where it is loud",
        "loudness": "too quiet" if "quiet" in finding.summary else "peaks over full scale",
        "mud": "muddy",
        "nonfinite": "broken samples",
        "phase": "sides against each other",
        "rumble": "rumble below hearing",
        "shimmer": "treble flickers",
        "sibilance": "a sharp s",
        "start": start,
        "tone": "dull",
        "width": width,
    }
    return minus(texts.get(finding.kind, finding.summary.rstrip(".")))


def verdict(piece: SessionPiece) -> str:
    """Return in a few words what became of a piece."""
    if piece.said:
        return piece.said
    if piece.diagnosis is None:
        return ""
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


def summary(pieces: list[SessionPiece]) -> Iterator[tuple[SessionPiece, str, str]]:
    """Yield each piece with what was found and what became of it."""
    for piece in pieces:
        found = "" if piece.diagnosis is None else sentence(piece.diagnosis)
        yield piece, found, verdict(piece)
