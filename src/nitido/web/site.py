"""What is begun for a visitor, and what is told of it: between the routes and the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from nitido import api
from nitido.errors import ConfigError, NitidoError
from nitido.web import listing, work
from nitido.web.choices import WORDS, Choices
from nitido.web.limits import FullError, Limits
from nitido.web.queue import Lane, Queue, State, Task, Tell
from nitido.web.sessions import SessionPiece, Told, Visit, Visits


class PieceState(BaseModel):
    """A piece, what was found in it, what is to be done, and how it stands."""

    id: int
    name: str
    kind: str
    busy: bool
    said: str
    sentence: str
    choices: Choices
    restored: bool
    stale: bool
    verdict: Told
    sentences: list[str]
    files: list[str]
    diagnosis: Told | None = None
    plan: Told | None = None


class TaskState(BaseModel):
    """Something that is done for a visitor, and how far it is."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    kind: str
    pieces: tuple[int, ...]
    words: str
    state: State
    share: float
    said: str
    ahead: int = 0


class VisitState(BaseModel):
    """What was, is and will be done for a visitor; the version rises with each change."""

    version: int
    tasks: list[TaskState]


class Site:
    """Visitors, their queue, and what is done in which order."""

    def __init__(
        self, limits: Limits, *, folder: Path | None = None, models: Sequence[str] = ()
    ) -> None:
        """Begin.

        Args:
            limits: of what a visitor may ask.
            folder: for visitors' files, which stay when the server ends; None: they go with it.
            models: folders on this computer to generate from, besides those of the hub.
        """
        self.limits = limits
        self.visits = Visits(limits, folder=folder)
        each = 4 * limits.pieces
        self.queue = Queue(at_once=limits.at_once, waiting=limits.waiting, each=each)
        self.models = {**{model: Path(model).name for model in models}, **WORDS["models"]}

    def is_busy(self, visit: Visit, piece: int) -> bool:
        """Return whether something waits or works for a piece."""
        tasks = self.queue.of(visit)
        return any(piece in task.pieces and not task.ended.is_set() for task in tasks)

    def add(
        self,
        visit: Visit,
        piece: SessionPiece,
        kind: str,
        words: str,
        function: Callable[[Tell], Any],
        *others: SessionPiece,
        lane: Lane = "quick",
        late: bool = False,
    ) -> None:
        """Let something be done with a piece, and others; why it failed is said with it.

        Raises:
            FullError: too much is waiting.
        """

        def do(tell: Tell) -> None:
            try:
                with self.visits.room():
                    function(tell)
                piece.said = ""
            except NitidoError as error:
                if not task.is_cancelled:
                    piece.said = piece.named(str(error))
                    raise type(error)(piece.said) from error
                raise

        ids = tuple(one.id for one in (piece, *others))
        task = Task(visit, kind, words, do, ids, lane, late)
        self.queue.add(task)

    def begin(self, visit: Visit, piece: SessionPiece, *, restoring: bool = True) -> None:
        """Let the loudest ten seconds of a new piece be heard; examine, then restore it."""

        def preview(tell: Tell) -> None:
            work.preview(piece, tell)
            self.add(visit, piece, "examine", f"Listening to {piece.name}", examine)

        def examine(tell: Tell) -> None:
            work.examine(piece, tell)
            do = partial(work.play_original, piece)
            self.add(visit, piece, "original", "Making it ready to play", do)
            if restoring and piece.is_sound():
                self.restore(visit, piece)

        words = f"Preview of {piece.name}"
        self.add(visit, piece, "examine", words, preview, lane="preview")

    def restore(self, visit: Visit, *pieces: SessionPiece) -> None:
        """Restore pieces as their visitor chose; what was to be done of them before is not.

        With a piece of an album all of that is restored, as its gain is that of all.
        """
        albums = [one for one in visit.of_kind("piece") if one.choices.album]
        together = albums if any(piece.choices.album for piece in pieces) else []
        for piece in {one.id: one for one in (*together, *pieces)}.values():
            for kind in ("restore", "report"):
                self.queue.cancel(visit, piece=piece.id, kind=kind)
            piece.said = ""
        ready = partial(self._ready, visit)
        for piece in pieces:
            if piece not in together:
                do = partial(work.restore, piece, ready=ready)
                self.add(visit, piece, "restore", f"Restoring {piece.name}", do, lane="long")
        if together:
            words = f"Restoring the album of {len(together)}"
            do = partial(work.restore_album, together, ready=ready)
            self.add(visit, together[0], "restore", words, do, *together[1:], lane="long")

    def _ready(
        self, visit: Visit, piece: SessionPiece, report: Callable[[Tell], None] | None
    ) -> None:
        """Show what there is of a result; its report waits until nobody waits for a result."""
        visit.changed()
        if report is None:
            return
        try:
            words = f"Writing the report of {piece.name}"
            self.add(visit, piece, "report", words, report, lane="long", late=True)
        except FullError:
            report(lambda _: None)

    def change(self, visit: Visit, piece: SessionPiece, choices: Choices) -> None:
        """Take over what a visitor wants: the preview is made anew at once, then the whole.

        Raises:
            ConfigError: it is not to be had.
        """
        if choices.reference != piece.choices.reference:
            own = {k: v for k, v in choices.settings.items() if not k.startswith("match.")}
            other = visit.pieces.get(choices.reference or 0)
            if other is not None and other.diagnosis is not None:
                own |= api.towards(other.diagnosis)
            elif choices.reference is not None:
                raise ConfigError("There is no such reference of yours; send it again.")
            choices = choices.but(settings=own)
        _ = choices.options
        piece.choices = choices
        self.queue.cancel(visit, piece=piece.id, kind="preview")
        again = bool(self.queue.cancel(visit, piece=piece.id, kind="restore") or piece.result)
        visit.changed()
        if piece.is_sound():
            do = partial(work.preview, piece)
            self.add(visit, piece, "preview", f"Preview of {piece.name}", do, lane="preview")
            if again and (piece.stale or not piece.result):
                self.restore(visit, piece)

    def remove(self, visit: Visit, piece: SessionPiece) -> None:
        """Cancel what is done with a piece, and delete it."""
        for task in self.queue.cancel(visit, piece=piece.id):
            task.ended.wait(5.0)
        visit.remove(piece.id)

    def state(self, visit: Visit | None) -> VisitState:
        """Return how far everything is."""
        if visit is None:
            return VisitState(version=0, tasks=[])
        tasks = [
            TaskState.model_validate(task).model_copy(update={"ahead": self.queue.ahead(task)})
            for task in self.queue.of(visit)
        ]
        return VisitState(version=visit.version, tasks=tasks)

    def told(self, visit: Visit, piece: SessionPiece, *, whole: bool = True) -> PieceState:
        """Return how it stands with a piece; without what was found in it if not `whole`."""
        diagnosis, plan, result = piece.diagnosis, piece.plan, piece.result
        forms = {} if piece.kind == "comparison" else work.offered(piece)
        return PieceState(
            id=piece.id,
            name=piece.name,
            kind=piece.kind,
            busy=self.is_busy(visit, piece.id),
            said=piece.said,
            sentence=listing.sentence(diagnosis) if diagnosis else "",
            choices=piece.choices,
            restored=bool(result),
            stale=piece.stale,
            verdict=piece.verdict,
            sentences=result.get("sentences", []),
            files=[f"/api/pieces/{piece.id}/files/{form}" for form in forms],
            diagnosis=diagnosis.to_dict() if whole and diagnosis else None,
            plan=plan.to_dict() if whole and plan else None,
        )
