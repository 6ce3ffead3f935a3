"""Who may come in: those who know the password, from this page and no other."""

import asyncio
import base64
import re
from typing import Any

import pytest

from nitido.web.security import (
    BODY_MAX_BYTES,
    GUESS_SECONDS,
    GUESSES_MAX,
    REPORT_POLICY,
    Security,
)

AUTH = ("ann", "s:ecret")


HOME = "127.0.0.1:7860"
SCRIPT = {"sec_fetch_mode": "cors", "sec_fetch_dest": "empty"}
LINK = {"sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}


class Application:
    """What is guarded; it answers when it may go."""

    def __init__(self, go: asyncio.Event | None = None) -> None:
        self.go = go

    async def __call__(self, scope, receive, send):
        if self.go is not None:
            await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"inside"})


async def asked(
    guard: Security, path: str = "/", *, method: str = "GET", client: str = "", **headers: str
) -> tuple[int, dict[bytes, bytes]]:
    sent: list[Any] = []

    async def send(message):
        sent.append(message)

    headers = {"host": HOME, **headers}
    pairs = [(k.replace("_", "-").encode(), v.encode("utf-8")) for k, v in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": pairs, "scheme": "http"}

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    await guard({**scope, "client": (client, 1)}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"])


def answer(
    path: str = "/",
    *,
    auth: tuple[str, str] | None = None,
    bind: str = "127.0.0.1",
    names: tuple[str, ...] = (),
    **given: str,
) -> tuple[int, dict[bytes, bytes]]:
    guard = Security(Application(), auth=auth, host=bind, names=names)
    return asyncio.run(asked(guard, path, **given))


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_who_knows_the_password_comes_in() -> None:
    assert answer(auth=AUTH, authorization=basic(*AUTH))[0] == 200
    assert answer(authorization=basic("é", "ü"), auth=("é", "ü"))[0] == 200


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Basic",
        "Basic ???",
        "Basic " + base64.b64encode(b"ann").decode(),
        basic("ann", "s:ecre"),
        basic("ann", ""),
        basic("", "s:ecret"),
        basic("Ann", "s:ecret"),
        "Bearer " + base64.b64encode(b"ann:s:ecret").decode(),
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/pieces", "/api/pieces/1/files/wav"])
def test_everybody_else_is_asked_for_it_on_every_path(given: str, path: str) -> None:
    status, headers = answer(path, auth=AUTH, authorization=given)
    assert status == 401
    assert headers[b"www-authenticate"].startswith(b"Basic")


def test_the_password_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(given: bytes, right: bytes) -> bool:
        compared.append(right)
        return given == right

    monkeypatch.setattr("nitido.web.security.hmac.compare_digest", compare)
    answer(auth=AUTH, authorization=basic("bob", "wrong"))
    assert compared == [b"ann", b"s:ecret"]  # both, although the first was wrong already


def test_who_guesses_has_to_wait_and_others_do_not() -> None:
    now = 0.0
    inside = Application()
    guard = Security(inside, auth=AUTH, clock=lambda: now)

    def tries(client: str, **given: str) -> int:
        return asyncio.run(asked(guard, client=client, **given))[0]

    right, wrong = basic(*AUTH), basic("ann", "guess")
    assert {tries("10.0.0.1") for _ in range(2 * GUESSES_MAX)} == {401}  # a browser asks first
    assert [tries("10.0.0.1", authorization=wrong) for _ in range(GUESSES_MAX)][-1] == 401
    assert tries("10.0.0.1", authorization=wrong) == 429
    assert tries("10.0.0.1", authorization=right) == 429  # or it would be a guess like any other
    assert tries("10.0.0.2", authorization=right) == 200
    now = GUESS_SECONDS + 1
    assert tries("10.0.0.1", authorization=right) == 200
    for number in range(GUESSES_MAX):  # one household has more addresses than can be counted
        tries(f"2001:db8::{number:x}", authorization=wrong)
    assert tries("2001:db8::ffff", authorization=right) == 429
    assert tries("2001:db8:0:1::1", authorization=right) == 200


def test_there_is_a_bound_to_what_is_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nitido.web.security.OPEN_PER_CLIENT", 2)
    monkeypatch.setattr("nitido.web.security.OPEN_MAX", 3)

    async def ask() -> list[int]:
        inside = Application(asyncio.Event())
        guard = Security(inside)
        clients = ("a", "a", "a", "b", "c")
        asking = [asyncio.create_task(asked(guard, client=client)) for client in clients]
        for _ in range(10):
            await asyncio.sleep(0)
        inside.go.set()
        statuses = [(await one)[0] for one in asking]
        return [*statuses, (await asked(guard, client="a"))[0]]

    assert asyncio.run(ask()) == [200, 200, 503, 200, 503, 200]


def test_the_health_check_is_open_and_nothing_else() -> None:
    assert answer("/health", auth=AUTH)[0] == 200
    assert answer("/healthy", auth=AUTH)[0] == 401


def test_another_site_may_link_here_and_do_nothing_more() -> None:
    for site in ("cross-site", "same-site"):  # another port of this computer is the same site
        assert answer(sec_fetch_site=site, **LINK)[0] == 200
        assert answer(sec_fetch_site=site, **SCRIPT)[0] == 403
        assert answer("/compare", sec_fetch_site=site, **LINK)[0] == 200
        assert answer("/api/pieces/1/files/wav", sec_fetch_site=site, **LINK)[0] == 403
        assert answer("/api/events", sec_fetch_site=site, **LINK)[0] == 403
        framed = {**LINK, "sec_fetch_dest": "iframe"}
        assert answer(sec_fetch_site=site, **framed)[0] == 403
        assert answer("/api/pieces", method="POST", sec_fetch_site=site, **LINK)[0] == 403
    assert answer(sec_fetch_site="none", **LINK)[0] == 200  # typed by hand
    assert answer(sec_fetch_site="same-origin", **SCRIPT)[0] == 200


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "file://",
        "",
        "http://evil.test",
        "http://127.0.0.1",
        "http://127.0.0.1:3000",
        "http://localhost:7860",
        "https://127.0.0.1:7860",
        "http://127.0.0.1:7860.evil.test",
    ],
)
def test_only_its_own_origin_may_call_it(origin: str) -> None:
    assert answer("/api/pieces", method="POST", origin=origin)[0] == 403
    status, headers = answer("/api/pieces", method="POST", origin=f"http://{HOME}")
    assert status == 200
    assert not [name for name in headers if name.lower().startswith(b"access-control")]


