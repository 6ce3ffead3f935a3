"""The parts of a page as HTML: tables, findings, stages, plots. Every text is escaped here.

The page's policy allows no style attributes, so what has a place has it as an SVG attribute.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nitido.report.story import UNTOUCHED_DB
from nitido.report.words import amount, places, settings

if TYPE_CHECKING:
    from nitido.diagnosis.finding import Finding
    from nitido.restoration.stage import Step
    from nitido.restoration.verify import Change

Rows: TypeAlias = Sequence[Mapping[str, Any]]

_MINUS = re.compile(r"(?<![\w-])-(?=\d)")
_GOOD = {"none": "fine"}  # how a severity is called on the page, where it has another name


def paragraph_list(sentences: Iterable[str]) -> str:
    """Return sentences as a list."""
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in sentences)}</ul>"


def number(value: Any) -> str:
    """Return a cell's value as text.

    >>> number(-3.14159), number(None), number(True), number(16000.0), number("a")
    ('−3.14', '–', 'yes', '16000', 'a')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        value = f"{value:.2f}" if abs(value) < 1000 else f"{value:.0f}"
        value = "0.00" if value == "-0.00" else value
    return minus(str(value))


def minus(text: str) -> str:
    """Return a text with a true minus before each negative number.

    >>> minus("-23 dB, 2-4 kHz, take-5")
    '−23 dB, 2-4 kHz, take-5'
    """
    return _MINUS.sub("−", text)


def table(title: str, rows: Rows) -> str:
    """Return rows as a table with a caption; the keys are the columns, in order of appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if not columns:
        return ""
    numeric = {
        column
        for column in columns
        if all(isinstance(row.get(column), int | float | None) for row in rows)
    }

    def cell(tag: str, column: str, text: str) -> str:
        kind = ' class="number"' if column in numeric else ""
        return f"<{tag}{kind}>{escape(text)}</{tag.split()[0]}>"

    head = "".join(cell('th scope="col"', column, column) for column in columns)
    body = "".join(
        "<tr>"
        + "".join(
            cell("td" if i else 'th scope="row"', column, number(row.get(column)))
            for i, column in enumerate(columns)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}"><table>'
        f"<caption>{escape(title)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def findings(pairs: Sequence[tuple[Finding, Finding]]) -> str:
    """Return the faults before and after as a table; with none, a sentence."""
    if not pairs:
        return "<p>Nothing wrong was found.</p>"
    body = "".join(
        f'<tr><th scope="row">{escape(old.kind)}<small>{escape(places(old))}</small></th>'
        f"<td>{_state(old)}</td><td>{_state(new)}</td></tr>"
        for old, new in pairs
    )
    return (
        '<table class="findings"><thead><tr><th scope="col">Fault</th><th scope="col">Before</th>'
        f'<th scope="col">After</th></tr></thead><tbody>{body}</tbody></table>'
    )


def _state(finding: Finding) -> str:
    said = _GOOD.get(finding.severity, finding.severity)
    return (
        f'<span class="amount">{escape(amount(finding))}</span> '
        f'<span class="severity {escape(finding.severity)}">{escape(said)}</span>'
    )


def stages(steps: Sequence[Step], changes: Sequence[Change]) -> str:
    """Return the stages that ran, or that had to be left out, with why and what they cost."""
    cost = {change.stage: change for change in changes}
    shown = [step for step in steps if step.on or step.stage in cost]
    if not shown:
        return "<p>No stage was needed.</p>"
    return (
        f'<ol class="stages">{"".join(_stage(step, cost.get(step.stage)) for step in shown)}</ol>'
    )


def _stage(step: Step, change: Change | None) -> str:
    badge = ""
    if change is not None and change.verdict != "kept":
        badge = f' <span class="badge">{escape(change.verdict)}</span>'
    told = f'<p class="cost">{escape(_cost(change))}</p>' if change and step.on else ""
    reason = minus(step.reason[:1].upper() + step.reason[1:])
    return f"<li><h3>{escape(step.stage)}{badge}</h3><p>{escape(reason)}.</p>{told}</li>"


def _cost(change: Change) -> str:
    if change.si_sdr_db >= UNTOUCHED_DB:
        return "60 Hz to 7 kHz untouched."
    return (
        f"What it changed from 60 Hz to 7 kHz lies {change.si_sdr_db:.1f} dB under the music; "
        f"{change.budget_db:.0f} dB or more are asked."
    )


def idle(steps: Sequence[Step], changes: Sequence[Change]) -> str:
    """Return the stages that did not run, and why."""
    tried = {change.stage for change in changes}
    rows = [
        {"stage": step.stage, "why it did not run": step.reason}
        for step in steps
        if not step.on and step.stage not in tried
    ]
    return table("Stages that did not run", rows)


def settings_table(steps: Sequence[Step]) -> str:
    """Return the settings of the stages that ran."""
    rows = [{"stage": step.stage, "settings": settings(step.settings)} for step in steps if step.on]
    return table("Settings", rows)


def image(png: bytes, *, text: str) -> str:
    """Return a PNG file as an image, with what it shows in words."""
    inside = base64.b64encode(png).decode("ascii")
    return f'<img src="data:image/png;base64,{inside}" alt="{escape(text)}">'


def curve(levels_db: NDArray[np.float32], *, low_db: float, high_db: float, tint: str) -> str:
    """Return a curve over the whole width of a plot, in a viewBox of 1000 × 1000."""
    across = np.linspace(0, 1000, len(levels_db))
    down = 1000 * (high_db - levels_db.clip(low_db, high_db)) / (high_db - low_db)
    points = " ".join(f"{a:.0f},{d:.0f}" for a, d in zip(across, down, strict=True))
    return f'<polyline class="{tint}" points="{points}"/>'


def marks(positions: Iterable[float], texts: Iterable[str], *, side: str) -> str:
    """Return the labels along a side of a plot, ``"left"`` or ``"bottom"``.

    Args:
        positions: from 0 to 1, from the left or from the bottom.
        texts: a label for each.
        side: where the labels stand.
    """
    labels = []
    for position, text in zip(positions, texts, strict=True):
        place = (
            f'x="100%" y="{100 * (1 - position):.2f}%" dy="0.35em"'
            if side == "left"
            else f'x="{100 * position:.2f}%" y="1em"'
        )
        labels.append(f"<text {place}>{escape(text)}</text>")
    return f'<svg class="marks {side}" aria-hidden="true">{"".join(labels)}</svg>'


def grid(*, across: Iterable[float] = (), up: Iterable[float] = ()) -> str:
    """Return the lines of a grid, at positions from 0 to 1."""
    vertical = [f'<path d="M{1000 * at:.0f} 0V1000"/>' for at in across]
    level = [f'<path d="M0 {1000 * (1 - at):.0f}H1000"/>' for at in up]
    return f'<g class="grid">{"".join(vertical + level)}</g>'


def legend(colours: Sequence[tuple[int, int, int]], low: str, high: str, *, name: str) -> str:
    """Return a bar of colours with what its two ends mean."""
    stops = "".join(
        f'<stop offset="{100 * i / (len(colours) - 1):.0f}%" stop-color="rgb{colour}"/>'
        for i, colour in enumerate(colours)
    )
    return (
        f'<span class="legend">{escape(low)} <svg width="72" height="8" aria-hidden="true"><defs>'
        f'<linearGradient id="{name}">{stops}</linearGradient></defs>'
        f'<rect width="72" height="8" rx="4" fill="url(#{name})"/></svg> {escape(high)}</span>'
    )
