"""The files that make up one result: their names, and what they may not replace.

    song.wav                 the result
    song.wav.nitido.json     its sidecar: what was found and done
    song.removed.wav         what was taken away
    song.stems/drums.wav …   its stems
    song.report.html         the page to listen, look and read
    song.wav.ingredient.c2pa the Content Credentials of the input, which speak of the sound before

Before a run makes the first file, the names of all are held against all inputs and each other.
"""

from __future__ import annotations

import json
import os
import posixpath
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from nitido.errors import AudioWriteError, ConfigError

RESTORED = "_restored"  # what a result's name ends in, unless the user names it
SIDECAR = ".nitido.json"
REMOVED = ".removed"
STEMS = ".stems"
REPORT = ".report.html"
INGREDIENT = ".ingredient.c2pa"  # NAME.c2pa would be read as credentials of the result itself
_KINDS = {  # as a sentence calls them
    "audio": "result",
    "sidecar": "sidecar",
    "removed": "removed sound",
    "stems": "folder of stems",
    "report": "report",
    "ingredient": "ingredient",
}


def output_files(
    audio: str,
    *,
    sidecar: bool = True,
    removed: bool = False,
    stems: bool = False,
    report: bool = False,
    ingredient: bool = False,
) -> dict[str, str]:
    """Return the names of all files of a result, by kind; that of `stems` is a folder.

    >>> output_files("out/song.flac", removed=True, stems=True)["removed"]
    'out/song.removed.flac'

    Args:
        audio: path of the result, or where fsspec finds it: ``s3://…``.
        sidecar: whether there is one.
        removed: whether the removed sound is written.
        stems: whether the stems are written.
        report: whether the page is written.
        ingredient: whether credentials of the input are kept aside.
    """
    folder, slash, name = audio.rpartition("/" if "://" in audio else os.sep)
    stem, suffix = os.path.splitext(name)  # noqa: PTH122  a name, not a path
    names = {
        "audio": name,
        "sidecar": name + SIDECAR if sidecar else None,
        "removed": stem + REMOVED + suffix if removed else None,
        "stems": stem + STEMS if stems else None,
        "report": stem + REPORT if report else None,
        "ingredient": name + INGREDIENT if ingredient else None,
    }
    return {kind: folder + slash + name for kind, name in names.items() if name is not None}


def check_outputs(
    pieces: Iterable[tuple[str, Mapping[str, str]]], *, inputs: Iterable[str] | None = None
) -> None:
    """Refuse results of which any file would replace an input, or a file of another result.

    The same file counts under all of its names: through links, hard links, and in a folder that
    does not tell large letters from small.

    Args:
        pieces: the input of each, and its files as `output_files` gives them.
        inputs: all files that are read; by default those of the pieces.

    Raises:
        AudioWriteError: a file would replace an input.
        ConfigError: two files would lie in one place.
    """
    pieces = list(pieces)
    _folder.cache_clear()
    sources = [source for source, _ in pieces] if inputs is None else inputs
    read = {key: source for source in sources for key in _keys(source)}
    taken: dict[str, str] = {}  # the input of which a file lies at each place
    for source, files in pieces:
        # Whether there are credentials to keep aside is known when the input was read.
        aside = {"ingredient": files["audio"] + INGREDIENT} if "audio" in files else {}
        for kind, name in {**files, **aside}.items():
            beside = list(map(str, Path(name).glob("*"))) if kind == "stems" else []
            for file in [name, *beside]:
                if original := next((read[key] for key in _keys(file) if key in read), None):
                    raise _would_replace(kind, file, original)
            place = _place(name)
            if place in taken:
                of = f"{taken[place]} and {source}" if taken[place] != source else source
                raise ConfigError(
                    f"Files of {of} would both be written to {name}; `output=` has to give each a "
                    "name of its own."
                )
            taken[place] = source
    folders = {_place(files["stems"]): files["stems"] for _, files in pieces if "stems" in files}
    if folders:
        _check_folders(folders, read, taken)


