"""The report: one HTML file that plays, shows and explains; it needs no network.

Sound and pictures are inside the file.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nitido.audio import write_text
from nitido.errors import MissingExtraError
from nitido.report.figures import page_figures, restoration_figure
from nitido.report.formatting import clock, minus, quantity, settings
from nitido.report.templating import environment, one_file_page
from nitido.report.text import (
    NOTHING_FOUND,
    REDUCED,
    describe_change,
    describe_restoration,
    facts,
    faults,
)
from nitido.report.tracks import (
    LOSSLESS,
    PAGE_RATE_HZ,
    SECONDS_MAX,
    Excerpt,
    Track,
    encode,
    make_excerpts,
)

if TYPE_CHECKING:
    from nitido.restoration.restored_sound import RestoredSound
    from nitido.restoration.stage import Step
    from nitido.restoration.verify import Change

Rows: TypeAlias = Sequence[Mapping[str, Any]]

NOTEBOOK_SECONDS = 30.0
NOTEBOOK_DPI = 60  # a picture of 960 points' width
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
    restoration: RestoredSound | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a page that plays the tracks and shows what is different; return its path.

    Args:
        path: of the HTML file.
        tracks: to switch between, aligned; the first is what the others are held against.
        title: heading, such as the name of the piece.
        sentences: what is to be known first, in plain words.
        tables: the numbers behind, by title; the keys of the rows are the columns.
        restoration: adds what was found and done.
        overwrite: replace an existing file.

    Raises:
        AudioWriteError: the file exists, or cannot be written.
    """
    excerpts, cut = make_excerpts(tracks, seconds_max=SECONDS_MAX)
    coding, files = encode(excerpts)
    page = one_file_page(
        "report.html",
        style="report.css",
        script="player.js",
        title=title,
        sentences=sentences,
        facts=_facts(excerpts, restoration),
        excerpts=excerpts,
        loudness=_loudness(excerpts),
        coding=coding,
        cut=cut,
        seconds_max=SECONDS_MAX,
        figures=page_figures(excerpts, restoration.diagnosis if restoration else None),
        restoration=restoration,
        found=faults(restoration.diagnosis, restoration.after) if restoration else [],
        nothing_found=NOTHING_FOUND,
        reduced=REDUCED,
        done=_done(restoration) if restoration else [],
        tables=[_table(title, rows) for title, rows in tables.items() if any(rows)],
        sound=_sound(excerpts, coding, files),
    )
    return write_text(path, page, overwrite=overwrite)


def write_restoration_report(
    path: str | Path, restoration: RestoredSound, *, overwrite: bool = False
) -> Path:
    """Write the page of a restoration: before, after, what was removed, and why; return its path.

    Raises:
        AudioWriteError: the file exists, or cannot be written.
    """
    return write_report(
        path,
        tracks=restoration_tracks(restoration),
        title=restoration.name,
        sentences=describe_restoration(restoration),
        tables=_tables(restoration),
        restoration=restoration,
        overwrite=overwrite,
    )


def notebook_view(restoration: RestoredSound) -> str:
    """Return what a notebook shows of a restoration, as HTML: sentences, sounds, picture.

    The sounds are the first 30 s, equally loud.
    """
    excerpts, cut = make_excerpts(restoration_tracks(restoration), seconds_max=NOTEBOOK_SECONDS)
    coding, files = encode(excerpts)
    picture, missing = io.BytesIO(), ""
    try:
        restoration_figure(restoration).savefig(picture, format="png", dpi=NOTEBOOK_DPI)
    except MissingExtraError as error:
        missing = str(error)
    return (
        environment()
        .get_template("notebook.html")
        .render(
            title=restoration.name,
            facts=facts(restoration),
            sentences=describe_restoration(restoration),
            sounds=[
                (excerpt, base64.b64encode(file).decode("ascii"))
                for excerpt, file in zip(excerpts, files, strict=True)
            ],
            coding="flac" if coding == LOSSLESS else "ogg",
            loudness=_loudness(excerpts),
            cut=cut,
            seconds_max=NOTEBOOK_SECONDS,
            picture=base64.b64encode(picture.getvalue()).decode("ascii"),
            missing=missing,
        )
    )


