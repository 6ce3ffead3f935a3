"""The API: what the page asks for, and what programs may ask for as well; described at `/docs`."""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field, StringConstraints
from starlette.requests import ClientDisconnect

from nitido.delivery_check import find_target
from nitido.errors import ConfigError
from nitido.restoration.restore_options import RestoreOptions
from nitido.web import work
from nitido.web.choices import WORDS, Choices
from nitido.web.limits import FullError
from nitido.web.queue import Task, Tell
from nitido.web.security import COOKIE, LATER, REPORT_POLICY, client_of
from nitido.web.sessions import SessionPiece, Told, Visit, printable
from nitido.web.site import PieceState, Site, VisitState

UPLOAD_SECONDS = 1800.0  # that one file may take
LOOK_SECONDS, BEAT_SECONDS = 0.2, 10.0  # between two looks at the progress; between signs of life
WAIT_SECONDS_MAX = 60.0
LISTENERS_MAX = 8  # pages of one visitor that are open
COMPARISONS_KEPT = 3
WORDS_NAMED = 4  # of a prompt that a clip is called by
ZIP_STEP_BYTES = 2**20
PRIVATE = {"Cache-Control": "private, no-store"}


class Version(BaseModel):
    """A sound to compare: a piece as it came, or as it was restored."""

    piece: int
    restored: bool = False


class Comparing(BaseModel):
    """What is to be compared: the first with each of the others, and how it should sound."""

    versions: list[Version] = Field(min_length=2, max_length=4)
    reference: Version | None = None


class Asked(BaseModel):
    """What is to be generated: a clip per candidate, each with the next seed."""

    prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    seconds: float = Field(10.0, ge=1, le=30)
    candidates: int = Field(2, ge=1, le=4)
    seed: int | None = Field(None, ge=0, le=2**31 - 1, description="a new one by chance if none")
    model: str = next(iter(WORDS["models"]))
    melody: int | None = Field(None, description="an uploaded piece of the kind melody")


def site_of(request: Request) -> Site:
    """Return what the page can do."""
    site: Site = request.app.state.site
    return site


SiteOf = Annotated[Site, Depends(site_of)]


def token_of(request: Request, site: SiteOf) -> str:
    """Return the token of who asks; a new one if they have none, which goes out as a cookie."""
    token: str = request.cookies.get(COOKIE, "")
    if not site.visits.is_token(token):
        token = request.scope["token"] = site.visits.new_token()
    return token


Token = Annotated[str, Depends(token_of)]


def found_visit(site: SiteOf, token: Token) -> Visit | None:
    """Return the visit of who asks, if it has begun."""
    return site.visits.find(token)


def begun_visit(site: SiteOf, token: Token) -> Visit:
    """Return the visit of who asks; it begins now if it had not."""
    return site.visits.of(token)


Found = Annotated[Visit | None, Depends(found_visit)]
Begun = Annotated[Visit, Depends(begun_visit)]


def own_piece(visit: Found, piece: int) -> SessionPiece:
    """Return a piece of who asks; another's is none."""
    mine = visit.pieces.get(piece) if visit else None
    if mine is None:
        raise HTTPException(404, "There is no such piece of yours any more.")
    return mine


Own = Annotated[SessionPiece, Depends(own_piece)]


async def answer_error(_: Request, error: Exception) -> Response:
    """Answer what cannot be done with the reason, in one sentence."""
    if isinstance(error, FileNotFoundError):  # another has just taken its place
        return JSONResponse({"detail": "This is not there any more."}, 404)
    full = isinstance(error, FullError)
    return JSONResponse({"detail": str(error)}, 503 if full else 400, LATER if full else None)


api = APIRouter(prefix="/api")


