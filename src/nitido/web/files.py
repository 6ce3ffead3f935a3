"""The files of visitors: uploads come in here, results go out to whose they are."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from nitido.errors import ConfigError
from nitido.optional import load
from nitido.output import INGREDIENT
from nitido.web.calls import UPLOAD
from nitido.web.security import HEALTH, client_of
from nitido.web.sessions import SOURCE, Visits
from nitido.web.work import CREDENTIALS, encode

FIELDS_MAX = 4  # of an upload, that are no files
SUFFIXES = {
    "report.html": ".report.html",
    "plan.json": ".nitido.json",
    CREDENTIALS: INGREDIENT,
}
TYPES = {
    "flac": "audio/flac",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "wav": "audio/wav",
}


def add_routes(app: Any, visits: Visits) -> None:
    """Add the addresses of uploads, results, and the health check to a FastAPI application."""
    responses = load("starlette.responses")
    in_thread = load("starlette.concurrency").run_in_threadpool
    gone = load("starlette.requests").ClientDisconnect
    limits, uploads = visits.limits, visits.uploads
    encoding = asyncio.Semaphore(visits.limits.at_once)

    async def give(request: Any) -> Any:
        """Answer with a file of a result; whoever does not know the token gets the same as none."""
        parts = request.path_params
        found = visits.file(parts["token"], parts["number"], parts["result"], parts["name"])
        if found is None:
            gone = "There is no such file any more; restore the piece again."
            return responses.PlainTextResponse(gone, 404)
        piece, path = found
        if not path.is_file():
            async with encoding:  # who waits keeps no thread from others
                await in_thread(encode, path.parent, path.suffix[1:])
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

    async def give_told(request: Any) -> Any:
        """Answer with a file whose path is known to its visitor alone."""
        path = visits.told(request.path_params["path"])
        if path is None or not path.is_file():
            return responses.PlainTextResponse("There is no such file.", 404)
        return responses.FileResponse(
            path,
            media_type=TYPES.get(path.suffix[1:], "application/octet-stream"),
            headers={"Content-Disposition": "attachment", "Cache-Control": "private, no-store"},
        )

    async def upload(request: Any) -> Any:
        """Take files, under names of our own; answer with where they lie."""
        client = client_of(request.scope)
        kind = request.headers.get("content-type", "").lower()
        if not kind.startswith("multipart/form-data"):  # another form would be held in memory
            return responses.PlainTextResponse("An upload is multipart/form-data.", 415)
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return responses.PlainTextResponse("An upload says how long it is.", 411)
        if int(length) > limits.upload_bytes:
            return responses.PlainTextResponse("This is more than a visitor may have here.", 413)
        try:
            with uploads.room(int(length), client=client):
                async with request.form(max_files=limits.pieces, max_fields=FIELDS_MAX) as form:
                    files = [file for file in form.getlist("files") if hasattr(file, "file")]
                    if any(file.size > limits.megabytes * 2**20 for file in files):
                        said = f"A file may have a size of {limits.megabytes:g} MB at most."
                        return responses.PlainTextResponse(said, 413)
                    paths = [
                        await in_thread(uploads.add, file.file, file.filename or "", client=client)
                        for file in files
                    ]
        except gone:
            return responses.PlainTextResponse("It has not come to its end.", 400)
        except ConfigError as error:
            return responses.PlainTextResponse(str(error), 503)
        return responses.JSONResponse([str(path) for path in paths])

    async def health(request: Any) -> Any:
        del request
        return responses.PlainTextResponse("ok")

    app.add_route(UPLOAD, upload, methods=["POST"])
    app.add_route("/gradio_api/file={path:path}", give_told, methods=["GET", "HEAD"])
    app.add_route("/pieces/{token}/{number:int}/{result}/{name}", give, methods=["GET", "HEAD"])
    app.add_route(HEALTH, health, methods=["GET", "HEAD"])
