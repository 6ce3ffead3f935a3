"""What is done for a visitor, each as a function of a piece and of whom to tell how far it is."""

from __future__ import annotations

import base64
import re
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import nitido
from nitido import api
from nitido.audio import FORMATS as CONTAINERS
from nitido.audio import ArraySource, SanitizedBlocks, Source, open_source, write
from nitido.audio.encode import flac_bytes
from nitido.audio.ffmpeg import program
from nitido.comparison import compare
from nitido.delivery_check import check
from nitido.dsp.chunks import join, reblock
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.output import INGREDIENT
from nitido.report.page import restoration_tracks, write_report
from nitido.report.thumbnails import thumbnails
from nitido.report.tracks import LOSSLESS, PAGE_RATE_HZ, Track, make_excerpts
from nitido.restoration.headroom import write_under_ceiling
from nitido.restoration.plan import Plan
from nitido.restoration.restore import DIAGNOSED
from nitido.web.choices import shown
from nitido.web.queue import Tell
from nitido.web.sessions import SessionPiece

PLAYED_SECONDS = 300.0  # of a piece that the page plays; the files have all of it
PREVIEW_SECONDS = 10.0
NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]')  # of files: Windows has no such names
LOUD_STEP_SECONDS = 0.5  # between the places that are tried for the loudest


@dataclass(frozen=True)
class Download:
    """A file that a result can be had as.

    Attributes:
        label: what it is called.
        note: what it is good for.
        suffix: of its name.
        format: of `nitido.audio`; empty for what is no sound of libsndfile's.
        bit_depth: None for the format's own.
    """

    label: str
    note: str
    suffix: str
    format: str = ""
    bit_depth: int | None = None


DOWNLOADS = {
    "wav": Download("WAV", "24 bit, for any program", ".wav", "wav", 24),
    "wav16": Download("WAV", "16 bit, for a CD", ".wav", "wav", 16),
    "wav32": Download("WAV", "32 bit float, to work on", ".wav", "wav", 32),
    "flac": Download("FLAC", "24 bit, half the size", ".flac", "flac", 24),
    "mp3": Download("MP3", "best quality", ".mp3", "mp3"),
    "m4a": Download("M4A", "AAC, 256 kbit/s", ".m4a", "m4a"),
    "ogg": Download("Ogg", "Vorbis", ".ogg", "ogg"),
    "opus": Download("Opus", "192 kbit/s", ".opus", "opus"),
    "report": Download("Report", "to read, look and listen", ".report.html"),
    "plan": Download("Plan", "to do it again", ".nitido.json"),
    "credentials": Download("Credentials", "C2PA, of what came in", INGREDIENT),
}
CREDENTIALS = f"result.wav{INGREDIENT}"  # kept aside, if what came in has any
FILES = {  # that are there as soon as a piece is restored
    "wav32": "result.wav",
    "report": "report.html",
    "plan": "plan.json",
    "credentials": CREDENTIALS,
}
ZIPPED = ("report", "plan", "credentials")  # with each result
STRANGERS = "These seem to be different pieces of music, of which the rest says little."


def examine(piece: SessionPiece, tell: Tell) -> None:
    """Diagnose a piece and draw its findings; a piece that was examined stays as it is."""
    if piece.diagnosis is None:
        diagnosis = api.diagnose(piece.source, on_progress=lambda done, total: tell(done / total))
        piece.pictures = thumbnails(piece.source, diagnosis)
        piece.diagnosis = diagnosis


def play_original(piece: SessionPiece, tell: Tell) -> None:
    """Make the piece as it came ready to be played."""
    source = open_source(piece.source)
    tell(0.0)
    track = Track("Before", source.blocks, source.sample_rate, "before")
    piece.keep_set("original", _make_set(piece, [track]))


def preview(piece: SessionPiece, tell: Tell) -> None:
    """Restore the loudest ten seconds of a piece, for its visitor to hear at once.

    Before the piece was examined, that is by what is wrong with the ten seconds alone.
    """
    choices = shown(piece.choices)
    source = open_source(piece.source)
    start = _loudest(source)
    tell(0.2)
    wav = _cut(source, start, round(PREVIEW_SECONDS * source.sample_rate))
    excerpt = ArraySource(wav, source.sample_rate, piece.name)
    if piece.diagnosis is None:
        diagnosis = api.diagnose(excerpt)
    else:
        diagnosis = replace(piece.diagnosis, samples=wav.shape[1], loop=None)
    plan = piece.choices.plan_for(piece.diagnosis or diagnosis)
    ending = plan["ending"]  # the excerpt has other ends
    plan = plan.with_step(replace(ending, on=False, settings={**ending.settings, "loop": False}))
    with api.restore_with(
        piece.choices.with_plan(plan),
        excerpt,
        diagnosis=diagnosis,
        on_progress=lambda done, total: tell(0.3 + 0.6 * done / total),
    ) as restoration:
        offset = start / source.sample_rate
        told = _make_set(piece, restoration_tracks(restoration), offset=offset)
    tell(1.0)
    piece.keep_set("preview", {**told, "choices": choices})


