"""The list of music for training: fetched from its sources by SHA-256, and credited by name.

The list, `configs/music/index.csv`, names each file by where it is published: a git repository and
commit (``owner/name@commit``) or a Debian package and version (``package=version``), the path in
it, and in an archive in a package ``archive.zip:path``. Nothing is taken that is not byte for byte
what the list names.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from nitido.audio.validation import read_text
from nitido.errors import ConfigError, MissingExtraError, NitidoError
from nitido_lab.benchmark.tables import Table
from nitido_lab.docs import put_table

LIST = Path(__file__).parents[3] / "configs" / "music" / "index.csv"  # of the clone
HOST = "https://github.com"
SOURCES_AT_ONCE = 4
AR_MAGIC = b"!<arch>\n"
AR_HEADER = 60  # bytes: name 16, date 12, owner 6, group 6, mode 8, size 10, end 2


@dataclass(frozen=True)
class Fetched:
    """What came of fetching.

    Attributes:
        there: files that are in the folder now.
        missing: names of those that are not.
        faults: why, a sentence for each source.
    """

    there: int
    missing: tuple[str, ...]
    faults: tuple[str, ...]


Row = dict[str, str]


def read_list(path: Path, sources: Sequence[str] = ("*",)) -> list[Row]:
    """Return the rows of a list of music.

    Args:
        path: of the list.
        sources: patterns of the repositories and packages that are wanted, without their version.

    Raises:
        ConfigError: there is no such list, or nothing in it is of these sources.
    """
    if not path.is_file():
        raise ConfigError(
            f"There is no list of music {path}; install the lab from a clone, pip install -e lab."
        )
    rows = [
        row
        for row in csv.DictReader(io.StringIO(read_text(path)))
        if is_of(row["source_repository"], sources)
    ]
    if not rows:
        raise ConfigError(f"No music in {path} is of the source {' or '.join(sources)}.")
    return rows


def is_of(source: str, patterns: Sequence[str]) -> bool:
    """Return whether a source is one of those that patterns name, whatever its version."""
    return any(fnmatchcase(name(source), pattern) for pattern in patterns)


def name(source: str) -> str:
    """Return a source without its commit or version."""
    return source.replace("=", "@").partition("@")[0]


def fetch(
    path: Path,
    folder: Path,
    *,
    sources: Sequence[str] = ("*",),
    mirror: Path | None = None,
    host: str = HOST,
    on_line: Callable[[str], None] | None = None,
) -> Fetched:
    """Fetch the music of a list into a folder, and put the list beside it.

    What is there already is not fetched again; a source that fails does not keep the others.

    Args:
        path: of the list.
        folder: to fill; made if it is not there.
        sources: see `read_list`.
        mirror: a folder of git repositories, as owner/name or owner+name, and of Debian packages;
            what it holds is not asked for elsewhere.
        host: where the other repositories are.
        on_line: called with each source that is done.

    Raises:
        ConfigError: as `read_list` says, or the folder cannot be written.
    """
    wanted: dict[str, list[Row]] = {}
    rows = read_list(path, sources)
    for row in rows:
        if not is_right(folder / row["path"], row["sha256"]):
            wanted.setdefault(row["source_repository"], []).append(row)
    faults = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "index.csv", path.read_bytes())
        with ThreadPoolExecutor(SOURCES_AT_ONCE) as pool:
            running = {
                pool.submit(_fetch_source, source, of, folder, mirror, host): source
                for source, of in wanted.items()
            }
            for done, future in enumerate(as_completed(running), 1):
                source = running[future]
                fault = future.result()
                if fault:
                    faults.append(fault)
                said = "failed" if fault else f"{len(wanted[source])} files"
                if on_line is not None:
                    on_line(f"{done} of {len(running)}: {name(source)}, {said}")
    except OSError as error:
        raise ConfigError(f"The folder {folder} cannot be written: {error.strerror}.") from None
    missing = tuple(
        row["path"] for row in rows if not is_right(folder / row["path"], row["sha256"])
    )
    return Fetched(len(rows) - len(missing), missing, tuple(faults))


def fetch_all(folder: Path, **options: Any) -> int:
    """Fetch the lab's list of music into a folder; return how many files are there.

    Args:
        folder: to fill.
        options: see `fetch`.

    Raises:
        ConfigError: as `fetch` says, or not all of it is there.
    """
    fetched = fetch(LIST, folder, **options)
    if fetched.missing:
        count, more = len(fetched.missing), len(fetched.faults) - 1
        also = f" ({more} more of its sources failed.)" if more > 0 else ""
        raise ConfigError(
            f"{count} of {fetched.there + count} files of music are missing in {folder}, run it "
            f"again to go on: {''.join(fetched.faults[:1])}{also}"
        )
    return fetched.there


def is_right(path: Path, sha256: str) -> bool:
    """Return whether a file is there and is the one that the list names."""
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def credits_of(rows: Sequence[Row]) -> Table:
    """Return whom the music is by: a line for each author, licence and source, as Markdown."""
    works: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        key = (row["author"], row["licence"], _link(row["source_repository"]))
        works.setdefault(key, []).append(row["title"])
    lines = [
        (author, "; ".join(sorted(set(titles))), licence, source)
        for (author, licence, source), titles in sorted(
            works.items(), key=lambda item: (item[0][0].lower(), item[0])
        )
    ]
    escaped = (tuple(cell.replace("|", r"\|") for cell in line) for line in lines)
    return Table("credits", ("author", "works", "licence", "from"), tuple(escaped))


def write_credits(page: Path, sources: Sequence[str] = ("*",)) -> Path:
    """Put the credits of the lab's list of music into a page; return its path."""
    return put_table(
        page,
        credits_of(read_list(LIST, sources)),
        command="music",
        intro="Titles and authors as the sources name them.",
        head="## Credits",
    )


