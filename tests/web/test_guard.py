"""Who may come in: those who know the password, from this page and no other."""

import asyncio
import base64
from typing import Any

import pytest

from nitido.web.guard import Guard

AUTH = ("ann", "s:ecret")


def answer(
    path: str = "/", *, auth: tuple[str, str] | None = AUTH, **headers: str
) -> tuple[int, dict[bytes, bytes]]:
    sent: list[Any] = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"inside"})

    async def send(message):
        sent.append(message)

    pairs = [(k.replace("_", "-").encode(), v.encode("utf-8")) for k, v in headers.items()]
    scope = {"type": "http", "path": path, "headers": pairs}
    asyncio.run(Guard(app, auth=auth)(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"])


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_who_knows_the_password_comes_in() -> None:
    assert answer(authorization=basic(*AUTH))[0] == 200
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
@pytest.mark.parametrize("path", ["/", "/gradio_api/upload", "/pieces/x/1/y/result.wav"])
def test_everybody_else_is_asked_for_it_on_every_path(given: str, path: str) -> None:
    status, headers = answer(path, authorization=given)
    assert status == 401
    assert headers[b"www-authenticate"].startswith(b"Basic")


def test_the_password_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(given: bytes, right: bytes) -> bool:
        compared.append(right)
        return given == right

    monkeypatch.setattr("nitido.web.guard.hmac.compare_digest", compare)
    answer(authorization=basic("bob", "wrong"))
    assert compared == [b"ann", b"s:ecret"]  # both, although the first was wrong already


def test_the_health_check_is_open_and_nothing_else() -> None:
    assert answer("/health")[0] == 200
    assert answer("/healthy")[0] == 401


def test_another_site_may_link_here_and_do_nothing_more() -> None:
    assert answer(auth=None, sec_fetch_site="cross-site", sec_fetch_mode="navigate")[0] == 200
    assert answer(auth=None, sec_fetch_site="cross-site", sec_fetch_mode="cors")[0] == 403
    assert answer(auth=None, sec_fetch_site="same-origin", sec_fetch_mode="cors")[0] == 200
    assert answer(auth=None, origin="http://evil.test", host="10.0.0.2:7860")[0] == 403
    assert answer(auth=None, origin="http://10.0.0.2:7860", host="10.0.0.2:7860")[0] == 200
    proxied = {"host": "127.0.0.1:7860", "x_forwarded_host": "music.test"}
    assert answer(auth=None, origin="https://music.test", **proxied)[0] == 200


def test_a_browser_is_told_to_ask_no_other_host() -> None:
    policy = answer(auth=None)[1][b"content-security-policy"].decode()
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    allowed = {source for sources in rules.values() for source in sources.split()}
    assert rules["default-src"] == "'self'"
    assert not [source for source in allowed if "." in source or "//" in source or "*" in source]
