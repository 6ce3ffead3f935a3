"""Uploads: files of visitors, under names of our own, each for the visitor who sent it alone.

What a visitor calls a file never reaches the disk, and what a request calls a file is a file only
if it was uploaded.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO

from nitido.batch.inputs import AUDIO_SUFFIXES
from nitido.errors import ConfigError
from nitido.web.limits import Limits

SHOWN_LENGTH = 80  # letters of a name that are kept
UNUSED_SECONDS = 120.0  # that an upload waits to be used
AT_HAND = 4  # uploads of a visitor that are no pieces: what is compared, a melody


@dataclass
class Upload:
    """A file that was uploaded.

    Attributes:
        path: on the disk: 128 random bits, which only who sent it is told.
        name: what its visitor calls it; shown, never used as a path.
        client: address that sent it.
        since: when, by the monotonic clock, s.
        session: that has used it, which is the only one that may; empty before that.
    """

    path: Path
    name: str
    client: str
    since: float
    session: str = ""


class Uploads:
    """All uploads, by their path; those that were moved away since are forgotten."""

    def __init__(
        self, folder: Path, limits: Limits, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin without any; `folder` is made."""
        self.folder = folder
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}
        self._coming: Counter[str] = Counter()  # bytes that are still on their way, by client
        folder.mkdir()
        self._most = min(limits.gigabytes * 2**30, shutil.disk_usage(folder).free / 2)

    @contextmanager
    def room(self, size: int = 0, *, client: str = "") -> Iterator[None]:
        """Keep room for an upload while it comes, or look whether there is any for a result.

        Args:
            size: bytes of the upload.
            client: address that sends it.

        Raises:
            ConfigError: all visitors together have as much as they may, or two whole requests are
                on their way from that client.
        """
        with self._lock:
            if self._coming[client] + size > 2 * self._limits.upload_bytes:
                raise ConfigError(
                    "Too much comes from your address at once; wait until it is here."
                )
            if self._coming.total() + size + _size(self.folder.parent) > self._most:
                raise ConfigError("The server is full; come again when others have left.")
            self._coming[client] += size
        try:
            yield
        finally:
            with self._lock:
                self._coming[client] -= size
                self._coming += Counter()  # forgets who sends nothing

    def add(self, content: BinaryIO, given: str, *, client: str = "") -> Path:
        """Write an upload to the disk; return where.

        The oldest that the same client has sent and not used go if there are too many.

        Args:
            content: of the file.
            given: what its visitor calls it; the suffix is kept if it is one of audio.
            client: address that sent it.
        """
        plain = given.replace("\\", "/").rsplit("/", 1)[-1]
        suffix = PurePath(plain).suffix.lower()
        name = secrets.token_hex(16) + (suffix if suffix in AUDIO_SUFFIXES else "")
        shown = "".join(c for c in plain if c.isprintable())[:SHOWN_LENGTH] or "piece"
        upload = Upload(self.folder / name, shown, client, self._clock())
        try:
            with upload.path.open("xb") as file:
                shutil.copyfileobj(content, file)
        except BaseException:  # the disk is full
            upload.path.unlink(missing_ok=True)
            raise
        with self._lock:
            self._uploads[str(upload.path)] = upload
            unused = [u for u in self._uploads.values() if u.client == client and not u.session]
            self._delete(unused[: -2 * self._limits.pieces])
        return upload.path

    def take(self, path: str | Path, session: str) -> Upload:
        """Return an upload for a session; from then on it is that session's.

        Raises:
            ConfigError: there is no such upload, or it is another's.
        """
        with self._lock:
            upload = self._uploads.get(str(path))
            if upload is None or upload.session not in ("", session) or not upload.path.exists():
                raise ConfigError("There is no such upload of yours any more; send the file again.")
            if not upload.session:
                upload.session = session
                own = [u for u in self._uploads.values() if u.session == session]
                self._delete(own[: -self._limits.pieces - AT_HAND])
            return upload

    def find(self, path: str) -> Path | None:
        """Return the path of an upload, for who was told it; None if there is none."""
        with self._lock:
            upload = self._uploads.get(path)
        return upload.path if upload else None

    def held(self, session: str) -> bool:
        """Return whether a session has uploads."""
        with self._lock:
            return any(upload.session == session for upload in self._uploads.values())

    def end(self, session: str) -> None:
        """Delete the uploads of a session."""
        with self._lock:
            self._delete([u for u in self._uploads.values() if u.session == session])

    def sweep(self) -> None:
        """Delete what was not used in time; forget what has become a piece."""
        then = self._clock() - UNUSED_SECONDS
        with self._lock:
            late = [u for u in self._uploads.values() if not u.session and u.since < then]
            self._delete(late + [u for u in self._uploads.values() if not u.path.exists()])

    def _delete(self, uploads: list[Upload]) -> None:
        for upload in uploads:
            self._uploads.pop(str(upload.path), None)
            upload.path.unlink(missing_ok=True)


def _size(folder: Path) -> int:
    """Return how much lies in a folder, in bytes; what goes away meanwhile counts or not."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += Path(place, name).stat().st_size
    return size
