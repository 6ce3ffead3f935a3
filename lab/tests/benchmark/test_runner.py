import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from nitido.demo.render import render
from nitido.errors import ConfigError
from nitido_lab.benchmark import runner
from nitido_lab.benchmark.clips import Case
from nitido_lab.benchmark.runner import TaskResults, run_task
from nitido_lab.benchmark.systems import DemucsPreset, Folder, Resample, Restored


@dataclass(frozen=True)
class Louder:
    """A system that anybody can follow; it fails where it is told to."""

    name: str = "louder"
    what: str = "twice as loud"
    fails_on: str = ""

    def missing(self) -> str | None:
        return None

    def restore(self, piece: Case) -> Restored:
        if piece.name == self.fails_on:
            raise RuntimeError("no luck")
        return Restored(piece.wav * np.float32(2), {"repairs": 1, "stages": ["gain"]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("clips")
    for seed in range(3):
        sf.write(place / f"clip{seed}.wav", render(seed, seconds=3.0).T, 48_000)
    return place


def go(folder: Path, out: Path, *systems: Any, **options: Any) -> TaskResults:
    options = {"workers": 1, **options}
    return run_task("comb", folder=folder, systems=systems or [Resample()], out=out, **options)


def test_every_system_hears_every_clip(folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    outcome = go(
        folder, tmp_path, Resample(), Louder(), on_progress=lambda *done: seen.append(done)
    )
    assert [(r.clip, r.system) for r in outcome.results] == [
        (f"clip{n}", system) for n in range(3) for system in ("resample", "louder")
    ]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert outcome.fresh == 6
    louder = outcome.results[1]
    assert louder.figures["si_sdr_db"] == 120.0
    assert louder.figures["repairs"] == 1.0
    assert louder.notes["stages"] == ["gain"]


def test_a_stopped_run_goes_on_where_it_was(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(folder, tmp_path, on_progress=stop)
    assert len(list(tmp_path.rglob("*.json"))) == 2
    assert go(folder, tmp_path).fresh == 1
    monkeypatch.setattr(runner, "_work", lambda _: pytest.fail("it was measured already"))
    assert go(folder, tmp_path).fresh == 0
    assert len(go(folder, tmp_path, limit=1).results) == 1


def test_what_changed_is_measured_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(folder, tmp_path)
    assert go(folder, tmp_path, Resample(what="another")).fresh == 3
    monkeypatch.setattr(runner, "code", lambda: "another nitido")
    assert go(folder, tmp_path, Resample(what="another")).fresh == 3


def test_a_torn_result_is_measured_again(folder: Path, tmp_path: Path) -> None:
    go(folder, tmp_path)
    torn = tmp_path / "comb/resample/clip1.json"
    torn.write_text(torn.read_text()[:40])
    assert go(folder, tmp_path).fresh == 1


def test_processes_side_by_side_measure_the_same(folder: Path, tmp_path: Path) -> None:
    alone = go(folder, tmp_path / "alone")
    together = go(folder, tmp_path / "together", workers=2)
    assert [r.figures for r in alone.results] == [r.figures for r in together.results]


def test_a_system_that_fails_stops_no_other_and_is_tried_again(
    folder: Path, tmp_path: Path
) -> None:
    outcome = go(folder, tmp_path, Louder(fails_on="clip1"), Resample())
    failed = [r for r in outcome.results if r.error]
    assert [(r.clip, r.system, r.error) for r in failed] == [
        ("clip1", "louder", "RuntimeError: no luck")
    ]
    assert go(folder, tmp_path, Louder(), Resample()).fresh == 1


def test_a_clip_that_cannot_be_read_is_a_failure_of_all(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "clips"
    place.mkdir()
    for path in folder.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    clips = runner.TASKS["comb"].clips(place, None)
    (place / "clip0.wav").write_bytes(b"no sound")
    job = runner._Measurement("comb", clips[0], (Resample(),), ("key",), tmp_path, False)
    (tmp_path / "comb/resample").mkdir(parents=True)
    runner._work(job)
    said = json.loads((tmp_path / "comb/resample/clip0.json").read_text())
    assert "clip0.wav" in said["error"]


def test_who_cannot_run_is_left_out_with_the_reason(folder: Path, tmp_path: Path) -> None:
    outcome = go(folder, tmp_path, Resample(), DemucsPreset(), Folder("gone", tmp_path / "gone"))
    assert {r.system for r in outcome.results} == {"resample"}
    assert "no folder" in outcome.left_out["gone"]
    assert "demucs" in outcome.left_out["demucs"] or "preset" in outcome.left_out["demucs"]


def test_the_sounds_can_be_kept(folder: Path, tmp_path: Path) -> None:
    go(folder, tmp_path, Louder(), limit=1)
    assert go(folder, tmp_path, Louder(), limit=1, keep=True).fresh == 1
    heard, _ = sf.read(tmp_path / "comb/audio/louder/clip0.wav")
    given, _ = sf.read(tmp_path / "comb/audio/input/clip0.wav")
    assert np.allclose(heard, given * 2)
    assert go(folder, tmp_path, Louder(), limit=1, keep=True).fresh == 0


def test_there_are_only_so_many_tasks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bandwidth"):
        run_task("bandwith", folder=tmp_path, systems=[], out=tmp_path)


def test_a_result_counts_as_long_as_the_code_is_the_same_whatever_a_card_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, lab = tmp_path / "nitido", tmp_path / "nitido_lab"
    for name in ("weights/net.md", "report/page.py", "dsp/spectral.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("first")
    (lab / "degradation").mkdir(parents=True)
    monkeypatch.setattr(runner, "SOURCES", (root, lab))
    before = runner.code.__wrapped__()
    (root / "weights" / "net.md").write_text("other figures")
    (root / "report" / "page.py").write_text("another page")
    assert runner.code.__wrapped__() == before
    (root / "dsp/spectral.py").write_text("other sound")
    changed = runner.code.__wrapped__()
    (lab / "degradation" / "lossy.py").write_text("another coder")
    assert len({before, changed, runner.code.__wrapped__()}) == 3
