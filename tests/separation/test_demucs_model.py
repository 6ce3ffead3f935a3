"""Which files of a Demucs model are read, and that nothing they name is imported unseen."""

from __future__ import annotations

import json
import os
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tests.demucs_checkpoint import SIGNATURE, STEMS, make_model, save_model, save_weights

from nitido import optional
from nitido.errors import ConfigError, MissingExtraError, WeightsError
from nitido.separation.demucs_model import load_model, read_weights

pytest.importorskip("demucs", reason="needs Demucs: pip install 'nitido[demucs]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("demucs"), make_model())


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "repo"))


def test_a_bag_and_a_single_model_are_found_by_name(folder: Path) -> None:
    for name in ("htdemucs", SIGNATURE):
        bag = load_model(name, folder)
        assert list(bag.sources) == STEMS
        assert bag.samplerate == 44_100


def test_a_checksum_in_the_name_is_held_against_the_file(tmp_path: Path) -> None:
    folder = save_model(tmp_path, make_model(), checksum=True)
    (weights,) = folder.glob("*.safetensors")
    assert load_model("htdemucs", folder).sources == STEMS
    spoiled = bytearray(weights.read_bytes())
    spoiled[-1] ^= 1
    weights.write_bytes(spoiled)
    with pytest.raises(WeightsError, match="is damaged: its SHA-256"):
        load_model("htdemucs", folder)


@pytest.mark.parametrize(
    "named",
    ["os.system", "torch.nn.Linear", "nitido_trap.Model", "demucs.htdemucs.HTDemucs.forward", ""],
)
def test_a_class_that_is_no_demucs_model_is_refused_before_anything_is_imported(
    named: str, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nitido_trap.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    save_weights(copy / f"{SIGNATURE}.safetensors", make_model(), klass=named)
    with pytest.raises(WeightsError, match="not one of Demucs's models"):
        load_model("htdemucs", copy)
    assert "nitido_trap" not in sys.modules


def test_a_quantised_state_that_may_name_more_classes_is_refused(tmp_path: Path) -> None:
    structure = '{"_dict": [["quantized", {"_class": "os.system"}]]}'
    path = save_weights(tmp_path / "q.safetensors", make_model(), structure=structure)
    with pytest.raises(WeightsError, match="quantised"):
        read_weights(path)


def test_pickles_are_refused_with_the_reason(copy: Path) -> None:
    weights = copy / f"{SIGNATURE}.safetensors"
    weights.rename(weights.with_name(f"{SIGNATURE}-00000000.th"))
    for name in ("htdemucs", SIGNATURE):
        with pytest.raises(WeightsError, match=r"pickle \(\.th\), which can run any code"):
            load_model(name, copy)


@pytest.mark.parametrize(
    "name",
    ["hf://someone/htdemucs", "someone/htdemucs", "../htdemucs", "/etc/passwd", "a-b", "", "a\n"],
)
def test_names_are_no_addresses_and_no_paths(name: str, folder: Path) -> None:
    for place in (None, folder):
        with pytest.raises(ConfigError, match="no name of a Demucs model"):
            load_model(name, place)


def test_an_unknown_name_is_answered_with_those_that_there_are(folder: Path) -> None:
    with pytest.raises(ConfigError, match="there are htdemucs"):
        load_model("htdemux", folder)
    with pytest.raises(ConfigError, match="htdemucs_ft"):
        load_model("htdemux")
    with pytest.raises(ConfigError, match="quantised models are not read"):
        load_model("mdx_extra_q")
    with pytest.raises(ConfigError, match="is not a folder"):
        load_model("htdemucs", folder / "none")


@pytest.mark.parametrize(
    ("bag", "says"),
    [
        ("[]", "lists no models"),
        ("models: []", "lists no models"),
        ("models: ['../../etc/passwd']", "named by its signature"),
        ("models: [1]", "named by its signature"),
        (f"models: ['{SIGNATURE}']\nweights: [[1, 1]]", "a weight for each stem"),
        (f"models: ['{SIGNATURE}']\nweights: much", "not lists of numbers"),
        (f"models: ['{SIGNATURE}']\nsegment: -1", "number of seconds"),
        ("models: ['gone']", "no weights gone.safetensors"),
        ("models: !!python/object/apply:os.system ['true']", "cannot be read as YAML"),
        ("\x00", "cannot be read as YAML"),
    ],
)
def test_a_wrong_bag_is_refused_in_one_sentence(bag: str, says: str, copy: Path) -> None:
    (copy / "htdemucs.yaml").write_text(bag)
    with pytest.raises(WeightsError, match=says) as caught:
        load_model("htdemucs", copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"kwargs": "{"}, "its kwargs are not JSON"),
        ({"kwargs": '{"sources": ["drums"]}'}, "no working Demucs model"),
        ({"args": "[1, 2]"}, "no working Demucs model"),
    ],
)
def test_weights_that_do_not_fit_their_own_words_are_refused(
    metadata: dict[str, str], says: str, tmp_path: Path
) -> None:
    path = save_weights(tmp_path / "m.safetensors", make_model(), **metadata)
    with pytest.raises(WeightsError, match=says):
        read_weights(path)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"channels": 24}, "of the [0-9]+ tensors that its metadata describe"),
        ({"channels": 10**6}, "of the [0-9]+ tensors that its metadata describe"),
        ({"t_layers": 100_000}, "has t_layers 100000; it is 16 at most"),
        ({"depth": 20}, "has depth 20; it is 16 at most"),
        ({"depth": 12, "channels": 10**9}, "no working Demucs model"),
        ({"sources": STEMS * 10**4}, "has sources .* 16 at most"),
        ({"nfft": 2**40}, "has nfft"),
    ],
)
def test_a_network_that_its_tensors_do_not_bear_out_is_never_built(
    changed: dict[str, object], says: str, tmp_path: Path
) -> None:
    model = make_model()
    kwargs = {"sources": STEMS, "channels": 12, "t_layers": 3, "t_heads": 4, **changed}
    path = save_weights(tmp_path / "m.safetensors", model, args="[]", kwargs=json.dumps(kwargs))
    with pytest.raises(WeightsError, match=says):
        read_weights(path)


