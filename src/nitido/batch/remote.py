"""Pieces on other file systems, through fsspec: ``s3://``, ``gs://``, ``memory://`` and so on.

A piece is fetched, restored in a temporary folder, and sent back, its sidecar last. An object store
replaces an object at once or not at all, but knows no locks: of two runs that make the same result
both do the work, and the last one stays.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from nitido.batch.names import is_audio, local, results_of
from nitido.errors import (
    AudioReadError,
    AudioWriteError,
    ConfigError,
    MissingExtraError,
    NitidoError,
)
from nitido.optional import load
from nitido.output import SIDECAR, read_content


def find_pieces(inputs: Sequence[str], output: str | None) -> list[tuple[str, str]]:
    """Return each piece of folders or files that fsspec finds, and its place in its folder.

    Args:
        inputs: folders, searched with everything below, and files.
        output: folder of the results.

    Raises:
        AudioReadError: a folder cannot be listed.
        ConfigError: no output folder, or nothing to do.
    """
    if output is None:
        raise ConfigError("Pieces on another file system need a folder for the results: `output=`.")
    pieces = [piece for name in inputs for piece in _below(name)]
    if not pieces:
        raise ConfigError(f"There is no audio in {', '.join(inputs)} that is still to be restored.")
    return pieces


def _below(name: str) -> Iterator[tuple[str, str]]:
    """Yield each piece of a folder with its place in it; a file is one piece."""
    files, root = _system(name)
    with _failing(AudioReadError, name, "listed"):
        if not files.isdir(root):
            yield local(name), PurePosixPath(root).name
            return
        found = sorted(files.find(root))
    names = set(found)
    for path in found:
        place = path.removeprefix(root.rstrip("/") + "/")
        hidden = any(part.startswith(".") for part in place.split("/"))
        folder, slash, file = path.rpartition("/")
        made = any(folder + slash + one + SIDECAR in names for one in results_of(file))
        if not hidden and not made and is_audio(PurePosixPath(place)):
            yield local(files.unstrip_protocol(path)), place


def fetch(name: str, folder: Path) -> Path:
    """Copy a file into a folder here, and return its path.

    Raises:
        AudioReadError: it is not there, or cannot be had.
    """
    files, where = _system(name)
    path = folder / PurePosixPath(where).name
    with _failing(AudioReadError, name, "fetched"):
        files.get_file(where, str(path))
    return path


def look_up(name: str) -> tuple[dict[str, Any], int | None]:
    """Return the sidecar of a result elsewhere, empty if there is none, and the result's size.

    Args:
        name: of the result; None is the size of one that is not there.

    Raises:
        AudioReadError: it cannot be looked at.
    """
    files, path = _system(name)
    with _failing(AudioReadError, name, "looked at"):
        size = files.size(path) if files.exists(path) else None
        there = files.exists(path + SIDECAR)
        return read_content(files.cat_file(path + SIDECAR)) if there else {}, size


def send(target: Path, name: str) -> None:
    """Send a result from here, after what belongs to it; its sidecar last.

    Args:
        target: the result; all other files in its folder belong to it.
        name: where to.

    Raises:
        AudioWriteError: it cannot be written there.
    """
    files, where = _system(name)
    last = [target, target.with_name(target.name + SIDECAR)]
    others = sorted(f for f in target.parent.rglob("*") if f.is_file() and f not in last)
    above = where.rpartition("/")[0]
    with _failing(AudioWriteError, name, "written"):
        for file in [*others, *last]:
            place = f"{above}/{file.relative_to(target.parent).as_posix()}"
            files.makedirs(place.rpartition("/")[0], exist_ok=True)
            files.put_file(str(file), place)


@contextmanager
def workshop() -> Iterator[tuple[Path, Path]]:
    """Give two empty folders here, for what is fetched and for what is made; remove them."""
    with tempfile.TemporaryDirectory(prefix="nitido-") as folder:
        fetched, made = Path(folder, "in"), Path(folder, "out")
        fetched.mkdir()
        made.mkdir()
        yield fetched, made


def _system(name: str) -> tuple[Any, str]:
    """Return the file system of a name, and its path there."""
    fsspec = load("fsspec", need=f"Reaching {name}", remedy="pip install 'nitido[ray]'")
    with _failing(AudioReadError, name, "reached"):
        try:
            system, path = fsspec.core.url_to_fs(name)
        except ImportError as error:
            raise _missing(name, str(error)) from error
    return system, path


def _missing(name: str, says: str) -> MissingExtraError:
    """Return that fsspec lacks a library for such a name, and which of its extras brings it."""
    scheme = name.partition("://")[0].lower()
    extra = "http" if scheme == "https" else scheme
    known = extra in (metadata("fsspec").get_all("Provides-Extra") or [])
    remedy = f"pip install 'fsspec[{extra}]'" if known else says.rstrip(".")
    return MissingExtraError(
        f"Reaching {name} needs a library for {scheme}://, which is not installed: {remedy}."
    )


@contextmanager
def _failing(kind: type[NitidoError], name: str, what: str) -> Iterator[None]:
    """Turn whatever a file system raises into one sentence."""
    try:
        yield
    except NitidoError:
        raise
    except FileNotFoundError as error:
        raise kind(f"{name} does not exist; check the name.") from error
    except Exception as error:  # each file system has its own
        raise kind(f"{name} cannot be {what}: {error or type(error).__name__}.") from error
