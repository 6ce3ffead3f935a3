"""Who is on the page, and what of theirs is on the disk.

Every visitor has a folder with a name that cannot be guessed, and it goes when they go.
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from nitido.diagnosis.finding import Diagnosis
from nitido.errors import ConfigError
from nitido.restoration.plan import Plan
from nitido.restoration.restore_options import RestoreOptions
from nitido.web.limits import Limits
from nitido.web.uploads import Uploads

FOLDER = "nitido-web-"  # how the name of the folder of all visitors begins
SOURCE = "source"  # stands for the result in the address of the file that was uploaded
LEFT_BEHIND_SECONDS = 3600.0  # a folder that nobody has touched for so long has no server any more
BRIEF_SECONDS = 120.0  # that the files of a program stay when it does not say that it has gone
STOPPING_SECONDS = 15.0  # that cancelled work may take to notice
_SAFE = re.compile(r"[\w\-]+\.[a-z0-9.]+")  # names of files that are ours


@dataclass
class SessionPiece:
    """One piece of a visitor.

    Attributes:
        number: of the piece, from 1.
        name: as the visitor calls it; shown, never used as a path.
        source: the file that was uploaded.
        folder: for its results.
        diagnosis: of the file; None until it was examined.
        pictures: of the findings, SVG by kind.
        listed: whether it stands on the page to be restored; a generated clip waits to be chosen.
        choices: what the visitor wants done.
        result: name of the folder of the last restoration below `folder`; empty before that.
        plan: as that restoration carried it out.
        formats: in which the result can be had.
    """

    number: int
    name: str
    source: Path
    folder: Path
    listed: bool = False
    diagnosis: Diagnosis | None = None
    pictures: dict[str, str] = field(default_factory=dict)
    choices: RestoreOptions = field(default_factory=RestoreOptions)
    result: str = ""
    plan: Plan | None = None
    formats: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self.name.rsplit(".", 1)[0] or self.name

    def new_result(self) -> Path:
        """Return a fresh folder for a result; it counts when `keep` is called."""
        folder = self.folder / secrets.token_hex(4)
        folder.mkdir(parents=True)
        return folder

    def keep(self, folder: Path, plan: Plan | None = None, formats: tuple[str, ...] = ()) -> None:
        """Make that folder the result; the one before is deleted."""
        old, self.result, self.plan, self.formats = self.result, folder.name, plan, formats
        if old:
            shutil.rmtree(self.folder / old, ignore_errors=True)


@dataclass
class Visit:
    """One visitor: an open page, or a program that calls the API.

    Attributes:
        token: of 32 bytes, for addresses; who has it may fetch the files of the visit.
        folder: of all their files.
        pieces: by number.
        chosen: number of the piece that is shown; 0 if there is none.
        cancelled: set to stop the work that runs for this visitor.
        gone: set when the visit ends; stops whatever still runs.
        seen: when they last did anything, by the monotonic clock, s.
        compared: number of the piece that holds the report of the last comparison; 0 before that.
        listening: to what comes of their calls, how often at the same time.
        unheard: calls since they last listened.
        brief: whether it is a program, which has what it asked for when it is answered.
    """

    token: str
    folder: Path
    pieces: dict[int, SessionPiece] = field(default_factory=dict)
    chosen: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)
    seen: float = 0.0
    compared: int = 0
    listening: int = 0
    unheard: int = 0
    brief: bool = False
    _work: threading.Lock = field(default_factory=threading.Lock)
    _pieces: threading.RLock = field(default_factory=threading.RLock)

    @property
    def busy(self) -> bool:
        """Whether work runs for this visitor."""
        return self._work.locked()

    @property
    def listed(self) -> list[SessionPiece]:
        """The pieces to restore."""
        return [piece for piece in list(self.pieces.values()) if piece.listed]

    @property
    def piece(self) -> SessionPiece | None:
        """The piece that is shown."""
        return self.pieces.get(self.chosen)

    def add(self, name: str, source: Path, *, limits: Limits, listed: bool = True) -> SessionPiece:
        """Take a file over: it is moved into the visit's folder.

        Raises:
            ConfigError: there are too many already.
        """
        with self._pieces:
            if len(self.listed) >= limits.pieces:
                raise ConfigError(_most(limits))
            piece = self.hold(name)
            piece.source = piece.folder / f"source{source.suffix}"
            shutil.move(source, piece.source)
            if listed:
                self.choose(piece, limits=limits)
            return piece

    def choose(self, piece: SessionPiece, *, limits: Limits) -> None:
        """List a piece and show it.

        Raises:
            ConfigError: there are too many already.
        """
        with self._pieces:
            if not piece.listed and len(self.listed) >= limits.pieces:
                raise ConfigError(_most(limits))
            piece.listed, self.chosen = True, piece.number

    def hold(self, name: str) -> SessionPiece:
        """Return a piece that is not listed, and has no file yet."""
        with self._pieces:
            number = max(self.pieces, default=0) + 1
            folder = self.folder / f"{number}-{secrets.token_hex(8)}"
            folder.mkdir(parents=True)
            self.pieces[number] = SessionPiece(number, name, folder / "source", folder)
            return self.pieces[number]

    def forget_unlisted(self) -> None:
        """Remove the pieces that are not on the page to be restored."""
        for number in [piece.number for piece in list(self.pieces.values()) if not piece.listed]:
            self.remove(number)

    def remove(self, number: int) -> None:
        """Forget a piece and delete its files."""
        piece = self.pieces.pop(number, None)
        if piece is not None:
            shutil.rmtree(piece.folder, ignore_errors=True)
        if self.chosen == number:
            self.chosen = max((left.number for left in self.listed), default=0)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Keep other work of this visitor out; work that was cancelled gets time to stop.

        Raises:
            ConfigError: something runs and goes on.
        """
        if not self._work.acquire(timeout=STOPPING_SECONDS):
            raise ConfigError("Something is at work already; wait for it, or cancel it.")
        try:
            yield
        finally:
            self._work.release()


