"""The files of results, for the visitor whose they are."""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import quote

from nitido.optional import load
from nitido.web.guard import HEALTH
from nitido.web.visits import SOURCE, Visits
from nitido.web.work import encode

SUFFIXES = {"report.html": ".report.html", "plan.json": ".nitido.json"}
TYPES = {
    "flac": "audio/flac",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "wav": "audio/wav",
}


def add_routes(app: Any, visits: Visits) -> None:
    """Add the addresses of results, and of the health check, to a FastAPI application."""
    responses = load("starlette.responses")
    encoding = threading.Semaphore(visits.limits.at_once)

    def give(request: Any) -> Any:
        """Answer with a file of a result; whoever does not know the token gets the same as none."""
        parts = request.path_params
        found = visits.file(parts["token"], parts["number"], parts["result"], parts["name"])
        if found is None:
            gone = "There is no such file any more; restore the piece again."
            return responses.PlainTextResponse(gone, 404)
        piece, path = found
        if not path.is_file():
            with encoding:
                encode(path.parent, path.suffix[1:])
        end = SUFFIXES.get(path.name, path.suffix)
        stem = piece.stem if parts["result"] == SOURCE else f"{piece.stem}_restored"
        return responses.FileResponse(
            path,
            media_type=TYPES.get(path.suffix[1:], "application/octet-stream"),
            headers={
                "Content-Disposition": f"inline; filename*=UTF-8''{quote(stem + end, safe='')}",
                "Cache-Control": "private, no-store",
            },
        )

    def health(request: Any) -> Any:
        del request
        return responses.PlainTextResponse("ok")

    app.add_route("/pieces/{token}/{number:int}/{result}/{name}", give, methods=["GET", "HEAD"])
    app.add_route(HEALTH, health, methods=["GET", "HEAD"])
