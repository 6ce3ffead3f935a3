"""The page over HTTP, from a server of its own: what programs do, and what nobody can."""

import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import soundfile as sf
from tests.web.conftest import ROOT, Server

from nitido.errors import ConfigError
from nitido.web.server import serve

PATIENCE_SECONDS = 300


class Stranger:
    """Somebody who writes requests by hand, and keeps the cookie."""

    def __init__(self, server: Server) -> None:
        self.address = urlsplit(server.url).netloc
        self.cookie = ""

    def ask(self, method: str, path: str, body: Any = b"", **headers: str) -> tuple[int, bytes]:
        with closing(HTTPConnection(self.address, timeout=PATIENCE_SECONDS)) as connection:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"cookie": self.cookie, **given})
            answer = connection.getresponse()
            self.cookie = (answer.headers["set-cookie"] or self.cookie).partition(";")[0]
            return answer.status, answer.read()

    def json(self, method: str, path: str, **asked: Any) -> Any:
        body = json.dumps(asked).encode() if asked else b""
        return json.loads(self.ask(method, path, body, content_type="application/json")[1])

    def drop(self, path: Path, name: str = "s.wav") -> int:
        sent = self.ask("POST", f"/api/pieces?name={name}", path.read_bytes())
        number: int = json.loads(sent[1])["id"]
        return number


@pytest.fixture
def free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture
def ann(server: Server) -> Stranger:
    return Stranger(server)


def wait(visitor: Stranger, piece: int) -> dict[str, Any]:
    while (found := visitor.json("GET", f"/api/pieces/{piece}?wait=60"))["busy"]:
        pass
    told: dict[str, Any] = found
    return told


def example(language: str) -> str:
    text = (ROOT / "docs" / "web.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[-1]


def test_the_python_of_the_page_on_the_page_runs(
    server: Server, clip: Path, tmp_path: Path
) -> None:
    pytest.importorskip("httpx")
    shutil.copy(clip, tmp_path / "song.wav")
    code = example("python").replace("http://127.0.0.1:7860", server.url)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Metallic whine")
    info = sf.info(tmp_path / "restored.flac")
    assert (info.format, info.duration) == ("FLAC", pytest.approx(sf.info(clip).duration))


def test_the_curl_of_the_page_on_the_page_runs(server: Server, clip: Path, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    shutil.copy(clip, tmp_path / "song.wav")
    code = example("sh").replace("http://127.0.0.1:7860", server.url).replace("curl ", "curl -sf ")
    subprocess.run(["sh", "-e", "-c", code], cwd=tmp_path, check=True, capture_output=True)
    assert sf.info(tmp_path / "restored.flac").format == "FLAC"


def events(visitor: Stranger) -> Iterator[dict[str, Any]]:
    """What a visitor is told, as it comes."""
    with closing(HTTPConnection(visitor.address, timeout=PATIENCE_SECONDS)) as connection:
        connection.request("GET", "/api/events", headers={"cookie": visitor.cookie})
        answer = connection.getresponse()
        assert answer.headers["content-type"].startswith("text/event-stream")
        while line := answer.readline():
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))


def restoring(state: dict[str, Any]) -> dict[str, Any]:
    """How it stands with the restoration of a visitor; empty before there is one."""
    tasks: list[dict[str, Any]] = state["tasks"]
    return next((task for task in tasks[::-1] if task["kind"] == "restore"), {})


def until(visitor: Stranger, state: str) -> dict[str, Any]:
    """The restoration of a visitor, when it stands so."""
    return next(task for told in events(visitor) if (task := restoring(told)).get("state") == state)


def test_two_restorations_run_while_a_third_visitor_is_told_when_it_is_their_turn(
    server: Server, held_clip: Path, clip: Path
) -> None:
    visitors = [Stranger(server) for _ in range(4)]
    pieces = [visitor.drop(held_clip, "held.wav") for visitor in visitors[:2]]
    for visitor in visitors[:2]:
        assert until(visitor, "working")["share"] < 1
    for ahead, visitor in enumerate(visitors[2:]):
        pieces.append(visitor.drop(clip))
        assert until(visitor, "waiting")["ahead"] == ahead  # you are next; one is before you
    server.let_go()
    for visitor, piece in zip(visitors, pieces, strict=True):
        assert until(visitor, "done")["said"] == ""
        assert wait(visitor, piece)["restored"]
        visitor.ask("DELETE", f"/api/pieces/{piece}")


