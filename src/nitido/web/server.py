"""The server of the page: everything put together, and run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Iterable
from importlib import resources
from typing import Any

from nitido.optional import load
from nitido.web.limits import Limits
from nitido.web.sessions import Visits

SWEEP_SECONDS = 60.0
LAST_SECONDS = 2  # that open pages get when the server ends; they would stay for ever
# Read by Gradio when it is imported: nothing is measured, nothing is asked, nothing is kept.
SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_HEARTBEAT_INTERVAL": "5",  # s, within which a closed page is noticed
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SSR_MODE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def make_app(
    limits: Limits | None = None,
    *,
    auth: tuple[str, str] | None = None,
    host: str = "127.0.0.1",
    names: Iterable[str] = (),
) -> Any:
    """Return the page as an ASGI application.

    Args:
        limits: what a visitor may ask.
        auth: user name and password that are asked for; None asks for none.
        host: address that it is served on; by another name than that, or `names`, it is not served.
        names: by which it is called besides, by a proxy or in its network.

    Raises:
        MissingExtraError: Gradio is not installed.
    """
    limits = limits or Limits()
    visits = Visits(limits)
    os.environ.update(SETTINGS)
    os.environ["GRADIO_TEMP_DIR"] = str(visits.folder)  # no second copy of what lies there
    gradio = load("gradio", need="The page", remedy="pip install 'nitido[web]'")
    from nitido.web.blocks import make_page
    from nitido.web.calls import Calls
    from nitido.web.files import add_routes
    from nitido.web.security import Security
    from nitido.web.theme import make_theme

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(_sweep(visits))
        yield
        sweeper.cancel()
        visits.close()

    app = load("fastapi").FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None)
    add_routes(app, visits)
    gradio.mount_gradio_app(
        app,
        make_page(visits),
        path="/",
        footer_links=[],
        show_error=True,
        max_file_size=f"{limits.megabytes:g}mb",
        ssr_mode=False,
        theme=make_theme(),
        head=f"<style>{_asset('page.css')}</style><script>{_asset('page.js')}</script>",
    )
    return Security(Calls(app, visits=visits), auth=auth, host=host, names=names)


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    auth: tuple[str, str] | None = None,
    limits: Limits | None = None,
    names: Iterable[str] = (),
) -> None:
    """Serve the page until it is stopped.

    Args:
        host: address to listen on; the default is this computer alone.
        port: to listen on.
        auth: as `make_app`.
        limits: as `make_app`.
        names: as `make_app`.

    Raises:
        MissingExtraError: Gradio is not installed.
    """
    app = make_app(limits, auth=auth, host=host, names=names)
    uvicorn = load("uvicorn")
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=LAST_SECONDS,
    )
    server = uvicorn.Server(config)
    end = server.handle_exit

    def end_quietly(*signal: Any) -> None:
        """End; what is then said about pages that were open is no error."""
        logging.getLogger("uvicorn.error").disabled = True
        end(*signal)

    server.handle_exit = end_quietly
    server.run()


async def _sweep(visits: Visits) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        await asyncio.to_thread(visits.sweep)


def _asset(name: str) -> str:
    return (resources.files("nitido.web") / "assets" / name).read_text("utf-8")
