"""The API: what the page asks for, and what programs may ask for as well; described at `/docs`."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from nitido.batch.names import AUDIO_SUFFIXES
from nitido.errors import ConfigError, NitidoError
from nitido.restoration.restore_options import RestoreOptions
from nitido.web import work
from nitido.web.choices import choose
from nitido.web.limits import FullError
from nitido.web.security import HEALTH, LATER, REPORT_POLICY, UPLOADS, client_of
from nitido.web.sessions import KINDS, SessionPiece, Visit
from nitido.web.site import LISTENERS_MAX, Asked, Site, Version, told

COOKIE = "nitido"
UPLOAD_SECONDS = 1800.0  # that one file may take
LOOK_SECONDS, BEAT_SECONDS = 0.2, 10.0  # between two looks at the progress; between signs of life
WAIT_SECONDS_MAX = 60.0
TYPES = {
    ".flac": "audio/flac",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
}
PRIVATE = {"Cache-Control": "private, no-store"}


@dataclass
class Choices:
    """What is to be done: a preset, and single settings as `nitido restore --set` takes them."""

    preset: str = RestoreOptions.preset
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Comparing:
    """What is to be compared: the first with each of the others, and how it should sound."""

    versions: list[Version]
    reference: Version | None = None


def site_of(request: Request) -> Site:
    """Return what the page can do."""
    site: Site = request.app.state.site
    return site


def token_of(request: Request) -> str:
    """Return the token of who asks; a new one if they have none, which `remember` sends them."""
    token: str = getattr(request.state, "token", request.cookies.get(COOKIE, ""))
    if not site_of(request).visits.is_token(token):
        token = request.state.token = site_of(request).visits.new_token()
    return token


def found_visit(request: Request) -> Visit | None:
    """Return the visit of who asks, if it has begun."""
    return site_of(request).visits.find(token_of(request))


def begun_visit(request: Request) -> Visit:
    """Return the visit of who asks; it begins now if it had not."""
    return site_of(request).visits.of(token_of(request))


def own_piece(request: Request, piece: int) -> tuple[Visit, SessionPiece]:
    """Return a piece of who asks; another's is none."""
    visit = found_visit(request)
    mine = visit.pieces.get(piece) if visit else None
    if visit is None or mine is None:
        raise HTTPException(404, "There is no such piece of yours any more.")
    return visit, mine


async def remember(request: Request, call_next: Any) -> Any:
    """Send the token of a new visitor as a cookie that no script can read."""
    answer = await call_next(request)
    token = getattr(request.state, "token", None)
    if token is not None:
        proxied = request.headers.get("x-forwarded-proto", request.url.scheme)
        answer.set_cookie(
            COOKIE, token, httponly=True, samesite="lax", secure=proxied.startswith("https")
        )
    return answer


SiteOf = Annotated[Site, Depends(site_of)]
Found = Annotated[Visit | None, Depends(found_visit)]
Begun = Annotated[Visit, Depends(begun_visit)]
Own = Annotated[tuple[Visit, SessionPiece], Depends(own_piece)]


async def upload(
    request: Request,
    site: SiteOf,
    name: str = "piece",
    kind: str = "piece",
    restore: bool = True,
    preset: str = RestoreOptions.preset,
) -> Any:
    """Send a file, as the body of the request, under any name; it is examined, then restored."""
    if kind not in KINDS:
        raise ConfigError(f"A file is one of {', '.join(KINDS)}, not {kind!r}.")
    choices = choose(preset)
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise HTTPException(415, "The body is the file itself; a form is not taken.")
    length = request.headers.get("content-length", "")
    most = site.limits.file_bytes
    told_bytes = int(length) if re.fullmatch("[0-9]{1,15}", length) else most
    shown = "".join(c for c in name if c.isprintable())[:80]
    too_large = f"{shown} is larger than {site.limits.megabytes:g} MB, which this page takes."
    if told_bytes > most:
        raise HTTPException(413, too_large)
    visit = begun_visit(request)
    await asyncio.to_thread(visit.check_room, kind, site.limits)
    suffix = PurePath(name.replace("\0", "")).suffix.lower()
    path = visit.folder / f"{secrets.token_hex(16)}{suffix if suffix in AUDIO_SUFFIXES else ''}"
    try:
        with site.visits.room(told_bytes, client=client_of(request.scope)):
            async with asyncio.timeout(UPLOAD_SECONDS):
                if not await _receive(request, path, most):
                    raise HTTPException(413, too_large)
            await asyncio.to_thread(site.limits.check_length, path, shown)
        piece = visit.add(name, kind=kind, limits=site.limits)
        path.replace(piece.source)
    except (ClientDisconnect, TimeoutError):
        raise HTTPException(400, f"{shown} has not come to its end; send it again.") from None
    finally:
        path.unlink(missing_ok=True)
    piece.choices = choices
    if kind == "piece":
        site.begin(visit, piece, restoring=restore)
    visit.changed()
    return JSONResponse(told(site, visit, piece), 201)


