"""The whole way, and networks that are trained side by side from one start."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tests.batch.cases import is_running  # noqa: E402

from nitido.errors import ConfigError, WeightsError  # noqa: E402
from nitido.lock import held  # noqa: E402
from nitido.restoration.treble.levels import INPUTS  # noqa: E402
from nitido_lab.training.build import build, members, settle_threads  # noqa: E402
from nitido_lab.training.cache import Entry, build_cache  # noqa: E402
from nitido_lab.training.config import TrainConfig  # noqa: E402
from nitido_lab.training.export import export  # noqa: E402
from nitido_lab.training.loop import averaged, start  # noqa: E402
from nitido_lab.training.network import TrebleNet  # noqa: E402
from nitido_lab.training.warm_start import inherit  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture
def pair(tiny: TrainConfig, entries: list[Entry], tmp_path: Path) -> TrainConfig:
    """Two members that start from a network which is there."""
    assert entries  # the cache that `build` finds
    torch.manual_seed(3)
    path = tmp_path / "first.onnx"
    export(TrebleNet(tiny.width, tiny.blocks), path)
    return replace(tiny, members=2, start=str(path), steps=12, learning_rate=3e-3)


def test_members_learn_from_other_examples_and_their_mean_is_exported(pair: TrainConfig) -> None:
    lines: list[str] = []
    built = build(pair, on_line=lines.append)
    one, two = (averaged(start(member, CPU), member, CPU) for member in members(pair))
    seen = torch.randn(1, INPUTS, 30)
    assert not torch.allclose(one(seen), two(seen), atol=1e-3)
    exported = TrebleNet(pair.width, pair.blocks)
    inherit(exported, built.path)
    for name, value in exported.state_dict().items():
        halfway = (one.state_dict()[name] + two.state_dict()[name]) / 2
        assert torch.allclose(value, halfway, atol=1e-5)
    assert built.steps == 24
    assert set(built.figures) >= {"4-khz-unlike", "coded-unlike"}
    assert any("member-1" in line for line in lines)


PROGRAM = """
import json, multiprocessing, sys, time
from nitido_lab.training.cache import build_cache
from nitido_lab.training.config import TrainConfig

def made(done, total):
    print(*(each.pid for each in multiprocessing.active_children()), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    build_cache(TrainConfig(**json.loads(sys.argv[1])), on_progress=made)
"""


def test_a_kill_while_the_music_is_read_leaves_no_process_behind(
    tiny: TrainConfig, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    config = json.dumps(asdict(replace(tiny, recipes=(), out=str(tmp_path / "out"))))
    command = [sys.executable, str(program), config]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        workers = [int(number) for number in running.stdout.readline().split()]
        running.kill()
    assert workers
    deadline = time.monotonic() + 30
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers))


@pytest.mark.parametrize("faster", [1, 2])
def test_as_many_threads_are_used_as_are_faster(faster: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    slow = 3 - faster
    try:
        assert settle_threads(lambda: time.sleep(0.2 * (torch.get_num_threads() == slow))) == faster
        assert torch.get_num_threads() == faster
    finally:
        torch.set_num_threads(before)


def test_members_share_the_minutes(pair: TrainConfig) -> None:
    trainings = members(replace(pair, minutes=30.0))
    assert [each.minutes for each in trainings] == [15.0, 15.0]
    assert len({each.seed for each in trainings}) == len({each.folder for each in trainings}) == 2
    assert members(replace(pair, members=1, start="")) == [replace(pair, members=1, start="")]


def test_members_without_a_common_start_are_refused(pair: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="start from the same one"):
        members(replace(pair, start=""))


def test_two_trainings_do_not_work_in_one_folder(pair: TrainConfig, tmp_path: Path) -> None:
    elsewhere = replace(pair, out=str(tmp_path))
    elsewhere.folder.mkdir(parents=True)
    with held(elsewhere.folder / "lock"), pytest.raises(ConfigError, match="Another training"):
        build(elsewhere)


def test_a_finished_training_run_again_gives_the_same_network_though_its_start_was_replaced(
    pair: TrainConfig,
) -> None:
    kept = replace(pair, keep=0.5)
    first = build(kept)
    shutil.copyfile(first.path, kept.start)  # it ships now
    assert build(kept).sha256 == first.sha256


def test_a_folder_or_a_start_that_cannot_be_had_is_said(pair: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigError, match="cannot be made"):
        build(replace(pair, out=str(tmp_path / "file")))
    with pytest.raises(WeightsError, match="There is no network"):
        build(replace(pair, out=str(tmp_path / "new"), start=str(tmp_path / "none.onnx")))


def test_a_soundfont_that_is_missing_is_said_once(
    tiny: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing = str(tmp_path / "none.sf2")
    build_cache(replace(tiny, out=str(tmp_path), random_pieces=3, soundfonts=(missing,)))
    lines = [record.getMessage() for record in caplog.records]
    # The first piece, and at the end how many there were; without FluidSynth that is what is said.
    assert len(lines) == 2
    assert lines[0].startswith("random-0.mid: ")
    assert lines[1].startswith("3 pieces are left out: ")
