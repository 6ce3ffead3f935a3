import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from nitido.errors import NitidoError
from nitido_lab.benchmark import scale
from nitido_lab.benchmark.scale import Run, Scale
from nitido_lab.cli.app import main


def test_the_line_through_the_runs_tells_the_start_and_the_cost_of_a_piece() -> None:
    runs = [Run(pieces, 2, 1.5 + 0.25 * pieces, 0.0, 120.0) for pieces in (10, 100, 1000)]
    measured = Scale(10.0, tuple(runs))
    assert measured.line(2) == pytest.approx((1.5, 0.25))
    shares = [measured.start_share(run) for run in runs]
    assert shares == pytest.approx([0.375, 0.0566, 0.006], rel=0.01)


def test_every_size_is_run_with_every_number_of_workers(tmp_path: Path) -> None:
    picture = tmp_path / "scale.png"
    asked = ["--sizes", "1,2", "--workers", "1", "--seconds", "1", "--plot", str(picture), "--json"]
    done = CliRunner().invoke(main, ["benchmark", "scale", *asked])
    told = json.loads(done.stdout)
    assert [(run["pieces"], run["workers"]) for run in told["runs"]] == [(1, 1), (2, 1)]
    assert all(run["memory_mib"] > 20 for run in told["runs"])
    assert picture.stat().st_size


def test_a_run_that_failed_is_no_figure_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "PROGRAM", "import sys; sys.exit('The disk is full.')")
    with pytest.raises(NitidoError, match=r"1 pieces with 2 workers ended with 1.+disk is full"):
        scale.measure(sizes=[1], workers=[2], piece_seconds=1.0)


def test_results_that_would_fill_the_disk_are_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "_free_bytes", lambda: 3_000_000)
    with pytest.raises(NitidoError, match=r"of 7 pieces take 0.0 GB .+ has 0.0; make room"):
        scale.measure(sizes=[1, 7], workers=[1], piece_seconds=2.0)


def test_the_memory_is_that_of_the_run_not_of_who_measures_it() -> None:
    held = np.ones(400 * 2**18, np.float32)  # 400 MiB
    (run,) = scale.measure(sizes=[1], workers=[1], piece_seconds=1.0).runs
    assert 20 < run.memory_mib < held.nbytes / 2**20


@pytest.mark.parametrize("sizes", ["0", "ten", "10;20"])
def test_sizes_are_whole_numbers_with_commas(sizes: str) -> None:
    done = CliRunner().invoke(main, ["benchmark", "scale", "--sizes", sizes])
    assert done.exit_code == 2