def test_behind_a_proxy_its_origin_is_what_the_proxy_says() -> None:
    said = {"x_forwarded_host": "music.test", "x_forwarded_proto": "https"}
    assert answer(origin="https://music.test", **said)[0] == 200
    assert answer(origin="https://music.test:443", **said)[0] == 200
    assert answer(origin="http://music.test", **said)[0] == 403
    assert answer(origin="https://evil.test", **said)[0] == 403


def test_on_this_computer_it_has_no_name_of_anybody_else_s() -> None:
    for host in ("localhost:7860", "127.0.0.1", "127.8.8.8:1", "[::1]:7860", "LOCALHOST"):
        assert answer(host=host)[0] == 200
    for host in (
        "evil.test",
        "evil.test:7860",
        "127.0.0.1.evil.test",
        "192.168.1.5",
        "",
        "a@[::1]",
    ):
        assert answer(host=host)[0] == 403
        assert answer(host=host, x_forwarded_host=HOME)[0] == 403
    assert answer(host="music.test", names=("Music.test",))[0] == 200


def test_open_to_others_it_is_called_by_what_nobody_can_own_unless_it_asks_for_a_password() -> None:
    for host in ("10.0.0.2:7860", "[fe80::1]:7860", "nas:7860", "nas.local", "localhost"):
        assert answer(host=host, bind="0.0.0.0")[0] == 200
    assert answer(host="evil.test", bind="0.0.0.0")[0] == 403
    assert answer(host="evil.test", bind="0.0.0.0", names=("music.test",))[0] == 403
    known = {"auth": AUTH, "authorization": basic(*AUTH)}
    assert answer(host="music.test", bind="0.0.0.0", **known)[0] == 200
    assert answer(host="music.test", bind="music.test")[0] == 200


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PATCH", "PROPFIND", "get"])
def test_nothing_is_asked_but_to_read_and_to_write(method: str) -> None:
    assert answer(method=method)[0] == 405


def body(*parts: bytes | None, seconds: float = 0.0) -> tuple[int, list[bytes]]:
    """What comes of a request with that body, part by part; None never comes."""
    got: list[bytes] = []
    left = list(parts)

    async def inside(scope, receive, send):
        got.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    sent: list[Any] = []

    async def send(message):
        sent.append(message)

    async def receive():
        part = left.pop(0)
        await asyncio.sleep(seconds)
        if part is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    scope = {"type": "http", "method": "POST", "path": "/api/restore", "scheme": "http"}
    host = [(b"host", HOME.encode())]
    asyncio.run(Security(inside)({**scope, "client": ("", 1), "headers": host}, receive, send))
    return sent[0]["status"], got


def test_what_is_asked_is_small_and_handed_on_whole() -> None:
    assert body(b"ab", b"", b"c") == (200, [b"abc"])
    assert body(BODY_MAX_BYTES * b"x") == (200, [BODY_MAX_BYTES * b"x"])
    assert body(BODY_MAX_BYTES * b"x", b"x") == (413, [])


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nitido.web.security.PATIENCE_SECONDS", 0.01)
    assert body(b"a", None) == (408, [])
    assert body(*(100 * [b"x"]), seconds=0.001) == (408, [])  # nor for one that drips


def test_there_are_no_websockets() -> None:
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Security(None, auth=None)({"type": "websocket", "path": "/"}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def rules(policy: str) -> dict[str, str]:
    return dict(rule.split(" ", 1) for rule in policy.split("; ") if " " in rule)


def test_a_browser_is_told_to_ask_no_other_host_and_to_run_no_script_but_the_page_s() -> None:
    policies = [rules(answer()[1][b"content-security-policy"].decode()) for _ in range(2)]
    allowed = {source for sources in policies[0].values() for source in sources.split()}
    assert policies[0]["default-src"] == "'none'"
    assert not [source for source in allowed if "." in source or "//" in source or "*" in source]
    assert not allowed & {"'unsafe-inline'", "'unsafe-eval'", "data:"}
    nonces = {rule["script-src"] for rule in policies}
    assert all(re.fullmatch(r"'nonce-[\w-]{22}'", nonce) for nonce in nonces)
    assert len(nonces) == 2  # a new one each time


def test_a_report_cannot_reach_the_page_that_shows_it() -> None:
    policy = rules(REPORT_POLICY)
    assert "allow-same-origin" not in policy["sandbox"]
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
