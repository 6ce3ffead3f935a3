"""Work that takes a while: a bounded queue, fair between visitors, with progress and cancelling."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from nitido.errors import CancelledError, NitidoError
from nitido.web.limits import FullError
from nitido.web.sessions import Visit

Tell = Callable[[float], None]  # takes the share that is done, 0 to 1
BROKEN = "Something broke; the server's log tells what. Try again."
KEPT = 20  # finished tasks of a visitor that are remembered, for who asks what became of them
_ids = itertools.count(1)

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Task:
    """Something to be done for a visitor.

    Attributes:
        visit: whose it is.
        kind: ``"examine"``, ``"preview"``, ``"restore"``, ``"generate"``, ``"compare"`` or
            ``"encode"``.
        words: what is being done, for the visitor.
        work: does it; gets a function that takes the share done, and raises when it is cancelled.
        piece: id of the piece that it is about; 0 if there is none.
        then: called when it is done.
        state: how far it is.
        share: that is done, 0 to 1.
        said: why it failed.
    """

    visit: Visit
    kind: str
    words: str
    work: Callable[[Tell], Any]
    piece: int = 0
    then: Callable[[], None] | None = None
    id: int = field(default_factory=lambda: next(_ids))
    state: Literal["waiting", "working", "done", "failed", "cancelled"] = "waiting"
    share: float = 0.0
    said: str = ""
    ended: threading.Event = field(default_factory=threading.Event)
    _cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def over(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.ended.is_set()

    def tell(self, share: float) -> None:
        """Remember how much is done.

        Raises:
            CancelledError: it was cancelled, or the visitor has gone.
        """
        if self._cancelled.is_set() or self.visit.gone.is_set():
            raise CancelledError("Cancelled. Nothing was changed.")
        self.share = max(self.share, min(share, 1.0))


class Queue:
    """Tasks of all visitors: who has least at work, and then who waited longest, comes next."""

    def __init__(self, *, at_once: int, waiting: int, each: int) -> None:
        """Begin empty.

        Args:
            at_once: tasks that run at the same time.
            waiting: tasks that may wait, of all visitors.
            each: of one visitor.
        """
        self._at_once, self._most, self._each = at_once, waiting, each
        self._lock = threading.RLock()
        self._waiting: list[Task] = []
        self._working: list[Task] = []
        self._ended: list[Task] = []
        self._served: dict[str, float] = {}  # when a visitor's last task began
        self._turns: dict[int, int] | None = None  # place of each waiting task; None: not known

    def add(self, task: Task) -> Task:
        """Take a task; it begins when there is a place.

        Raises:
            FullError: too many are waiting.
        """
        with self._lock:
            own = sum(other.visit is task.visit for other in self._waiting)
            if own >= self._each or len(self._waiting) >= self._most:
                raise FullError("Too much is waiting already; try again in a while.")
            self._waiting.append(task)
            self._turns = None
        task.visit.changed()
        self._start()
        return task

    def of(self, visit: Visit) -> list[Task]:
        """Return the tasks of a visitor, those that ended lately first."""
        with self._lock:
            return [t for t in (*self._ended, *self._working, *self._waiting) if t.visit is visit]

    def ahead(self, task: Task) -> int:
        """Return how many tasks begin before a waiting one."""
        with self._lock:
            if self._turns is None:
                self._turns = {one.id: place for place, one in enumerate(self._order())}
            return self._turns.get(task.id, 0)

    def cancel(self, visit: Visit, *, piece: int | None = None, kinds: tuple[str, ...] = ()) -> int:
        """Cancel what waits and works for a visitor; return how many tasks that were."""
        with self._lock:
            found = [
                task
                for task in (*self._working, *self._waiting)
                if task.visit is visit
                and (piece is None or task.piece == piece)
                and (not kinds or task.kind in kinds)
            ]
            for task in found:
                task._cancelled.set()
                self._turns = None
                if task in self._waiting:
                    self._waiting.remove(task)
                    self._end(task, "cancelled")
        if found:
            visit.changed()
        return len(found)

    def _order(self) -> list[Task]:
        """Return the waiting tasks in the order in which they will begin."""
        left, order = list(self._waiting), []
        busy = Counter(task.visit.name for task in self._working)
        served = dict(self._served)
        while left:
            chosen = min(left, key=lambda t: (busy[t.visit.name], served.get(t.visit.name, 0.0)))
            left.remove(chosen)
            order.append(chosen)
            busy[chosen.visit.name] += 1
            served[chosen.visit.name] = time.monotonic() + len(order)
        return order

    def _start(self) -> None:
        with self._lock:
            self._turns = None
            while len(self._working) < self._at_once and self._waiting:
                task = self._order()[0]
                self._waiting.remove(task)
                self._working.append(task)
                known = {t.visit.name for t in (*self._waiting, *self._working)}
                served = {n: at for n, at in self._served.items() if n in known}
                self._served = {**served, task.visit.name: time.monotonic()}
                task.state = "working"
                threading.Thread(target=self._run, args=(task,), daemon=True).start()

    def _run(self, task: Task) -> None:
        state: Literal["done", "failed", "cancelled"] = "done"
        task.visit.changed()
        try:
            task.tell(0.0)
            task.work(task.tell)
            if task.then:
                task.then()
        except CancelledError:
            state = "cancelled"
        except NitidoError as error:
            state, task.said = "failed", str(error)
        except BaseException:
            state, task.said = "failed", BROKEN
            logger.exception("A task failed: %s", task.kind)
        with self._lock:
            self._working.remove(task)
            self._end(task, state)
        task.visit.changed()
        self._start()

    def _end(self, task: Task, state: Literal["done", "failed", "cancelled"]) -> None:
        task.state = state
        task.work, self._ended = (lambda _: None), [*self._ended, task]
        own = [old for old in self._ended if old.visit is task.visit]
        dropped = own[:-KEPT] + [old for old in self._ended if old.visit.gone.is_set()]
        self._ended = [old for old in self._ended if old not in dropped]
        task.ended.set()
