"""Finding a checkpoint: what is taken, what is refused, and what is said about it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from nitido import doctor
from nitido.errors import ConfigError, WeightsError
from nitido.generation.hub import find_home

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def folder(path: Path, *files: str, config: object = None) -> str:
    path.mkdir(parents=True, exist_ok=True)
    for file in files:
        (path / file).write_bytes(b"0")
    (path / "config.json").write_text(json.dumps(config or {"model_type": "musicgen"}))
    return str(path)


def test_a_cached_checkpoint_is_found_without_a_network(musicgen: str, hub_cache: Path) -> None:
    repository = hub_cache / "models--facebook--musicgen-small"
    shutil.copytree(musicgen, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    home = find_home("facebook/musicgen-small")
    assert home.revision == COMMIT
    assert home.licence == "CC-BY-NC-4.0"
    assert (home.folder / "model.safetensors").is_file()


def test_without_cache_and_network_the_remedy_is_named(hub_cache: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        find_home("facebook/musicgen-small", revision="v2")
    for words in (str(hub_cache), "HF_HOME", "hf download facebook/musicgen-small --revision v2"):
        assert words in str(caught.value)


def test_a_half_filled_cache_counts_as_none(hub_cache: Path) -> None:
    snapshot = hub_cache / "models--facebook--musicgen-small" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text('{"model_type": "musicgen"}')
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text(COMMIT)
    with pytest.raises(WeightsError, match="hf download"):
        find_home("facebook/musicgen-small")


@pytest.mark.parametrize("name", ["./nope", "/nope", "../a/b", "owner/-x", "owner/" + "x" * 99])
def test_what_can_be_no_name_on_the_hub_is_a_folder_that_is_not_there(
    hub_cache: Path, name: str
) -> None:
    with pytest.raises(ConfigError, match="There is no folder"):
        find_home(name)


@pytest.mark.parametrize("name", ["musicgen-smal", "facebook/musicgen-smal/x", "musicgen-small"])
def test_a_mistyped_name_gets_a_suggestion(name: str) -> None:
    with pytest.raises(ConfigError, match="did you mean 'facebook/musicgen-small'"):
        find_home(name)


def test_a_folder_has_no_revisions(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no revisions"):
        find_home(folder(tmp_path, "model.safetensors"), revision="main")


def test_weights_in_a_pickle_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="can run any code"):
        find_home(folder(tmp_path, "pytorch_model.bin"))


def test_a_repository_with_pickles_alone_is_refused_not_called_unreachable(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = hub_cache / "models--someone--musicgen" / "snapshots" / COMMIT
    folder(snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(
        "huggingface_hub.list_repo_files", lambda *_, **__: ["config.json", "pytorch_model.bin"]
    )
    with pytest.raises(WeightsError, match=r"only as a pickle \(pytorch_model\.bin\)"):
        find_home("someone/musicgen")


def test_a_checkpoint_that_asks_to_run_code_is_refused(tmp_path: Path) -> None:
    config = {"model_type": "musicgen", "text_encoder": {"auto_map": {"AutoModel": "evil.Model"}}}
    with pytest.raises(WeightsError, match="auto_map"):
        find_home(folder(tmp_path, "model.safetensors", config=config))


def test_a_folder_without_weights_or_config_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights"):
        find_home(folder(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"no config\.json"):
        find_home(str(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[]", "\0"])
def test_a_damaged_config_is_said_to_be_damaged(tmp_path: Path, text: str) -> None:
    name = folder(tmp_path, "model.safetensors")
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"config\.json"):
        find_home(name)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: cc-by-nc-4.0\n---\n", "CC-BY-NC-4.0"),
        ("---\ntags: [x]\nlicense: 'mit'\n---\nlicense: other\n", "MIT"),
        ("# No head\nlicense: mit\n", "not stated"),
        ("", "not stated"),
    ],
)
def test_the_licence_is_what_the_card_states(tmp_path: Path, card: str, licence: str) -> None:
    name = folder(tmp_path, "model.safetensors")
    (tmp_path / "README.md").write_text(card)
    assert find_home(name).licence == licence


def test_the_doctor_tells_which_checkpoints_are_cached(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(hub_cache))
    name = "MusicGen weights"
    before = next(check for check in doctor.checks() if check.name == name)
    assert (before.state, before.remedy) == ("absent", "hf download facebook/musicgen-small")
    snapshot = hub_cache / "models--facebook--musicgen-melody" / "snapshots" / COMMIT
    folder(snapshot, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    after = next(check for check in doctor.checks() if check.name == name)
    assert (after.state, after.found) == ("ok", "musicgen-melody")


def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    name = folder(tmp_path / "one", "model.safetensors")
    os.mkfifo(tmp_path / "one" / "README.md")
    assert find_home(name).licence == "not stated"
    os.mkfifo(tmp_path / "one" / "tokenizer_config.json")
    with pytest.raises(WeightsError, match="not a regular file"):
        find_home(name)
