"""The pages: Restore, Generate, Compare, and what the API has, each a template."""

from __future__ import annotations

import time
from functools import cache
from importlib import resources
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import ChoiceLoader, Environment, PackageLoader

from nitido.delivery_check import targets
from nitido.optional import available
from nitido.report.templating import environment
from nitido.restoration.preset import describe_preset
from nitido.version import __version__
from nitido.web import listing, work
from nitido.web.choices import PRESETS, shown
from nitido.web.routes import Found, SiteOf
from nitido.web.site import CANDIDATES_MAX, PROMPT_LENGTH, SECONDS_MAX

NEEDED = ("torch", "transformers")  # to generate
STARTED = f"{time.time():.0f}"  # makes the addresses of assets new with each server
ASSETS = {
    "page.css": ("nitido.web", "text/css; charset=utf-8"),
    "page.js": ("nitido.web", "text/javascript; charset=utf-8"),
    "player.js": ("nitido.report", "text/javascript; charset=utf-8"),
    "report.css": ("nitido.report", "text/css; charset=utf-8"),
    "icon.svg": ("nitido.web", "image/svg+xml"),
}
PROMPTS = (
    "A calm lofi beat with warm keys and vinyl crackle",
    "Epic strings and brass for a film trailer",
    "Driving 90s rock with distorted guitars",
    "A melancholic piano solo in a large room",
)


@cache
def templates() -> Environment:
    """Return the templates of the page, with those of the report beside them."""
    ours = PackageLoader("nitido.web")
    made: Environment = environment().overlay(loader=ChoiceLoader([ours, environment().loader]))  # type: ignore[list-item]
    return made


def _page(request: Request, template: str, **content: Any) -> HTMLResponse:
    about = {"version": __version__, "started": STARTED, "theme": _theme(request)}
    nonce = request.scope.get("nonce", "")
    html = templates().get_template(template).render(nonce=nonce, **about, **content)
    return HTMLResponse(html, headers={"Cache-Control": "no-store"})


def restore(request: Request, site: SiteOf, visit: Found, piece: int = 0) -> HTMLResponse:
    """The page where pieces are dropped, heard and restored."""
    pieces = visit.of_kind("piece") if visit else []
    shown_piece = next((one for one in pieces if one.id == piece), pieces[-1] if pieces else None)
    return _page(
        request,
        "restore.html",
        limits=site.limits,
        pieces=list(listing.summary(pieces)),
        piece=shown_piece,
        rows=listing.rows(shown_piece) if shown_piece else [],
        sentence=listing.sentence(shown_piece.diagnosis)
        if shown_piece and shown_piece.diagnosis
        else "",
        presets=[(name, title, describe_preset(name)) for name, title in PRESETS.items()],
        choices=shown(shown_piece.choices) if shown_piece else {},
        sets=_sets(shown_piece) if shown_piece else "",
        downloads=work.offered(shown_piece) if shown_piece else {},
        targets=[(place.name, place.title) for place in targets().values()],
        busy=[task.piece for task in site.tasks(visit) if not task.over],
    )


def generate(request: Request, site: SiteOf, visit: Found) -> HTMLResponse:
    """The page where words become music."""
    return _page(
        request,
        "generate.html",
        able=all(map(available, NEEDED)),
        models=site.models,
        prompts=PROMPTS,
        most={"seconds": SECONDS_MAX, "candidates": CANDIDATES_MAX, "letters": PROMPT_LENGTH},
        clips=visit.of_kind("clip")[::-1] if visit else [],
        melodies=visit.of_kind("melody")[::-1] if visit else [],
    )


def compare(request: Request, site: SiteOf, visit: Found, piece: int = 0) -> HTMLResponse:
    """The page where versions are held against each other."""
    done = visit.of_kind("comparison") if visit else []
    done = [one for one in done if one.result or one.said]
    chosen = next((one for one in done if one.id == piece), done[-1] if done else None)
    return _page(
        request,
        "compare.html",
        limits=site.limits,
        pieces=visit.of_kind("piece", "version") if visit else [],
        comparison=chosen,
        sets=_sets(chosen) if chosen else "",
    )


def _theme(request: Request) -> str:
    """Return the colours that a hand has chosen; empty for those of the system."""
    chosen = request.cookies.get("theme", "")
    return chosen if chosen in ("light", "dark") else ""


def _sets(piece: Any) -> str:
    """Return the name and the id of what is to be played of a piece now; empty if nothing is."""
    fits = piece.sets.get("preview", {}).get("choices") == shown(piece.choices)
    order = ["result"] if not piece.stale else []
    order += ["preview"] if fits else []
    order += ["result", "original"]
    name = next((name for name in order if name in piece.sets), None)
    return f"{name}/{piece.sets[name]['id']}" if name else ""


def docs(request: Request) -> HTMLResponse:
    """What the API has."""
    schema = request.app.openapi()
    calls = [
        (method.upper(), path, call)
        for path, methods in schema["paths"].items()
        if path.startswith("/api")
        for method, call in methods.items()
    ]
    return _page(request, "docs.html", calls=calls, bodies=schema["components"]["schemas"])


def asset(name: str) -> Response:
    """Style, scripts, and the icon."""
    if name not in ASSETS:
        raise HTTPException(404, "There is nothing here.")
    package, kind = ASSETS[name]
    content = (resources.files(package) / "assets" / name).read_bytes()
    return Response(content, media_type=kind, headers={"Cache-Control": "public, max-age=86400"})


def add_pages(app: FastAPI) -> None:
    """Add the pages to an application."""
    pages = (("/", restore), ("/generate", generate), ("/compare", compare), ("/docs", docs))
    for path, function in (*pages, ("/assets/{name}", asset)):
        app.add_api_route(
            path, function, methods=["GET"], include_in_schema=False, response_model=None
        )
