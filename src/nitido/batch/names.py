"""Names of pieces and results, by which it is told what they are and where they lie."""

from __future__ import annotations

from pathlib import Path, PurePath

from nitido.formats import FORMATS, READABLE
from nitido.result_files import REMOVED, SIDECAR

STREAM = "-"  # standard input, or standard output
SUFFIXES = {name: form.suffixes[0] for name, form in FORMATS.items()}
SUFFIX_FORMATS = {suffix: name for name, form in FORMATS.items() for suffix in form.suffixes}
WRITABLE = frozenset(SUFFIX_FORMATS)
AUDIO_SUFFIXES = WRITABLE.union(*(form.suffixes for form in READABLE))


def is_audio(path: PurePath) -> bool:
    """Return whether a name is that of audio, and not hidden."""
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")


def is_result(path: Path) -> bool:
    """Return whether a file is a result of nitido, or its removed sound: there is a sidecar."""
    return any(path.with_name(name + SIDECAR).exists() for name in results_of(path.name))


def results_of(name: str) -> list[str]:
    """Return of which results a file may be a part, by its name alone.

    >>> results_of("a.removed.wav"), results_of("a.wav")
    (['a.removed.wav', 'a.wav'], ['a.wav'])
    """
    stem, suffix = PurePath(name).stem, PurePath(name).suffix
    return [name, *([stem.removesuffix(REMOVED) + suffix] if stem.endswith(REMOVED) else [])]


def is_remote(name: str) -> bool:
    """Return whether a name is to be found by fsspec.

    >>> is_remote("s3://bucket/song.wav"), is_remote("songs/a.wav")
    (True, False)
    """
    scheme, mark, _ = name.partition("://")
    return bool(mark) and scheme.isalnum()


def local(name: str) -> str:
    """Return what fsspec knows as a file of this computer as a plain name; others as they are.

    >>> local("file:///songs/a.wav"), local("local://a.wav"), local("s3://bucket/a.wav")
    ('/songs/a.wav', 'a.wav', 's3://bucket/a.wav')
    """
    scheme, mark, place = name.partition("://")
    return place if mark and scheme.lower() in ("file", "local") else name
