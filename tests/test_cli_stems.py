"""Stems from the command line: written beside the result, with a model from a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile as sf
from click.testing import CliRunner, Result
from tests.demucs_checkpoint import make_model, save_model
from tests.signals import pink_noise

from nitido.cli import main

pytest.importorskip("demucs", reason="needs Demucs: pip install 'nitido[demucs]'")

PARTS = ["bass.wav", "drums.wav", "other.wav", "residual.wav", "vocals.wav"]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("demucs"), make_model(), name="mine")


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    sf.write(path, pink_noise(seconds=1.5, sample_rate=32_000).T, 32_000)
    return path


def restore(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["restore", *map(str, arguments)])


def test_stems_lie_beside_the_result(song: Path, repo: Path) -> None:
    models = ("--demucs-repo", repo, "--demucs-model", "mine")
    result = restore(song, "--stems", *models)
    assert result.exit_code == 0, result.output
    folder = song.parent / "song_restored.stems"
    assert sorted(path.name for path in folder.iterdir()) == PARTS
    for path in folder.iterdir():
        found = sf.info(path)
        assert (found.samplerate, found.subtype, found.frames) == (48_000, "FLOAT", 72_000)
    sidecar = json.loads((song.parent / "song_restored.wav.nitido.json").read_text())
    (step,) = (step for step in sidecar["plan"]["steps"] if step["stage"] == "stems")
    assert step["on"]
    assert step["settings"]["model"] == "mine"
    assert str(repo) not in json.dumps(sidecar)


def test_the_founding_pipeline_runs_with_a_model_of_a_folder(song: Path, repo: Path) -> None:
    models = ("--demucs-repo", repo, "--demucs-model", "mine")
    result = restore(song, "--preset", "demucs", "--json", *models)
    assert result.exit_code == 0, result.output
    on = [step["stage"] for step in json.loads(result.stdout)["plan"]["steps"] if step["on"]]
    assert on == ["peak", "stems"]


def test_a_wrong_model_is_one_line(song: Path, repo: Path) -> None:
    for model, says in (("other", "there are mine"), ("../mine", "no path"), ("hf://a/b", "name")):
        result = restore(song, "--stems", "--demucs-repo", repo, "--demucs-model", model)
        assert result.exit_code in (1, 2)
        assert says in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    assert [path.name for path in song.parent.iterdir()] == ["song.wav"]
