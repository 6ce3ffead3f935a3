"""`nitido-lab train`, as a user types it."""

import json
import sys
from pathlib import Path

import pytest
import soundfile as sf
from click.testing import CliRunner

from nitido.demo.render import render
from nitido_lab.cli import main

pytest.importorskip("torch")

CONFIG = """
audio = ["no-such-folder"]
random_pieces = 0
width = 8
blocks = 1
crop_frames = 30
batch = 2
steps = 4
validate_every = 4
"""


def test_music_of_your_own_needs_no_index(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(CONFIG)
    (tmp_path / "mine").mkdir()
    sf.write(tmp_path / "mine" / "song.wav", render(seconds=3.0, seed=3).T, 48_000)
    arguments = ["train", str(tmp_path / "small.toml"), "--out", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(main, [*arguments, "--audio", str(tmp_path / "mine")])
    assert result.exit_code == 0, result.output
    built = json.loads(result.output)
    assert built["steps"] == 4
    assert Path(built["path"]).is_file()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(CONFIG)
    result = CliRunner().invoke(main, ["train", str(tmp_path / "small.toml")])
    assert result.exit_code == 2
    assert "no-such-folder" in result.output


def test_an_empty_folder_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(CONFIG.replace("random_pieces = 0", "random_pieces = 6"))
    (tmp_path / "mine").mkdir()
    arguments = ["train", str(tmp_path / "small.toml"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, [*arguments, "--audio", str(tmp_path / "mine")])
    assert result.exit_code == 2
    assert result.stderr == f"Error: There is no music to train on in {tmp_path / 'mine'}.\n"


def test_without_torch_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small.toml").write_text(CONFIG)
    monkeypatch.setitem(sys.modules, "torch", None)
    result = CliRunner().invoke(main, ["train", str(tmp_path / "small.toml")])
    assert result.exit_code == 1
    assert "Training needs torch, which is not installed: pip install" in result.stderr


def test_all_that_is_missing_is_named_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = CONFIG.replace("random_pieces = 0", "random_pieces = 6")
    text += """soundfonts = ["/nowhere/FluidR3_GM.sf2"]
    [[recipes]]
    one_of = [{ kind = "mp3", kbps = 64 }, { kind = "aac", kbps = 64 }]
    """
    (tmp_path / "small.toml").write_text(text)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(main, ["train", str(tmp_path / "small.toml")])
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: Training needs torch, fluidsynth, ffmpeg and the SoundFont FluidR3_GM.sf2, which "
        "are not installed: pip install -e 'lab[train]'; "
        "apt install fluidsynth ffmpeg fluid-soundfont-gm.\n"
    )
