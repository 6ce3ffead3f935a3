from dataclasses import replace
from pathlib import Path

import pytest

from nitido.errors import ConfigError
from nitido_lab.training.config import TrainConfig, read_config
from nitido_lab.training.corpus import works


def test_only_music_with_an_allowed_licence_is_taken(tiny: TrainConfig) -> None:
    found = works(tiny)
    assert [work.path.stem for work in found] == ["one", "two"]
    assert [work.licence for work in found] == ["CC0-1.0", "CC-BY-4.0"]
    everything = replace(tiny, licences=())
    assert len(works(everything)) == 3


def test_what_validates_is_never_trained_on(tiny: TrainConfig) -> None:
    assert [work.split for work in works(tiny)] == ["train", "validation"]


def test_what_the_index_keeps_for_validation_counts_more_than_the_names(
    tiny: TrainConfig, music: Path, tmp_path: Path
) -> None:
    (tmp_path / "index.csv").write_text(
        "path,licence,split\none.wav,CC0-1.0,validation\ntwo.wav,CC0-1.0,train\n"
    )
    for name in ("one", "two"):
        (tmp_path / f"{name}.wav").write_bytes((music / f"{name}.wav").read_bytes())
    found = works(replace(tiny, audio=(str(tmp_path),)))
    assert [(work.path.stem, work.split) for work in found] == [
        ("one", "validation"),
        ("two", "train"),
    ]


def test_music_without_an_index_is_not_let_in_where_licences_count(
    tiny: TrainConfig, tmp_path: Path
) -> None:
    (tmp_path / "bare.wav").write_bytes(b"")
    with pytest.raises(ConfigError, match="no music to train on"):
        works(replace(tiny, audio=(str(tmp_path),)))


def test_a_folder_without_music_is_named_though_there_are_random_pieces(
    tiny: TrainConfig, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    places = (*tiny.audio, str(tmp_path / "empty"))
    with pytest.raises(ConfigError, match=r"no music to train on in .*empty\.$"):
        works(replace(tiny, audio=places, licences=(), random_pieces=3))


def test_a_missing_folder_is_named(tiny: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="no folder nowhere"):
        works(replace(tiny, audio=("nowhere",)))


def test_the_shipped_network_saw_no_piece_that_judges_it(shared_audio: Path) -> None:
    config = read_config(Path(__file__).parents[2] / "configs" / "bandwidth.toml")
    config = replace(
        config,
        music=(),
        audio=(str(shared_audio / "clean" / "train"),),
        midi=(str(shared_audio / "midi"),),
    )
    found = works(config)
    assert {work.path.parent.name for work in found} == {"train", "midi"}
    assert not [work.name for work in found if "-SA" in work.licence]
    kept = {work.path.stem for work in found if work.split == "validation"}
    trained = {work.path.stem for work in found if work.split == "train"}
    assert {"lofi_florist", "openclonk_motorway", "sonicpi_arovane-beat-c"} <= kept
    assert {name.split("_")[1][:7] for name in kept if "arovane" in name} == {"arovane"}
    assert not [name for name in trained if "arovane" in name or "sax" in name]
