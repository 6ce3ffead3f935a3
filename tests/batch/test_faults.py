"""What happens to a batch when something outside goes wrong: each with a real process."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.batch.cases import (
    COMMAND,
    contents,
    is_running,
    make_pieces,
    run,
    run_all,
    start,
    wait_for_work,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, mounts and limits")


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    make_pieces(tmp_path / "in", 3, seconds=1.5)
    return tmp_path / "in"


def kill_at_random(folder: Path, *, kills: int, workers: int, seed: int) -> int:
    """Kill a run again and again, then let it go on; check what comes out against a quiet run.

    Returns how often it was at work when it was killed.
    """
    songs, out = folder / "in", folder / "out"
    before = contents(songs)
    run_all(songs, folder / "alone")
    rng = random.Random(seed)
    arguments = ["in", "-o", "out/", "--resume", "--workers", str(workers)]
    killed = 0
    for _ in range(kills):
        process = start(*arguments, cwd=folder)
        with contextlib.suppress(AssertionError):  # all may be done already
            wait_for_work(out, seconds=15.0, run=process)
            time.sleep(rng.uniform(0.0, 0.5))
        killed += process.poll() is None
        if rng.random() < 0.5:
            process.kill()  # its workers have to notice
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(ValueError):  # it had ended, and was listened to
            process.communicate(timeout=60)
    status, said, errors = run(*arguments, "--json", cwd=folder)
    assert (status, errors) == (0, "")
    assert len(json.loads(said)) == len(list(songs.rglob("*.wav")))
    assert contents(out) == contents(folder / "alone")
    assert contents(songs) == before
    return killed


def test_a_batch_killed_at_random_is_finished_to_the_byte(tmp_path: Path) -> None:
    make_pieces(tmp_path / "in", 5, seconds=1.0)
    kill_at_random(tmp_path, kills=2, workers=1, seed=1)


def test_a_batch_of_workers_killed_at_random_is_finished_to_the_byte(tmp_path: Path) -> None:
    make_pieces(tmp_path / "in", 4, seconds=1.0)
    kill_at_random(tmp_path, kills=1, workers=2, seed=0)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("workers", [1, 2])
def test_soak_a_batch_killed_many_times_is_finished_to_the_byte(
    tmp_path: Path, workers: int
) -> None:
    make_pieces(tmp_path / "in", 120, seconds=3.0)
    assert kill_at_random(tmp_path, kills=20, workers=workers, seed=workers) == 20


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("workers", [1, 2])
def test_soak_a_batch_stopped_many_times_never_leaves_anything_unfinished(
    tmp_path: Path, workers: int
) -> None:
    make_pieces(tmp_path / "in", 120, seconds=3.0)
    rng = random.Random(workers)
    arguments = ["in", "-o", "out/", "--resume", "--workers", str(workers)]
    for turn in range(20):
        process = start(*arguments, cwd=tmp_path)
        wait_for_work(tmp_path / "out", run=process)
        time.sleep(rng.uniform(0.0, 0.7))
        os.killpg(process.pid, rng.choice([signal.SIGINT, signal.SIGTERM]))
        _, errors = process.communicate(timeout=60)
        assert process.returncode in (130, 143), (turn, errors)
        left = contents(tmp_path / "out")
        assert not [name for name in left if "/." in f"/{name}"], turn
        results = {name for name in left if name.endswith(".wav")}
        assert left.keys() == results | {f"{name}.nitido.json" for name in results}, turn


def test_workers_do_not_outlive_the_process_that_started_them(tmp_path: Path) -> None:
    make_pieces(tmp_path / "in", 2, seconds=30.0)
    process = start("in", "-o", "out/", "--workers", "2", cwd=tmp_path)
    worker = wait_for_work(tmp_path / "out", run=process)
    assert worker != process.pid
    process.kill()
    process.communicate(timeout=60)
    end = time.monotonic() + 30
    while is_running(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_running(worker)


@pytest.mark.parametrize(
    ("number", "workers"),
    [(signal.SIGINT, 2), (signal.SIGTERM, 1), (signal.SIGHUP, 1), (signal.SIGHUP, 2)],
)
def test_a_signal_stops_a_batch_tidily_and_says_what_is_done(
    tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    songs = make_pieces(tmp_path / "in", 3, seconds=20.0)
    make_pieces(tmp_path / "in", 1)  # the first is short
    process = start("in", "-o", "out/", "--workers", str(workers), cwd=tmp_path)
    assert process.stdout
    first = process.stdout.readline()
    wait_for_work(tmp_path / "out", run=process)
    os.killpg(process.pid, number)  # as a terminal does: the workers hear it too
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert first.startswith("in/piece0.wav → out/piece0_restored.wav")
    assert said.startswith("1 done; ")
    assert errors.splitlines() == [
        f"Error: stopped, 1 of {len(songs)} came to an end; nothing half-written is left, "
        "--resume goes on."
    ]
    assert sorted(contents(tmp_path / "out")) == [
        "piece0_restored.wav", "piece0_restored.wav.nitido.json",
    ]  # fmt: skip


def test_a_run_that_ignores_the_end_of_its_terminal_goes_on(tmp_path: Path) -> None:
    make_pieces(tmp_path / "in", 1, seconds=20.0)
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"  # as nohup does
    process = start("in", "-o", "out/", cwd=tmp_path, before=ignoring)
    wait_for_work(tmp_path / "out", run=process)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_second_signal_ends_the_program_at_once_and_the_next_run_clears_up(
    tmp_path: Path,
) -> None:
    (song,) = make_pieces(tmp_path / "in", 1, seconds=60.0)
    out = tmp_path / "out"
    process = start("in", "-o", "out/", cwd=tmp_path)
    wait_for_work(out, run=process)
    for _ in range(200):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
        time.sleep(0.005)
        if process.poll() is not None:
            break
    _, errors = process.communicate(timeout=30)
    assert process.returncode in (130, 143)
    assert len(errors.splitlines()) == 1
    assert not (out / "piece0_restored.wav").exists()
    song.unlink()
    make_pieces(tmp_path / "in", 1)
    assert run("in", "-o", "out/", "--resume", cwd=tmp_path)[0] == 0
    assert len(contents(out)) == 2


def in_a_mount(options: str, script: str, cwd: Path) -> tuple[int, str, str]:
    """Run a shell script where `out` is a file system of its own; skip where that cannot be."""
    program = shutil.which("unshare")
    if program is None or subprocess.run([program, "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount anything here")
    (cwd / "out").mkdir()
    whole = f"mount -t tmpfs {options} tmpfs out && {script}"
    done = subprocess.run(
        [program, "-rm", "sh", "-c", whole, "sh", *COMMAND], cwd=cwd, capture_output=True, text=True
    )
    if "mount:" in done.stderr:
        pytest.skip(f"this system does not let us mount: {done.stderr.strip()}")
    return done.returncode, done.stdout, done.stderr


def test_a_full_disk_is_one_clear_line_per_piece_and_leaves_nothing_half_written(
    songs: Path, tmp_path: Path
) -> None:
    script = '"$@" in -o out/; echo status $?; find out -type f; find out -name ".?*"'
    _, said, errors = in_a_mount("-o size=512k", script, tmp_path)  # one result is 432 kB
    lines = said.splitlines()
    assert sorted(lines[lines.index("status 1") + 1 :]) == [
        "out/piece0_restored.wav", "out/piece0_restored.wav.nitido.json",
    ]  # fmt: skip
    told = [line for line in errors.splitlines() if line.startswith("Error: ")]
    assert len(told) == 2
    assert all("No space left" in line for line in told)


def test_a_read_only_folder_is_one_clear_line(songs: Path, tmp_path: Path) -> None:
    script = 'mount -o remount,ro out && "$@" in/piece0.wav -o out/; echo status $?'
    _, said, errors = in_a_mount("-o size=1m", script, tmp_path)
    assert said.splitlines() == ["status 1"]
    (line,) = errors.splitlines()
    assert "Read-only file system" in line


def test_a_limit_on_the_size_of_files_is_one_clear_line(songs: Path, tmp_path: Path) -> None:
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    status, _, errors = run("in/piece0.wav", "-o", "out/", cwd=tmp_path, preexec_fn=limit)
    assert status == 1
    (line,) = errors.splitlines()
    assert "larger than the file system allows" in line or "File too large" in line
    assert contents(tmp_path / "out") == {}


def test_a_quota_is_one_clear_line(songs: Path, tmp_path: Path) -> None:
    full = """
