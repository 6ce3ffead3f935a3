"""The pages: Restore, Generate, Compare, and what the API has, each a template."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import ChoiceLoader, Environment, PackageLoader

from nitido.delivery_check import targets
from nitido.optional import available
from nitido.report.templating import environment
from nitido.restoration.preset import describe_preset
from nitido.version import __version__
from nitido.web import listing, work
from nitido.web.choices import FINDINGS, WORDS
from nitido.web.routes import Asked, Found, SiteOf
from nitido.web.security import HEALTH
from nitido.web.sessions import SessionPiece

NEEDED = ("torch", "transformers")  # to generate
STARTED = f"{time.time():.0f}"  # makes the addresses of assets new with each server
pages = APIRouter(include_in_schema=False)


@cache
def templates() -> Environment:
    """Return the templates of the page, with those of the report beside them."""
    both = ChoiceLoader([PackageLoader("nitido.web"), *filter(None, [environment().loader])])
    made: Environment = environment().overlay(loader=both)
    made.globals |= {"words": WORDS, "findings": FINDINGS, "available": available}
    return made


def _page(request: Request, template: str, **content: Any) -> HTMLResponse:
    theme = request.cookies.get("theme", "")
    about = {
        "version": __version__,
        "started": STARTED,
        "nonce": request.scope.get("nonce", ""),
        "theme": theme if theme in ("light", "dark") else "",  # those that a hand has chosen
    }
    html = templates().get_template(template).render(about | content)
    return HTMLResponse(html, headers={"Cache-Control": "no-store"})


@pages.get("/")
def restore(request: Request, site: SiteOf, visit: Found, piece: int = 0) -> HTMLResponse:
    """The page where pieces are dropped, heard and restored."""
    pieces = visit.of_kind("piece") if visit else []
    chosen = _chosen(pieces, piece)
    return _page(
        request,
        "restore.html",
        limits=site.limits,
        pieces=pieces,
        piece=chosen,
        rows=listing.rows(chosen) if chosen else [],
        listing=listing,
        presets=[(name, title, describe_preset(name)) for name, title in WORDS["presets"].items()],
        references=[one for one in visit.of_kind("reference", "piece") if one is not chosen]
        if visit
        else [],
        sets=_sets(chosen),
        downloads=work.offered(chosen) if chosen else {},
        targets=targets().values(),
        busy=[one.id for one in pieces if site.is_busy(one)],
    )


@pages.get("/generate")
def generate(request: Request, site: SiteOf, visit: Found) -> HTMLResponse:
    """The page where words become music."""
    return _page(
        request,
        "generate.html",
        able=all(map(available, NEEDED)),
        models=site.models,
        bounds=Asked.model_json_schema()["properties"],
        clips=visit.of_kind("clip")[::-1] if visit else [],
        melodies=visit.of_kind("melody")[::-1] if visit else [],
    )


@pages.get("/compare")
def compare(request: Request, site: SiteOf, visit: Found, piece: int = 0) -> HTMLResponse:
    """The page where versions are held against each other."""
    done = visit.of_kind("comparison") if visit else []
    chosen = _chosen([one for one in done if one.result or one.said], piece)
    pieces = visit.of_kind("piece", "version") if visit else []
    content = {"limits": site.limits, "pieces": pieces, "comparison": chosen}
    return _page(request, "compare.html", **content, sets=_sets(chosen))


@pages.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """What the API has."""
    return _page(request, "docs.html", schema=request.app.openapi())


@pages.api_route(HEALTH, methods=["GET", "HEAD"])
def health() -> Response:
    """Say that the server is there."""
    return Response("ok", media_type="text/plain")


def _chosen(pieces: list[SessionPiece], number: int) -> SessionPiece | None:
    """Return the piece of that number, or else the last one."""
    return next((one for one in pieces if one.id == number), pieces[-1] if pieces else None)


def _sets(piece: SessionPiece | None) -> str:
    """Return the name and the id of what is to be played of a piece now; empty if nothing is."""
    if piece is None:
        return ""
    fits = piece.made.get("preview", {}).get("choices") == piece.choices.model_dump()
    order = [*["result"] * (not piece.stale), *["preview"] * fits, "result", "original"]
    name = next((name for name in order if name in piece.made), None)
    made = piece.made[name] if name else {}
    return f"{name}/{made['folder']}/{len(made['parts'])}" if made else ""
