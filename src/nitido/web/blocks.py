"""The page: its frame, its tabs, and the endpoints beside them."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from nitido.version import __version__
from nitido.web.compare_tab import CompareTab
from nitido.web.endpoints import Endpoints
from nitido.web.generate_tab import GenerateTab
from nitido.web.parts import panel
from nitido.web.restore_tab import RestoreTab
from nitido.web.sessions import Visits

HEADER = (
    "<header class='top'><div><h1>nitido</h1><p>makes AI-generated music sound finished</p></div>"
    "<button type='button' id='theme'>Dark</button></header>"
)
FOOTER = (
    f"<footer class='bottom'><p>nitido {escape(__version__)}. All of it is done by this server; "
    "what you drop here is sent nowhere else.</p></footer>"
)
CACHE_SECONDS = (600, 3600)  # how often Gradio looks for old files of its own, how old they get


def make_page(visits: Visits) -> Any:
    """Return the page as `gradio.Blocks`, with its queue."""
    limits = visits.limits
    with gr.Blocks(title="nitido", analytics_enabled=False, delete_cache=CACHE_SECONDS) as blocks:
        panel("top", HEADER, script="nitidoTheme(element);")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Restore", id="restore"):
                restoring = RestoreTab(visits)
            with gr.Tab("Generate", id="generate"):
                GenerateTab(visits, restoring, tabs)
            with gr.Tab("Compare", id="compare"):
                CompareTab(visits)
        panel("bottom", FOOTER)
        Endpoints(visits)

        def leave(request: gr.Request) -> None:
            visits.end(request.session_hash)

        blocks.unload(leave)
    blocks.state_session_capacity = limits.visitors
    # Gradio lets a page that has not launched read any file, and this one is mounted instead.
    blocks.has_launched = True
    return blocks.queue(max_size=limits.waiting, default_concurrency_limit=limits.at_once)