def check_writable(
    files: Mapping[str, str], *, overwrite: bool, remedy: str = "`overwrite=True` replaces it"
) -> None:
    """Say before any work if the files of a result could not be written.

    Args:
        files: as `output_files` gives them.
        overwrite: files that exist already may be replaced.
        remedy: what the caller can do about one that exists.

    Raises:
        AudioWriteError: one exists already, is a result in its own right, a device, a pipe or a
            folder, has a name that no file can have, or their folder cannot be written to.
        ConfigError: it is to be signed, with a certificate that cannot be used.
        MissingExtraError: it is to be signed, and the extra `c2pa` is not installed; or to be M4A,
            without the ffmpeg program.
    """
    from nitido.audio.ffmpeg import required
    from nitido.restoration.credentials import signer, wanted

    if wanted():
        signer()
    if files["audio"].lower().endswith(".m4a"):
        required()
    for kind, name in files.items():
        path = Path(name)
        _check_kind(kind, path)
        if not overwrite:
            check_free(path, remedy)
        check_no_result(kind, path)
    audio = Path(files["audio"])
    folder = next(parent for parent in audio.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise AudioWriteError(f"{folder} is not a folder, so {audio} cannot be written.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise AudioWriteError(f"The folder {folder} is read-only; `output=` names another place.")


def _check_kind(kind: str, path: Path) -> None:
    """Refuse to replace what is no file: a device would be gone for all programs."""
    resolved(path)
    if path.exists() and not (path.is_dir() if kind == "stems" else path.is_file()):
        what = "folder" if kind == "stems" else "regular file"
        raise AudioWriteError(f"{path} is there already and no {what}; `output=` names another.")


def check_free(path: Path, remedy: str = "`overwrite=True` replaces it") -> None:
    """Refuse a name that is taken.

    Raises:
        AudioWriteError: there is a file of that name.
    """
    if path.exists():
        raise AudioWriteError(f"{path} exists already; {remedy}.")


def read_sidecar(target: Path) -> dict[str, Any]:
    """Return what the sidecar of a result says; empty if there is none that nitido wrote."""
    path = target.with_name(target.name + SIDECAR)
    try:
        return read_content(path.read_bytes()) if path.is_file() else {}  # a pipe would hang
    except OSError:
        return {}


def read_content(text: str | bytes) -> dict[str, Any]:
    """Return what a sidecar says; empty if nitido did not write it."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) and "nitido" in content else {}


def resolved(path: Path) -> Path:
    """Return where a result will lie: where a link leads, if there is one of its name.

    Raises:
        AudioWriteError: no file can have that name.
    """
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.lstat()
        return Path(os.path.realpath(path)) if path.is_symlink() else path
    except (OSError, ValueError) as error:
        raise AudioWriteError(f"{str(path)!r} can be no file: {error}.") from error


def _check_folders(
    folders: Mapping[str, str], inputs: Mapping[object, str], taken: Mapping[str, str]
) -> None:
    """Refuse inputs and files of other results that lie in a folder of stems."""
    for place in (*(key for key in inputs if isinstance(key, str)), *taken):
        above = next((one for one in map(str, Path(place).parents) if one in folders), None)
        if above is None:
            continue
        if place in inputs:
            raise _would_replace("stems", folders[above], inputs[place])
        raise ConfigError(
            f"A file of {taken[place]} would lie in {folders[above]}, a folder of stems; `output=` "
            "names another place."
        )


def _would_replace(kind: str, name: str, original: str) -> AudioWriteError:
    return AudioWriteError(
        f"The {_KINDS[kind]} {name} would replace the input {original}; nitido never writes to an "
        "input, `output=` names another place."
    )


def check_no_result(kind: str, path: Path) -> None:
    """Refuse to let a companion replace a file that is a result itself, with a sidecar."""
    if kind != "audio" and read_sidecar(path):
        raise AudioWriteError(
            f"{path} is a result of its own, as its sidecar says; `output=` names another place."
        )


def _keys(name: str) -> Iterator[object]:
    """Yield what a file is known by: its place, and what tells it from others if it is there."""
    if not name:
        return
    yield _place(name)
    with suppress(OSError, ValueError):
        status = Path(name).stat()
        yield status.st_dev, status.st_ino


def _place(name: str) -> str:
    """Return where a file lies, the same for all of its names."""
    scheme, mark, place = name.partition("://")
    if mark:  # the same object however its address is spelt
        scheme = {"gcs": "gs", "s3a": "s3"}.get(scheme.lower(), scheme.lower())
        return f"{scheme}://{posixpath.normpath(place.strip('/'))}"
    folder, file = os.path.split(os.path.realpath(name) if os.path.islink(name) else name)  # noqa: PTH114
    folder, folds = _folder(folder)
    if folds:
        file = unicodedata.normalize("NFC", file).casefold()
    return str(Path(folder, file))


@lru_cache(1024)
def _folder(folder: str) -> tuple[str, bool]:
    """Return where a folder lies, and whether it takes ``a.wav`` and ``A.wav`` for one file."""
    place = Path(os.path.realpath(folder))
    there = next(one for one in (place, *place.parents) if one.is_dir())
    inside: list[Path] = []
    with suppress(OSError), os.scandir(there) as entries:
        inside = [Path(entry.path) for entry in islice(entries, 16)]
    for probe in (*inside, there, *there.parents):
        name = probe.name.swapcase()
        if name != probe.name:
            with suppress(OSError):
                return str(place), os.path.samestat(probe.with_name(name).lstat(), probe.lstat())
            return str(place), False
    return str(place), os.name == "nt"
