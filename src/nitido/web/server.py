"""The server of the page: everything put together, and run."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import mimetypes
import socket
import urllib.request
import webbrowser
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

from nitido.errors import ConfigError, NitidoError
from nitido.optional import load
from nitido.version import __version__
from nitido.web.limits import Limits

SWEEP_SECONDS = 60.0
LAST_SECONDS = 2  # that open pages get when the server ends; they would stay for ever


def make_app(
    limits: Limits | None = None,
    *,
    auth: tuple[str, str] | None = None,
    host: str = "127.0.0.1",
    names: Iterable[str] = (),
    folder: Path | None = None,
    models: Sequence[str] = (),
) -> Any:
    """Return the page as an ASGI application.

    Args:
        limits: what a visitor may ask.
        auth: user name and password that are asked for; None asks for none.
        host: address that it is served on; by another name than that, or `names`, it is not served.
        names: by which it is called besides, by a proxy or in its network.
        folder: for visitors' files, which a server that is started again finds; None: they go.
        models: folders with MusicGen checkpoints to generate from, besides those of the hub.

    Raises:
        MissingExtraError: FastAPI is not installed.
    """
    fastapi = load("fastapi", need="The page", remedy="pip install 'nitido[web]'")
    from starlette.staticfiles import StaticFiles

    from nitido.web.pages import pages
    from nitido.web.routes import answer_error, api
    from nitido.web.security import Security
    from nitido.web.site import Site

    site = Site(limits or Limits(), folder=folder, models=models)

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(SWEEP_SECONDS)
                await asyncio.to_thread(site.visits.sweep)

        sweeper = asyncio.create_task(sweep())
        yield
        sweeper.cancel()
        site.visits.close()

    about = {"title": "nitido", "version": __version__, "docs_url": None, "redoc_url": None}
    refused = dict.fromkeys((NitidoError, FileNotFoundError), answer_error)
    app = fastapi.FastAPI(**about, lifespan=lifespan, exception_handlers=refused)
    app.state.site, app.state.encoding = site, asyncio.Semaphore(site.limits.at_once)
    app.include_router(api)
    app.include_router(pages)
    mimetypes.add_type("text/javascript", ".js")  # of which Windows may say something else
    packages = [("nitido.web", "assets"), ("nitido.report", "assets")]
    app.mount("/assets", StaticFiles(packages=packages))
    return Security(app, auth=auth, host=host, names=names)


def serve(*, host: str = "127.0.0.1", port: int = 7860, open_at: str = "", **options: Any) -> None:
    """Serve the page until it is stopped.

    Args:
        host: address to listen on; the default is this computer alone.
        port: to listen on.
        open_at: address of the page, for the browser to open; if it is served already, that is all.
        options: as `make_app`.

    Raises:
        ConfigError: something else listens there.
        MissingExtraError: FastAPI is not installed.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if open_at and _is_served(open_at):
            webbrowser.open(open_at)
            return
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise ConfigError(f"Port {port} of {host} {why}; `port=` names another.") from None
    app = make_app(host=host, **options)
    uvicorn = load("uvicorn")

    about = {"log_level": "warning", "server_header": False}
    about |= {"timeout_graceful_shutdown": LAST_SECONDS}
    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, **about))
    begin, end = server.startup, server.handle_exit

    async def begin_and_open(*sockets: Any, **more: Any) -> None:
        await begin(*sockets, **more)
        if open_at:
            await asyncio.to_thread(webbrowser.open, open_at)

    def end_quietly(*signal: Any) -> None:
        """End; what is then said about pages that were open is no error."""
        logging.getLogger("uvicorn.error").disabled = True
        end(*signal)

    server.startup, server.handle_exit = begin_and_open, end_quietly
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
        server.run()


def _is_served(address: str) -> bool:
    """Return whether a nitido answers at an address."""
    from nitido.web.security import HEALTH

    try:
        with urllib.request.urlopen(f"{address}{HEALTH}", timeout=2) as answer:
            return bool(answer.read(16) == b"ok")
    except OSError:
        return False