def restoration_tracks(restoration: RestoredSound) -> list[Track]:
    """Return what is to be heard of a restoration: before, after, and what was removed."""
    rate = restoration.sample_rate
    loudness = restoration.plan["loudness"]
    gain_db = loudness.settings["gain_db"] if loudness.on else 0.0
    return [
        Track("Before", restoration.input_blocks, rate, "before", gain_db),
        Track("After", restoration.blocks, rate, "after"),
        Track("Removed", restoration.removed_blocks, rate, "removed"),
    ]


def _facts(excerpts: Sequence[Excerpt], restoration: RestoredSound | None) -> str:
    if restoration is not None:
        return facts(restoration)
    samples = excerpts[0].wav.shape[1] if excerpts else 0
    return f"{len(excerpts)} tracks · {clock(samples / PAGE_RATE_HZ)}"


def _loudness(excerpts: Sequence[Excerpt]) -> str:
    """Return how loud the tracks play, and what was done for it."""
    whole = [excerpt for excerpt in excerpts if excerpt.track.role != "removed"]
    lufs = [excerpt.lufs for excerpt in whole if excerpt.lufs is not None]
    if not lufs:
        return ""
    gains = [(e.track.name, e.track.gain_db + e.gain_db) for e in whole]
    said = [
        f"{name} as it is" if abs(gain_db) < 0.05 else f"{name} {minus(f'{gain_db:+.1f}')} dB"
        for name, gain_db in gains
    ]
    return f"Equally loud, {quantity(max(lufs), 'LUFS')}: {', '.join(said)}."


def _done(restoration: RestoredSound) -> list[tuple[Step, Change | None, str]]:
    """Return the stages that ran, or had to be left out, with what each changed, and that told."""
    changes = {change.stage: change for change in restoration.changes}
    shown = [s for s in restoration.plan.steps if s.on or s.stage in changes]
    found = [(step, changes.get(step.stage)) for step in shown]
    return [
        (step, change, describe_change(change) if change and step.on else "")
        for step, change in found
    ]


def _table(title: str, rows: Rows) -> dict[str, Any]:
    """Return a table for the template: the keys are the columns, in order of appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    numeric = {
        column
        for column in columns
        if all(isinstance(row.get(column), int | float | None) for row in rows)
    }
    return {"title": title, "columns": columns, "numeric": numeric, "rows": rows}


def _tables(restoration: RestoredSound) -> dict[str, Rows]:
    """Return the numbers of a restoration: findings, levels, changes, settings."""
    later = {finding.kind: finding for finding in restoration.after.findings}
    found = [
        {
            "finding": finding.kind,
            "before": minus(finding.summary),
            "after": minus(later[finding.kind].summary) if finding.kind in later else None,
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
    steps, tried = restoration.plan.steps, {change.stage for change in restoration.changes}
    changed = [
        {
            "stage": change.stage,
            "SI-SDR 60 Hz–7 kHz, dB": change.si_sdr_db,
            "beside what was wrong, dB": change.beside_faults_db,
            "at least, dB": change.budget_db,
            "music taken, sone": change.taken_sone,
            "at most, sone": change.budget_sone,
            "verdict": REDUCED.get(change.verdict, "kept"),
        }
        for change in restoration.changes
    ]
    return {
        "All findings": found,
        "Loudness and peaks": delivery,
        "Change per band": bands,
        "What each stage changed": changed,
        "Settings": [
            {"stage": step.stage, "settings": settings(step.settings)} for step in steps if step.on
        ],
        "Stages that did not run": [
            {"stage": step.stage, "why it did not run": step.reason}
            for step in steps
            if not step.on and step.stage not in tried
        ],
    }


def _sound(excerpts: Sequence[Excerpt], coding: str, files: Sequence[bytes]) -> dict[str, Any]:
    """Return the tracks as the player takes them."""
    return {
        "sampleRate": PAGE_RATE_HZ,
        "seconds": excerpts[0].wav.shape[1] / PAGE_RATE_HZ if excerpts else 0,
        "coding": coding,
        "tracks": [
            {**excerpt.to_dict(), "audio": base64.b64encode(file).decode("ascii")}
            for excerpt, file in zip(excerpts, files, strict=True)
        ],
    }