async def _receive(request: Request, path: Path, most: int) -> bool:
    """Write a body to the disk; return whether it is short enough."""
    size = 0
    with path.open("xb") as file:
        async for part in request.stream():
            size += len(part)
            if size > most:
                return False
            await asyncio.to_thread(file.write, part)
    return True


def list_pieces(site: SiteOf, visit: Found) -> Any:
    """Return all that is yours, without what was found in it."""
    pieces = list(visit.pieces.values()) if visit else []
    left_out = ("diagnosis", "plan")
    everything = [told(site, visit, piece) for piece in pieces if visit]
    return [{k: v for k, v in one.items() if k not in left_out} for one in everything]


async def give_piece(
    site: SiteOf, own: Own, wait: Annotated[float, Query(ge=0, le=WAIT_SECONDS_MAX)] = 0.0
) -> Any:
    """Return everything about a piece; with `wait`, when nothing more is done with it."""
    for _ in range(round(wait / LOOK_SECONDS)):
        if not site.is_busy(own[0], own[1].id):
            break
        await asyncio.sleep(LOOK_SECONDS)
    return told(site, *own)


def remove_piece(site: SiteOf, own: Own) -> Any:
    """Delete a piece and all that came of it."""
    site.remove(*own)
    return {"removed": own[1].id}


def change(site: SiteOf, own: Own, choices: Choices) -> Any:
    """Choose what is to be done; the preview is made anew, a result is not until `restore`."""
    site.change(*own, choices.preset, choices.settings)
    return told(site, *own)


def restore(site: SiteOf, own: Own) -> Any:
    """Restore a piece as chosen."""
    site.restore(*own)
    return told(site, *own)


def restore_all(site: SiteOf, visit: Begun, choices: Choices | None = None) -> Any:
    """Restore all pieces; with choices, all by the same."""
    for piece in visit.of_kind("piece"):
        if choices is not None:
            piece.choices = choose(choices.preset, choices.settings)
        if not piece.result or piece.stale:
            site.restore(visit, piece)
    visit.changed()
    return site.state(visit)


def check(site: SiteOf, own: Own, target: str = "streaming") -> Any:
    """Ask whether a piece, or its result, is fit for where it goes, as `nitido check` does."""
    site.check(*own, target)
    return told(site, *own)


def take(site: SiteOf, own: Own) -> Any:
    """Take a generated clip on to restoring."""
    if own[1].kind != "clip":
        raise ConfigError(f"{own[1].name} is no clip that was generated.")
    site.take(*own)
    return told(site, *own)


def generate(site: SiteOf, visit: Begun, asked: Asked) -> Any:
    """Make music from words."""
    site.generate(visit, asked)
    return site.state(visit)


def compare(site: SiteOf, visit: Begun, asked: Comparing) -> Any:
    """Compare versions of a piece; what comes of it is a piece of its own."""
    return {"id": site.compare(visit, asked.versions, asked.reference)}


def cancel(site: SiteOf, visit: Found) -> Any:
    """Cancel all that waits and works for you."""
    return {"cancelled": site.cancel(visit) if visit else 0}


def state(site: SiteOf, visit: Found) -> Any:
    """Return what is done and waits for you, and how far it is."""
    return site.state(visit)


def events(request: Request, site: SiteOf) -> Any:
    """Send the same as server-sent events, each time that it changes."""
    token = token_of(request)

    async def listen() -> AsyncIterator[str]:
        said, quiet = "", BEAT_SECONDS
        counted: Visit | None = None
        try:
            while True:
                visit = site.visits.find(token)
                if visit is not None and counted is None:
                    counted = visit
                    visit.open += 1
                if visit is not None and visit.open > LISTENERS_MAX:
                    return
                news = json.dumps(site.state(visit))
                if news != said or quiet >= BEAT_SECONDS:
                    yield f"data: {news}\n\n" if news != said else ": here\n\n"
                    said, quiet = news, 0.0
                quiet += LOOK_SECONDS
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            if counted is not None:
                counted.open -= 1

    headers = {**PRIVATE, "X-Accel-Buffering": "no"}
    return StreamingResponse(listen(), media_type="text/event-stream", headers=headers)


async def _encoded(request: Request, function: Any, *asked: Any) -> Any:
    """Do what may take a while in a thread; who waits for it keeps no thread from others."""
    async with request.app.state.encoding:
        return await asyncio.to_thread(function, *asked)


async def give_file(request: Request, own: Own, form: str, show: bool = False) -> Any:
    """Return the result as wav, wav16, wav32, flac, mp3, m4a, ogg, opus, report or plan."""
    piece = own[1]
    if form not in work.DOWNLOADS or not piece.result:
        raise HTTPException(404, "There is no such file; restore the piece first.")
    if piece.kind == "comparison":
        path = piece.result_folder / "report.html"
    else:
        path = await _encoded(request, work.download, piece, form)
    named = f"{piece.stem}_restored{work.DOWNLOADS[form].suffix}"
    return _file(path, named, show=show and form == "report")


