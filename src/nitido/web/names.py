"""Uploaded files get names of our own: what a visitor calls a file never reaches the disk."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import PurePath
from typing import Any, TypeAlias

from nitido.jobs import AUDIO_SUFFIXES

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

UPLOAD = "/upload"  # how the path of an upload ends
REMEMBERED = 10_000  # names; the oldest are forgotten
SHOWN_LENGTH = 80  # letters of a name that are kept
HEADERS_MAX_BYTES = 8192  # of one part
_FILENAME = re.compile(rb'filename\*?=(?:"((?:[^"\\\r\n]|\\.)*)"|([^;\r\n]*))', re.IGNORECASE)


class Names:
    """What visitors called their files, by the name that the file has on the disk."""

    def __init__(self) -> None:
        self._given: OrderedDict[str, str] = OrderedDict()

    def replace(self, given: str) -> str:
        """Return a name for the disk: random, with the suffix of `given` if that is of audio."""
        plain = given.replace("\\", "/").rsplit("/", 1)[-1]
        suffix = PurePath(plain).suffix.lower()
        name = secrets.token_hex(16) + (suffix if suffix in AUDIO_SUFFIXES else "")
        self._given[name] = "".join(c for c in plain if c.isprintable())[:SHOWN_LENGTH]
        while len(self._given) > REMEMBERED:
            self._given.popitem(last=False)
        return name

    def given(self, name: str, *, default: str = "piece") -> str:
        """Return what the visitor called the file, to be shown."""
        return self._given.get(name) or default


class Rename:
    """Middleware that renames the files of an upload before anything else sees them."""

    def __init__(self, app: App, *, names: Names) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; the parts of a multipart upload have new file names."""
        boundary = _boundary(scope)
        if boundary is None:
            await self._app(scope, receive, send)
            return
        renamed = _Multipart(boundary, self._names)

        async def receive_renamed() -> MutableMapping[str, Any]:
            message = await receive()
            if message["type"] == "http.request":
                body = renamed.feed(message.get("body", b""))
                if not message.get("more_body", False):
                    body += renamed.rest()
                message = {**message, "body": body}
            return message

        # The length changes with the names, and nothing behind this needs it.
        kept = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
        await self._app({**scope, "headers": kept}, receive_renamed, send)


def _boundary(scope: Scope) -> bytes | None:
    """Return the boundary of a multipart upload; None for every other request."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    if not scope["path"].rstrip("/").endswith(UPLOAD):
        return None
    kind = dict(scope["headers"]).get(b"content-type", b"")
    found = re.search(rb'boundary="?([^";,]+)', kind)
    return found[1].strip() if found and b"multipart/form-data" in kind.lower() else None


class _Multipart:
    """A multipart body, read in pieces of any length, given back with other file names."""

    def __init__(self, boundary: bytes, names: Names) -> None:
        self._mark = b"\r\n--" + boundary
        self._names = names
        self._held = b"\r\n"  # the first boundary has no line before it
        self._begun = False
        self._in_headers = False

    def feed(self, body: bytes) -> bytes:
        """Take the next bytes; return those that are settled."""
        self._held += body
        out = b""
        while True:
            if self._in_headers:
                end = self._held.find(b"\r\n\r\n")
                if end < 0 and len(self._held) <= HEADERS_MAX_BYTES:
                    return self._first(out)
                end = len(self._held) if end < 0 else end
                out += _FILENAME.sub(self._rename, self._held[:end])
                self._held, self._in_headers = self._held[end:], False
            else:
                at = self._held.find(self._mark)
                if at < 0:
                    kept = len(self._mark) - 1
                    out += self._held[:-kept]
                    self._held = self._held[-kept:]
                    return self._first(out)
                end = at + len(self._mark)
                out += self._held[:end]
                self._held, self._in_headers = self._held[end:], True

    def rest(self) -> bytes:
        """Return what is still held, at the end of the body."""
        out, self._held = _FILENAME.sub(self._rename, self._held), b""
        return self._first(out)

    def _rename(self, found: re.Match[bytes]) -> bytes:
        given = (found[1] if found[1] is not None else found[2]).decode("utf-8", "replace")
        return b'filename="' + self._names.replace(given).encode("ascii") + b'"'

    def _first(self, out: bytes) -> bytes:
        """Take the line that was put before the body off again."""
        if out and not self._begun:
            self._begun = True
            return out[2:]
        return out