@api.post("/pieces", status_code=201)
async def upload(
    request: Request,
    site: SiteOf,
    token: Token,
    name: str = "piece",
    kind: Literal["piece", "melody", "version", "reference"] = "piece",
    restore: bool = True,
    preset: str = RestoreOptions.preset,
) -> PieceState:
    """Send a file, as the body of the request, under any name; it is examined, then restored."""
    choices = Choices(preset=preset)
    _ = choices.options
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise HTTPException(415, "The body is the file itself; a form is not taken.")
    length = request.headers.get("content-length", "")
    most = site.limits.file_bytes
    told_bytes = int(length) if re.fullmatch("[0-9]{1,15}", length) else most
    shown = printable(name)
    large = f"{shown} is larger than {site.limits.megabytes:g} MB, which this page takes."
    if told_bytes > most:
        raise HTTPException(413, large)
    visit = site.visits.of(token)
    try:
        with (
            visit.adding(name, kind=kind, limits=site.limits) as piece,
            site.visits.room(told_bytes, client=client_of(request.scope)),
            piece.source.open("xb") as file,
        ):
            piece.choices = choices
            async with asyncio.timeout(UPLOAD_SECONDS):
                async for part in request.stream():
                    if file.tell() + len(part) > most:
                        raise HTTPException(413, large)
                    await asyncio.to_thread(file.write, part)
            file.close()
            await asyncio.to_thread(site.limits.check_length, piece.source, piece.name)
    except (ClientDisconnect, TimeoutError):
        raise HTTPException(400, f"{shown} has not come to its end; send it again.") from None
    if kind == "piece":
        site.begin(piece, restoring=restore)
    elif kind == "reference":
        words = f"Listening to {piece.name}"
        site.add(piece, "examine", words, partial(work.examine, piece))
    visit.changed()
    return site.told(piece)


@api.get("/pieces")
def list_pieces(site: SiteOf, visit: Found) -> list[PieceState]:
    """Return all that is yours, without what was found in it."""
    pieces = list(visit.pieces.values()) if visit else []
    return [site.told(piece, whole=False) for piece in pieces]


@api.get("/pieces/{piece}")
async def give_piece(
    site: SiteOf, own: Own, wait: Annotated[float, Query(ge=0, le=WAIT_SECONDS_MAX)] = 0.0
) -> PieceState:
    """Return everything about a piece; with `wait`, when nothing more is done with it."""
    for _ in range(round(wait / LOOK_SECONDS)):
        if not site.is_busy(own):
            break
        await asyncio.sleep(LOOK_SECONDS)
    return site.told(own)


@api.delete("/pieces/{piece}")
def remove_piece(site: SiteOf, own: Own) -> dict[str, int]:
    """Delete a piece and all that came of it."""
    site.remove(own)
    return {"removed": own.id}


@api.put("/pieces/{piece}/choices")
def change(site: SiteOf, own: Own, choices: Choices) -> PieceState:
    """Choose what is to be done; the preview is made anew, then the result if there was one."""
    site.change(own, choices)
    return site.told(own)


@api.post("/pieces/{piece}/restore")
def restore(site: SiteOf, own: Own) -> PieceState:
    """Restore a piece as chosen."""
    site.restore(own)
    return site.told(own)


@api.post("/restore")
def restore_all(
    site: SiteOf, visit: Begun, choices: Choices | None = None, album: bool | None = None
) -> VisitState:
    """Restore all pieces; with choices, all by the same; as an album, or not as one any more."""
    _ = choices and choices.options
    pieces = visit.of_kind("piece")
    for piece in pieces:
        chosen = choices or piece.choices
        piece.choices = chosen if album is None else chosen.but(album=album)
    site.restore(*(piece for piece in pieces if not piece.result or piece.stale))
    visit.changed()
    return site.state(visit)


@api.post("/pieces/{piece}/check")
def check(site: SiteOf, own: Own, target: str = "streaming") -> PieceState:
    """Ask whether a piece, or its result, is fit for where it goes, as `nitido check` does."""
    words = f"Checking {own.name} for {find_target(target).title}"
    site.add(own, "check", words, partial(work.judge, own, target))
    return site.told(own)


