"""What may be asked of the page, by whom, and how often."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from nitido.errors import ConfigError
from nitido.web.calls import JOIN, NEWS, UNHEARD_MAX, Calls
from nitido.web.limits import Limits
from nitido.web.sessions import Visits


@pytest.fixture
def visits() -> Iterator[Visits]:
    place = Visits(Limits())
    yield place
    place.close()


def called(
    visits: Visits, body: bytes | None, *, method: str = "POST", path: str = JOIN, **more: Any
) -> tuple[int, Any]:
    """What comes of a call, and what is handed on of it; without a body, it never comes."""
    sent, got = [], []

    async def app(scope, receive, send):
        got.append((await receive())["body"])
        assert dict(scope["headers"]).get(b"content-length") in (None, b"%d" % len(got[0]))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    async def receive():
        if body is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": method, "path": path, "headers": [], **more}
    asyncio.run(Calls(app, visits=visits)(scope, receive, send))
    return sent[0]["status"], json.loads(got[0]) if got and got[0] else None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"data": [], "session_hash": "ann"}', 200),
        (b'{"event_id": "x"}', 200),
        (b'{"data": ["' + 2**20 * b"x" + b'"], "session_hash": "ann"}', 413),
        (b"[" * 100_000, 400),
        (b'{"data": ' + 600 * b"[" + 600 * b"]" + b', "session_hash": "ann"}', 400),
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b'{"data": []}', 400),
        (b'{"data": [], "session_hash": "../ann"}', 400),
        (b'{"data": [], "session_hash": {"a": 1}}', 400),
    ],
)
def test_a_call_is_small_and_says_whose_it_is(visits: Visits, body: bytes, status: int) -> None:
    assert called(visits, body)[0] == status


def test_nothing_is_handed_on_that_the_page_would_not_say(visits: Visits) -> None:
    call = {"data": [1, {"a": [None]}], "session_hash": "ann", "fn_index": 3}
    more = {"simple_format": True, "batched": True, "request": {}, "oauth_token": "x"}
    assert called(visits, json.dumps({**call, **more}).encode()) == (200, call)


def test_who_does_not_listen_cannot_call_for_ever(visits: Visits) -> None:
    body = b'{"data": [], "session_hash": "ann"}'
    for _ in range(2):
        statuses = [called(visits, body)[0] for _ in range(UNHEARD_MAX + 1)]
        assert statuses == UNHEARD_MAX * [200] + [429]
        called(visits, b"", method="GET", path=NEWS, query_string=b"session_hash=ann")
    visits.of("ann").listening = 1
    assert {called(visits, body)[0] for _ in range(2 * UNHEARD_MAX)} == {200}


def test_a_page_is_open_as_long_as_it_asks(visits: Visits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nitido.web.sessions.BRIEF_SECONDS", -1.0)
    small = Visits(replace(visits.limits, visitors=2))
    refused = []

    async def app(scope, receive, send):
        try:
            small.of("somebody else")
        except ConfigError as error:
            refused.append(str(error))

    for session in ("ann", "bob"):
        small.of(session).hold("a piece")
    asked = {"type": "http", "method": "GET", "headers": []}
    calls = Calls(app, visits=small)
    with small.here("bob"):
        asyncio.run(calls({**asked, "path": "/gradio_api/heartbeat/ann"}, None, None))
        assert refused == ["Too many are here; come again when others have left."]
        asyncio.run(calls({**asked, "path": "/gradio_api/info"}, None, None))
    assert len(refused) == 1
    assert small.find("ann") is None
    small.close()


def test_a_body_that_does_not_come_is_not_waited_for(
    visits: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nitido.web.calls.PATIENCE_SECONDS", 0.01)
    assert called(visits, None)[0] == 400
