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
from typing import Any

from nitido.batch.names import AUDIO_SUFFIXES
from nitido.diagnosis.finding import Diagnosis
from nitido.errors import ConfigError, NitidoError
from nitido.restoration.plan import Plan
from nitido.restoration.restore_options import RestoreOptions
from nitido.web.choices import choose, shown
from nitido.web.limits import FullError, Limits

FOLDER = "nitido-web-"  # how the name of the folder of all visitors begins
SECRET, ABOUT = "secret", "about.json"
LEFT_BEHIND_SECONDS = 3600.0  # a folder that nobody has touched for so long has no server any more
SHOWN_LENGTH = 80  # letters of a name that are kept
KEPT = ("id", "name", "kind", "suffix", "result", "sets", "verdict")  # of a piece, as it is
KINDS = ("piece", "melody", "version")  # of files that are sent
_VISIT = re.compile(r"[0-9a-f]{32}")  # name of a folder of a visit
_TOKEN = re.compile(r"[\w-]{43}\.[0-9a-f]{64}")

logger = logging.getLogger(__name__)


@dataclass
class SessionPiece:
    """One file of a visitor, and what became of it.

    Attributes:
        id: in addresses; unique for its visitor, never used again.
        name: as the visitor calls it; shown, never used as a path.
        folder: of its files.
        kind: ``"piece"`` to restore, ``"making"`` and then ``"clip"`` that was generated,
            ``"melody"`` to generate from, ``"version"`` to compare, ``"comparison"`` of pieces.
        suffix: of the file that was uploaded.
        diagnosis: of the file; None until it was examined.
        pictures: of the findings, HTML by kind.
        choices: what the visitor wants done.
        result: what is told of the last restoration, or comparison; empty before that.
        sets: of sounds to play, by name: ``"original"``, ``"preview"``, ``"result"``.
        verdict: whether it is fit for where it goes; empty if that was not asked.
        said: why the last work on it failed; empty if it did not.
        encoding: held while its result is written in another form.
    """

    id: int
    name: str
    folder: Path
    kind: str = "piece"
    suffix: str = ""
    diagnosis: Diagnosis | None = None
    pictures: dict[str, str] = field(default_factory=dict)
    choices: RestoreOptions = field(default_factory=RestoreOptions)
    result: dict[str, Any] = field(default_factory=dict)
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    verdict: dict[str, Any] = field(default_factory=dict)
    said: str = ""
    encoding: threading.Lock = field(default_factory=threading.Lock)

    @property
    def source(self) -> Path:
        """The file that was uploaded."""
        return self.folder / f"source{self.suffix}"

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self.name.rsplit(".", 1)[0] or self.name

    def named(self, text: str) -> str:
        """Return what is said about the file by the name that its visitor knows."""
        return text.replace(str(self.source), self.name).replace(self.source.name, self.name)

    @property
    def result_folder(self) -> Path:
        """Where the files of the last restoration lie."""
        return self.folder / str(self.result["folder"])

    @property
    def stale(self) -> bool:
        """Whether the choices are others than those that the result was made with."""
        return bool(self.result) and self.result.get("choices") != shown(self.choices)

    @property
    def plan(self) -> Plan | None:
        """What the choices mean for this piece; None until it was examined."""
        return None if self.diagnosis is None else self.choices.plan_for(self.diagnosis)

    def new_folder(self) -> Path:
        """Return a fresh folder for files of this piece."""
        folder = self.folder / secrets.token_hex(4)
        folder.mkdir()  # fails where the piece was removed
        return folder

    def keep(self, folder: Path, told: dict[str, Any]) -> None:
        """Make that folder the result, with what is told of it; the one before is deleted."""
        old, self.result = self.result, {**told, "folder": folder.name}
        if old:
            shutil.rmtree(self.folder / old["folder"], ignore_errors=True)

    def keep_set(self, name: str, told: dict[str, Any]) -> None:
        """Make those the sounds of that name; those before are deleted."""
        old = self.sets.get(name)
        self.sets = {**self.sets, name: told}
        if old:
            shutil.rmtree(self.folder / old["folder"], ignore_errors=True)

    def to_dict(self) -> dict[str, Any]:
        """Return what is to be known of it as plain JSON values."""
        plain = {n: getattr(self, n) for n in KEPT}
        diagnosis = None if self.diagnosis is None else self.diagnosis.to_dict()
        return {
            **plain,
            "diagnosis": diagnosis,
            "pictures": self.pictures,
            "choices": shown(self.choices),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any], folder: Path) -> SessionPiece:
        """Return the piece that `to_dict` made plain values of."""
        diagnosis = content.pop("diagnosis")
        choices = choose(**content.pop("choices"))
        piece = cls(**content, choices=choices, folder=folder)
        piece.diagnosis = None if diagnosis is None else Diagnosis.from_dict(diagnosis)
        return piece


