"""Parts that several tabs have: panels of our own HTML, and the bar that starts and stops work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import gradio as gr

from nitido.web import panels
from nitido.web.sessions import Visits

Shown: TypeAlias = dict[Any, Any]  # what an event changes, by component

CANCELLED = "Cancelled. Nothing was changed."
FAILED = (
    "It could not be done: too many are waiting, or something broke that the server's log tells. "
    "Try again in a while."
)
PRIVATE = {"show_progress": "hidden", "api_visibility": "private"}
QUICK = {**PRIVATE, "queue": False}  # for what takes no time


def panel(elem_id: str, value: str = "", *, script: str | None = None) -> Any:
    """Return a component that shows our own HTML, with a script that listens to it."""
    return gr.HTML(value, elem_id=elem_id, js_on_load=script, apply_default_css=False)


def claim(file: str | None) -> None:
    """Let a file be uploaded and not yet used: to name it once makes it its visitor's."""


def look(visits: Visits) -> dict[str, Any]:
    """Return the options of an event that examines a file."""
    return {**PRIVATE, "concurrency_id": "look", "concurrency_limit": 2 * visits.limits.at_once}


def work(visits: Visits) -> dict[str, Any]:
    """Return the options of an event that computes for long."""
    return {**PRIVATE, "concurrency_id": "work", "concurrency_limit": visits.limits.at_once}


class Bar:
    """A button that starts work, one that cancels it, and how far it is.

    Attributes:
        outputs: what an event may change.
    """

    def __init__(self, visits: Visits, name: str, label: str, *, visible: bool = True) -> None:
        """Build the components; must be called inside `gradio.Blocks`."""
        self._visits = visits
        with gr.Row(elem_id=f"{name}-bar", elem_classes="bar", visible=visible) as self.row:
            self.start = gr.Button(label, variant="primary", elem_id=name, min_width=0)
            self.every = gr.Button("Restore all", elem_id=f"{name}-all", visible=False, min_width=0)
            self.cancel = gr.Button(
                "Cancel", elem_id=f"{name}-cancel", interactive=False, min_width=0
            )
            self.progress = panel(f"{name}-progress", panels.progress())
        self.notice = panel(f"{name}-notice")
        self.outputs = [
            self.row, self.start, self.every, self.cancel, self.progress, self.notice
        ]  # fmt: skip

    def listen(
        self, button: Any, run: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any]
    ) -> None:
        """Let a button start `run`, and Cancel end it, whether it runs or waits.

        What comes of it stands in the last of `outputs`, and is brought into sight.
        """
        begun = button.click(self._wait, None, self.outputs, **QUICK)
        run_it = begun.then(run, list(inputs), [*self.outputs, *outputs], **work(self._visits))
        run_it.failure(self._fail, None, self.outputs, **QUICK)
        run_it.success(None, js=f"() => nitidoReveal('{outputs[-1].elem_id}')")
        self.cancel.click(self._stop, None, self.outputs, **QUICK, cancels=[run_it])

    def at(self, words: str, share: float | None) -> Shown:
        """Return how far the work is."""
        return {self.progress: panels.progress(words, share)}

    def idle(self, said: str = "", *, refused: Sequence[str] = ()) -> Shown:
        """Return the bar after work, with what is to be said about it."""
        return {
            self.start: gr.update(interactive=True),
            self.every: gr.update(interactive=True),
            self.cancel: gr.update(interactive=False),
            self.progress: panels.progress(said),
            self.notice: panels.notice(refused),
        }

    def _wait(self, request: gr.Request) -> Shown:
        """Show that the order was heard; the work begins when there is a place."""
        self._visits.of(request.session_hash).cancelled.clear()
        return {
            self.start: gr.update(interactive=False),
            self.every: gr.update(interactive=False),
            self.cancel: gr.update(interactive=True),
            self.progress: panels.progress("Waiting for a free place", 1.0),
            self.notice: "",
        }

    def _stop(self, request: gr.Request) -> Shown:
        """Cancel what runs or waits for this visitor."""
        self._visits.of(request.session_hash).cancelled.set()
        return self.idle(CANCELLED)

    def _fail(self, request: gr.Request) -> Shown:
        """Say that work did not come to its end; Gradio takes what was cancelled for failed."""
        if self._visits.of(request.session_hash).cancelled.is_set():
            return self.idle(CANCELLED)
        return self.idle(refused=[FAILED])
