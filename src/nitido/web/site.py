"""What the page can do for a visitor; the routes and the pages are how it is asked for."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nitido.delivery_check import find_target
from nitido.errors import CancelledError, ConfigError, NitidoError
from nitido.web import listing, work
from nitido.web.choices import choose, shown
from nitido.web.limits import Limits
from nitido.web.queue import Queue, Task, Tell
from nitido.web.sessions import SessionPiece, Visit, Visits

MODELS = {
    "Small": "facebook/musicgen-small",
    "Medium": "facebook/musicgen-medium",
    "Large": "facebook/musicgen-large",
    "Follows a melody": "facebook/musicgen-melody",
    "Small, stereo": "facebook/musicgen-stereo-small",
    "Medium, stereo": "facebook/musicgen-stereo-medium",
}
SECONDS_MAX, CANDIDATES_MAX, PROMPT_LENGTH, SEED_MAX = 30, 4, 500, 2**31 - 1
LISTENERS_MAX = 8  # pages of one visitor that are open
WORDS_NAMED = 4  # of a prompt that a clip is called by


@dataclass
class Asked:
    """What is to be generated.

    Attributes:
        prompt: what it should sound like.
        seconds: how long.
        candidates: how many, each with the next seed.
        seed: of the first; a new one by chance if None.
        model: one of the list.
        melody: id of an uploaded melody to follow, or None.
    """

    prompt: str
    seconds: float = 10.0
    candidates: int = 2
    seed: int | None = None
    model: str = MODELS["Small"]
    melody: int | None = None


@dataclass
class Version:
    """A sound to compare: a piece as it came, or as it was restored."""

    piece: int
    restored: bool = False


class Site:
    """Visitors, their queue, and what may be asked."""

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
        each = 2 * limits.pieces + 2
        at_once, waiting = limits.at_once, limits.waiting
        self.quick = Queue(at_once=at_once, waiting=waiting, each=each)
        self.long = Queue(at_once=at_once, waiting=waiting, each=each)
        self.models = {**{Path(model).name: model for model in models}, **MODELS}

    def tasks(self, visit: Visit | None) -> list[Task]:
        """Return what was, is and will be done for a visitor, as far as it is remembered."""
        return [] if visit is None else [*self.quick.of(visit), *self.long.of(visit)]

    def is_busy(self, visit: Visit, piece: int) -> bool:
        """Return whether something waits or works for a piece."""
        return any(task.piece == piece and not task.over for task in self.tasks(visit))

    def cancel(self, visit: Visit, piece: int | None = None) -> int:
        """Cancel what waits and works for a visitor; return how many tasks that were."""
        return sum(queue.cancel(visit, piece=piece) for queue in (self.quick, self.long))

    def begin(self, visit: Visit, piece: SessionPiece, *, restoring: bool = True) -> None:
        """Let the loudest ten seconds of a new piece be heard, examine and restore it."""

        def begin(tell: Tell) -> None:
            self._told(piece, lambda: work.preview(piece, lambda share: tell(0.3 * share)))
            visit.changed()
            self._told(piece, lambda: work.examine(piece, lambda share: tell(0.3 + 0.7 * share)))

        def then() -> None:
            self._add(self.quick, visit, piece, "original", "Making it ready to play",
                      lambda tell: work.play_original(piece, tell))  # fmt: skip
            if restoring and piece.diagnosis is not None and not piece.diagnosis.silent:
                self.restore(visit, piece)

        task = Task(visit, "examine", f"Listening to {piece.name}", begin, piece.id, then)
        self.quick.add(task)

    def restore(self, visit: Visit, piece: SessionPiece) -> None:
        """Restore a piece as its visitor chose; what was to be done of it before is not."""
        self.long.cancel(visit, piece=piece.id, kinds=("restore",))
        piece.said = ""
        self._add(self.long, visit, piece, "restore", f"Restoring {piece.name}",
                  lambda tell: work.restore(piece, tell, visit.changed))  # fmt: skip

    def change(self, visit: Visit, piece: SessionPiece, preset: str, settings: Any) -> None:
        """Take over what a visitor wants; the preview is made anew.

        Raises:
            ConfigError: it is not to be had.
        """
        piece.choices = choose(preset, settings)
        visit.changed()
        self.quick.cancel(visit, piece=piece.id, kinds=("preview",))
        again = self.long.cancel(visit, piece=piece.id, kinds=("restore",)) > 0
        if piece.diagnosis is None or piece.diagnosis.silent:
            return
        self._add(self.quick, visit, piece, "preview", f"Preview of {piece.name}",
                  lambda tell: work.preview(piece, tell),
                  then=lambda: self.restore(visit, piece) if again else None)  # fmt: skip

    def check(self, visit: Visit, piece: SessionPiece, target: str) -> None:
        """Say whether a piece, or its result, is fit for where it goes.

        Raises:
            ConfigError: there is no such place.
        """
        title = find_target(target).title
        self._add(self.quick, visit, piece, "check", f"Checking {piece.name} for {title}",
                  lambda tell: work.judge(piece, target, tell))  # fmt: skip

    def remove(self, visit: Visit, piece: SessionPiece) -> None:
        """Cancel what is done with a piece, and delete it."""
        tasks = [task for task in self.tasks(visit) if task.piece == piece.id and not task.over]
        self.cancel(visit, piece.id)
        for task in tasks:
            task.ended.wait(5.0)
        visit.remove(piece.id)

    def generate(self, visit: Visit, asked: Asked) -> None:
        """Generate candidates, one after the other; each is a clip.

        Raises:
            ConfigError: what is wrong with what is asked.
        """
        self._check(asked)
        melody = visit.pieces.get(asked.melody) if asked.melody is not None else None
        if asked.melody is not None and (melody is None or melody.kind != "melody"):
            raise ConfigError("There is no such melody of yours; send it again.")
        first = secrets.randbelow(10_000) if asked.seed is None else asked.seed
        for seed in range(first, first + asked.candidates):
            options: dict[str, Any] = {
                "model": asked.model,
                "seconds": float(asked.seconds),
                "seed": seed,
                "melody": melody.source if melody else None,
            }
            words = " ".join(asked.prompt.split()[:WORDS_NAMED])
            name = f"{words}, seed {seed}"

            def make(tell: Tell, name: str = name, options: dict[str, Any] = options) -> None:
                with self.visits.room():
                    piece = visit.add(f"{name}.wav", kind="making", limits=self.limits)
                    try:
                        work.generate(piece, asked.prompt, options, tell)
                    except BaseException:
                        visit.remove(piece.id)
                        raise
                    piece.kind = "clip"

            self.long.add(Task(visit, "generate", f"Making {name}", make))

    def take(self, visit: Visit, clip: SessionPiece) -> None:
        """Take a clip on to restoring.

        Raises:
            ConfigError: there are too many pieces already.
        """
        visit.check_room("piece", self.limits)
        clip.kind = "piece"
        self.begin(visit, clip)

    def compare(self, visit: Visit, versions: Sequence[Version], reference: Version | None) -> int:
        """Compare versions, the first with each of the others; return the id of what comes of it.

        Raises:
            ConfigError: fewer than two, or one that is not there.
        """
        if not 2 <= len(versions) <= 4:
            raise ConfigError("Two to four are compared: how it was before, and what was made.")
        files = [self._version(visit, version) for version in versions]
        told = self._version(visit, reference) if reference else None
        for old in visit.of_kind("comparison")[:-3]:
            visit.remove(old.id)
        title = " and ".join(name for name, _ in files)
        piece = visit.add(title, kind="comparison", limits=self.limits)
        wanted = told[1] if told else None
        words = f"Comparing {title}"
        self._add(self.long, visit, piece, "compare", words,
                  lambda tell: work.compare_pieces(piece, files, wanted, tell))  # fmt: skip
        return piece.id

    def _version(self, visit: Visit, version: Version) -> tuple[str, Path]:
        piece = visit.pieces.get(version.piece)
        if piece is None or (version.restored and not piece.result):
            raise ConfigError("There is no such piece of yours to compare; choose again.")
        if version.restored:
            return f"{piece.stem}, restored", work.download(piece, "wav32")
        return piece.stem, piece.source

    def _check(self, asked: Asked) -> None:
        """Refuse before any work what cannot be made."""
        if not asked.prompt.strip():
            raise ConfigError("There are no words yet; say what it should sound like.")
        if len(asked.prompt) > PROMPT_LENGTH:
            length = len(asked.prompt)
            raise ConfigError(f"The words are {length} letters long; {PROMPT_LENGTH} are taken.")
        if asked.model not in self.models.values():
            raise ConfigError(f"There is no model {asked.model!r} here; choose one of the list.")
        if not 1 <= asked.seconds <= SECONDS_MAX:
            raise ConfigError(f"{asked.seconds:g} seconds are not between 1 and {SECONDS_MAX}.")
        if not 1 <= asked.candidates <= CANDIDATES_MAX:
            raise ConfigError(f"{asked.candidates} are not between 1 and {CANDIDATES_MAX}.")
        if asked.seed is not None and not 0 <= asked.seed <= SEED_MAX:
            raise ConfigError(f"The seed {asked.seed} is not between 0 and {SEED_MAX}.")

    def _add(
        self, queue: Queue, visit: Visit, piece: SessionPiece, kind: str, words: str,
        function: Any, then: Any = None,
    ) -> None:  # fmt: skip
        def do(tell: Tell) -> None:
            with self.visits.room():
                self._told(piece, lambda: function(tell))

        queue.add(Task(visit, kind, words, do, piece.id, then))

    @staticmethod
    def _told(piece: SessionPiece, function: Any) -> None:
        """Do something with a piece; why it failed is said with it from then on."""
        try:
            function()
            piece.said = ""
        except CancelledError:
            raise
        except NitidoError as error:
            piece.said = piece.named(str(error))
            raise type(error)(piece.said) from error

    def state(self, visit: Visit | None) -> dict[str, Any]:
        """Return how far everything is, as plain JSON values."""
        shown_tasks = [
            {
                "id": task.id,
                "kind": task.kind,
                "piece": task.piece,
                "words": task.words,
                "state": task.state,
                "share": round(task.share, 3),
                "ahead": self._ahead(task),
                "said": task.said,
            }
            for task in self.tasks(visit)
        ]
        return {"version": visit.version if visit else 0, "tasks": shown_tasks}

    def _ahead(self, task: Task) -> int:
        if task.state != "waiting":
            return 0
        return max(queue.ahead(task) for queue in (self.quick, self.long))


def told(site: Site, visit: Visit, piece: SessionPiece) -> dict[str, Any]:
    """Return everything about a piece as plain JSON values."""
    diagnosis, plan = piece.diagnosis, piece.plan
    result: Mapping[str, Any] = piece.result
    return {
        "id": piece.id,
        "name": piece.name,
        "kind": piece.kind,
        "busy": site.is_busy(visit, piece.id),
        "said": piece.said,
        "sentence": listing.sentence(diagnosis) if diagnosis else "",
        "diagnosis": diagnosis.to_dict() if diagnosis else None,
        "choices": shown(piece.choices),
        "plan": plan.to_dict() if plan else None,
        "restored": bool(result),
        "stale": piece.stale,
        "verdict": piece.verdict,
        "sentences": result.get("sentences", []),
        "files": [f"/api/pieces/{piece.id}/files/{form}" for form in work.offered(piece)]
        if piece.kind != "comparison"
        else [],
    }
