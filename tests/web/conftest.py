"""A page that is served, and a browser to look at it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from nitido.demo import DECODER_HZ, add_artifacts
from nitido.demo.render import render

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",  # a microphone that hears beeps
    "--use-fake-ui-for-media-stream",
]
START_SECONDS = 120


class Server:
    """A server process with a temporary folder of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        if find_spec("fastapi") is None:
            pytest.skip("fastapi is not installed")
        self.folder = folder
        self._options = options
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        environment = {**os.environ, "TMPDIR": str(self.folder), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.web.program", str(self._port), *self._options],
            cwd=ROOT,
            env=environment,
        )
        for _ in range(START_SECONDS * 10):
            time.sleep(0.1)
            assert self.process.poll() is None, "the server ended"
            try:
                with urllib.request.urlopen(f"{self.url}/health") as answer:
                    assert answer.read() == b"ok"
                return
            except OSError:
                pass
        self.kill()
        raise AssertionError("the server does not answer")

    def let_go(self) -> None:
        """Let go on what is held, see `tests.web.program`."""
        (self.folder / "go").touch()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it as Ctrl-C would."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The page, for all tests that do not harm it."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Server(Path(folder)) as started,
    ):
        yield started


@pytest.fixture(scope="module")  # while it is open, nobody else in the process can open one
def browser() -> Iterator[Any]:
    """A browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    about = {"executable_path": str(CHROMIUM), "args": ARGUMENTS}
    with sync_api.sync_playwright() as playwright, playwright.chromium.launch(**about) as started:
        yield started


class Visitor:
    """Somebody who asks an application in this process, with a cookie of their own."""

    def __init__(self, app: Any) -> None:
        testing = pytest.importorskip("starlette.testclient")
        self.http = testing.TestClient(app, base_url="http://localhost")

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        """Return the status, and what is said."""
        answer = self.http.request(
            method, path, **({"json": body} if body is not None else {}), **more
        )
        is_json = "json" in answer.headers.get("content-type", "")
        return answer.status_code, answer.json() if is_json else answer.content

    def drop(self, path: Path, **asked: Any) -> dict[str, Any]:
        """Send a file; return the piece."""
        asked = {"name": path.name, **asked}
        status, piece = self.ask("POST", "/api/pieces", params=asked, content=path.read_bytes())
        assert status == 201, piece
        found: dict[str, Any] = piece
        return found

    def wait(self, piece: int) -> dict[str, Any]:
        """Return a piece when nothing more is done with it."""
        found: dict[str, Any] = {"busy": True}
        while found["busy"]:
            _, found = self.ask("GET", f"/api/pieces/{piece}", params={"wait": 60})
        return found


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds as a neural decoder leaves them."""
    path = tmp_path_factory.mktemp("clip") / "my song.wav"
    sf.write(path, add_artifacts(render(seconds=6.0))[0, : 3 * DECODER_HZ], DECODER_HZ)
    return path


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty seconds, which take a while, as a FLAC file."""
    path = tmp_path_factory.mktemp("clip") / "long.flac"
    sf.write(path, np.tile(add_artifacts(render(seconds=6.0))[0], 9), DECODER_HZ)
    return path


@pytest.fixture
def held_clip(tmp_path: Path, clip: Path, server: Server) -> Iterator[Path]:
    """A clip whose restoration takes as long as a test wants, on any machine."""
    path = tmp_path / "held.wav"
    path.write_bytes(clip.read_bytes())
    yield path
    (server.folder / "go").unlink(missing_ok=True)
