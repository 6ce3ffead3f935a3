"""What the page shows of a piece, as HTML: findings, plan, progress, result. All text is escaped.

The panels are drawn anew as a whole; the browser changes only what is different.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path

from nitido.delivery_check import Verdict
from nitido.diagnosis.finding import SEVERITIES, Finding
from nitido.report.formatting import minus, places
from nitido.restoration.plan import Plan
from nitido.restoration.preset import load_preset
from nitido.restoration.stage import Step
from nitido.web.choices import AMOUNTS, PRESETS, STAGES, shown
from nitido.web.limits import Limits
from nitido.web.sessions import SOURCE, SessionPiece, Visit
from nitido.web.work import CREDENTIALS, FORMATS

# What a finding is called, and what one hears of it.
FINDINGS = {
    "bandwidth": ("Missing treble", "Cymbals and air are missing; it sounds covered."),
    "clipping": ("Cut-off peaks", "Loud moments crackle or sound harsh."),
    "comb": ("Metallic comb", "A thin metallic veil, heard best where it is quiet."),
    "dc": ("Off centre", "Not heard, but it takes room from the loudest moments."),
    "end": ("End", "It breaks off."),
    "gaps": ("Dropouts", "The sound is gone for a moment."),
    "loudness": ("Loudness", "Beside other music it plays too loud or too quiet."),
    "nonfinite": ("Broken samples", "Some players click or fall silent."),
    "rumble": ("Rumble", "Not heard, but loudspeakers work for it."),
    "start": ("Start", "It begins with a click, or late."),
    "tone": ("Tone", "It sounds dull."),
    "width": ("Width", "It comes from one point or one side, or it fades on a mono speaker."),
}
NOTES = {"wav": "24 bit", "flac": "24 bit", "mp3": "best quality", "opus": "192 kbit/s"}


def hint(limits: Limits) -> str:
    """Return what can be dropped, and what becomes of it."""
    return (
        f'<p class="hint">WAV, FLAC, MP3, Ogg, Opus or AIFF, up to {limits.megabytes:g} MB and '
        f"{limits.minutes:g} minutes each. Deleted when you leave.</p>"
    )


def lost() -> str:
    """Return what to say when the page was loaded again without its pieces; hidden at first."""
    return (
        '<div class="notice lost" role="status" hidden><p>The page was loaded again, by you or '
        "because its server was started anew. What was on it is gone; drop your music once more."
        "</p></div>"
    )


def examples(prompts: Iterable[str]) -> str:
    """Return examples to take over with a click."""
    buttons = "".join(
        f'<button type="button" data-prompt>{escape(text)}</button>' for text in prompts
    )
    return f'<div class="examples">{buttons}</div>'


def notice(texts: Iterable[str]) -> str:
    """Return what went wrong, a line each; empty if nothing did."""
    lines = "".join(f"<p>{escape(text)}</p>" for text in texts)
    return f'<div class="notice" role="alert">{lines}</div>' if lines else ""


def progress(words: str = "", share: float | None = None) -> str:
    """Return a bar with words; without words, its empty place, so that nothing moves.

    Args:
        words: what is done now.
        share: that is done, 0 to 1; 1 while the rest cannot be measured; None if nothing runs.
    """
    if share is None or share >= 1:
        kind = "still" if share is None else "endless"
        words = f'<p role="status">{escape(words)}</p>'
        return f'<div class="progress {kind}">{words}<i><i></i></i></div>'
    per_cent = f"{100 * max(share, 0.0):.0f}"
    return (
        f'<div class="progress" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{per_cent}"><p>{escape(words)}<b>{per_cent} %</b></p>'
        f'<i><i style="width:{per_cent}%"></i></i></div>'
    )


def pieces(visit: Visit) -> str:
    """Return the pieces to choose from, with what is shown pressed."""
    items = "".join(
        f'<li><button type="button" data-choose="{piece.number}" '
        f'aria-pressed="{"true" if piece is visit.piece else "false"}">'
        f"<span>{escape(piece.name)}</span>{_mark(piece)}</button>"
        f'<button type="button" class="remove" data-remove="{piece.number}" '
        f'aria-label="Remove {escape(piece.name)}">×</button></li>'
        for piece in visit.listed
    )
    return f'<ul class="pieces" aria-label="Your pieces">{items}</ul>' if items else ""


def _mark(piece: SessionPiece) -> str:
    return "<small>restored</small>" if piece.result else ""


def found(piece: SessionPiece | None) -> str:
    """Return the diagnosis: the faults, worst first, with a picture each; the rest in one line."""
    if piece is None or piece.diagnosis is None:
        return ""
    findings = piece.diagnosis.findings
    faults = [finding for finding in findings if finding.found]
    faults.sort(key=lambda finding: -SEVERITIES.index(finding.severity))
    fine = [finding for finding in findings if not finding.found]
    count = {0: "Nothing wrong", 1: "One thing"}.get(len(faults), f"{len(faults)} things")
    cards = "".join(_card(finding, piece.pictures.get(finding.kind, "")) for finding in faults)
    also = "".join(
        f"<li><b>{escape(FINDINGS[f.kind][0])}</b> {escape(minus(f.summary))}</li>" for f in fine
    )
    rest = f'<details class="fine"><summary>{len(fine)} more were looked at and are ok</summary>'
    rest += f"<ul>{also}</ul></details>" if fine else ""
    head = f"<h2>Found <small>{count} in {escape(piece.name)}</small></h2>"
    wide = 2 if len(faults) in (1, 2, 4) else 3
    return f'<section>{head}<div class="cards wide-{wide}">{cards}</div>{rest}</section>'


def _card(finding: Finding, picture: str) -> str:
    title, heard = FINDINGS[finding.kind]
    where = places(finding)
    told = finding.where and finding.kind not in ("start", "end")
    where = f' <span class="where">{escape(where)}</span>' if told else ""
    return (
        f'<article class="card"><h3>{escape(title)}'
        f'<span class="severity {finding.severity}">{finding.severity}</span></h3>{picture}'
        f'<p>{escape(minus(finding.summary))}{where}</p><p class="heard">{escape(heard)}</p>'
        "</article>"
    )


def plan(piece: SessionPiece | None) -> str:
    """Return what would be done: presets, and a row per stage with switch, reason and slider."""
    if piece is None or piece.diagnosis is None:
        return ""
    choices = shown(piece.choices)
    own = {*choices["switches"], *choices["amounts"]}
    steps = piece.choices.plan_for(piece.diagnosis).steps
    rows = "".join(_row(step, own=step.stage in own) for step in steps if step.stage in STAGES)
    changed = " changed" if piece.choices.settings else ""
    held, presets = escape(json.dumps(choices)), _presets(piece.choices.preset)
    return (
        f'<section class="plan{changed}" data-choices="{held}">'
        "<h2>Plan <small>what nitido would do, and why</small>"
        f'<button type="button" class="reset" data-reset>Back to the preset</button></h2>'
        f'<div class="presets" role="radiogroup" aria-label="Preset">{presets}</div>'
        f'<ul class="stages">{rows}</ul></section>'
    )


def _presets(chosen: str) -> str:
    return "".join(
        f'<label><input type="radio" name="preset" value="{name}"'
        f"{' checked' if name == chosen else ''}>"
        f"<b>{escape(title)}</b><span>{escape(load_preset(name).description)}</span></label>"
        for name, title in PRESETS.items()
    )


def _row(step: Step, *, own: bool) -> str:
    title = escape(STAGES[step.stage])
    reason = escape(minus(step.reason[:1].upper() + step.reason[1:]))
    state = f"{'' if step.on else ' off'}{' own' if own else ''}"
    return (
        f'<li class="stage{state}" data-stage="{step.stage}">'
        f'<label class="switch"><input type="checkbox" role="switch"'
        f"{' checked' if step.on else ''}><b>{title}</b></label>"
        f"<p>{reason}.</p>{_loop(step) if step.stage == 'ending' else ''}"
        f"{_slider(step, title)}</li>"
    )


def _loop(step: Step) -> str:
    checked = " checked" if step.settings["loop"] else ""
    return f'<label class="loop"><input type="checkbox" name="loop"{checked}> It is a loop</label>'


def _slider(step: Step, title: str) -> str:
    amount = AMOUNTS.get(step.stage)
    if amount is None:
        return '<div class="amount"></div>'
    value = step.settings[amount.setting]
    at = amount.low if value is None else min(max(value, amount.low), amount.high)
    off = "" if step.on else " disabled"
    return (
        f'<label class="amount"><span>{amount.label}</span><input type="range" '
        f'min="{amount.low:g}" max="{amount.high:g}" step="{amount.step:g}" value="{at:g}" '
        f'data-unit="{amount.unit}" aria-label="{title}: {amount.label.lower()}"{off}>'
        f"<output>{amount.show(value)}</output></label>"
    )


def result(visit: Visit, piece: SessionPiece | None) -> str:
    """Return the result: what to download, and the report to listen, look and read."""
    if piece is None or not piece.result:
        return ""
    base = address(visit, piece, piece.result)
    folder = piece.folder / piece.result
    files = "".join(
        f'<a class="download" href="{base}result.{name}" download>{FORMATS[name]}'
        f"<small>{NOTES[name]}{_size(folder / f'result.{name}')}</small></a>"
        for name in piece.formats
    )
    more = (
        f'<a class="download" href="{base}report.html" download>Report<small>as below</small></a>'
        f'<a class="download" href="{base}plan.json" download>Plan<small>to do it again</small></a>'
    )
    if (folder / CREDENTIALS).is_file():
        words = "Credentials<small>C2PA, of what came in</small>"
        more += f'<a class="download" href="{base}{CREDENTIALS}" download>{words}</a>'
    return (
        f"<section><h2>Result <small>{escape(piece.name)}{_turned_down(piece.plan)}</small></h2>"
        f'<div class="downloads">{files}{more}</div>{report(f"{base}report.html")}</section>'
    )


def verdict(judged: Verdict) -> str:
    """Return whether a piece is fit for where it goes, and what speaks against it."""
    items = "".join(
        f"<li><b>{escape(reason.severity)}</b> {escape(minus(reason.summary))}</li>"
        for reason in judged.reasons
        if reason.found
    )
    more = f'<ul class="fine">{items}</ul>' if items else ""
    return f'<section role="status"><p>{escape(judged.sentence)}</p>{more}</section>'


def report(source: str) -> str:
    """Return a report inside the page."""
    return f'<iframe class="report" src="{source}" title="Report" loading="eager"></iframe>'


def _turned_down(done: Plan | None) -> str:
    count = sum(step.on for step in done.steps) if done else 0
    return f" · {count} stages" if count != 1 else " · 1 stage"


def address(visit: Visit, piece: SessionPiece, name: str) -> str:
    """Return where the files of a result lie; relative, so that it holds behind a proxy."""
    return f"pieces/{visit.token}/{piece.number}/{name}/"


def clips(visit: Visit, numbers: Iterable[int]) -> str:
    """Return generated clips side by side: to listen to, and to take on to restoring."""
    items = []
    for number in numbers:
        piece = visit.pieces.get(number)
        if piece is None:
            continue
        source = f"{address(visit, piece, SOURCE)}{piece.source.name}"
        items.append(
            f'<article class="card clip"><h3>{escape(piece.stem)}</h3>'
            f'<audio controls preload="metadata" src="{source}"></audio>'
            f'<div><button type="button" data-restore="{number}">Restore this one</button>'
            f'<a class="download" href="{source}" download>Download</a></div></article>'
        )
    return f'<section><div class="cards wide-2">{"".join(items)}</div></section>' if items else ""


def _size(path: Path) -> str:
    """Return the size of a file that is there, to be told after something else."""
    return f" · {path.stat().st_size / 2**20:.1f} MB" if path.is_file() else ""