def restore(piece: SessionPiece, tell: Tell, ready: Callable[[], None] = lambda: None) -> None:
    """Restore a piece as its visitor chose; its result then lies on the disk, with its report.

    Args:
        piece: to restore.
        tell: takes the share done.
        ready: called when the result can be heard, before the report is written.
    """
    examine(piece, lambda share: tell(share * DIAGNOSED))
    choices = shown(piece.choices)
    with api.restore_with(
        piece.choices,
        piece.source,
        name=piece.name,
        diagnosis=piece.diagnosis,
        on_progress=lambda done, total: tell(0.8 * done / total),
    ) as restoration:
        folder = piece.new_folder()
        told: dict[str, Any] = {}
        try:
            restoration.write(folder / "result.wav", bit_depth=32)
            (folder / "result.wav.nitido.json").rename(folder / "plan.json")
            tell(0.85)
            told = _make_set(piece, restoration_tracks(restoration))
            tell(0.9)  # raises if it was cancelled meanwhile
            sidecar = restoration.sidecar()
        except BaseException:
            for place in (folder, piece.folder / told.get("folder", folder)):
                shutil.rmtree(place, ignore_errors=True)
            raise
        piece.keep_set("result", told)
        piece.keep(
            folder,
            {
                "choices": choices,
                "peak_dbfs": restoration.peak_dbfs,
                "channels": restoration.channels,
                "sentences": sidecar["sentences"],
                "steps": {step["stage"]: step for step in sidecar["plan"]["steps"]},
                "verdicts": {change["stage"]: change["verdict"] for change in sidecar["changes"]},
                "after": {one["kind"]: one for one in sidecar["after"]["findings"]},
                "new_faults": sidecar["new_faults"],
            },
        )
        ready()
        tell(0.95)
        restoration.report(folder / "report.html")


def offered(piece: SessionPiece) -> dict[str, Download]:
    """Return in what forms the result of a piece can be had."""
    if not piece.result:
        return {}
    over = (piece.result["peak_dbfs"] or 0.0) > 0  # integers would clip it
    channels = piece.result["channels"]

    def holds(name: str, one: Download) -> bool:
        if one.format == "m4a" and program() is None:
            return False
        if one.format:
            clips = over and one.bit_depth in (16, 24)
            return channels <= CONTAINERS[one.format].channels_max and not clips
        return (piece.result_folder / FILES[name]).is_file()

    return {name: one for name, one in DOWNLOADS.items() if holds(name, one)}


def download(piece: SessionPiece, name: str) -> Path:
    """Return the path of a result in that form; it is written when it is asked for first.

    Raises:
        ConfigError: it cannot be had in that form.
    """
    if name not in offered(piece):
        raise ConfigError(f"{piece.name} cannot be had as {name}.")
    one, folder = DOWNLOADS[name], piece.result_folder
    path = folder / FILES.get(name, f"{name}{one.suffix}")
    with piece.encoding:
        if not path.is_file():
            _encode(folder, path, one)
    return path


def _encode(folder: Path, path: Path, one: Download) -> None:
    """Write a result in another form, a lossy one under the ceiling of its plan."""
    source = open_source(folder / "result.wav")
    begun = folder / f"begun{one.suffix}"  # it has its name when its peaks are right

    def put(blocks: Iterable[Wav], *, overwrite: bool = True) -> Path:
        return write(
            begun,
            blocks,
            sample_rate=source.sample_rate,
            channels=source.channels,
            samples=source.samples,
            mask=source.mask,
            format=one.format,
            bit_depth=one.bit_depth,
            tags=source.tags,
            chunks=source.chunks,
            pictures=source.pictures,
            overwrite=overwrite,
        )

    if one.bit_depth:
        put(source.blocks())
    else:
        plan = Plan.from_json((folder / "plan.json").read_text("utf-8"))
        write_under_ceiling(put, source, plan["loudness"])
    begun.replace(path)