def test_cancelling_leaves_no_result_and_no_task(ann: Stranger, held_clip: Path) -> None:
    piece = ann.drop(held_clip, "held.wav")
    until(ann, "working")
    assert ann.json("POST", "/api/cancel")["cancelled"] > 0
    found = wait(ann, piece)
    assert (found["restored"], found["said"]) == (False, "")
    assert ann.ask("GET", f"/api/pieces/{piece}/files/wav")[0] == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "null"},
        {"origin": "http://evil.test"},
        {"host": "evil.test"},
        {"host": "127.0.0.1.evil.test"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"},
        {"sec_fetch_site": "same-site", "sec_fetch_mode": "cors"},
    ],
)
def test_no_other_site_can_send_change_or_remove_anything(
    ann: Stranger, clip: Path, headers: dict[str, str]
) -> None:
    piece = ann.drop(clip)
    for method, path in (
        ("POST", "/api/pieces?name=x.wav"),
        ("DELETE", f"/api/pieces/{piece}"),
        ("POST", f"/api/pieces/{piece}/restore"),
        ("PUT", f"/api/pieces/{piece}/choices"),
        ("POST", "/api/cancel"),
        ("GET", "/api/events") if "origin" not in headers else ("POST", "/api/restore"),
    ):
        assert ann.ask(method, path, b"{}", **headers)[0] == 403
    assert ann.json("GET", f"/api/pieces/{piece}")["name"] == "s.wav"


def test_an_upload_that_breaks_off_leaves_nothing(server: Server, ann: Stranger) -> None:
    ann.ask("GET", "/")
    before = set(server.folder.rglob("*.wav"))
    with socket.create_connection(ann.address.split(":")) as connection:  # type: ignore[arg-type]
        head = (
            f"POST /api/pieces?name=half.wav HTTP/1.1\r\nHost: {ann.address}\r\n"
            f"Cookie: {ann.cookie}\r\nContent-Length: 1000000\r\n\r\n"
        )
        connection.sendall(head.encode() + 100_000 * b"x")
        while not (half := set(server.folder.rglob("*.wav")) - before):
            time.sleep(0.1)
    end = time.monotonic() + PATIENCE_SECONDS
    while any(path.exists() for path in half):
        assert time.monotonic() < end, half
        time.sleep(0.1)
    assert ann.json("GET", "/api/pieces") == []


def test_a_server_that_ends_leaves_nothing_behind(clip: Path) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with Server(Path(folder)) as server:
            Stranger(server).drop(clip)
            assert list(Path(folder).glob("nitido-web-*"))
        assert not list(Path(folder).glob("nitido-web-*"))


def test_the_browser_is_shown_the_page_once_it_is_there(free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    program = f"""
import os, signal, urllib.request, webbrowser
from nitido.web.server import serve

def look(url):
    print(url, urllib.request.urlopen(f"{{url}}/health").read().decode(), flush=True)
    os.kill(os.getpid(), signal.SIGINT)

webbrowser.open = look
serve(port={free_port}, open_at={url!r})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == f"{url} ok\n", done.stderr
    assert done.returncode == 0, "Ctrl-C is how it ends"


def test_where_it_is_served_already_it_is_shown_and_what_else_is_there_is_said(
    server: Server, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    port = urlsplit(server.url).port
    serve(port=port, open_at=server.url)
    assert shown == [server.url]
    with socket.create_server(("127.0.0.1", free_port)):
        for url in ("", f"http://127.0.0.1:{free_port}"):
            with pytest.raises(ConfigError, match=r"is taken; `port=` names another"):
                serve(port=free_port, open_at=url)
    assert shown == [server.url]
