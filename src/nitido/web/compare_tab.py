"""The tab Compare: two files, and how it should sound if that is known, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from nitido.errors import CancelledError, ConfigError, NitidoError
from nitido.web import panels
from nitido.web.parts import CANCELLED, QUICK, Bar, Shown, claim, panel
from nitido.web.sessions import Visit, Visits
from nitido.web.work import Task, Tell, compare_files

Named = tuple[Path, str]  # a file, and what its visitor calls it
FILES = {
    "before": "Before",
    "after": "After",
    "reference": "Reference, if there is one",
}


class CompareTab:
    """The components of the tab, and what happens when they are used."""

    def __init__(self, visits: Visits) -> None:
        """Build the components; must be called inside `gradio.Blocks`."""
        self._visits = visits
        with gr.Row(elem_id="versions"):
            files = []
            for name, label in FILES.items():
                with gr.Column(min_width=200):
                    panel(f"{name}-label", f"<h3>{label}</h3>")
                    file = gr.File(show_label=False, elem_id=f"file-{name}", height=120, buttons=[])
                    file.upload(claim, file, None, **QUICK)
                    files.append(file)
        self.bar = Bar(visits, "compare", "Compare")
        self.result = panel("compare-result")
        self.bar.listen(self.bar.start, self._compare, files, [self.result])

    def _compare(
        self, before: str | None, after: str | None, reference: str | None, request: gr.Request
    ) -> Iterator[Shown]:
        """Compare the files; show the report."""
        visit = self._visits.of(request.session_hash)
        try:
            first, second, third = (
                self._named(file, request.session_hash) for file in (before, after, reference)
            )
            if first is None or second is None:
                raise ConfigError(
                    "Two files are needed: how it was before, and what was made of it."
                )

            def work(tell: Tell) -> str:
                return self._work(visit, first, second, third, tell)

            task = Task(work, cancelled=visit.cancelled)
            for _ in task.shares():
                yield self.bar.at("Measuring and drawing", 1.0)
            yield {**self.bar.idle(), self.result: panels.report(task.result)}
        except CancelledError:
            yield self.bar.idle(CANCELLED)
        except NitidoError as error:
            yield self.bar.idle(refused=[str(error)])

    def _named(self, file: str | None, session: str) -> Named | None:
        if file is None:
            return None
        upload = self._visits.uploads.take(file, session)
        self._visits.limits.check_length(upload.path, upload.name)
        return upload.path, upload.name

    def _work(
        self, visit: Visit, before: Named, after: Named, reference: Named | None, tell: Tell
    ) -> str:
        """Compare; return the address of the report."""
        with visit.working(), self._visits.uploads.room():
            piece = visit.hold(before[1])
            folder = piece.new_result()
            files = (before[0], after[0], reference[0] if reference else None)
            try:
                tell(0.0)
                compare_files(*files, names=(before[1], after[1]), report=folder / "report.html")
                tell(1.0)  # raises if it was cancelled meanwhile
            except BaseException:
                visit.remove(piece.number)
                raise
            piece.keep(folder)
            visit.remove(visit.compared)
            visit.compared = piece.number
        return f"{panels.address(visit, piece, piece.result)}report.html"
