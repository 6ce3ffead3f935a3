"""Work that takes a while: a bounded queue, fair between visitors, with progress and cancelling."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from nitido.errors import CancelledError, NitidoError
from nitido.web.limits import FullError
from nitido.web.sessions import Visit

Tell: TypeAlias = Callable[[float], None]  # takes the share that is done, 0 to 1
Lane: TypeAlias = Literal["preview", "quick", "long"]
State: TypeAlias = Literal["waiting", "working", "done", "failed", "cancelled"]

BROKEN = "Something broke; the server's log tells what. Try again."
KEPT = 20  # finished tasks of a visitor that are remembered, for who asks what became of them
_ids = itertools.count(int(time.time()))  # a server that is started again uses none again

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Task:
    """Something to be done for a visitor.

    Attributes:
        visit: whose it is.
        kind: such as ``"restore"``; what is cancelled together.
        words: what is being done, for the visitor.
        work: does it; gets a function that takes the share done, and raises when it is cancelled.
        pieces: ids of the pieces that it is about.
        lane: how long it takes: a second or two, some seconds, or longer. It waits for no task of
            another lane.
        late: whether it lets all others of its lane go first.
        state: how far it is.
        share: that is done, 0 to 1.
        said: why it failed.
        ended: set when nothing more will be done.
    """

    visit: Visit
    kind: str
    words: str
    work: Callable[[Tell], Any]
    pieces: tuple[int, ...] = ()
    lane: Lane = "long"
    late: bool = False
    id: int = field(default_factory=lambda: next(_ids))
    state: State = "waiting"
    share: float = 0.0
    said: str = ""
    ended: threading.Event = field(default_factory=threading.Event)
    _cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def is_cancelled(self) -> bool:
        """Whether it was cancelled, or its visitor has gone."""
        return self._cancelled.is_set() or self.visit.gone.is_set()

    def tell(self, share: float) -> None:
        """Remember how much is done.

        Raises:
            CancelledError: it was cancelled, or the visitor has gone.
        """
        if self.is_cancelled:
            raise CancelledError("Cancelled. Nothing was changed.")
        self.share = max(self.share, min(share, 1.0))


class Queue:
    """Tasks of all visitors: who has least at work, and then who waited longest, comes next."""

    def __init__(self, *, at_once: int, waiting: int, each: int) -> None:
        """Begin empty.

        Args:
            at_once: tasks of each lane that run at the same time.
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
            self._start()
        task.visit.changed()
        return task

    def of(self, visit: Visit) -> list[Task]:
        """Return the tasks of a visitor, those that ended lately first."""
        with self._lock:
            return [t for t in (*self._ended, *self._working, *self._waiting) if t.visit is visit]

    def ahead(self, task: Task) -> int:
        """Return how many tasks begin before a waiting one; 0 for any other."""
        with self._lock:
            if self._turns is None:
                orders = [self._order(lane) for lane in get_args(Lane)]
                self._turns = {one.id: turn for order in orders for turn, one in enumerate(order)}
            return self._turns.get(task.id, 0)

    def cancel(self, visit: Visit, *, piece: int | None = None, kind: str = "") -> list[Task]:
        """Cancel what waits and works for a visitor, or what of it is so; return those tasks."""
        with self._lock:
            found = [
                task
                for task in (*self._working, *self._waiting)
                if task.visit is visit
                and (piece is None or piece in task.pieces)
                and (not kind or task.kind == kind)
            ]
            never = [task for task in found if task in self._waiting]
            self._waiting = [task for task in self._waiting if task not in never]
            for task in found:
                task._cancelled.set()
            for task in never:
                self._end(task, "cancelled")
        if found:
            visit.changed()
        return found

    def _order(self, lane: Lane) -> list[Task]:
        """Return the waiting tasks of a lane in the order in which they will begin."""
        left, order = [task for task in self._waiting if task.lane == lane], list[Task]()
        busy = Counter(task.visit.name for task in self._working if task.lane == lane)
        served = dict(self._served)
        while left:
            chosen = min(
                left, key=lambda t: (t.late, busy[t.visit.name], served.get(t.visit.name, 0.0))
            )
            left.remove(chosen)
            order.append(chosen)
            busy[chosen.visit.name] += 1
            served[chosen.visit.name] = time.monotonic() + len(order)
        return order

    def _start(self) -> None:
        """Begin what there is a place for."""
        self._turns = None
        for lane in get_args(Lane):
            free = self._at_once - sum(task.lane == lane for task in self._working)
            for task in self._order(lane)[: max(free, 0)]:
                self._waiting.remove(task)
                self._working.append(task)
                known = {t.visit.name for t in (*self._waiting, *self._working)}
                self._served = {name: at for name, at in self._served.items() if name in known}
                self._served[task.visit.name] = time.monotonic()
                task.state = "working"
                threading.Thread(target=self._run, args=(task,), daemon=True).start()

    def _run(self, task: Task) -> None:
        task.visit.changed()
        state: State = "done"
        try:
            task.tell(0.0)
            task.work(task.tell)
        except BaseException as error:
            if task.is_cancelled or isinstance(error, CancelledError):
                state = "cancelled"  # whatever it stumbled over then
            else:
                state, task.said = (
                    "failed",
                    str(error) if isinstance(error, NitidoError) else BROKEN,
                )
                if task.said is BROKEN:
                    logger.exception("A task failed: %s", task.kind)
        with self._lock:
            self._working.remove(task)
            self._end(task, state)
        task.visit.changed()

    def _end(self, task: Task, state: State) -> None:
        task.state, task.work = state, lambda _: None
        self._ended.append(task)
        own = [old for old in self._ended if old.visit is task.visit]
        gone = [old for old in self._ended if old.visit.gone.is_set()]
        self._ended = [old for old in self._ended if old not in own[:-KEPT] + gone]
        task.ended.set()
        self._start()