def test_stems_cannot_be_called_like_a_path(tmp_path: Path) -> None:
    for stems in (["../x", "bass"], ["drums", "drums"], ["residual", "bass"]):
        path = save_weights(tmp_path / "m.safetensors", make_model(sources=stems))
        with pytest.raises(WeightsError, match="calls its stems"):
            read_weights(path)


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\xff" * 64])
def test_a_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        read_weights(path)


def test_an_official_name_is_fetched_from_the_hub_and_separates_as_demucs_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    import torch
    from demucs.api import Separator

    asked = []

    def download(repository: str, filename: str) -> str:
        asked.append((repository, filename))
        return str(folder / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    ours = load_model("htdemucs")
    assert set(asked) == {
        ("adefossez/HTDemucs", "htdemucs.yaml"),
        ("adefossez/HTDemucs", f"{SIGNATURE}.safetensors"),
    }
    theirs = Separator("htdemucs", device="cpu", shifts=0).model
    assert [type(model) for model in ours.models] == [type(model) for model in theirs.models]
    for key, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], tensor)


def test_without_network_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def offline(repository: str, filename: str) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(WeightsError, match=r"HF_HOME.*hf download adefossez/HTDemucs") as caught:
        load_model("htdemucs")
    assert "demucs_repo=" in str(caught.value)


def test_without_demucs_it_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optional, "available", lambda module: False)
    with pytest.raises(MissingExtraError, match=r"pip install 'nitido\[demucs\]'"):
        load_model("htdemucs", folder)


def test_models_that_work_together_have_the_same_stems(copy: Path) -> None:
    other = make_model(sources=["drums", "bass", "other", "voice"])
    save_weights(copy / "other.safetensors", other)
    (copy / "both.yaml").write_text(f"models: ['{SIGNATURE}', 'other']\n")
    with pytest.raises(WeightsError, match="do not fit each other"):
        load_model("both", copy)


def test_the_weights_are_those_that_were_saved(folder: Path) -> None:
    saved, loaded = make_model().state_dict(), load_model("htdemucs", folder).models[0].state_dict()
    for key, tensor in saved.items():
        assert np.array_equal(tensor.numpy(), loaded[key].numpy()), key


def test_a_bag_grows_no_larger_than_it_is_written(copy: Path) -> None:
    bag = copy / "htdemucs.yaml"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join(['*' + a] * 10)}]" for a, b in pairwise("abcdefghi")]
    bag.write_text("\n".join([*lines, "models: [*i]"]))
    with pytest.raises(WeightsError, match="refers to parts of itself"):
        load_model("htdemucs", copy)
    bag.write_text(f"models: [{', '.join([SIGNATURE] * 17)}]")
    with pytest.raises(WeightsError, match="lists 17 models; 16 at most"):
        load_model("htdemucs", copy)


def test_a_pipe_in_the_place_of_weights_keeps_nobody_waiting(copy: Path) -> None:
    weights = copy / f"{SIGNATURE}.safetensors"
    weights.unlink()
    os.mkfifo(weights)
    with pytest.raises(WeightsError, match="not a regular file"):
        load_model("htdemucs", copy)
