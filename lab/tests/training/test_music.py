"""The list of music: what may stand in it, and that it comes whole or not at all."""

import csv
import hashlib
import io
import json
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from nitido.errors import ConfigError
from nitido_lab.cli import main
from nitido_lab.training import music
from nitido_lab.training.config import TrainConfig, read_config
from nitido_lab.training.corpus import works
from nitido_lab.training.music import AR_MAGIC, Fetched, fetch, fetch_all, is_of, read_list

SONG, VOICE, DRUM = b"a song", b"a voice", b"a drum"
FILES = {"sounds/a song [live].ogg": SONG, "voice.ogg": VOICE}


def git(folder: Path, *arguments: str) -> str:
    """Run git in a repository that serves parts of itself, as public hosts do."""
    settings = ("user.name=n", "user.email=e@x", "commit.gpgsign=false")
    options = [part for setting in settings for part in ("-c", setting)]
    done = subprocess.run(
        ["git", "-C", str(folder), *options, *arguments], capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


def deb(path: Path, files: dict[str, bytes]) -> None:
    """Write a Debian package with these files."""
    tree = io.BytesIO()
    with tarfile.open(fileobj=tree, mode="w:xz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    parts = {"debian-binary": b"2.0", "control.tar.xz": b"odd", "data.tar.xz": tree.getvalue()}
    with path.open("wb") as file:
        file.write(AR_MAGIC)
        for name, content in parts.items():
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
            file.write(content + b"\n" * (len(content) % 2))


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder with the repository someone/music and a package with an archive in it."""
    place = tmp_path / "host"
    repository = place / "someone" / "music"
    repository.mkdir(parents=True)
    git(repository, "init", "--quiet")
    for setting in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        git(repository, "config", setting, "true")
    for name, content in FILES.items():
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_bytes(content)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "Music")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inside/drum.ogg", DRUM)
    deb(place / "drums_2.1-3_all.deb", {"usr/drums.zip": packed.getvalue(), "usr/other": b"x"})
    return place


@pytest.fixture
def listed(host: Path, tmp_path: Path) -> Path:
    """A list of all that the host has."""
    commit = git(host / "someone" / "music", "rev-parse", "HEAD")
    sources = [(f"someone/music@{commit}", path, content) for path, content in FILES.items()]
    sources.append(("drums=1:2.1-3", "usr/drums.zip:inside/drum.ogg", DRUM))
    path = tmp_path / "index.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        head = "path,title,author,licence,source_repository,source_path,sha256,split"
        rows.writerow(head.split(","))
        for number, (source, inside, content) in enumerate(sources):
            digest = hashlib.sha256(content).hexdigest()
            row = (f"{number}.ogg", f"Song, {number}", "Ada", "CC0-1.0", source, inside, digest)
            rows.writerow((*row, "train"))
    return path


def test_music_comes_from_repositories_and_packages_of_a_mirror(
    listed: Path, host: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    fetched = fetch(listed, tmp_path / "out", mirror=host, on_line=lines.append)
    assert fetched == Fetched(there=3, missing=(), faults=())
    found = [(tmp_path / "out" / f"{number}.ogg").read_bytes() for number in range(3)]
    assert found == [SONG, VOICE, DRUM]
    assert (tmp_path / "out" / "index.csv").read_bytes() == listed.read_bytes()
    assert sorted(line.partition(": ")[2] for line in lines) == [
        "drums, 1 files",
        "someone/music, 2 files",
    ]


def test_of_a_repository_elsewhere_only_what_is_listed_travels(
    listed: Path, host: Path, tmp_path: Path
) -> None:
    fetched = fetch(listed, tmp_path / "out", sources=("someone/*",), host=host.as_uri())
    assert fetched == Fetched(there=2, missing=(), faults=())
    assert (tmp_path / "out" / "0.ogg").read_bytes() == SONG


def test_what_is_there_is_not_fetched_again_and_what_is_damaged_is(
    listed: Path, host: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    fetch(listed, out, mirror=host)
    (out / "1.ogg").write_bytes(VOICE[:-1])
    git(host / "someone" / "music", "rm", "--quiet", "sounds/a song [live].ogg")
    lines: list[str] = []
    assert fetch(listed, out, mirror=host, on_line=lines.append).there == 3
    assert lines == ["1 of 1: someone/music, 1 files"]
    assert (out / "1.ogg").read_bytes() == VOICE


def test_a_file_that_is_not_the_one_that_is_listed_is_not_let_in(
    listed: Path, host: Path, tmp_path: Path
) -> None:
    deb(host / "drums_2.1-3_all.deb", {"usr/drums.zip": b"no archive"})
    listed.write_text(listed.read_text().replace(hashlib.sha256(VOICE).hexdigest(), "0" * 64))
    fetched = fetch(listed, tmp_path / "out", mirror=host)
    assert (fetched.there, fetched.missing) == (1, ("1.ogg", "2.ogg"))
    assert any("voice.ogg of someone/music is not the file" in fault for fault in fetched.faults)
    assert any("drums is damaged" in fault for fault in fetched.faults)
    assert not (tmp_path / "out" / "1.ogg").exists()


def test_the_command_says_what_is_missing_and_goes_on_from_there(
    listed: Path, host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(music, "LIST", listed)
    arguments = ["music", str(tmp_path / "out"), "--mirror", str(host)]
    package = host / "drums_2.1-3_all.deb"
    package.rename(tmp_path / "away")
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(_which('git')).parent}")
    (tmp_path / "apt-get").write_text("#!/bin/sh\necho 'E: no such package' >&2; exit 100\n")
    (tmp_path / "apt-get").chmod(0o755)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "1 of 3 files of music are missing" in result.stderr
    assert "apt-get drums=1:2.1-3 failed: E: no such package" in result.stderr
    (tmp_path / "away").rename(package)
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert json.loads(result.stdout) == {"folder": str(tmp_path / "out"), "files": 3}


def test_without_a_network_one_reason_is_given_not_one_for_each_source(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(music, "LIST", listed)
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(_which('git')).parent}")
    (tmp_path / "apt-get").write_text("#!/bin/sh\necho 'E: no network' >&2; exit 100\n")
    (tmp_path / "apt-get").chmod(0o755)
    with pytest.raises(ConfigError, match="3 of 3 files of music are missing") as raised:
        fetch_all(tmp_path / "out", host=(tmp_path / "nowhere").as_uri())
    assert str(raised.value).count("failed: ") == 1
    assert str(raised.value).endswith("(1 more of its sources failed.)")


def _which(program: str) -> str:
    return subprocess.run(["which", program], capture_output=True, check=True, text=True).stdout


def test_everybody_is_credited_once_for_each_licence_and_source(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(music, "LIST", listed)
    page = tmp_path / "card.md"
    page.write_text("# A card\n")
    for _ in range(2):
        assert CliRunner().invoke(main, ["music", "--docs", str(page)]).exit_code == 0
    text = page.read_text()
    assert text.startswith("# A card\n\n## Credits\n")
    link = "[someone/music](https://github.com/someone/music)"
    assert text.count(f"| Ada | Song, 0; Song, 1 | CC0-1.0 | {link} |") == 1
    assert "| Ada | Song, 2 | CC0-1.0 | Debian, drums=1:2.1-3 |" in text


def test_a_training_takes_what_it_names_of_the_music_of_all(
    listed: Path, host: Path, tmp_path: Path
) -> None:
    config = TrainConfig(music=("someone/*",), out=str(tmp_path), midi_files=0)
    fetch(listed, config.music_folder, mirror=host)
    assert [work.path.name for work in works(config)] == ["0.ogg", "1.ogg"]


def test_no_list_and_no_music_of_a_source_are_errors(listed: Path) -> None:
    with pytest.raises(ConfigError, match="no list of music nowhere"):
        read_list(Path("nowhere"))
    with pytest.raises(ConfigError, match="is of the source nobody"):
        read_list(listed, ("nobody/*",))


def test_all_that_is_listed_may_be_trained_on() -> None:
    rows = read_list(music.LIST)
    names = {row["path"].lower() for row in rows}
    assert len({row["sha256"] for row in rows}) == len(names) == len(rows) > 500
    assert all(row["licence"].startswith(TrainConfig.licences) for row in rows)
    assert all(row["author"] and row["title"] and "-SA" not in row["licence"] for row in rows)
    assert all(
        ("@" in row["source_repository"]) != ("=" in row["source_repository"]) for row in rows
    )
    assert all(Path(row["path"]).name == row["path"] for row in rows)


def test_whoever_is_kept_for_validation_is_not_trained_on() -> None:
    splits: dict[str, set[str]] = {"train": set(), "validation": set()}
    for row in read_list(music.LIST):
        if not row["author"].startswith("Music Technology Group"):  # many players
            splits[row["split"]].add(row["author"])
    assert len(splits["validation"]) >= 40
    assert not splits["train"] & splits["validation"]


def test_the_quick_training_finds_an_hour_of_music_in_the_list() -> None:
    config = read_config(music.LIST.parents[1] / "quick.toml")
    rows = read_list(music.LIST, config.music)
    assert all(
        any(is_of(row["source_repository"], [each]) for row in rows) for each in config.music
    )
    assert all("@" in row["source_repository"] for row in rows)  # git alone fetches it
    assert 3600 < sum(float(row["duration_seconds"]) for row in rows) < 6000
    assert {row["split"] for row in rows} == {"train", "validation"}
