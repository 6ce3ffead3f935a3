"""`nitido generate`: from words to a run folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner, Result
from tests.checkpoints import save_musicgen

from nitido.audio import read_tags
from nitido.cli import main

pytest.importorskip("torch", reason="the extra generate is not installed")
pytest.importorskip("transformers", reason="the extra generate is not installed")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_musicgen(tmp_path_factory.mktemp("musicgen"), licence="cc-by-nc-4.0"))


def run(model: str, folder: Path, *arguments: str, seconds: float = 1.0) -> Result:
    options = ["--model", model, "--seconds", str(seconds), "-o", str(folder)]
    return CliRunner().invoke(main, ["generate", *arguments, *options])


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def record(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text("utf-8"))


def test_a_prompt_fills_the_folder_with_every_step(model: str, tmp_path: Path) -> None:
    done = run(model, tmp_path / "run", "A pop song!", "--restore", "--report", seconds=2.0)
    assert done.exit_code == 0, done.output
    assert files(tmp_path / "run") == [
        "processed/a-pop-song.wav",
        "raw/a-pop-song.wav",
        "report/a-pop-song.html",
        "restored/a-pop-song.wav",
        "restored/a-pop-song.wav.nitido.json",
        "run.json",
    ]
    raw, processed, restored = (
        sf.info(tmp_path / "run" / part / "a-pop-song.wav")
        for part in ("raw", "processed", "restored")
    )
    assert (raw.samplerate, raw.subtype, raw.frames) == (32_000, "FLOAT", 64_000)
    assert (processed.samplerate, processed.subtype, processed.frames) == (48_000, "FLOAT", 96_000)
    assert (restored.samplerate, restored.frames) == (48_000, 96_000)
    for part in ("raw", "processed", "restored"):
        tags = read_tags(tmp_path / "run" / part / "a-pop-song.wav")
        assert tags["ai-generated"] == ["true"]
        assert tags["prompt"] == ["A pop song!"]


def test_the_comb_is_found_in_what_was_generated_and_gone_in_what_was_restored(
    model: str, tmp_path: Path
) -> None:
    done = run(model, tmp_path, "a pop song", "--restore", seconds=3.0)
    assert done.exit_code == 0, done.output
    sidecar = json.loads((tmp_path / "restored/a-pop-song.wav.nitido.json").read_text())
    before, after = (
        next(f for f in sidecar[time]["findings"] if f["kind"] == "comb")
        for time in ("before", "after")
    )
    assert before["severity"] == "severe"
    assert after["severity"] == "ok"
    assert sidecar["input"]["tags"]["weights licence"] == ["CC-BY-NC-4.0"]


def test_stems_lie_in_the_run_folder(model: str, tmp_path: Path) -> None:
    pytest.importorskip("demucs", reason="the extra demucs is not installed")
    from tests.demucs_checkpoint import STEMS, make_model, save_model

    repository = tmp_path / "demucs"
    repository.mkdir()
    save_model(repository, make_model())
    stems = ["--restore", "--stems", "--demucs-repo", str(repository)]
    done = run(model, tmp_path / "run", "a pop song", *stems, seconds=2.0)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "run" / record(tmp_path / "run")["pieces"][0]["files"]["stems"]
    assert {path.stem for path in folder.glob("*.wav")} == {*STEMS, "residual"}
    total = sum(sf.read(path)[0] for path in folder.glob("*.wav"))
    assert len(total) == 96_000
    assert np.sqrt(np.mean(total**2)) > 0.01


def test_the_record_says_how_to_make_it_again(model: str, tmp_path: Path) -> None:
    assert run(model, tmp_path / "one", "jazz", "--seed", "9", "--top-k", "40").exit_code == 0
    piece = record(tmp_path / "one")["pieces"][0]
    assert (piece["model"], piece["seed"], piece["settings"]["top_k"]) == (model, 9, 40)
    assert piece["licence"] == "CC-BY-NC-4.0"
    assert run(model, tmp_path / "two", "jazz", "--seed", "9", "--top-k", "40").exit_code == 0
    for path in ("raw/jazz.wav", "processed/jazz.wav", "run.json"):
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


def test_several_prompts_get_a_folder_each(model: str, tmp_path: Path) -> None:
    lines = tmp_path / "prompts.jsonl"
    lines.write_text('{"prompt": "rock/../song", "seconds": 0.5}\n')
    done = run(model, tmp_path / "run", "jazz", "pop", "--prompts", str(lines), "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    folders = ["1-jazz", "2-pop", "3-rock-song"]
    assert [Path(item["folder"]).name for item in said] == folders
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == folders
    lengths = [sf.info(p).frames for p in sorted((tmp_path / "run").glob("*/raw/*.wav"))]
    assert lengths == [32_000, 32_000, 16_000]


def test_of_candidates_one_is_kept_with_the_reason(model: str, tmp_path: Path) -> None:
    done = run(model, tmp_path, "jazz", "--candidates", "3", "--seed", "4", "--restore")
    assert done.exit_code == 0, done.output
    content = record(tmp_path)
    (kept,) = content["pieces"]
    names = [candidate["name"] for candidate in content["choice"]["candidates"]]
    assert names == ["jazz-seed-4", "jazz-seed-5", "jazz-seed-6"]
    assert content["choice"]["reason"].startswith(kept["name"])
    assert content["choice"]["reason"] in done.output
    for part in ("raw", "processed", "restored"):
        assert [p.stem for p in (tmp_path / part).glob("*.wav")] == [kept["name"]]
    points = {c["name"]: (c["points"], c["points_as_generated"])
              for c in content["choice"]["candidates"]}  # fmt: skip
    assert points[kept["name"]] == min(points.values())


def test_the_candidate_kept_can_be_made_again_by_its_seed(model: str, tmp_path: Path) -> None:
    assert run(model, tmp_path / "many", "jazz", "--candidates", "2").exit_code == 0
    (kept,) = record(tmp_path / "many")["pieces"]
    assert run(model, tmp_path / "one", "jazz", "--seed", str(kept["seed"])).exit_code == 0
    first, _ = sf.read(tmp_path / "many" / kept["files"]["raw"])
    again, _ = sf.read(tmp_path / "one/raw/jazz.wav")
    assert np.abs(first - again).max() < 1e-5


def test_all_candidates_are_kept_if_asked_for(model: str, tmp_path: Path) -> None:
    done = run(model, tmp_path, "jazz", "--candidates", "2", "--keep-all")
    assert done.exit_code == 0, done.output
    pieces = record(tmp_path)["pieces"]
    assert sorted(piece["kept"] for piece in pieces) == [False, True]
    assert len(list((tmp_path / "raw").glob("*.wav"))) == 2


def test_an_earlier_run_is_replaced_only_if_asked_for(model: str, tmp_path: Path) -> None:
    assert run(model, tmp_path, "jazz").exit_code == 0
    before = (tmp_path / "raw/jazz.wav").read_bytes()
    refused = run(model, tmp_path, "jazz", "--seed", "1")
    assert refused.exit_code == 1
    assert "--overwrite" in refused.output
    assert (tmp_path / "raw/jazz.wav").read_bytes() == before
    assert run(model, tmp_path, "jazz", "--seed", "1", "--overwrite").exit_code == 0
    after = (tmp_path / "raw/jazz.wav").read_bytes()
    assert after != before
    raw = str(tmp_path / "raw/jazz.wav")
    refused = run(model, tmp_path, "jazz", "--continue", raw, "--overwrite")
    assert refused.exit_code == 1
    assert "lies where the run writes" in refused.output
    assert (tmp_path / "raw/jazz.wav").read_bytes() == after


def test_a_run_that_is_stopped_leaves_what_is_finished(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nitido.generation import sampling

    sample, calls = sampling.sample_codes, []

    def stop_at_second(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return sample(*arguments, **options)

    monkeypatch.setattr(sampling, "sample_codes", stop_at_second)
    stopped = run(model, tmp_path, "jazz", "pop", "--batch", "1")
    assert stopped.exit_code == 130
    assert files(tmp_path) == ["1-jazz/processed/jazz.wav", "1-jazz/raw/jazz.wav"]


def test_stopping_while_restoring_leaves_the_first_prompt_complete(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nitido import api

    restore, calls = api.restore, []

    def stop_at_second(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return restore(*arguments, **options)

    monkeypatch.setattr(api, "restore", stop_at_second)
    assert run(model, tmp_path, "jazz", "pop", "--restore").exit_code == 130
    assert (tmp_path / "1-jazz/run.json").is_file()
    assert files(tmp_path / "2-pop") == ["processed/pop.wav", "raw/pop.wav"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "There is no prompt"),
        ([" "], 2, "The prompt is"),
        (["jazz", "jazz"], 2, "there twice"),
        (["jazz", "--preset", "gentle"], 2, "--preset belongs to a restoration"),
        (["jazz", "--report"], 2, "needs --restore"),
        (["jazz", "--restore", "--preset", "gental"], 2, "did you mean 'gentle'"),
        (["jazz", "--candidates", "0"], 2, "candidates is 0"),
        (["jazz", "--melody", "tune.wav"], 1, "tune.wav"),
        (["jazz", "--device", "tpu"], 2, "device is 'tpu'"),
        (["jazz", "--prompts", "missing.txt"], 1, "missing.txt"),
        (["pop " * 40], 2, "41 tokens"),
    ],
)
def test_a_wrong_order_is_one_line_and_leaves_nothing(
    model: str, tmp_path: Path, arguments: list[str], status: int, words: str
) -> None:
    done = run(model, tmp_path / "run", *arguments)
    assert done.exit_code == status
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
