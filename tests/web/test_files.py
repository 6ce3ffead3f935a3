"""The files of visitors over HTTP."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from nitido.web.files import add_routes
from nitido.web.limits import Limits
from nitido.web.sessions import Visits

DOWNLOADS = 100  # more than there are threads


def test_downloads_that_wait_for_their_format_keep_nobody_else_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpx, fastapi = pytest.importorskip("httpx"), pytest.importorskip("fastapi")
    done = threading.Event()

    def encode(folder: Path, name: str) -> None:
        done.wait()
        (folder / f"result.{name}").write_bytes(b"sound")

    monkeypatch.setattr("nitido.web.files.encode", encode)
    visits, app = Visits(Limits()), fastapi.FastAPI()
    add_routes(app, visits)
    visit = visits.of("ann")
    piece = visit.hold("song.wav")
    piece.keep(piece.new_result(), formats=("mp3",))
    address = f"/pieces/{visit.token}/1/{piece.result}/result.mp3"

    async def ask() -> tuple[int, bool, set[int]]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            downloads: list[asyncio.Task[Any]] = [
                asyncio.create_task(client.get(address)) for _ in range(DOWNLOADS)
            ]
            await asyncio.sleep(0.1)
            health = (await client.get("/health")).status_code
            late = done.is_set()
            done.set()
            return health, late, {(await one).status_code for one in downloads}

    end = threading.Timer(10, done.set)  # if it waits after all
    end.start()
    assert asyncio.run(ask()) == (200, False, {200})
    end.cancel()
    visits.close()