@api.post("/pieces/{piece}/take")
def take(site: SiteOf, own: Own) -> PieceState:
    """Take a generated clip on to restoring."""
    if own.kind != "clip":
        raise ConfigError(f"{own.name} is no clip that was generated.")
    own.visit.check_room("piece", site.limits)
    own.kind = "piece"
    site.begin(own)
    return site.told(own)


@api.post("/generate")
def generate(site: SiteOf, visit: Begun, asked: Asked) -> VisitState:
    """Make music from words."""
    if asked.model not in site.models:
        raise ConfigError(f"There is no model {asked.model!r} here; choose one of the list.")
    melody = None if asked.melody is None else visit.pieces.get(asked.melody)
    if asked.melody is not None and (melody is None or melody.kind != "melody"):
        raise ConfigError("There is no such melody of yours; send it again.")
    first = secrets.randbelow(10_000) if asked.seed is None else asked.seed
    options = {"model": asked.model, "seconds": asked.seconds, "melody": melody and melody.source}

    def make(name: str, seed: int, tell: Tell) -> None:
        lent = visit.adding(f"{name}.wav", kind="clip", limits=site.limits)
        with site.visits.room(), lent as piece:
            work.generate(piece, asked.prompt, {**options, "seed": seed}, tell)

    for seed in range(first, first + asked.candidates):
        name = f"{' '.join(asked.prompt.split()[:WORDS_NAMED])}, seed {seed}"
        site.queue.add(Task(visit, "generate", f"Making {name}", partial(make, name, seed)))
    return site.state(visit)


@api.post("/comparisons")
def compare(site: SiteOf, visit: Begun, asked: Comparing) -> dict[str, int]:
    """Compare versions of a piece; what comes of it is a piece of its own."""

    def side(version: Version) -> work.Side:
        piece = visit.pieces.get(version.piece)
        if piece is None or (version.restored and not piece.result):
            raise ConfigError("There is no such piece of yours to compare; choose again.")
        return work.Side(piece, version.restored)

    sides = [side(version) for version in asked.versions]
    reference = side(asked.reference) if asked.reference else None
    for old in visit.of_kind("comparison")[:-COMPARISONS_KEPT]:
        visit.remove(old.id)
    title = " and ".join(one.name for one in sides)
    piece = visit.add(title, kind="comparison", limits=site.limits)
    do = partial(work.compare_pieces, piece, sides, reference)
    site.add(piece, "compare", f"Comparing {title}", do, lane="long")
    return {"id": piece.id}


@api.post("/cancel")
def cancel(site: SiteOf, visit: Found) -> dict[str, int]:
    """Cancel all that waits and works for you."""
    return {"cancelled": len(site.queue.cancel(visit)) if visit else 0}


@api.get("/state")
def state(site: SiteOf, visit: Found) -> VisitState:
    """Return what is done and waits for you, and how far it is."""
    return site.state(visit)


@api.get("/events", response_class=StreamingResponse)
def events(site: SiteOf, token: Token) -> StreamingResponse:
    """Send the same as server-sent events, each time that it changes."""

    async def listen() -> AsyncIterator[str]:
        said, quiet, here = "", BEAT_SECONDS, None
        with contextlib.ExitStack() as stack:
            while True:
                visit = site.visits.find(token)
                if visit is not here and visit is not None:
                    stack.enter_context(visit.here())
                    here = visit
                if visit is not None and visit.open > LISTENERS_MAX:
                    return
                news = site.state(visit).model_dump_json()
                if news != said or quiet >= BEAT_SECONDS:
                    yield f"data: {news}\n\n" if news != said else ": here\n\n"
                    said, quiet = news, 0.0
                quiet += LOOK_SECONDS
                await asyncio.sleep(LOOK_SECONDS)

    headers = {**PRIVATE, "X-Accel-Buffering": "no"}
    return StreamingResponse(listen(), media_type="text/event-stream", headers=headers)


