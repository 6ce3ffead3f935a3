"""Whoever has least at work comes next; what is cancelled stops; how far it is, is said."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nitido.errors import ConfigError
from nitido.web.limits import FullError, Limits
from nitido.web.queue import BROKEN, Queue, Task
from nitido.web.sessions import Visit, Visits


@pytest.fixture
def visitors() -> Iterator[list[Visit]]:
    place = Visits(Limits())
    yield [place.of(place.new_token()) for _ in range(3)]
    place.close()


def task(visit: Visit, work: Any = lambda tell: None, **more: Any) -> Task:
    return Task(visit, "restore", "Restoring", work, **more)


def test_a_visitor_with_one_piece_does_not_wait_for_all_of_another_s(visitors: list[Visit]) -> None:
    queue, go, begun = Queue(at_once=1, waiting=50, each=10), threading.Event(), []

    def work(name: str) -> Any:
        return lambda tell: begun.append(name) or go.wait(60)

    ann, bob, eve = visitors
    tasks = [queue.add(task(ann, work("ann"))) for _ in range(4)]
    tasks += [queue.add(task(bob, work("bob"))) for _ in range(2)]
    tasks.append(queue.add(task(eve, work("eve"))))
    assert queue.ahead(tasks[4]) == 0
    assert queue.ahead(tasks[6]) == 1
    go.set()
    assert all(one.ended.wait(60) for one in tasks)
    assert begun == ["ann", "bob", "eve", "ann", "bob", "ann", "ann"]


def test_only_so_many_run_at_once_and_only_so_many_wait(visitors: list[Visit]) -> None:
    queue, go = Queue(at_once=2, waiting=3, each=2), threading.Event()
    running: list[int] = []

    def work(tell: Any) -> None:
        running.append(1)
        go.wait(60)

    tasks = [queue.add(task(visitors[0], work)) for _ in range(4)]
    with pytest.raises(FullError, match="Too much is waiting"):
        queue.add(task(visitors[0], work))
    tasks.append(queue.add(task(visitors[1], work)))
    with pytest.raises(FullError):
        queue.add(task(visitors[2], work))
    assert sum(one.state == "working" for one in tasks) == 2
    go.set()
    assert all(one.ended.wait(60) for one in tasks)
    assert len(running) == 5


def test_what_is_cancelled_stops_at_its_next_step_or_never_begins(visitors: list[Visit]) -> None:
    queue, begun = Queue(at_once=1, waiting=9, each=9), threading.Event()

    def work(tell: Any) -> None:
        while True:
            begun.set()
            tell(0.5)
            threading.Event().wait(0.001)

    first, second = (queue.add(task(visitors[0], work)) for _ in range(2))
    other = queue.add(task(visitors[1]))
    begun.wait(60)
    assert queue.cancel(visitors[0]) == [first, second]
    assert first.ended.wait(60)
    assert second.ended.wait(60)
    assert other.ended.wait(60)
    assert [one.state for one in (first, second, other)] == ["cancelled", "cancelled", "done"]


def test_cancelling_at_the_very_end_leaves_one_verdict(visitors: list[Visit]) -> None:
    queue = Queue(at_once=2, waiting=200, each=200)
    tasks = [task(visitors[0]) for _ in range(50)]
    with ThreadPoolExecutor(4) as pool:
        for one in tasks:
            pool.submit(queue.add, one)
            pool.submit(queue.cancel, visitors[0])
    for one in tasks:
        assert one.ended.wait(60)
    assert {one.state for one in tasks} <= {"done", "cancelled"}
    assert len(queue.of(visitors[0])) <= 20  # what has ended is forgotten in the end


def test_why_it_failed_is_said(visitors: list[Visit]) -> None:
    queue = Queue(at_once=1, waiting=9, each=9)

    def refuse(tell: Any) -> None:
        raise ConfigError("It is no music.")

    def collapse(tell: Any) -> None:
        raise ZeroDivisionError("/secret/path")

    told = [queue.add(task(visitors[0], work)) for work in (refuse, collapse, lambda tell: None)]
    assert all(one.ended.wait(60) for one in told)
    assert [one.said for one in told] == ["It is no music.", BROKEN, ""]


def test_progress_rises(visitors: list[Visit]) -> None:
    seen = []

    def work(tell: Any) -> None:
        for share in (0.1, 0.3, 0.2, 2.0):
            tell(share)
            seen.append(one.share)

    one = task(visitors[0], work)
    Queue(at_once=1, waiting=9, each=9).add(one).ended.wait(60)
    assert seen == [0.1, 0.3, 0.3, 1.0]


def test_the_work_of_who_has_gone_stops(visitors: list[Visit]) -> None:
    begun = threading.Event()

    def work(tell: Any) -> None:
        while True:
            begun.set()
            tell(0.5)

    one = Queue(at_once=1, waiting=9, each=9).add(task(visitors[0], work))
    begun.wait(60)
    visitors[0].gone.set()
    assert one.ended.wait(60)
    assert one.state == "cancelled"


def test_a_task_that_breaks_because_it_was_cancelled_has_not_failed(visitors: list[Visit]) -> None:
    begun, go = threading.Event(), threading.Event()

    def work(tell: Any) -> None:
        begun.set()
        go.wait(60)
        raise FileNotFoundError("its folder was taken away")

    one = Queue(at_once=1, waiting=9, each=9)
    task_ = one.add(task(visitors[0], work))
    begun.wait(60)
    one.cancel(visitors[0])
    go.set()
    assert task_.ended.wait(60)
    assert (task_.state, task_.said) == ("cancelled", "")


def test_what_is_late_lets_everything_else_go_first(visitors: list[Visit]) -> None:
    queue, go, begun = Queue(at_once=1, waiting=9, each=9), threading.Event(), []
    queue.add(task(visitors[0], lambda tell: go.wait(60)))
    late = queue.add(task(visitors[1], lambda tell: begun.append("late"), late=True))
    last = queue.add(task(visitors[0], lambda tell: begun.append("long")))
    assert (queue.ahead(late), queue.ahead(last)) == (1, 0)
    go.set()
    assert late.ended.wait(60)
    assert begun == ["long", "late"]


def test_what_is_quick_waits_for_nothing_that_takes_long(visitors: list[Visit]) -> None:
    queue, go = Queue(at_once=1, waiting=9, each=9), threading.Event()
    long = [queue.add(task(visitors[0], lambda tell: go.wait(60))) for _ in range(2)]
    assert queue.add(task(visitors[1], lane="quick")).ended.wait(60)
    assert [queue.ahead(one) for one in long] == [0, 0]
    assert [one.state for one in long] == ["working", "waiting"]
    go.set()
    assert all(one.ended.wait(60) for one in long)