@dataclass
class Visit:
    """One visitor: a browser, or a program that calls the API.

    Attributes:
        name: of the visit and of its folder; who has the token knows it.
        folder: of all their files.
        pieces: by id.
        seen: when they last did anything, s since 1970.
        version: counts what has changed, so that a page knows when to look again.
        open: how many pages of theirs listen.
        gone: set when the visit has ended.
    """

    name: str
    folder: Path
    pieces: dict[int, SessionPiece] = field(default_factory=dict)
    seen: float = 0.0
    version: int = 0
    open: int = 0
    gone: threading.Event = field(default_factory=threading.Event)
    _last: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def of_kind(self, *kinds: str) -> list[SessionPiece]:
        """Return the pieces of these kinds, in order."""
        return [piece for piece in list(self.pieces.values()) if piece.kind in kinds]

    def add(self, given: str, *, kind: str = "piece", limits: Limits) -> SessionPiece:
        """Return a new piece, with a folder and no file in it yet.

        Args:
            given: what the visitor calls it; the suffix is kept if it is one of audio.
            kind: one of `KINDS`.
            limits: of a visitor.

        Raises:
            ConfigError: there are too many of this kind.
        """
        plain = given.replace("\\", "/").rsplit("/", 1)[-1]
        suffix = PurePath(plain).suffix.lower()
        name = "".join(c for c in plain if c.isprintable())[:SHOWN_LENGTH] or "piece"
        with self._lock:
            self.check_room(kind, limits)
            self._last += 1
            folder = self.folder / f"{self._last}-{secrets.token_hex(8)}"
            known = suffix if suffix in AUDIO_SUFFIXES else ""
            piece = SessionPiece(self._last, name, folder, kind, known)
            self.pieces[piece.id] = piece
            folder.mkdir(parents=True)
            return piece

    def check_room(self, kind: str, limits: Limits) -> None:
        """Say if there are too many of a kind already.

        Raises:
            ConfigError: there are.
        """
        if len(self.of_kind(kind)) >= limits.pieces:
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
            places = list(folder.glob(f"{int(entry['id'])}-*"))
            if places:
                visit.pieces[entry["id"]] = SessionPiece.from_dict(entry, places[0])
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
            limits: of what a visitor may ask.
            folder: for all files, which stay when the server ends; None: one that goes with it.
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
        if not (self.folder / SECRET).is_file() and any(self.folder.iterdir()):
            raise ConfigError(
                f"{self.folder} holds files that are none of nitido serve's; name a new folder, as "
                "what lies there of former visitors is deleted."
            )
        self._secret = self._find_secret()
        self._most = min(limits.gigabytes * 2**30, shutil.disk_usage(self.folder).free / 2)
        for about in self.folder.glob(f"*/{ABOUT}"):
            try:
                self._visits[about.parent.name] = Visit.found(about.parent)
            except (NitidoError, OSError, ValueError, TypeError, KeyError):
                logger.warning("A visit of an earlier server cannot be read and is deleted.")
        self.sweep()

    def _find_secret(self) -> bytes:
        path = self.folder / SECRET
        if not path.is_file():
            with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
        return path.read_bytes()

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
        if not self.is_token(token):
            return None
        with self._lock:
            visit = self._visits.get(_name(token))
        if visit is not None:
            visit.seen = self._clock()
        return visit

    def of(self, token: str) -> Visit:
        """Return the visit of a token; it begins with the first call.

        Raises:
            ConfigError: there are too many visitors.
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

    def _make_room(self) -> None:
        """End the visit that was idle for longest: nothing here, or else no page open any more."""
        with self._lock:
            idle = [
                (bool(visit.pieces), visit.seen, name)
                for name, visit in self._visits.items()
                if not visit.open and (not visit.pieces or self._is_idle(visit, minutes=2.0))
            ]
        if idle:
            self.end(min(idle)[2])

    def _is_idle(self, visit: Visit, *, minutes: float) -> bool:
        return self._clock() - visit.seen > 60 * minutes

    @contextmanager
    def room(self, size: int = 0, *, client: str = "") -> Iterator[None]:
        """Keep room for an upload while it comes, or look whether there is any for a result.

        Args:
            size: bytes of the upload.
            client: address that sends it.

        Raises:
            ConfigError: all visitors together have as much as they may, or too much is on its way
                from that client.
        """
        with self._lock:
            if self._coming[client] + size > 2 * self.limits.upload_bytes:
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
        with self._lock:
            idle = [
                name
                for name, visit in self._visits.items()
                if not visit.open and self._is_idle(visit, minutes=self.limits.idle_minutes)
            ]
        for name in idle:
            self.end(name)
        with self._lock:  # what a visitor's last work wrote after they had left
            known = {visit.folder for visit in self._visits.values()}
            strays = [place for place in self.folder.iterdir() if _VISIT.fullmatch(place.name)]
            strays = [place for place in strays if place not in known]
            for visit in self._visits.values():
                own = {piece.folder for piece in visit.pieces.values()}
                strays += [place for place in visit.folder.iterdir() if place not in own]
        for stray in strays:
            if stray.is_dir():
                shutil.rmtree(stray, ignore_errors=True)
        with suppress(OSError):
            self.folder.touch()

    def close(self) -> None:
        """End all visits, unless their files are to be found by the next server."""
        for name, visit in list(self._visits.items()):
            if self._stays:
                visit.gone.set()
            else:
                self.end(name)
        if not self._stays:
            shutil.rmtree(self.folder, ignore_errors=True)


def remove_left_behind(folder: Path) -> None:
    """Delete what servers that were killed have left."""
    for left in folder.glob(f"{FOLDER}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFT_BEHIND_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


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
