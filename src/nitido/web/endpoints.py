"""The page without the page: the same work over HTTP, for programs (`gradio_client`)."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from nitido.errors import ConfigError, NitidoError
from nitido.web.choices import choose
from nitido.web.sessions import SessionPiece, Visit, Visits
from nitido.web.work import FORMATS, Task, Tell, analyse, encode, restore


class Endpoints:
    """`/diagnose` and `/restore`: one file in, everything about it out."""

    def __init__(self, visits: Visits) -> None:
        """Add the endpoints; must be called inside `gradio.Blocks`."""
        self._visits = visits
        with gr.Group(visible=False):
            button = gr.Button()
            file = gr.File(label="file")
            preset = gr.Textbox("musicgen", label="preset")
            settings = gr.JSON({}, label="settings")
            form = gr.Textbox("wav", label="format")
            files = [gr.File(label="restored"), gr.File(label="report")]
            plan, diagnosis = gr.JSON(label="plan"), gr.JSON(label="diagnosis")
        options = {"concurrency_id": "work", "concurrency_limit": visits.limits.at_once}
        button.click(self.diagnose, [file], [diagnosis], api_name="diagnose", **options)
        asked = [file, preset, settings, form]
        button.click(self.restore, asked, [*files, plan], api_name="restore", **options)

    def diagnose(self, file: str, request: gr.Request) -> dict[str, Any]:
        """Say what is wrong with a piece: the diagnosis as `nitido diagnose --json` gives it."""
        visit, piece = self._take(file, request)
        try:
            self._run(visit, partial(analyse, piece))
            return piece.diagnosis.to_dict() if piece.diagnosis else {}
        finally:
            visit.remove(piece.number)

    def restore(
        self,
        file: str,
        preset: str,
        settings: dict[str, Any] | None,
        format: str,  # noqa: A002
        request: gr.Request,
    ) -> tuple[str, str, dict[str, Any]]:
        """Restore a piece: the result, the report, and the plan as it was carried out.

        `settings` are as `nitido restore --set` takes them: {"bandwidth.amount": 0.5}.
        """
        try:  # before the file is looked at
            choices = choose(preset, settings=settings)
            if format not in FORMATS:
                raise ConfigError(
                    f"Format {format!r} is not known; give one of {', '.join(FORMATS)}."
                )
        except NitidoError as error:
            raise _said(error) from error
        visit, piece = self._take(file, request)
        piece.choices = choices
        self._run(visit, partial(restore, piece))
        folder = piece.folder / piece.result
        if format not in piece.formats:
            raise _said(ConfigError(f"{format} cannot hold so many channels; ask for wav."))
        return (
            str(encode(folder, format)),
            str(folder / "report.html"),
            piece.plan.to_dict() if piece.plan else {},
        )

    def _take(self, file: str | None, request: gr.Request) -> tuple[Visit, SessionPiece]:
        """Take over the file of a call; those of earlier calls go."""
        visit = self._visits.of(request.session_hash, brief=True)
        visit.forget_unlisted()
        try:
            if file is None:
                raise ConfigError("There is no file; give one with gradio_client.handle_file.")
            upload = self._visits.uploads.take(file, request.session_hash)
            self._visits.limits.check_length(upload.path, upload.name)
            piece = visit.add(upload.name, upload.path, limits=self._visits.limits, listed=False)
            return visit, piece
        except NitidoError as error:
            raise _said(error) from error

    def _run(self, visit: Visit, work: Any) -> None:
        """Do the work; it stops when the program that asked has gone."""

        def alone(tell: Tell) -> None:
            with visit.working(), self._visits.uploads.room():
                work(tell)

        try:
            for _ in Task(alone, cancelled=visit.gone).shares():
                pass
        except NitidoError as error:
            raise _said(error) from error


def _said(error: NitidoError) -> Exception:
    """Return an error that reaches the caller as one sentence, and not the log."""
    said: Exception = gr.Error(str(error), print_exception=False)
    return said
