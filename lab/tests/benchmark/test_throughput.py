import os
from pathlib import Path

import pytest

from nitido.batch import Job
from nitido_lab.benchmark import throughput
from nitido_lab.benchmark.throughput import Throughput, measure


def test_two_workers_that_do_twice_as_much_are_perfect() -> None:
    result = Throughput(2, pieces=8, seconds=30.0, rounds=3, one=20.0, one_free=30.0, many=36.0)
    assert result.to_dict()["of_perfect"] == pytest.approx(0.9)
    assert result.table().rows[-1] == ("2 workers", "36.0×", "90 %")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores cannot be chosen here")
def test_every_worker_gets_its_pieces_and_one_worker_one_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: list[tuple[int, int, int]] = []

    def run_pool(jobs: list[Job], *, workers: int, on_progress: object) -> list[object]:
        assert all(Path(job.source).exists() for job in jobs)
        runs.append((len(jobs), workers, len(os.sched_getaffinity(0))))
        return []

    monkeypatch.setattr(throughput, "run_pool", run_pool)
    before = os.sched_getaffinity(0)
    measure(workers=3, pieces=2, seconds=1.0, rounds=2)
    assert os.sched_getaffinity(0) == before
    every = len(before)
    assert runs == [(2, 1, 1), (2, 1, every), (6, 3, every)] * 2
