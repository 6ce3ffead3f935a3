"""What is done for a visitor, each as a function of a piece and of whom to tell how far it is."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

import nitido
from nitido import api
from nitido.audio import FORMATS as CONTAINERS
from nitido.audio import ArraySource, SanitizedBlocks, Source, open_source
from nitido.audio.encode import flac_bytes
from nitido.audio.ffmpeg import program
from nitido.comparison import compare
from nitido.delivery_check import check
from nitido.dsp.chunks import join, reblock
from nitido.dsp.loop import span
from nitido.errors import ConfigError
from nitido.report.page import restoration_tracks, write_report
from nitido.report.thumbnails import thumbnails
from nitido.report.tracks import LOSSLESS, PAGE_RATE_HZ, Track, make_excerpts
from nitido.restoration.restore import DIAGNOSED
from nitido.restored import Restoration
from nitido.result_files import INGREDIENT
from nitido.web.choices import WORDS, Choices
from nitido.web.queue import Tell
from nitido.web.sessions import SessionPiece, Told

PART_SECONDS = 300.0  # of a piece that the page plays at once: a browser holds it decoded
PREVIEW_SECONDS = 10.0
LOUD_STEP_SECONDS = 0.5  # between the places that are tried for the loudest
NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]')  # of files: Windows has no such names
STRANGERS = "These seem to be different pieces of music, of which the rest says little."


@dataclass(frozen=True)
class Download:
    """A file that a result can be had as.

    Attributes:
        label: what it is called.
        note: what it is good for.
        suffix: of its name.
        format: of `nitido.audio`; empty for what is no sound.
        bit_depth: None for the format's own.
    """

    label: str
    note: str
    suffix: str
    format: str = ""
    bit_depth: int | None = None


DOWNLOADS = {name: Download(**one) for name, one in WORDS["downloads"].items()}
SOUND, REPORT, PLAN, CREDENTIALS = (
    "result.wav",
    "report.html",
    "plan.json",
    f"result.wav{INGREDIENT}",
)
FILES = {"wav32": SOUND, "report": REPORT, "plan": PLAN, "credentials": CREDENTIALS}  # at once
ZIPPED = ("report", "plan", "credentials")  # with each result


def examine(piece: SessionPiece, tell: Tell) -> None:
    """Diagnose a piece and draw its findings; a piece that was examined stays as it is."""
    if piece.diagnosis is None:
        diagnosis = api.diagnose(piece.source, on_progress=lambda done, total: tell(done / total))
        piece.pictures = thumbnails(piece.source, diagnosis)
        piece.diagnosis = diagnosis


def play_original(piece: SessionPiece, tell: Tell) -> None:
    """Make the piece as it came ready to be played."""
    source = open_source(piece.source)
    with piece.making("original") as (folder, told):
        tracks = [Track("Before", source.blocks, source.sample_rate, "before")]
        for _ in _sounds(folder, told, tracks):
            tell(0.5)


def preview(piece: SessionPiece, tell: Tell) -> None:
    """Restore the loudest ten seconds of a piece, for its visitor to hear at once.

    Before the piece was examined, that is by what is wrong with the ten seconds alone.
    """
    choices = piece.choices
    source = open_source(piece.source)
    start = _loudest(source)
    tell(0.2)
    end = start + round(PREVIEW_SECONDS * source.sample_rate)
    stretch = span(SanitizedBlocks(source.blocks()), start, end)
    wav = join(stretch, channels=source.channels)
    excerpt = ArraySource(wav, source.sample_rate, piece.name)
    if piece.diagnosis is None:
        diagnosis = api.diagnose(excerpt)
    else:
        diagnosis = replace(piece.diagnosis, samples=wav.shape[1], loop=None)
    plan = choices.options.plan_for(piece.diagnosis or diagnosis)
    ending = plan["ending"]  # the excerpt has other ends
    plan = plan.with_step(replace(ending, on=False, settings={**ending.settings, "loop": False}))
    with (
        piece.making("preview") as (folder, told),
        api.restore_with(
            choices.options.with_plan(plan),
            excerpt,
            diagnosis=diagnosis,
            on_progress=lambda done, total: tell(0.3 + 0.6 * done / total),
        ) as restoration,
    ):
        told |= {"choices": choices.model_dump(), "offset": start / source.sample_rate}
        list(_sounds(folder, told, restoration_tracks(restoration)))
        tell(1.0)


def restore(piece: SessionPiece, tell: Tell, more: Callable[[], object] = lambda: None) -> None:
    """Restore a piece as its visitor chose; its result then lies on the disk, its report apart.

    Args:
        piece: to restore.
        tell: takes the share done.
        more: called when there is more of the result to be heard or had.
    """
    examine(piece, lambda share: tell(share * DIAGNOSED))
    choices, known = piece.choices, piece.diagnosis
    if choices.options.loop and known is not None and known.loop is None:
        known = None  # its seam was not looked at
    restoration = api.restore_with(
        choices.options,
        piece.source,
        name=piece.name,
        diagnosis=known,
        on_progress=lambda done, total: tell(0.8 * done / total),
    )
    _keep(piece, choices, restoration, tell, more)


def restore_album(
    pieces: Sequence[SessionPiece], tell: Tell, more: Callable[[], object] = lambda: None
) -> None:
    """Restore the pieces of an album, all at one gain, as `restore` does; silent ones are not."""
    for piece in pieces:
        examine(piece, lambda _: tell(0.0))
    sounding = [piece for piece in pieces if piece.is_sound()]
    choices, sources = [piece.choices for piece in sounding], []
    for piece in sounding:
        sources.append(open_source(piece.source))
        sources[-1].name = piece.name
    restorations = api.restore_album_with(
        [one.options for one in choices],
        sources,
        on_progress=lambda done, total: tell(0.8 * done / total),
    )
    for piece, chosen, restoration in zip(sounding, choices, restorations, strict=True):
        _keep(piece, chosen, restoration, lambda _: tell(0.0), more)


def _keep(
    piece: SessionPiece,
    choices: Choices,
    restoration: Restoration,
    tell: Tell,
    more: Callable[[], object],
) -> None:
    """Make a restoration the result of a piece."""
    with restoration:
        with piece.making("result") as (folder, told):
            restoration.write(folder / SOUND, bit_depth=32)
            (folder / f"{SOUND}.nitido.json").rename(folder / PLAN)
            tell(0.85)
            parts = _sounds(folder, told, restoration_tracks(restoration))
            next(parts, None)
            tell(0.9)  # raises if it was cancelled meanwhile
            sidecar = restoration.sidecar()
            told |= {
                "choices": choices.model_dump(),
                "peak_dbfs": restoration.peak_dbfs,
                "channels": restoration.channels,
                "sentences": sidecar["sentences"],
                "steps": {step["stage"]: step for step in sidecar["plan"]["steps"]},
                "verdicts": {change["stage"]: change["verdict"] for change in sidecar["changes"]},
                "after": {one["kind"]: one for one in sidecar["after"]["findings"]},
                "new_faults": sidecar["new_faults"],
            }
        more()
        for _ in parts:
            tell(0.9)
            more()
        tell(1.0)


def offered(piece: SessionPiece) -> dict[str, Download]:
    """Return in what forms the result of a piece can be had."""
    if not piece.result:
        return {}
    over = (piece.result["peak_dbfs"] or 0.0) > 0  # integers would clip it
    channels = piece.result["channels"]

    def holds(name: str, one: Download) -> bool:
        if not one.format:
            there = (piece.result_folder / FILES[name]).is_file()
            return there or (name == "report" and channels > 0)
        clips = over and one.bit_depth in (16, 24)
        absent = one.format == "m4a" and program() is None
        fits = 0 < channels <= CONTAINERS[one.format].channels_max  # a comparison has none
        return fits and not clips and not absent

    return {name: one for name, one in DOWNLOADS.items() if holds(name, one)}


def download(piece: SessionPiece, name: str) -> Path:
    """Return the path of a result in that form; it is written when it is first asked for.

    Raises:
        ConfigError: it cannot be had in that form.
    """
    with piece.reading:
        if name not in offered(piece):
            raise ConfigError(f"{piece.name} cannot be had as {name}.")
        one, folder = DOWNLOADS[name], piece.result_folder
        path = folder / FILES.get(name, f"{name}{one.suffix}")
        if not path.is_file():
            begun = folder / f"begun{one.suffix}"  # it has its name when it is whole
            begun.unlink(missing_ok=True)
            sidecar = json.loads((folder / PLAN).read_text("utf-8"))
            with Restoration.reopen(piece.source, folder / SOUND, sidecar) as restoration:
                if one.format:
                    form = {"format": one.format, "bit_depth": one.bit_depth}
                    restoration.write_audio(begun, **form)
                else:
                    restoration.report(begun)
            begun.replace(path)
    return path


def zip_results(pieces: Sequence[SessionPiece], file: IO[bytes] | Path, form: str) -> None:
    """Write the results of pieces into a ZIP file, each with its report and its plan."""
    taken: set[str] = set()
    with zipfile.ZipFile(file, "w", allowZip64=True) as bundle:  # sound does not get smaller
        for piece in pieces:
            own = stem = NOT_IN_NAMES.sub("_", piece.stem).lstrip(".") or "piece"
            number = 2
            while stem.lower() in taken:
                stem, number = f"{own} ({number})", number + 1
            taken.add(stem.lower())
            with piece.reading:
                had = offered(piece)
                for name in dict.fromkeys([form if form in had else "wav32", *ZIPPED]):
                    if name in had:
                        bundle.write(download(piece, name), f"{stem}_restored{had[name].suffix}")


def judge(piece: SessionPiece, target: str, tell: Tell) -> None:
    """Say whether a piece, or its result if there is one, is fit for where it goes."""
    with piece.reading:
        source = open_source(piece.result_folder / SOUND if piece.result else piece.source)
        source.name = piece.name
        verdict = check(source, target=target, on_progress=lambda done, total: tell(done / total))
        piece.verdict = {**verdict.to_dict(), "of": piece.result.get("folder", "")}


@dataclass(frozen=True)
class Side:
    """A piece as it came, or as it was restored, to be compared with others."""

    piece: SessionPiece
    restored: bool

    @property
    def name(self) -> str:
        """What it is called in the comparison."""
        return self.piece.stem + ", restored" * self.restored

    def lend(self, folder: Path) -> Path:
        """Return its sound in another folder, where it stays though the piece is made anew.

        Raises:
            ConfigError: it is not there any more.
        """
        with self.piece.reading:
            path = self.piece.result_folder / SOUND if self.restored else self.piece.source
            lent = folder / f"{self.piece.id}-{path.name}"
            if not path.is_file():
                raise ConfigError(f"{self.name} is not here any more; choose again.")
            if not lent.exists():
                try:
                    lent.hardlink_to(path)
                except OSError:  # not every disk has links
                    shutil.copyfile(path, lent)
        return lent


def compare_pieces(
    piece: SessionPiece, sides: Sequence[Side], reference: Side | None, tell: Tell
) -> None:
    """Compare pieces, the first with each of the others; what comes of it is kept as a result."""
    tell(0.05)
    with tempfile.TemporaryDirectory(dir=piece.folder) as lent:
        files = [side.lend(Path(lent)) for side in sides]
        comparison = compare(
            *files,
            reference=reference and reference.lend(Path(lent)),
            names=[side.name for side in sides],
        )
        tell(0.7)
        sentences, tracks = comparison.sentences(), comparison.tracks()
    strangers = any(not matching.aligned for matching in comparison.matchings)
    with piece.making("result") as (folder, told):
        told |= {"sentences": [*([STRANGERS] if strangers else []), *sentences]}
        told |= {"peak_dbfs": None, "channels": 0}
        list(_sounds(folder, told, tracks))
        write_report(
            folder / REPORT,
            tracks=tracks,
            title=piece.name,
            sentences=sentences,
            tables=comparison.tables,
        )
        tell(1.0)


def generate(piece: SessionPiece, prompt: str, options: Told, tell: Tell) -> None:
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


def _sounds(folder: Path, told: Told, tracks: Sequence[Track]) -> Iterator[None]:
    """Make sounds to play side by side, equally loud; yield when each part of them is there.

    Args:
        folder: for their files, which are called by their number.
        told: gets what is told of them; it may have the offset at which they begin in the piece.
        tracks: the sounds.
    """
    told |= {"coding": LOSSLESS, "sampleRate": PAGE_RATE_HZ, "parts": []}
    number, at, goes_on = 0, 0.0, True
    while goes_on:
        excerpts, goes_on = make_excerpts(tracks, start_seconds=at, seconds_max=PART_SECONDS)
        for count, excerpt in enumerate(excerpts, number):  # FLAC is ten times as fast as Opus
            content = flac_bytes(excerpt.wav, sample_rate=PAGE_RATE_HZ)
            (folder / str(count)).write_bytes(content)
        seconds = excerpts[0].wav.shape[1] / PAGE_RATE_HZ
        made = {"offset": told.get("offset", 0.0) + at, "seconds": seconds, "first": number}
        told["parts"].append({**made, "tracks": [excerpt.to_dict() for excerpt in excerpts]})
        number, at = number + len(excerpts), at + PART_SECONDS
        yield
