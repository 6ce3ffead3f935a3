import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.batch.cases import contents, is_running, jobs_of, make_pieces, run_all, wait_for_work

from nitido.batch import restore_many

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    make_pieces(tmp_path / "in", 4, seconds=2.0)
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def killing(place: Path, times: int) -> list[int]:
    """Kill the next processes that are at work below a folder, in a thread; return which."""
    killed: list[int] = []

    def kill() -> None:
        for _ in range(times):
            process = wait_for_work(place, but=killed)
            os.kill(process, signal.SIGKILL)
            killed.append(process)

    threading.Thread(target=kill, daemon=True).start()
    return killed


def test_the_piece_of_a_killed_worker_is_made_by_another_and_no_other_is_lost(
    songs: Path, out: Path
) -> None:
    (songs / "bad.wav").write_bytes(b"words")
    killed = killing(out, 1)
    outcomes = list(restore_many(jobs_of(songs, out), workers=2))
    assert len(killed) == 1
    assert [outcome.source for outcome in outcomes if outcome.error] == [str(songs / "bad.wav")]
    assert len({outcome.source for outcome in outcomes}) == 5
    run_all(songs, out.with_name("alone"))
    assert contents(out) == contents(out.with_name("alone"))


def test_a_piece_that_kills_every_worker_is_given_up_and_the_others_are_made(
    songs: Path, out: Path
) -> None:
    (songs / "below" / "piece3.wav").unlink()
    killed = killing(out / "below", 2)
    outcomes = list(restore_many(jobs_of(songs, out), workers=2))
    assert len(killed) == 2
    failures = [outcome.error for outcome in outcomes if outcome.error]
    assert len(failures) == 1, failures
    assert "piece1.wav was given up: its process ended by SIGKILL" in str(failures[0])
    run_all(songs, out.with_name("alone"))
    made = contents(out.with_name("alone"))
    assert contents(out) == {name: made[name] for name in made if "piece1" not in name}


def test_workers_end_when_the_run_is_given_up(songs: Path, out: Path) -> None:
    make_pieces(songs, 2, seconds=30.0)  # still at work when the short ones are done
    outcomes = restore_many(jobs_of(songs, out)[::-1], workers=2)
    next(outcomes)
    process = wait_for_work(out)
    outcomes.close()
    assert process != os.getpid()
    assert not is_running(process)
    assert not any(name.startswith(".") for name in contents(out))


def test_a_program_that_nobody_can_run_again_may_use_several_workers(
    songs: Path, out: Path
) -> None:
    program = f"""
from nitido.batch import Job, make_jobs, restore_many
jobs = make_jobs([{str(songs)!r}], Job(), output={f"{out}/"!r})
print(*[outcome.state for outcome in restore_many(jobs, workers=2)])
"""
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["done"] * 4, "")
