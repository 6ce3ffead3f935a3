"""The tab Restore: drop pieces, see what is wrong, choose, listen, download."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import gradio as gr

from nitido.delivery_check import targets
from nitido.errors import CancelledError, ConfigError, NitidoError
from nitido.web import choices, panels
from nitido.web.parts import CANCELLED, QUICK, Bar, Shown, look, panel
from nitido.web.sessions import SessionPiece, Visit, Visits
from nitido.web.work import Task, Tell, analyse, judge, restore

GONE = (
    "Nothing is here any more: the page was idle for too long, or its server was started again. "
    "Drop the piece once more."
)


class RestoreTab:
    """The components of the tab, and what happens when they are used.

    Attributes:
        outputs: what an event may change.
    """

    def __init__(self, visits: Visits) -> None:
        """Build the components; must be called inside `gradio.Blocks`."""
        self._visits = visits
        self.drop = gr.File(
            file_count="multiple", show_label=False, elem_id="drop", height=136, buttons=[]
        )
        with gr.Row(elem_id="under-drop"):
            panel("hint", panels.hint(visits.limits))
            self.recorder = gr.Button("Record instead", elem_id="recorder", min_width=0)
        self.record = gr.Audio(
            sources=["microphone"], type="filepath", show_label=False, editable=False,
            elem_id="record", visible=False, buttons=[],
        )  # fmt: skip
        self.news = panel("news")
        self.pieces = panel("pieces", script="nitidoPieces(element, trigger);")
        panel("lost", panels.lost(), script="nitidoLost(element);")
        self.found = panel("found")
        self.plan = panel("plan", script="nitidoPlan(element, trigger);")
        self.bar = Bar(visits, "restore", "Restore", visible=False)
        with gr.Row(elem_id="check-bar", elem_classes="bar", visible=False) as self.check_bar:
            places = [(place.title, place.name) for place in targets().values()]
            self.target = gr.Dropdown(places, value="streaming", label="Fit for", elem_id="target")
            self.check = gr.Button("Check", elem_id="check", min_width=0)
        self.verdict = panel("verdict")
        self.result = panel("result")
        checked = [self.check_bar, self.verdict]
        shown = [self.drop, self.record, self.news, self.pieces, self.found, self.plan, *checked]
        shown.append(self.result)
        self.outputs = [*shown, *self.bar.outputs]
        self._listen()

    def _listen(self) -> None:
        """Say what happens when."""
        looking = {"outputs": self.outputs, **look(self._visits)}
        self.drop.upload(self._take_files, self.drop, **looking)
        self.record.stop_recording(self._take_recording, self.record, **looking)
        self.recorder.click(lambda: gr.update(visible=True), None, self.record, **QUICK)
        self.pieces.select(self._choose, None, self.outputs, **QUICK)
        self.pieces.clear(self._remove, None, self.outputs, **QUICK)
        changing = [self.plan, self.news]
        self.plan.input(self._adjust, None, changing, **QUICK, trigger_mode="multiple")
        shown = [part for part in self.outputs if part not in self.bar.outputs]
        judging = [self.verdict, self.news]
        self.check.click(self._check, self.target, judging, **look(self._visits))
        self.bar.listen(self.bar.start, self._restore_one, [], shown)
        self.bar.listen(self.bar.every, self._restore_all, [], shown)

    def shown(self, visit: Visit) -> Shown:
        """Return everything that the tab shows of a visit."""
        piece = visit.piece
        again = piece is not None and piece.result
        return {
            self.pieces: panels.pieces(visit),
            self.found: panels.found(piece),
            self.plan: panels.plan(piece),
            self.check_bar: gr.update(visible=piece is not None),
            self.verdict: "",
            self.result: panels.result(visit, piece),
            self.bar.row: gr.update(visible=piece is not None),
            self.bar.start: gr.update(value="Restore again" if again else "Restore"),
            self.bar.every: gr.update(visible=len(visit.listed) > 1),
        }

    def examined(self, visit: Visit, piece: SessionPiece) -> Iterator[Shown]:
        """Examine a piece, then show it.

        Raises:
            NitidoError: it cannot be read to its end; it is forgotten then.
        """
        try:
            for share in Task(partial(analyse, piece), cancelled=visit.gone).shares():
                yield {self.news: panels.progress(f"Looking at {piece.name}", share)}
        except NitidoError:
            visit.remove(piece.number)
            raise
        yield {**self.shown(visit), self.news: ""}

    # ── Pieces ───────────────────────────────────────────────────────────────────────────────────

    def _take_files(self, files: list[str] | None, request: gr.Request) -> Iterator[Shown]:
        taken = [self._visits.uploads.take(file, request.session_hash) for file in files or []]
        yield from self._take([(upload.path, upload.name) for upload in taken], request)

    def _take_recording(self, file: str | None, request: gr.Request) -> Iterator[Shown]:
        visit = self._visits.of(request.session_hash)
        if file is None:
            return
        upload = self._visits.uploads.take(file, request.session_hash)
        name = f"Recording {max(visit.pieces, default=0) + 1}.wav"
        taken = visit.folder / secrets.token_hex(8)
        shutil.copyfile(upload.path, taken)  # the recorder still shows the other
        yield from self._take([(taken, name)], request)
        upload.path.unlink(missing_ok=True)

    def _take(self, files: list[tuple[Path, str]], request: gr.Request) -> Iterator[Shown]:
        """Take files over and examine them; what cannot be taken is said, one by one."""
        visit = self._visits.of(request.session_hash)
        cleared = {self.drop: None, self.record: gr.update(value=None, visible=False)}
        yield {**cleared, self.news: panels.progress("Looking at it", 0.0)}
        refused = []
        for path, name in files:
            try:
                self._visits.limits.check_length(path, name)
                piece = visit.add(name, path, limits=self._visits.limits)
                yield from self.examined(visit, piece)
            except NitidoError as error:
                refused.append(str(error))
                path.unlink(missing_ok=True)  # still there if it was refused at the door
        yield {**self.shown(visit), self.news: panels.notice(refused)}

    def _choose(self, event: gr.EventData, request: gr.Request) -> Shown:
        visit = self._visits.of(request.session_hash)
        if int(event.number) in visit.pieces:
            visit.chosen = int(event.number)
        return self.shown(visit)

    def _remove(self, event: gr.EventData, request: gr.Request) -> Shown:
        visit = self._visits.of(request.session_hash)
        if visit.busy:
            return {self.news: panels.notice(["Wait for the work, or cancel it; then remove."])}
        visit.remove(int(event.number))
        return {**self.shown(visit), self.news: ""}

    def _adjust(self, event: gr.EventData, request: gr.Request) -> Shown:
        """Take over what was chosen in the plan; nothing but the plan is made anew."""
        piece = self._visits.of(request.session_hash).piece
        if piece is None or piece.diagnosis is None:
            return {self.news: panels.notice([GONE])}
        try:
            piece.choices = choices.read(event.choices)
        except ConfigError as error:
            return {self.plan: panels.plan(piece), self.news: panels.notice([str(error)])}
        return {self.plan: panels.plan(piece), self.news: ""}

    def _check(self, target: str, request: gr.Request) -> Iterator[Shown]:
        """Say whether the piece that is shown, or its result, is fit for where it goes."""
        visit = self._visits.of(request.session_hash)
        piece = visit.piece
        if piece is None:
            yield {self.news: panels.notice([GONE])}
            return
        task = Task(partial(judge, piece, target), cancelled=visit.gone)
        try:
            for share in task.shares():
                yield {self.news: panels.progress(f"Checking {piece.name}", share)}
            yield {self.verdict: panels.verdict(task.result), self.news: ""}
        except NitidoError as error:
            yield {self.news: panels.notice([str(error)])}

    # ── Work ─────────────────────────────────────────────────────────────────────────────────────

    def _restore_one(self, request: gr.Request) -> Iterator[Shown]:
        visit = self._visits.of(request.session_hash)
        yield from self._restore(visit, [visit.piece] if visit.piece else [])

    def _restore_all(self, request: gr.Request) -> Iterator[Shown]:
        visit = self._visits.of(request.session_hash)
        yield from self._restore(visit, visit.listed)

    def _restore(self, visit: Visit, pieces: list[SessionPiece]) -> Iterator[Shown]:
        """Restore pieces, each by its own plan; what fails is said, and the others go on."""
        said, refused = "", [] if pieces else [GONE]
        for count, piece in enumerate(pieces, 1):
            words = f"Restoring {piece.name}"
            words += f" ({count} of {len(pieces)})" if len(pieces) > 1 else ""
            try:
                for share in Task(self._alone(visit, piece), cancelled=visit.cancelled).shares():
                    restored = "Writing the files and the report"
                    yield self.bar.at(words if share < 1 else restored, share)
            except CancelledError:
                said = CANCELLED
                break
            except NitidoError as error:
                refused.append(f"{piece.name}: {error}")
        yield {**self.shown(visit), **self.bar.idle(said, refused=refused)}
        yield self.shown(visit)  # the names of the buttons, which are on again now

    def _alone(self, visit: Visit, piece: SessionPiece) -> Callable[[Tell], None]:
        """Return the work of restoring a piece, which other work of the visitor waits for."""

        def work(tell: Tell) -> None:
            with visit.working(), self._visits.uploads.room():
                restore(piece, tell)

        return work