async def _encoded(request: Request, function: Any, *asked: Any) -> Any:
    """Do what may take a while in a thread; who waits for it keeps no thread from others."""
    async with request.app.state.encoding:
        return await asyncio.to_thread(function, *asked)


@api.get("/pieces/{piece}/files/{form}", response_class=FileResponse)
async def give_file(request: Request, own: Own, form: str, show: bool = False) -> FileResponse:
    """Return the result as wav, wav16, wav32, flac, mp3, m4a, ogg, opus, report or plan."""
    if form not in work.DOWNLOADS or not own.result:
        raise HTTPException(404, "There is no such file; restore the piece first.")
    path = await _encoded(request, work.download, own, form)
    done = "" if own.kind == "comparison" else "_restored"
    named = f"{own.stem}{done}{work.DOWNLOADS[form].suffix}"
    return _file(path, named, show=show and form == "report")


@api.get("/pieces/{piece}/source", response_class=FileResponse)
def give_source(own: Own) -> FileResponse:
    """Return the file as it came, or as it was generated."""
    return _file(own.source, own.name)


@api.get("/pieces/{piece}/sets/{name}")
def give_set(own: Own, name: Literal["original", "preview", "result"]) -> Told:
    """Return what can be played: original, preview or result, part by part, and where it is."""
    made = own.made.get(name)
    if made is None:
        raise HTTPException(404, "There is nothing of that name to play.")
    address = f"api/pieces/{own.id}/sets/{name}/{made['folder']}"
    parts = [
        {**part, "tracks": [{**track, "url": f"{address}/{number}"}
                            for number, track in enumerate(part["tracks"], part["first"])]}
        for part in made["parts"]
    ]  # fmt: skip
    return {"sampleRate": made["sampleRate"], "coding": made["coding"], "parts": parts}


@api.get("/pieces/{piece}/sets/{name}/{id}/{number}", response_class=FileResponse)
def give_sound(own: Own, name: str, id: str, number: int) -> FileResponse:  # noqa: A002
    """Return one of the sounds of a set."""
    if own.made.get(name, {}).get("folder") != id:
        raise HTTPException(404, "This is not played any more.")
    path, headers = own.folder / id / str(number), {"Cache-Control": "private, max-age=3600"}
    return FileResponse(path, media_type="audio/flac", headers=headers, stat_result=path.stat())


@api.get("/zip", response_class=StreamingResponse)
async def give_zip(
    request: Request, site: SiteOf, visit: Found, form: str = "wav"
) -> StreamingResponse:
    """Return all results in one ZIP file, each with its report and its plan."""
    pieces = [piece for piece in visit.of_kind("piece") if piece.result] if visit else []
    if not pieces or form not in work.DOWNLOADS:
        raise HTTPException(404, "There are no results yet; restore a piece first.")
    size = sum((piece.result_folder / work.SOUND).stat().st_size for piece in pieces)

    def sent() -> Iterator[bytes]:  # first how long it is
        with site.visits.room(size), tempfile.TemporaryFile(dir=pieces[0].visit.folder) as file:
            work.zip_results(pieces, file, form)
            yield b"%d" % file.tell()
            file.seek(0)
            yield from iter(lambda: file.read(ZIP_STEP_BYTES), b"")

    body = sent()
    length = await _encoded(request, next, body)
    named = {"Content-Disposition": 'attachment; filename="nitido_results.zip"'}
    headers = {**PRIVATE, **named, "Content-Length": length.decode()}
    return StreamingResponse(body, media_type="application/zip", headers=headers)


def _file(path: Path, name: str, *, show: bool = False) -> FileResponse:
    policy = {"Content-Security-Policy": REPORT_POLICY if show else "default-src 'none'"}
    return FileResponse(
        path,
        filename=name,
        media_type=mimetypes.guess_type(name)[0] or "application/octet-stream",
        content_disposition_type="inline" if show else "attachment",
        headers={**PRIVATE, **policy},
        stat_result=path.stat(),
    )
