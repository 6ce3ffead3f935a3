"""Pieces on another file system: fsspec's own, in memory."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.batch.cases import contents, how, make_pieces, run_all

from nitido.batch import Job, Outcome, make_jobs, restore_many
from nitido.errors import AudioReadError, ConfigError, MissingExtraError

fsspec = pytest.importorskip("fsspec", reason="the extra nitido[ray] brings fsspec")


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    make_pieces(tmp_path / "in", 2, seconds=0.6)
    return tmp_path / "in"


@pytest.fixture
def bucket(songs: Path) -> str:
    """The pieces at an address."""
    name = f"memory://{uuid.uuid4()}"
    files = fsspec.filesystem("memory")
    for place, content in contents(songs).items():
        files.pipe_file(f"{name}/in/{place}", content)
    files.pipe_file(f"{name}/in/.hidden.wav", b"words")
    files.pipe_file(f"{name}/in/cover.jpg", b"picture")
    return name


def there(name: str) -> dict[str, bytes]:
    files, root = fsspec.core.url_to_fs(name)
    return {path.removeprefix(root + "/"): files.cat_file(path) for path in files.find(root)}


def restored(source: str, output: str, **options: Any) -> list[Outcome]:
    return list(restore_many(make_jobs([source], how(**options), output=output)))


def test_results_there_are_those_that_would_have_been_made_here(
    songs: Path, bucket: str, tmp_path: Path
) -> None:
    outcomes = restored(f"{bucket}/in", f"{bucket}/out", removed=True)
    assert [outcome.state for outcome in outcomes] == ["done", "done"], outcomes
    assert outcomes[0].output.startswith("memory://")
    run_all(songs, tmp_path / "out", removed=True)
    assert there(f"{bucket}/out") == contents(tmp_path / "out")


def test_pieces_come_from_there_and_results_stay_here(bucket: str, tmp_path: Path) -> None:
    restored(f"{bucket}/in", str(tmp_path / "here"))
    assert sorted(contents(tmp_path / "here")) == sorted(
        f"{name}_restored.wav{end}" for name in ("below/piece1", "piece0")
        for end in ("", ".nitido.json")
    )  # fmt: skip


def test_a_second_run_there_only_looks(bucket: str) -> None:
    restored(f"{bucket}/in", f"{bucket}/out")
    before = there(f"{bucket}/out")
    outcomes = restored(f"{bucket}/in", f"{bucket}/out", resume=True)
    assert [outcome.state for outcome in outcomes] == ["unchanged", "unchanged"]
    assert there(f"{bucket}/out") == before


@pytest.mark.parametrize("damage", ["cut", "sidecar of another input"])
def test_a_damaged_result_there_is_made_again(bucket: str, damage: str) -> None:
    restored(f"{bucket}/in", f"{bucket}/out")
    before = there(f"{bucket}/out")
    files = fsspec.filesystem("memory")
    path = f"{bucket}/out/piece0_restored.wav"
    if damage == "cut":
        files.pipe_file(path, before["piece0_restored.wav"][:-10])
    else:
        sidecar = json.loads(before["piece0_restored.wav.nitido.json"])
        sidecar["input"]["sha256"] = "0" * 64
        files.pipe_file(f"{path}.nitido.json", json.dumps(sidecar).encode())
    outcomes = restored(f"{bucket}/in", f"{bucket}/out", resume=True)
    assert sorted(outcome.state for outcome in outcomes) == ["done", "unchanged"]
    assert there(f"{bucket}/out") == before


@pytest.mark.parametrize("resume", [False, True])
def test_a_file_there_that_is_not_ours_is_not_replaced(bucket: str, resume: bool) -> None:
    files = fsspec.filesystem("memory")
    files.pipe_file(f"{bucket}/out/piece0_restored.wav", b"mine")
    outcomes = restored(f"{bucket}/in/piece0.wav", f"{bucket}/out", resume=resume)
    assert "exists already" in str(outcomes[0].error)
    assert there(f"{bucket}/out") == {"piece0_restored.wav": b"mine"}


def test_what_is_not_there_is_one_clear_line(bucket: str) -> None:
    (outcome,) = restored(f"{bucket}/in/gone.wav", f"{bucket}/out")
    assert outcome.error == f"{bucket}/in/gone.wav does not exist; check the name."
    with pytest.raises(AudioReadError, match="cannot be reached"):
        make_jobs(["nosuch://bucket/in"], Job(), output="nosuch://bucket/out")
    with pytest.raises(ConfigError, match="output="):
        make_jobs([f"{bucket}/in"], Job())


def test_pieces_there_that_are_called_alike_get_names_of_their_own(bucket: str) -> None:
    fsspec.filesystem("memory").pipe_file(f"{bucket}/in/piece0.flac", b"words")
    jobs = make_jobs([f"{bucket}/in"], Job(), output=f"{bucket}/out")
    assert [job.output.removeprefix(f"{bucket}/out/") for job in jobs] == [
        "below/piece1_restored.wav", "piece0_flac_restored.wav", "piece0_wav_restored.wav",
    ]  # fmt: skip


def test_an_address_of_this_file_system_is_a_plain_name(songs: Path, tmp_path: Path) -> None:
    (job, _) = make_jobs([f"file://{songs}"], Job(), output=f"file://{tmp_path}/out/")
    assert job.source == str(songs / "piece0.wav")
    assert job.output == str(tmp_path / "out" / "piece0_restored.wav")


@pytest.mark.parametrize(("scheme", "extra"), [("https", "http"), ("s3", "s3")])
def test_where_a_library_for_an_address_is_missing_it_is_said_what_to_install(
    scheme: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError("its own words")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(MissingExtraError, match=rf"pip install 'fsspec\[{extra}\]'\.$"):
        restored(f"{scheme}://example.org/song.wav", "out")
