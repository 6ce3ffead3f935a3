"""Who is on the page, and what of theirs is on the disk.

Every visitor has a folder with a name that cannot be guessed, and it goes when they go. What is to
be known of it lies in it, so that a server that is started again finds it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
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
from pathlib import Path, PurePath
from typing import Any, TypeAlias

from nitido.batch.names import AUDIO_SUFFIXES
from nitido.diagnosis.finding import Diagnosis
from nitido.errors import ConfigError, NitidoError
from nitido.restoration.plan import Plan
from nitido.web.choices import Choices
from nitido.web.limits import FullError, Limits

Told: TypeAlias = dict[str, Any]  # plain JSON values

FOLDER = "nitido-web-"  # how the name of the folder of all visitors begins
SECRET, ABOUT = "secret", "about.json"
LEFT_BEHIND_SECONDS = 3600.0  # a folder that nobody has touched for so long has no server any more
SHOWN_LENGTH = 80  # letters of a name that are kept
KEPT = ("id", "name", "kind", "suffix", "pictures", "made", "verdict")  # of a piece, as it is
_VISIT = re.compile(r"[0-9a-f]{32}")  # name of a folder of a visit
_TOKEN = re.compile(r"[\w-]{43}\.[0-9a-f]{64}")

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class SessionPiece:
    """One file of a visitor, and what became of it.

    Attributes:
        visit: whose it is.
        id: in addresses; unique for its visitor, never used again.
        name: as the visitor calls it; shown, never used as a path.
        folder: of its files.
        kind: ``"piece"`` to restore, ``"clip"`` that was generated,
            ``"melody"`` to generate from, ``"version"`` to compare, ``"comparison"`` of pieces,
            ``"reference"`` of how others should sound.
        suffix: of the file that was uploaded.
        diagnosis: of the file; None until it was examined.
        pictures: of the findings, HTML by kind.
        choices: what the visitor wants done.
        made: what is told of what came of it, with the name of its folder: the sounds of
            ``"original"`` and ``"preview"``, and the last ``"result"`` with its sounds.
        verdict: whether it is fit for where it goes; empty if that was not asked.
        said: why the last work on it failed; empty if it did not.
        reading: held while files of its result are read, and while another takes its place.
    """

    visit: Visit
    id: int
    name: str
    folder: Path
    kind: str = "piece"
    suffix: str = ""
    diagnosis: Diagnosis | None = None
    pictures: dict[str, str] = field(default_factory=dict)
    choices: Choices = field(default_factory=Choices)
    made: dict[str, Told] = field(default_factory=dict)
    verdict: Told = field(default_factory=dict)
    said: str = ""
    reading: threading.RLock = field(default_factory=threading.RLock)

    @property
    def source(self) -> Path:
        """The file that was uploaded."""
        return self.folder / f"source{self.suffix}"

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self.name.rsplit(".", 1)[0] or self.name

    @property
    def result(self) -> Told:
        """What is told of the last restoration, or comparison; empty before that."""
        return self.made.get("result", {})

    @property
    def result_folder(self) -> Path:
        """Where the files of the last restoration lie."""
        return self.folder / str(self.result["folder"])

    @property
    def stale(self) -> bool:
        """Whether the choices are others than those that the result was made with."""
        return bool(self.result) and self.result.get("choices") != self.choices.model_dump()

    @property
    def plan(self) -> Plan | None:
        """What the choices mean for this piece; None until it was examined."""
        return None if self.diagnosis is None else self.choices.options.plan_for(self.diagnosis)

    def is_sound(self) -> bool:
        """Return whether it was examined, and there is something to restore."""
        return self.diagnosis is not None and not self.diagnosis.silent

    def named(self, text: str) -> str:
        """Return what is said about the file by the name that its visitor knows."""
        within = rf"{re.escape(str(self.folder))}(?:[/\\][\w.]+)*"
        return re.sub(within, lambda _: self.name, text).replace(self.source.name, self.name)

    @contextmanager
    def making(self, name: str) -> Iterator[tuple[Path, Told]]:
        """Lend a new folder, and what is to be told of it.

        When it is filled it takes the place of what was made before under that name, which is
        deleted; if that fails nothing is left of it.
        """
        folder = self.folder / secrets.token_hex(4)
        folder.mkdir()  # fails where the piece was removed
        told: Told = {"folder": folder.name}
        try:
            yield folder, told
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        with self.reading:
            old, self.made = self.made.get(name), {**self.made, name: told}
            if old:
                shutil.rmtree(self.folder / old["folder"], ignore_errors=True)

    def to_dict(self) -> Told:
        """Return what is to be known of it as plain JSON values."""
        diagnosis = None if self.diagnosis is None else self.diagnosis.to_dict()
        kept = {name: getattr(self, name) for name in KEPT}
        return {**kept, "diagnosis": diagnosis, "choices": self.choices.model_dump()}

    @classmethod
    def from_dict(cls, content: Told, visit: Visit, folder: Path) -> SessionPiece:
        """Return the piece that `to_dict` made plain values of."""
        told, choices = content.pop("diagnosis"), Choices(**content.pop("choices"))
        diagnosis = None if told is None else Diagnosis.from_dict(told)
        _ = choices.options  # raises where they are none of this version
        return cls(visit, **content, folder=folder, diagnosis=diagnosis, choices=choices)


@dataclass(eq=False)
class Visit:
    """One visitor: a browser, or a program that calls the API.

    Attributes:
        name: of the visit and of its folder; who has the token knows it.
        folder: of all their files.
        pieces: by id.
        coming: pieces whose file is not there yet.
        seen: when they last did anything, s since 1970.
        version: counts what has changed, so that a page knows when to look again.
        open: how many of their pages listen, and of their files are on the way.
        gone: set when the visit has ended.
    """

    name: str
    folder: Path
    pieces: dict[int, SessionPiece] = field(default_factory=dict)
    coming: list[SessionPiece] = field(default_factory=list)
    seen: float = 0.0
    version: int = 0
    open: int = 0
    gone: threading.Event = field(default_factory=threading.Event)
    _last: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @contextmanager
    def here(self) -> Iterator[None]:
        """Count as being here: who is does not give way to others."""
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    def of_kind(self, *kinds: str) -> list[SessionPiece]:
        """Return the pieces of these kinds, in order."""
        return [piece for piece in list(self.pieces.values()) if piece.kind in kinds]

    def add(self, given: str, *, kind: str = "piece", limits: Limits) -> SessionPiece:
        """Return a new piece, with a folder and no file in it yet; see `adding`."""
        with self.adding(given, kind=kind, limits=limits) as piece:
            return piece

    @contextmanager
    def adding(self, given: str, *, kind: str = "piece", limits: Limits) -> Iterator[SessionPiece]:
        """Lend a new piece, to be given its file; if that fails there never was one.

        Args:
            given: what the visitor calls it; the suffix is kept if it is one of audio.
            kind: see `SessionPiece`.
            limits: of a visitor.

        Raises:
            ConfigError: there are too many of this kind.
        """
        name = PurePath(given.replace("\\", "/").replace("\0", "")).name
        suffix = PurePath(name).suffix.lower()
        with self._lock:
            self.check_room(kind, limits)
            self._last += 1
            piece = SessionPiece(
                self,
                self._last,
                printable(name) or "piece",
                self.folder / f"{self._last}-{secrets.token_hex(8)}",
                kind,
                suffix if suffix in AUDIO_SUFFIXES else "",
            )
            self.coming.append(piece)
            piece.folder.mkdir(parents=True)
        try:
            with self.here():
                yield piece
            self.pieces[piece.id] = piece
        except BaseException as error:
            shutil.rmtree(piece.folder, ignore_errors=True)
            if isinstance(error, NitidoError):
                raise type(error)(piece.named(str(error))) from error
            raise
        finally:
            self.coming.remove(piece)

    def check_room(self, kind: str, limits: Limits) -> None:
        """Say if there are too many of a kind already.

        Raises:
            ConfigError: there are.
        """
        there = [*self.pieces.values(), *self.coming]
        if sum(piece.kind == kind for piece in there) >= limits.pieces:
            raise ConfigError(
                f"You have {limits.pieces} here already, which is the most; remove one first."
            )

    def remove(self, number: int) -> None:
        """Forget a piece and delete its files."""
        with self._lock:
            piece = self.pieces.pop(number, None)
        if piece is not None:
            shutil.rmtree(piece.folder, ignore_errors=True)
        self.changed()

    def changed(self) -> None:
        """Count a change, and write down what there is."""
        with self._lock:
            self.version += 1
            if self.gone.is_set():
                return
            content = {"last": self._last, "pieces": [p.to_dict() for p in self.pieces.values()]}
            beside = self.folder / f"{ABOUT}.new"
            with suppress(OSError):  # a full disk is said elsewhere
                beside.write_text(json.dumps(content), "utf-8")
                beside.replace(self.folder / ABOUT)

    @classmethod
    def found(cls, folder: Path) -> Visit:
        """Return the visit whose server has ended; pieces of which nothing is left are not in it.

        Raises:
            ValueError: it cannot be read.
        """
        content = json.loads((folder / ABOUT).read_text("utf-8"))
        visit = cls(folder.name, folder, seen=(folder / ABOUT).stat().st_mtime)
        visit._last = int(content["last"])
        for entry in content["pieces"]:
            for place in folder.glob(f"{int(entry['id'])}-*"):
                visit.pieces[entry["id"]] = SessionPiece.from_dict(dict(entry), visit, place)
        return visit


class Visits:
    """All visitors, each known by a token that only their browser has."""

    def __init__(
        self,
        limits: Limits,
        *,
        folder: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin.

        Args:
            limits: of all of them.
            folder: for their files, which stay when the server ends; None: they go with it.
            clock: in seconds.

        Raises:
            ConfigError: the folder holds something else.
        """
        self.limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._visits: dict[str, Visit] = {}
        self._coming: Counter[str] = Counter()  # bytes that are still on their way, by client
        remove_left_behind(Path(tempfile.gettempdir()))
        self._stays = folder is not None
        self.folder = folder or Path(tempfile.mkdtemp(prefix=FOLDER))
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret = self.folder / SECRET
        if not secret.is_file():
            if any(self.folder.iterdir()):
                raise ConfigError(
                    f"{self.folder} holds files that are none of nitido serve's; name a new "
                    "folder, as what lies there of former visitors is deleted."
                )
            secret.touch(0o600)
            secret.write_bytes(secrets.token_bytes(32))
        self._secret = secret.read_bytes()
        self._most = min(limits.gigabytes * 2**30, shutil.disk_usage(self.folder).free / 2)
        for about in self.folder.glob(f"*/{ABOUT}"):
            try:
                self._visits[about.parent.name] = Visit.found(about.parent)
            except (NitidoError, OSError, ValueError, TypeError, KeyError):
                logger.warning("A visit of an earlier server cannot be read and is deleted.")
        self.sweep()

    def new_token(self) -> str:
        """Return a token that nobody can guess or make up; nothing is kept of it."""
        word = secrets.token_urlsafe(32)
        return f"{word}.{self._sign(word)}"

    def _sign(self, word: str) -> str:
        return hmac.digest(self._secret, word.encode(), hashlib.sha256).hex()

    def is_token(self, token: str) -> bool:
        """Return whether `new_token` of this server, or of one in the same folder, gave it."""
        word, _, signed = token.partition(".")
        return bool(_TOKEN.fullmatch(token)) and hmac.compare_digest(self._sign(word), signed)

    def find(self, token: str) -> Visit | None:
        """Return the visit of a token, if it has begun."""
        with self._lock:
            visit = self._visits.get(_name(token)) if self.is_token(token) else None
        if visit is not None:
            visit.seen = self._clock()
        return visit

    def of(self, token: str) -> Visit:
        """Return the visit of a token; it begins with the first call.

        Raises:
            FullError: there are too many visitors.
        """
        if (visit := self.find(token)) is not None:
            return visit
        if len(self._visits) >= self.limits.visitors:
            self._make_room()
        with self._lock:
            if len(self._visits) >= self.limits.visitors or not self.is_token(token):
                raise FullError("Too many are here; come again when others have left.")
            name = _name(token)
            if name not in self._visits:
                self._visits[name] = Visit(name, self.folder / name, seen=self._clock())
                self._visits[name].folder.mkdir(exist_ok=True)
            return self._visits[name]

    def _idle(self, minutes: float) -> list[Visit]:
        """Return the visits without an open page that did nothing for so long, longest first."""
        since = self._clock() - 60 * minutes
        with self._lock:
            idle = [one for one in self._visits.values() if not one.open and one.seen <= since]
        return sorted(idle, key=lambda visit: visit.seen)

    def _make_room(self) -> None:
        """End the visit that was idle for longest: nothing here, or else no page open any more."""
        empty = [visit for visit in self._idle(minutes=0.0) if not visit.pieces]
        for visit in (empty or self._idle(minutes=2.0))[:1]:
            self.end(visit.name)

    @contextmanager
    def room(self, size: int = 0, *, client: str = "") -> Iterator[None]:
        """Keep room for what comes and goes, or look whether there is any for a result.

        Args:
            size: its bytes.
            client: address that sends it; empty if it is none of theirs.

        Raises:
            FullError: all visitors together have as much as they may, or too much is on its way
                from that client.
        """
        with self._lock:
            if (
                client
                and self._coming[client] + size > 2 * self.limits.pieces * self.limits.file_bytes
            ):
                raise FullError("Too much comes from your address at once; wait until it is here.")
            if self._coming.total() + size + _size(self.folder) > self._most:
                raise FullError("The server is full; come again when others have left.")
            self._coming[client] += size
        try:
            yield
        finally:
            with self._lock:
                self._coming[client] -= size
                self._coming += Counter()  # forgets who sends nothing

    def end(self, name: str) -> None:
        """Stop what runs for a visit and delete its files."""
        with self._lock:
            visit = self._visits.pop(name, None)
        if visit is not None:
            visit.gone.set()
            visit.changed()
            shutil.rmtree(visit.folder, ignore_errors=True)

    def sweep(self) -> None:
        """End the visits that have been idle for too long; show that this server is alive."""
        for visit in self._idle(self.limits.idle_minutes):
            self.end(visit.name)
        with self._lock:  # what a visitor's last work wrote after they had left
            places = [place for place in self.folder.iterdir() if _VISIT.fullmatch(place.name)]
            known = {visit.folder for visit in self._visits.values()}
            for visit in self._visits.values():
                known |= {piece.folder for piece in (*visit.pieces.values(), *visit.coming)}
                places += [place for place in visit.folder.iterdir() if place.is_dir()]
        for stray in set(places) - known:
            shutil.rmtree(stray, ignore_errors=True)
        with suppress(OSError):
            self.folder.touch()

    def close(self) -> None:
        """End all visits, unless their files are to be found by the next server."""
        if not self._stays:
            for name in list(self._visits):
                self.end(name)
            shutil.rmtree(self.folder, ignore_errors=True)
        for visit in self._visits.values():
            visit.gone.set()


def remove_left_behind(folder: Path) -> None:
    """Delete what servers that were killed have left."""
    for left in folder.glob(f"{FOLDER}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFT_BEHIND_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def printable(name: str) -> str:
    """Return a name as it is shown: short, and without what moves a cursor."""
    return "".join(c for c in name if c.isprintable())[:SHOWN_LENGTH]


def _name(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:32]


def _size(folder: Path) -> int:
    """Return how much lies in a folder, in bytes; what goes away meanwhile counts or not."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += Path(place, name).stat().st_size
    return size
