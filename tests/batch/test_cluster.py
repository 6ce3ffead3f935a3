"""A Ray cluster of two workers on this machine, in a process of its own."""

import json
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from tests.batch.cases import contents, make_pieces, run, run_all, wait_for_work

pytest.importorskip("ray.data", reason="the extra nitido[ray] brings Ray")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")


@pytest.mark.timeout(300)
def test_a_cluster_gives_the_same_results_also_where_an_actor_is_killed(tmp_path: Path) -> None:
    songs, out = tmp_path / "in", tmp_path / "out"
    make_pieces(songs, 3, seconds=3.0)
    (songs / "bad.wav").write_bytes(b"words")
    killed: list[int] = []

    def kill() -> None:
        killed.append(wait_for_work(out, seconds=100.0))
        os.kill(killed[0], signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    arguments = ["in", "-o", f"file://{out}", "--workers", "2", "--json"]
    status, said, errors = run(*arguments, "--ray", cwd=tmp_path)
    assert status == 1
    assert len(killed) == 1
    entries = {Path(entry["file"]).name: entry for entry in json.loads(said)}
    assert set(entries) == {"bad.wav", "piece0.wav", "piece1.wav", "piece2.wav"}
    assert [name for name, entry in entries.items() if "error" in entry] == ["bad.wav"]
    assert errors.splitlines()[-1].startswith("1 of 4 failed: ")
    assert errors.count("is not an audio file") == 1
    run_all(songs, tmp_path / "alone")
    assert contents(out) == contents(tmp_path / "alone")


def test_no_cluster_at_an_address_is_one_clear_line(tmp_path: Path) -> None:
    make_pieces(tmp_path / "in", 2, seconds=0.5)
    status, _, errors = run("in", "-o", "out/", "--ray", "127.0.0.1:1", cwd=tmp_path)
    assert status == 2
    (line,) = errors.splitlines()
    assert "127.0.0.1:1" in line
