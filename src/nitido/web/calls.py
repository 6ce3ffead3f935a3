"""What is asked of the page, read and bounded before Gradio reads it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

from nitido.errors import ConfigError
from nitido.web.security import LATER, App, Receive, Scope, Send, refuse
from nitido.web.sessions import Visits

UPLOAD, JOIN, NEWS = (f"/gradio_api/{name}" for name in ("upload", "queue/join", "queue/data"))
HEARTBEAT = "/gradio_api/heartbeat/"  # is asked for as long as a page is open
UNHEARD_MAX = 20  # calls of a visitor who does not listen to what comes of them
PATIENCE_SECONDS = 30.0  # until the next bytes of what is sent must be there
CALL_MAX_BYTES = 2**20  # of what is asked, files apart
ASKED = ("data", "event_data", "event_id", "fn_index", "session_hash", "trigger_id")
SESSION = re.compile(r"[\w-]{1,64}")
REWRITTEN = (b"content-type", b"content-length")  # headers of a call, in this order
NO_CALL = "This is no call that the page or its client would make."


class Calls:
    """Middleware that reads what is asked before Gradio does, and hands on what may be asked.

    A file is one that was uploaded, by this visitor and nobody else: what names another, or one
    that would have to be fetched from another host, is refused wherever it stands.
    """

    def __init__(self, app: App, *, visits: Visits) -> None:
        self._app = app
        self._visits = visits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call that is refused; pass on what is left of the others."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == NEWS:
            with self._listening(scope):
                await self._app(scope, receive, send)
        elif scope["path"].startswith(HEARTBEAT):
            with self._visits.here(scope["path"].removeprefix(HEARTBEAT)):
                await self._app(scope, receive, send)
        elif scope["method"] == "POST" and scope["path"] == UPLOAD:
            await self._app(scope, _patient(receive), send)
        elif scope["method"] == "POST":
            await self._call(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(_patient(receive))
        if body is None:
            await refuse(send, 413, f"A call may have {CALL_MAX_BYTES} bytes; files are uploaded.")
            return
        try:
            call = _read(body)
        except (ValueError, RecursionError):
            await refuse(send, 400, NO_CALL)
            return
        if "data" in call:  # the others end something
            try:
                visit = self._visits.of(call["session_hash"])
            except ConfigError as error:
                await refuse(send, 503, str(error), [LATER])
                return
            try:
                call = self._files(call, call["session_hash"])
            except ConfigError as error:
                await refuse(send, 400, str(error))
                return
            except RecursionError:
                await refuse(send, 400, NO_CALL)
                return
            visit.unheard += scope["path"] == JOIN and not visit.listening
            if visit.unheard > UNHEARD_MAX:
                await refuse(send, 429, "Hear first what came of the calls before.")
                return
        asked = json.dumps(call).encode()
        headers = [(name, value) for name, value in scope["headers"] if name not in REWRITTEN]
        headers += zip(REWRITTEN, (b"application/json", str(len(asked)).encode()), strict=True)
        unread = [{"type": "http.request", "body": asked, "more_body": False}]

        async def receive_asked() -> MutableMapping[str, Any]:
            return unread.pop() if unread else await receive()

        await self._app({**scope, "headers": headers}, receive_asked, send)

    @contextmanager
    def _listening(self, scope: Scope) -> Iterator[None]:
        """Remember that a visitor hears what comes of their calls, as long as they do."""
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        visit = self._visits.find(*asked.get("session_hash", [""])[:1])
        if visit is None:
            yield
            return
        visit.listening, visit.unheard = visit.listening + 1, 0
        try:
            yield
        finally:
            visit.listening -= 1

    def _files(self, given: Any, session: str) -> Any:
        """Return what was given with its files as they were uploaded, and nothing else of them."""
        if isinstance(given, list):
            return [self._files(item, session) for item in given]
        if not isinstance(given, dict):
            return given
        if given.keys() & {"path", "meta", "_type"}:
            upload = self._visits.uploads.take(str(given.get("path")), session)
            meta = {"_type": "gradio.FileData"}
            return {"path": str(upload.path), "orig_name": upload.name, "meta": meta}
        return {name: self._files(item, session) for name, item in given.items()}


def _read(body: bytes) -> dict[str, Any]:
    """Return a call with nothing in it but what the page has to say.

    Raises:
        ValueError: it is no call.
    """
    call = json.loads(body)
    if not isinstance(call, dict):
        raise ValueError("no call")
    asked = {name: call[name] for name in ASKED if name in call}
    session = asked.get("session_hash", "" if "data" in asked else "none")
    if not (isinstance(session, str) and SESSION.fullmatch(session)):
        raise ValueError("no session")
    return asked


def _patient(receive: Receive) -> Receive:
    """Wait for a body, but not for ever."""

    async def receive_in_time() -> MutableMapping[str, Any]:
        try:
            return await asyncio.wait_for(receive(), PATIENCE_SECONDS)
        except TimeoutError:
            return {"type": "http.disconnect"}

    return receive_in_time


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a call; None if it is too long."""
    body, more = b"", True
    while more and len(body) <= CALL_MAX_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body if len(body) <= CALL_MAX_BYTES else None
