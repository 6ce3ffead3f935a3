"""The report: one HTML file that plays, shows and explains; it needs no network.

Sound and pictures are inside the file. Its policy lets only its own script and style run, and lets
nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from nitido.audio import write_text
from nitido.report import markup
from nitido.report.figures import figures
from nitido.report.markup import Rows
from nitido.report.story import facts, story
from nitido.report.tracks import (
    LOSSLESS,
    PAGE_RATE_HZ,
    SECONDS_MAX,
    Excerpt,
    Track,
    encode,
    make_excerpts,
)
from nitido.report.words import clock, compared
from nitido.version import __version__

if TYPE_CHECKING:
    from nitido.diagnosis.finding import Finding
    from nitido.restoration.result import Restoration

LEVELS = {  # of the finding "loudness"
    "integrated_lufs": "loudness, LUFS",
    "short_term_max_lufs": "loudest 3 s, LUFS",
    "momentary_max_lufs": "loudest 0.4 s, LUFS",
    "range_lu": "loudness range, LU",
    "true_peak_dbtp": "true peak, dBTP",
    "plr_db": "true peak over loudness, dB",
}

__all__ = ["Track", "write_report", "write_restoration_report"]


def write_report(
    path: str | Path,
    *,
    tracks: Sequence[Track],
    title: str,
    sentences: Sequence[str],
    tables: Mapping[str, Rows],
    restoration: Restoration | None = None,
    found: Sequence[tuple[Finding, Finding]] = (),
    overwrite: bool = False,
) -> Path:
    """Write a page that plays the tracks and shows what is different; return its path.

    Args:
        path: of the HTML file.
        tracks: to switch between, aligned; the first is what the others are held against.
        title: heading, such as the name of the piece.
        sentences: what is to be known first, in plain words.
        tables: the numbers behind, by title; the keys of the rows are the columns.
        restoration: adds what was done.
        found: its faults before and after.
        overwrite: replace an existing file.

    Raises:
        AudioWriteError: the file exists, or cannot be written.
    """
    excerpts, cut = make_excerpts(tracks, seconds_max=SECONDS_MAX)
    coding, files = encode(excerpts)
    template = Template(_asset("report.html"))
    style, script = _asset("report.css"), _asset("player.js")
    page = template.substitute(
        policy=escape(_policy(style, script)),
        version=escape(__version__),
        title=escape(title),
        style=style,
        script=script,
        facts=escape(_facts(excerpts, restoration)),
        sentences=markup.paragraph_list(sentences),
        tracks=_buttons(excerpts),
        removed=_removed(excerpts),
        loudness=escape(_loudness(excerpts)),
        origin=escape(_origin(coding, cut)),
        figures=figures(excerpts, restoration.diagnosis if restoration else None),
        account=_account(restoration, found) if restoration else "",
        numbers=_numbers(tables, restoration),
        sound=_sound(excerpts, coding, files),
    )
    return write_text(path, page, overwrite=overwrite)


def write_restoration_report(
    path: str | Path, restoration: Restoration, *, overwrite: bool = False
) -> Path:
    """Write the page of a restoration: before, after, what was removed, and why; return its path.

    Raises:
        AudioWriteError: the file exists, or cannot be written.
    """
    rate, found = restoration.sample_rate, compared(restoration.diagnosis, restoration.after)
    loudness = restoration.plan["loudness"]
    gain_db = loudness.settings["gain_db"] if loudness.on else 0.0
    return write_report(
        path,
        tracks=[
            Track("Before", restoration.input_blocks, rate, "before", gain_db),
            Track("After", restoration.blocks, rate, "after"),
            Track("Removed", restoration.removed_blocks, rate, "removed"),
        ],
        title=restoration.name,
        sentences=story(restoration, found),
        tables=_tables(restoration),
        restoration=restoration,
        found=found,
        overwrite=overwrite,
    )


def _asset(name: str) -> str:
    return (resources.files("nitido.report") / "assets" / name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Return the content security policy: this style, this script, pictures inside; no more."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")

    return (
        f"default-src 'none'; script-src 'sha256-{digest(script)}'; "
        f"style-src 'sha256-{digest(style)}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _facts(excerpts: Sequence[Excerpt], restoration: Restoration | None) -> str:
    if restoration is not None:
        return facts(restoration)
    samples = excerpts[0].wav.shape[1] if excerpts else 0
    return f"{len(excerpts)} tracks · {clock(samples / PAGE_RATE_HZ)}"


def _origin(coding: str, cut: bool) -> str:
    """Return what the sound on the page is not: the whole piece, or the very samples."""
    said = [f"The sound in this page is coded as {coding}; the files themselves are better still."]
    if coding == LOSSLESS:
        said = []
    if cut:
        minutes = f"{SECONDS_MAX / 60:g} minutes"
        said.append(f"Sound and pictures are of the first {minutes}; the words are of all.")
    return " ".join(said)


def _buttons(excerpts: Sequence[Excerpt]) -> str:
    """Return a button per track, the first one pressed."""
    return "".join(
        f'<button type="button" class="track {excerpt.tint}" data-track="{i}" '
        f'aria-pressed="{"false" if i else "true"}" aria-keyshortcuts="{i + 1}" '
        f'title="{escape(excerpt.track.name)}">'
        f"<kbd>{i + 1}</kbd><span>{escape(excerpt.track.name)}</span></button>"
        for i, excerpt in enumerate(excerpts)
    )


def _removed(excerpts: Sequence[Excerpt]) -> str:
    """Return what the removed sound is, with a switch for what it is raised by."""
    said = ""
    for excerpt in excerpts:
        if excerpt.track.role == "removed":
            name = escape(excerpt.track.name)
            said += f"<p>{name} is before minus after: what was taken away, and what was added.</p>"
        if excerpt.boost_db:
            said += (
                '<label><input type="checkbox" id="raised" checked> '
                f"{name} is raised by {excerpt.boost_db:.1f} dB to be heard</label>"
            )
    return said


def _loudness(excerpts: Sequence[Excerpt]) -> str:
    """Return how loud the tracks play, and what was done for it."""
    whole = [excerpt for excerpt in excerpts if excerpt.track.role != "removed"]
    lufs = [excerpt.lufs for excerpt in whole if excerpt.lufs is not None]
    if not lufs:
        return ""
    gains = [(e.track.name, e.track.gain_db + e.gain_db) for e in whole]
    said = [
        f"{name} as it is" if abs(gain_db) < 0.05 else f"{name} {gain_db:+.1f} dB"
        for name, gain_db in gains
    ]
    return f"Equally loud, {max(lufs):.1f} LUFS: {', '.join(said)}.".replace(" -", " −")


def _account(restoration: Restoration, found: Sequence[tuple[Finding, Finding]]) -> str:
    """Return what was found and what was done about it."""
    steps, changes = restoration.plan.steps, restoration.changes
    return (
        f'<section aria-labelledby="found"><h2 id="found">Found</h2>{markup.findings(found)}'
        f'</section><section aria-labelledby="done"><h2 id="done">Done</h2>'
        f"{markup.stages(steps, changes)}</section>"
    )


def _numbers(tables: Mapping[str, Rows], restoration: Restoration | None) -> str:
    parts = [markup.table(title, rows) for title, rows in tables.items()]
    if restoration is not None:
        steps = restoration.plan.steps
        parts += [markup.settings_table(steps), markup.idle(steps, restoration.changes)]
    inside = "".join(parts)
    return f"<details><summary>The numbers behind</summary>{inside}</details>" if inside else ""


def _tables(restoration: Restoration) -> dict[str, Rows]:
    """Return the numbers of a restoration: all findings, and what changed band by band."""
    later = {finding.kind: finding for finding in restoration.after.findings}
    found = [
        {
            "finding": finding.kind,
            "before": finding.summary,
            "after": later[finding.kind].summary if finding.kind in later else None,
        }
        for finding in restoration.diagnosis.findings
    ]
    old, new = (d["loudness"].details for d in (restoration.diagnosis, restoration.after))
    delivery = [
        {"level": title, "before": old.get(key), "after": new.get(key)}
        for key, title in LEVELS.items()
    ]
    bands = [
        {
            "band, Hz": f"{row['low_hz']:.0f}–{row['high_hz']:.0f}",
            "level, dB": row["level_db"],
            "what changed, dB of the whole": row["difference_db"],
        }
        for change in restoration.changes
        if change.stage == "whole"
        for row in change.bands
    ]
    cost = [
        {
            "stage": change.stage,
            "SI-SDR 60 Hz–7 kHz, dB": change.si_sdr_db,
            "at least, dB": change.budget_db,
            "verdict": change.verdict,
        }
        for change in restoration.changes
    ]
    return {
        "All findings": found,
        "Loudness and peaks": delivery,
        "Change per band": bands,
        "What each stage changed": cost,
    }


def _sound(excerpts: Sequence[Excerpt], coding: str, files: Sequence[bytes]) -> str:
    """Return the tracks as JSON that cannot end the script element it lies in."""
    content: dict[str, Any] = {
        "sampleRate": PAGE_RATE_HZ,
        "seconds": excerpts[0].wav.shape[1] / PAGE_RATE_HZ if excerpts else 0,
        "coding": coding,
        "tracks": [
            {
                "name": excerpt.track.name,
                "tint": excerpt.tint,
                "boostDb": excerpt.boost_db,
                "wave": base64.b64encode(excerpt.wave).decode("ascii"),
                "audio": base64.b64encode(file).decode("ascii"),
            }
            for excerpt, file in zip(excerpts, files, strict=True)
        ],
    }
    return json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