import errno, os
def fsync(file):
    raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
os.fsync = fsync
"""
    status, _, errors = run("in/piece0.wav", "-o", "out/", cwd=tmp_path, before=full)
    assert status == 1
    (line,) = errors.splitlines()
    assert "quota" in line.lower()
    assert contents(tmp_path / "out") == {}


def meanwhile(folder: Path, happen: Callable[[Path], object]) -> str:
    """Let something happen to a long piece or its result in mid-work; return what is said."""
    (song,) = make_pieces(folder / "in", 1, seconds=60.0)
    process = start("in", "-o", "out/", cwd=folder)
    wait_for_work(folder / "out", run=process)
    happen(song)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 1
    told = [line for line in errors.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in errors
    assert contents(folder / "out") == {}
    return told[0]


def test_an_input_cut_short_in_mid_work_is_one_clear_line(tmp_path: Path) -> None:
    assert "piece0.wav" in meanwhile(tmp_path, lambda song: os.truncate(song, 100_000))


def test_an_output_folder_that_is_removed_in_mid_work_is_one_clear_line(tmp_path: Path) -> None:
    def remove(_: Path) -> None:
        shutil.rmtree(tmp_path / "out")

    assert "was removed while" in meanwhile(tmp_path, remove)


def test_a_clock_that_goes_backwards_changes_nothing(songs: Path, tmp_path: Path) -> None:
    run_all(songs, tmp_path / "alone")
    backwards = """
import itertools, time
times = itertools.count(2_000_000_000, -3600)
time.time = lambda: float(next(times))
"""
    assert run("in", "-o", "out/", cwd=tmp_path, before=backwards)[0::2] == (0, "")
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


def test_two_processes_at_once_on_the_same_folder_share_the_work(tmp_path: Path) -> None:
    make_pieces(tmp_path / "in", 4, seconds=2.0)
    run_all(tmp_path / "in", tmp_path / "alone")
    arguments = ["in", "-o", "out/", "--resume", "--json"]
    runs = [start(*arguments, cwd=tmp_path) for _ in range(2)]
    made = 0
    for process in runs:
        said, errors = process.communicate(timeout=100)
        assert (process.returncode, errors) == (0, "")
        made += sum(not entry["unchanged"] for entry in json.loads(said))
    assert made == 4
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")