def _link(source: str) -> str:
    return f"[{name(source)}]({HOST}/{name(source)})" if "@" in source else f"Debian, {source}"


def _fetch_source(
    source: str, rows: list[Row], folder: Path, mirror: Path | None, host: str
) -> str:
    """Fetch the files of one source; return why that failed, or nothing."""
    asked = {row["source_path"]: row for row in rows}
    try:
        with tempfile.TemporaryDirectory(prefix="nitido-") as made:
            work, paths = Path(made), list(asked)
            if "@" in source:
                found = _from_git(source, paths, work, mirror, host)
            else:
                found = _from_debian(source, paths, work, mirror)
            for path, content in found:
                row = asked.pop(path)
                if hashlib.sha256(content).hexdigest() != row["sha256"]:
                    raise ConfigError(f"{path} of {name(source)} is not the file that is listed.")
                _write(folder / row["path"], content)
    except NitidoError as error:
        return str(error)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        return f"{name(source)} is damaged: {error}."
    return f"{name(source)} holds no {next(iter(asked))}." if asked else ""


def _write(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


def _from_git(
    source: str, paths: list[str], work: Path, mirror: Path | None, host: str
) -> Iterator[tuple[str, bytes]]:
    """Yield files of a commit; of a repository elsewhere, only they and its folders travel."""
    repository, _, commit = source.partition("@")
    store = mirror and _mirrored(mirror, repository)
    if not store:
        store, url = work, f"{host}/{repository}"
        _git(store, "init", "--quiet", "--bare")
        _git(store, "remote", "add", "origin", url)
        lean = ("--quiet", "--no-tags", "--filter=blob:none", "origin")
        _git(store, "fetch", "--depth=1", *lean, commit)
        listed = _git(store, "--literal-pathspecs", "ls-tree", "-rz", commit, "--", *paths)
        blobs = [entry.split()[2] for entry in listed.split(b"\0") if entry]
        # All at once: asked for when read, git would fetch them one by one.
        _git(store, "fetch", "--stdin", *lean, given=b"\n".join(blobs))
    for path in paths:
        yield path, _git(store, "cat-file", "blob", f"{commit}:{path}")


def _mirrored(mirror: Path, repository: str) -> Path | None:
    """Return the git directory of a repository in a folder of such, if it is there."""
    for place in (mirror / repository, mirror / repository.replace("/", "+")):
        for inside in ("", ".git", "repo", "repo/.git"):
            if (place / inside / "objects").is_dir():
                return place / inside
    return None


def _git(store: Path, *arguments: str, given: bytes = b"") -> bytes:
    # A repository that has gone asks for a name and a password: that is an answer, not a question.
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
    return _run(["git", "--git-dir", str(store), *arguments], given=given, environment=quiet)


def _from_debian(
    source: str, paths: list[str], work: Path, mirror: Path | None
) -> Iterator[tuple[str, bytes]]:
    """Yield files of a Debian package, and of archives in it."""
    package, _, version = source.partition("=")
    plain = version.partition(":")[2] or version
    found = list(mirror.glob(f"{package}_*{plain}_*.deb")) if mirror else []
    if not found:
        _run(["apt-get", "download", "-q", source], folder=work)
        found = list(work.glob("*.deb"))
    inside: dict[str, list[str]] = {}
    for path in paths:
        inside.setdefault(path.partition(":")[0], []).append(path)
    with found[0].open("rb") as file, tarfile.open(fileobj=_data(file), mode="r|*") as tree:
        for member in tree:
            for path in inside.get(member.name.removeprefix("./"), ()):
                content = tree.extractfile(member)
                if content is None:
                    continue
                if ":" not in path:
                    yield path, content.read()
                    continue
                with zipfile.ZipFile(io.BytesIO(content.read())) as archive:
                    for part in inside[member.name.removeprefix("./")]:
                        yield part, archive.read(part.partition(":")[2])
                break


def _data(file: io.BufferedReader) -> io.BufferedReader:
    """Return a Debian package (an ar archive), moved on to the files that it installs."""
    if file.read(len(AR_MAGIC)) != AR_MAGIC:
        raise tarfile.ReadError("not a Debian package")
    while len(header := file.read(AR_HEADER)) == AR_HEADER:
        if header.startswith(b"data.tar"):
            return file
        size = int(header[48:58])
        file.seek(size + size % 2, os.SEEK_CUR)
    raise tarfile.ReadError("no files in it")


def _run(
    command: list[str],
    *,
    given: bytes = b"",
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
) -> bytes:
    """Return what a program writes.

    Raises:
        MissingExtraError: it is not there.
        ConfigError: it fails.
    """
    try:
        done = subprocess.run(
            command,
            input=given,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            check=True,
        )
    except FileNotFoundError:
        raise MissingExtraError(
            f"The program {command[0]} is not there; install it, or name with --mirror a folder "
            "that holds what it would fetch."
        ) from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        what = command[3] if command[0] == "git" else command[-1]
        raise ConfigError(f"{command[0]} {what} failed: {said[-1]}") from None
    return done.stdout