def _most(limits: Limits) -> str:
    return f"There are {limits.pieces} pieces already, which is the most; remove one first."


class Visits:
    """All visitors, by the name that the page's session has."""

    def __init__(self, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._visits: dict[str, Visit] = {}
        self._here: Counter[str] = Counter()
        remove_left_behind(Path(tempfile.gettempdir()))
        self._folder = tempfile.TemporaryDirectory(prefix=FOLDER)
        self.folder = Path(self._folder.name)
        self.uploads = Uploads(self.folder / "uploads", limits, clock=clock)

    def of(self, session: str, *, brief: bool = False) -> Visit:
        """Return the visit of a session; it begins with the first call.

        Raises:
            ConfigError: there are too many visitors.
        """
        if session not in self._visits and len(self._visits) >= self.limits.visitors:
            self._make_room()
        with self._lock:
            visit = self._visits.get(session)
            if visit is None:
                if len(self._visits) >= self.limits.visitors:
                    raise ConfigError("Too many are here; come again when others have left.")
                token = secrets.token_urlsafe(32)
                visit = Visit(token, self.folder / secrets.token_hex(16))
                visit.folder.mkdir()
                self._visits[session] = visit
            visit.seen = self._clock()
            visit.brief |= brief
            return visit

    def find(self, session: str) -> Visit | None:
        """Return the visit of a session, if it has begun."""
        return self._visits.get(session)

    @contextmanager
    def here(self, session: str) -> Iterator[None]:
        """Remember that a session's page is open, as long as it is."""
        with self._lock:
            self._here[session] += 1
        try:
            yield
        finally:
            with self._lock:
                self._here[session] -= 1
                self._here += Counter()  # forgets who is not

    def _make_room(self) -> None:
        """End a visit that has nothing here, or else one whose page is not open any more."""
        then = self._clock() - BRIEF_SECONDS
        with self._lock:
            idle = [
                (not empty, visit.seen, name)
                for name, visit in self._visits.items()
                if (empty := self._empty(name, visit))
                or (visit.seen < then and not visit.busy and not self._here[name])
            ]
        if idle:
            self.end(min(idle)[2])

    def _empty(self, session: str, visit: Visit) -> bool:
        return not (visit.pieces or visit.busy or self.uploads.held(session))

    def end(self, session: str) -> None:
        """Stop what runs for a session and delete its files."""
        with self._lock:
            visit = self._visits.pop(session, None)
        if visit is not None:
            visit.gone.set()
            visit.cancelled.set()
            shutil.rmtree(visit.folder, ignore_errors=True)
        self.uploads.end(session)

    def sweep(self) -> None:
        """End the visits that have been idle for too long; show that this server is alive."""
        now, patience = self._clock(), 60 * self.limits.idle_minutes
        with self._lock:
            idle = [
                name
                for name, visit in self._visits.items()
                if now - visit.seen
                > (BRIEF_SECONDS if visit.brief or self._empty(name, visit) else patience)
                and not visit.busy
            ]
        for name in idle:
            self.end(name)
        self.uploads.sweep()
        # What a visitor's last work wrote after they had left; and Gradio leaves an empty file for
        # each that it reads.
        with self._lock:
            known = {self.uploads.folder, *(visit.folder for visit in self._visits.values())}
            strays = [place for place in self.folder.iterdir() if place not in known]
        for stray in strays:
            if stray.is_dir():
                shutil.rmtree(stray, ignore_errors=True)
            else:
                stray.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.touch()

    def file(
        self, token: str, number: int, result: str, name: str
    ) -> tuple[SessionPiece, Path] | None:
        """Return a file of a result, if the token is that of its visitor.

        It is there, or is still to be written, in one of the formats of the piece.
        """
        with self._lock:
            known = list(self._visits.values())
        visit = next((v for v in known if secrets.compare_digest(v.token, token)), None)
        piece = visit.pieces.get(number) if visit else None
        if visit is None or piece is None or not _SAFE.fullmatch(name):
            return None
        visit.seen = self._clock()
        if result == SOURCE:
            return (piece, piece.source) if name == piece.source.name else None
        if result != piece.result:
            return None
        path = piece.folder / result / name
        to_be_had = path.stem == "result" and path.suffix[1:] in piece.formats
        return (piece, path) if to_be_had or path.is_file() else None

    def told(self, path: str) -> Path | None:
        """Return the file at a path that only its visitor was told: an upload, or a result."""
        with self._lock:
            known = list(self._visits.values())
        place, name = Path(path).parent, Path(path).name
        for visit in known:
            for piece in list(visit.pieces.values()):
                if piece.result and place == piece.folder / piece.result and _SAFE.fullmatch(name):
                    return Path(path) if Path(path).is_file() else None
        return self.uploads.find(path)

    def close(self) -> None:
        """End all visits."""
        for session in list(self._visits):
            self.end(session)
        self._folder.cleanup()


def remove_left_behind(folder: Path) -> None:
    """Delete what servers that were killed have left."""
    for left in folder.glob(f"{FOLDER}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFT_BEHIND_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