def give_source(own: Own) -> Any:
    """Return the file as it came, or as it was generated."""
    return _file(own[1].source, own[1].name)


def give_set(own: Own, name: str) -> Any:
    """Return what can be played: original, preview or result, and where each sound is."""
    piece = own[1]
    if name not in piece.sets:
        raise HTTPException(404, "There is nothing of that name to play.")
    made = piece.sets[name]
    tracks = [
        {**track, "url": f"api/pieces/{piece.id}/sets/{name}/{made['id']}/{number}"}
        for number, track in enumerate(made["tracks"])
    ]
    return JSONResponse({**made, "folder": None, "tracks": tracks}, headers=PRIVATE)


def give_sound(own: Own, name: str, id: str, number: int) -> Any:  # noqa: A002
    """Return one of the sounds of a set."""
    made = own[1].sets.get(name, {})
    if made.get("id") != id or not 0 <= number < len(made["tracks"]):
        raise HTTPException(404, "This is not played any more.")
    path = own[1].folder / made["folder"] / str(number)
    if not path.is_file():  # another has just taken its place
        raise HTTPException(404, "This is not played any more.")
    return FileResponse(
        path,
        media_type="audio/flac",
        headers={"Cache-Control": "private, max-age=3600"},
    )


async def give_zip(request: Request, site: SiteOf, visit: Begun, form: str = "wav") -> Any:
    """Return all results in one ZIP file, each with its report and its plan."""
    pieces = [piece for piece in visit.of_kind("piece") if piece.result]
    if not pieces or form not in work.DOWNLOADS:
        raise HTTPException(404, "There are no results yet; restore a piece first.")
    with site.visits.room():
        folder = Path(tempfile.mkdtemp(dir=visit.folder))
        path = folder / "results.zip"
        await _encoded(request, work.zip_results, pieces, path, form)

    def done() -> None:
        path.unlink(missing_ok=True)
        folder.rmdir()

    return _file(path, "nitido_results.zip", background=BackgroundTask(done))


def _file(
    path: Path, name: str, *, show: bool = False, background: BackgroundTask | None = None
) -> Any:
    where = "inline" if show else "attachment"
    headers = {
        **PRIVATE,
        "Content-Disposition": f"{where}; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": REPORT_POLICY if show else "default-src 'none'",
    }
    kind = TYPES.get(PurePath(name).suffix.lower(), "application/octet-stream")
    if not path.is_file():
        raise HTTPException(404, "This file is not there any more.")
    return FileResponse(path, media_type=kind, headers=headers, background=background)


def health() -> Any:
    """Say that the server is there."""
    return PlainTextResponse("ok")


async def refuse(_: Request, error: Exception) -> Any:
    """Answer what cannot be done with the reason, in one sentence."""
    status = 503 if isinstance(error, FullError) else 400
    headers = {LATER[0].decode(): LATER[1].decode()} if status == 503 else None
    return JSONResponse({"detail": str(error)}, status, headers)


ROUTES = (
    ("POST", UPLOADS, upload),
    ("GET", UPLOADS, list_pieces),
    ("GET", "/api/pieces/{piece}", give_piece),
    ("DELETE", "/api/pieces/{piece}", remove_piece),
    ("PUT", "/api/pieces/{piece}/choices", change),
    ("POST", "/api/pieces/{piece}/restore", restore),
    ("POST", "/api/pieces/{piece}/check", check),
    ("POST", "/api/pieces/{piece}/take", take),
    ("GET", "/api/pieces/{piece}/files/{form}", give_file),
    ("GET", "/api/pieces/{piece}/source", give_source),
    ("GET", "/api/pieces/{piece}/sets/{name}", give_set),
    ("GET", "/api/pieces/{piece}/sets/{name}/{id}/{number}", give_sound),
    ("POST", "/api/restore", restore_all),
    ("POST", "/api/generate", generate),
    ("POST", "/api/comparisons", compare),
    ("POST", "/api/cancel", cancel),
    ("GET", "/api/state", state),
    ("GET", "/api/events", events),
    ("GET", "/api/zip", give_zip),
    ("GET", HEALTH, health),
)


def add_routes(app: FastAPI) -> None:
    """Add the API to an application, whose `state.site` it asks."""
    for method, path, function in ROUTES:
        app.add_api_route(path, function, methods=[method], response_model=None)
    app.add_api_route(HEALTH, health, methods=["HEAD"], include_in_schema=False)
    app.state.encoding = asyncio.Semaphore(app.state.site.limits.at_once)
    app.add_exception_handler(NitidoError, refuse)
    app.middleware("http")(remember)