def zip_results(pieces: Sequence[SessionPiece], path: Path, form: str) -> None:
    """Write the results of pieces into a ZIP file, each with its report and its plan."""
    taken: set[str] = set()
    with zipfile.ZipFile(path, "x", allowZip64=True) as bundle:  # sound does not get smaller
        for piece in pieces:
            stem, number = piece.stem, 2
            while stem.lower() in taken:
                stem, number = f"{piece.stem} ({number})", number + 1
            taken.add(stem.lower())
            had = offered(piece)
            names = [form if form in had else "wav32", *ZIPPED]
            for name in [name for name in dict.fromkeys(names) if name in had]:
                safe = NOT_IN_NAMES.sub("_", stem).lstrip(".") or "piece"
                bundle.write(download(piece, name), f"{safe}_restored{DOWNLOADS[name].suffix}")


def judge(piece: SessionPiece, target: str, tell: Tell) -> None:
    """Say whether a piece, or its result if there is one, is fit for where it goes."""
    source = open_source(piece.result_folder / "result.wav" if piece.result else piece.source)
    source.name = piece.name
    verdict = check(source, target=target, on_progress=lambda done, total: tell(done / total))
    reasons = [
        {"severity": one.severity, "summary": one.summary} for one in verdict.reasons if one.found
    ]
    piece.verdict = {
        "target": target,
        "sentence": verdict.sentence,
        "reasons": reasons,
        "of": piece.result.get("folder", ""),
    }


def compare_pieces(
    piece: SessionPiece,
    files: Sequence[tuple[str, Path]],
    reference: Path | None,
    tell: Tell,
) -> None:
    """Compare files, the first with each of the others; what comes of it is kept as a result."""
    tell(0.05)
    comparison = compare(
        *(path for _, path in files), reference=reference, names=[name for name, _ in files]
    )
    tell(0.7)
    folder = piece.new_folder()
    try:
        tracks = comparison.tracks()
        told = _make_set(piece, tracks)
        write_report(
            folder / "report.html",
            tracks=tracks,
            title=piece.name,
            sentences=comparison.sentences(),
            tables=comparison.tables,
        )
        tell(1.0)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    strangers = any(not matching.aligned for matching in comparison.matchings)
    sentences = [*([STRANGERS] if strangers else []), *comparison.sentences()]
    piece.keep_set("result", told)
    piece.keep(folder, {"sentences": sentences, "peak_dbfs": None, "channels": 0})


def generate(piece: SessionPiece, prompt: str, options: dict[str, Any], tell: Tell) -> None:
    """Make music from words, as the file of a clip."""
    made = nitido.generate(
        prompt, on_progress=lambda done, total: tell(min(done / total, 0.99)), **options
    )
    made.write(piece.source)


def _loudest(source: Source) -> int:
    """Return the first sample of the loudest stretch of a preview's length."""
    hop = round(LOUD_STEP_SECONDS * source.sample_rate)
    blocks = reblock(SanitizedBlocks(source.blocks()), hop)
    steps = [float(np.square(block, dtype=np.float64).sum()) for block in blocks]
    wide = round(PREVIEW_SECONDS / LOUD_STEP_SECONDS)
    if len(steps) <= wide:
        return 0
    return int(np.convolve(steps, np.ones(wide), "valid").argmax()) * hop


def _cut(source: Source, start: int, samples: int) -> Wav:
    """Return a stretch of a piece, `[C, n]`; only that is held."""
    held, position = [], 0
    for block in SanitizedBlocks(source.blocks()):
        held.append(block[:, max(start - position, 0) : max(start + samples - position, 0)])
        position += block.shape[1]
        if position >= start + samples:
            break
    return join(held, channels=source.channels)


def _make_set(
    piece: SessionPiece, tracks: Sequence[Track], *, offset: float = 0.0
) -> dict[str, Any]:
    """Return sounds to play side by side, equally loud; their files lie in a folder of the piece.

    Args:
        piece: whose they are.
        tracks: the sounds.
        offset: where in the piece they begin, s.
    """
    excerpts, cut = make_excerpts(tracks, seconds_max=PLAYED_SECONDS)
    seconds = excerpts[0].wav.shape[1] / PAGE_RATE_HZ
    folder = piece.new_folder()
    for number, excerpt in enumerate(excerpts):
        content = flac_bytes(excerpt.wav, sample_rate=PAGE_RATE_HZ)  # ten times as fast as Opus
        (folder / str(number)).write_bytes(content)
    return {
        "id": secrets.token_hex(4),
        "folder": folder.name,
        "coding": LOSSLESS,
        "sampleRate": PAGE_RATE_HZ,
        "seconds": seconds,
        "offset": offset,
        "cut": cut,
        "tracks": [
            {
                "name": excerpt.track.name,
                "tint": excerpt.tint,
                "boostDb": excerpt.boost_db,
                "wave": base64.b64encode(excerpt.wave).decode("ascii"),
            }
            for excerpt in excerpts
        ],
    }
