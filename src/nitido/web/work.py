"""Work that takes a while: in a thread of its own, with progress, to be cancelled at any moment."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from nitido import api
from nitido.audio import FORMATS as CONTAINERS
from nitido.audio import open_source, write
from nitido.comparison import Comparison, compare
from nitido.delivery_check import Verdict, check
from nitido.dsp.wav import Wav
from nitido.errors import CancelledError, ConfigError
from nitido.output import INGREDIENT
from nitido.report.page import write_report
from nitido.report.thumbnails import thumbnails
from nitido.restoration.headroom import write_under_ceiling
from nitido.restoration.plan import Plan
from nitido.restoration.restore import DIAGNOSED
from nitido.web.sessions import SessionPiece

Result = TypeVar("Result")
Tell = Callable[[float], None]  # takes the share that is done, 0 to 1

CREDENTIALS = f"result.wav{INGREDIENT}"  # kept aside, if what came in has any
FORMATS = {"wav": "WAV", "flac": "FLAC", "mp3": "MP3", "opus": "Opus"}
LOOK_SECONDS = 0.2  # between two looks at the progress
STEP = 0.005  # less progress is not told


class Task(Generic[Result]):
    """A function at work in a thread.

    It gets a callback that takes the share done; when the task is cancelled, the callback raises.
    """

    def __init__(
        self, work: Callable[[Tell], Result], *, cancelled: threading.Event | None = None
    ) -> None:
        self.cancelled = cancelled or threading.Event()
        self._left = threading.Event()  # nobody looks any more; `cancelled` may be another's, too
        self._work = work
        self._news: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        self._result: Result
        self._error: BaseException | None = None

    def shares(self) -> Iterator[float]:
        """Do the work; yield the share done, rising, as long as it lasts.

        Raises:
            CancelledError: `cancelled` was set.
        """
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        told = 0.0
        try:
            yield told
            while (share := self._latest()) is not None:
                if share >= told + STEP or told < share == 1:
                    told = share
                    yield told
        finally:  # also when nobody listens any more
            self._left.set()
            thread.join()
        if self._error is not None:
            raise self._error

    @property
    def result(self) -> Result:
        """What the work gave back, after the last share."""
        return self._result

    def _latest(self) -> float | None:
        """Return the newest share, after a while; None at the end."""
        share: float | None = 0.0
        try:
            share = self._news.get(timeout=LOOK_SECONDS)
            while share is not None:
                share = self._news.get_nowait()
        except queue.Empty:
            pass
        return share

    def _run(self) -> None:
        try:
            self._result = self._work(self._tell)
        except BaseException as error:  # told to whoever waits
            self._error = error
        finally:
            self._news.put(None)

    def _tell(self, share: float) -> None:
        if self.cancelled.is_set() or self._left.is_set():
            raise CancelledError("Cancelled. Nothing was changed.")
        self._news.put(share)


def analyse(piece: SessionPiece, tell: Tell) -> None:
    """Diagnose a piece and draw its findings; a piece that was examined stays as it is."""
    if piece.diagnosis is None:
        diagnosis = api.diagnose(piece.source, on_progress=lambda done, total: tell(done / total))
        piece.pictures = thumbnails(piece.source, diagnosis)
        piece.diagnosis = diagnosis


def restore(piece: SessionPiece, tell: Tell) -> None:
    """Restore a piece as its visitor chose; its result then lies on the disk, with its report.

    When the share told is 1, the sound is restored; then it is written.
    """
    analyse(piece, lambda share: tell(share * DIAGNOSED))
    if piece.diagnosis is None:  # examine has just made it
        raise ConfigError(f"{piece.name} has not been examined.")
    restoration = api.restore_with(
        piece.choices,
        piece.source,
        name=piece.name,
        diagnosis=piece.diagnosis,
        on_progress=lambda done, total: tell(min(done / total, 1.0)),
    )
    tell(1.0)
    folder = piece.new_result()
    try:
        restoration.write(folder / "result.wav")
        (folder / "result.wav.nitido.json").rename(folder / "plan.json")
        tell(1.0)
        formats = tuple(n for n in FORMATS if restoration.channels <= CONTAINERS[n].channels_max)
        if (restoration.peak_dbfs or 0.0) > 0:  # FLAC would clip it
            formats = tuple(n for n in formats if n != "flac")
        if "flac" in formats:
            restoration.write(folder / "result.flac", sidecar=False)
        tell(1.0)
        restoration.report(folder / "report.html")
        tell(1.0)  # raises if it was cancelled meanwhile
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    piece.keep(folder, restoration.plan, formats)


def judge(piece: SessionPiece, target: str, tell: Tell) -> Verdict:
    """Return whether a piece, or its result if there is one, is fit for where it goes."""
    result = piece.folder / piece.result / "result.wav"
    audio = open_source(result if piece.result else piece.source)
    audio.name = piece.name
    return check(audio, target=target, on_progress=lambda done, total: tell(done / total))


def encode(folder: Path, name: str) -> Path:
    """Write the result in a lossy format, if that was not done yet; return its path."""
    path = folder / f"result.{name}"
    if not path.is_file():
        source = open_source(folder / "result.wav")
        plan = Plan.from_json((folder / "plan.json").read_text("utf-8"))
        begun = folder / f"begun.{name}"  # others see the file when its peaks are right

        def put(blocks: Iterable[Wav], *, overwrite: bool = True) -> Path:
            return write(
                begun,
                blocks,
                sample_rate=source.sample_rate,
                channels=source.channels,
                samples=source.samples,
                tags=source.tags,
                chunks=source.chunks,  # loop points become tags
                pictures=source.pictures,
                overwrite=overwrite,
            )

        write_under_ceiling(put, source, plan["loudness"])
        begun.replace(path)
    return path


def compare_files(
    before: Path, after: Path, reference: Path | None, *, names: tuple[str, str], report: Path
) -> Comparison:
    """Compare two files, with or without how they should sound; write the report."""
    comparison = compare(before, after, reference=reference, names=names)
    write_report(
        report,
        tracks=comparison.tracks(),
        title=comparison.before.name,
        sentences=comparison.sentences(),
        tables=comparison.tables,
    )
    return comparison
