"""What is begun for a visitor, and what is told of it: between the routes and the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
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


def _report(piece: SessionPiece) -> Callable[[Tell], object]:
    return lambda _: work.download(piece, "report")


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

    def is_busy(self, piece: SessionPiece) -> bool:
        """Return whether something waits or works for a piece."""
        tasks = self.queue.of(piece.visit)
        return any(piece.id in task.pieces and not task.ended.is_set() for task in tasks)

    def add(
        self,
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
        task = Task(piece.visit, kind, words, do, ids, lane, late)
        self.queue.add(task)

    def begin(self, piece: SessionPiece, *, restoring: bool = True) -> None:
        """Let the loudest ten seconds of a new piece be heard; examine, then restore it."""

        def preview(tell: Tell) -> None:
            work.preview(piece, tell)
            self.add(piece, "examine", f"Listening to {piece.name}", examine)

        def examine(tell: Tell) -> None:
            work.examine(piece, tell)
            do = partial(work.play_original, piece)
            self.add(piece, "original", "Making it ready to play", do)
            if restoring and piece.is_sound():
                self.restore(piece)

        words = f"Preview of {piece.name}"
        self.add(piece, "examine", words, preview, lane="preview")

    def restore(self, *pieces: SessionPiece) -> None:
        """Restore pieces as their visitor chose; what was to be done of them before is not.

        With a piece of an album all of that is restored, as its gain is that of all.
        """
        albums = [one for piece in pieces[:1] for one in piece.visit.of_kind("piece")
                  if one.choices.album]  # fmt: skip
        together = albums if any(piece.choices.album for piece in pieces) else []
        for piece in {*together, *pieces}:
            for kind in ("restore", "report"):
                self.queue.cancel(piece.visit, piece=piece.id, kind=kind)
            piece.said = ""
        for piece in pieces:
            if piece not in together:
                self._restore(f"Restoring {piece.name}", partial(work.restore, piece), piece)
        if together:
            words = f"Restoring the album of {len(together)}"
            self._restore(words, partial(work.restore_album, together), *together)

    def _restore(self, words: str, function: Callable[..., None], *pieces: SessionPiece) -> None:
        """Let pieces be restored; their reports follow when nobody waits for a result."""

        def do(tell: Tell) -> None:
            function(tell, pieces[0].visit.changed)
            with suppress(FullError):  # then a report is written when it is asked for
                for piece in pieces:
                    if piece.result:
                        words, report = f"Writing the report of {piece.name}", _report(piece)
                        self.add(piece, "report", words, report, lane="long", late=True)

        self.add(pieces[0], "restore", words, do, *pieces[1:], lane="long")

    def change(self, piece: SessionPiece, choices: Choices) -> None:
        """Take over what a visitor wants: the preview is made anew at once, then the whole.

        Raises:
            ConfigError: it is not to be had.
        """
        if choices.reference != piece.choices.reference:
            own = {k: v for k, v in choices.settings.items() if not k.startswith("match.")}
            other = piece.visit.pieces.get(choices.reference or 0)
            if other is not None and other.diagnosis is not None:
                own |= api.towards(other.diagnosis)
            elif choices.reference is not None:
                raise ConfigError("There is no such reference of yours; send it again.")
            choices = choices.but(settings=own)
        _ = choices.options
        piece.choices = choices
        cancel = partial(self.queue.cancel, piece.visit, piece=piece.id)
        cancel(kind="preview")
        again = bool(cancel(kind="restore") or piece.result)
        piece.visit.changed()
        if piece.is_sound():
            do = partial(work.preview, piece)
            self.add(piece, "preview", f"Preview of {piece.name}", do, lane="preview")
            if again and (piece.stale or not piece.result):
                self.restore(piece)

    def remove(self, piece: SessionPiece) -> None:
        """Cancel what is done with a piece, and delete it."""
        for task in self.queue.cancel(piece.visit, piece=piece.id):
            task.ended.wait(5.0)
        piece.visit.remove(piece.id)

    def state(self, visit: Visit | None) -> VisitState:
        """Return how far everything is."""
        if visit is None:
            return VisitState(version=0, tasks=[])
        tasks = [
            TaskState.model_validate(task).model_copy(update={"ahead": self.queue.ahead(task)})
            for task in self.queue.of(visit)
        ]
        return VisitState(version=visit.version, tasks=tasks)

    def told(self, piece: SessionPiece, *, whole: bool = True) -> PieceState:
        """Return how it stands with a piece; without what was found in it if not `whole`."""
        diagnosis, plan, result = piece.diagnosis, piece.plan, piece.result
        return PieceState(
            id=piece.id,
            name=piece.name,
            kind=piece.kind,
            busy=self.is_busy(piece),
            said=piece.said,
            sentence=listing.sentence(diagnosis) if diagnosis else "",
            choices=piece.choices,
            restored=bool(result),
            stale=piece.stale,
            verdict=piece.verdict,
            sentences=result.get("sentences", []),
            files=[f"/api/pieces/{piece.id}/files/{form}" for form in work.offered(piece)],
            diagnosis=diagnosis.to_dict() if whole and diagnosis else None,
            plan=plan.to_dict() if whole and plan else None,
        )
