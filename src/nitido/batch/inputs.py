"""Which pieces a command line of files, folders and globs means; whose part they are.

Only names are looked at here, no sound. All questions about names are settled before the first
sample is read.
"""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile
from pathlib import Path, PurePath, PurePosixPath

from nitido.batch.job import Job, check_jobs
from nitido.batch.names import (
    STREAM,
    SUFFIX_FORMATS,
    SUFFIXES,
    WRITABLE,
    is_audio,
    is_remote,
    is_result,
    local,
)
from nitido.errors import ConfigError
from nitido.result_files import RESTORED, STEMS

logger = logging.getLogger(__name__)

LOGGED = 3
SHARDS_MAX = 10**6


def make_jobs(inputs: Sequence[str], how: Job, *, output: str | None = None) -> list[Job]:
    """Return one job per piece, in the order given, folders sorted by name.

    Args:
        inputs: files, folders (searched with everything below), globs, what fsspec finds
            (``s3://…``), or ``-`` alone.
        how: what holds for all pieces: a job without names.
        output: a file, a folder, a pattern with ``{stem}`` (and ``{suffix}``), or ``-``; None puts
            `NAME_restored.wav` beside each input.

    Raises:
        AudioReadError: a folder cannot be listed.
        AudioWriteError: a result would be one of the inputs.
        ConfigError: nothing to do, two files of results would lie in one place, or names that make
            no sense.
    """
    inputs = [local(name) for name in inputs]
    output = None if output is None else local(output)
    if any(map(is_remote, [*inputs, output or ""])):
        from nitido.batch.remote import find_pieces

        pieces = find_pieces(inputs, output)
        namers = [partial(in_folder, str(output), place, how.suffix) for _, place in pieces]
    else:
        found = _found(inputs)
        _check_found(found, inputs, output)
        pieces = [(str(source), source.relative_to(root).as_posix()) for source, root in found]
        namers = [partial(_result, source, root, output, how.suffix) for source, root in found]
    outputs = named_apart([source for source, _ in pieces], namers)
    for name in outputs:
        _check_suffix(name, how.format)
    jobs = [
        replace(how, source=source, output=name, place=place)
        for (source, place), name in zip(pieces, outputs, strict=True)
    ]
    if len(jobs) > 1 or STREAM not in (jobs[0].source, jobs[0].output):
        check_jobs(jobs)
    return jobs


def _check_found(found: Sequence[object], inputs: Sequence[str], output: str | None) -> None:
    if not inputs:
        raise ConfigError("There is no input; give a file, a folder, a glob or '-'.")
    if not found:
        raise ConfigError(
            "Every input is a result of an earlier run; name one alone to restore it."
        )
    if len(found) > 1 and output is not None and _names_one(output):
        raise ConfigError(
            f"{len(found)} pieces cannot all be written to {output!r}; `output=` takes a "
            "folder, or a pattern such as 'out/{stem}.wav'."
        )


def _found(inputs: Sequence[str]) -> list[tuple[Path, Path]]:
    """Return each piece once, with the folder that its place in an output folder is relative to.

    Results of earlier runs are passed over, unless one is the only input; that is logged.
    """
    found = {source.absolute(): (source, root) for name in inputs for source, root in _expand(name)}
    pieces = list(found.values())
    if len(inputs) == len(pieces) == 1 and pieces[0][0] == Path(inputs[0]):
        return pieces
    results = [source for source, _ in pieces if is_result(source)]
    _warn("Passed over, as results of earlier runs", list(map(str, results)))
    return [piece for piece in pieces if piece[0] not in results]


def find_audio(names: Sequence[str]) -> list[str]:
    """Return the files that are meant by files, folders and globs: each once, also results.

    Raises:
        ConfigError: a folder or a glob has no audio.
    """
    found: dict[Path, str] = {}
    for name in names:
        for path, _ in _expand(name):
            found.setdefault(path.absolute(), name if path == Path(name) else str(path))
    return list(found.values())


def _expand(name: str) -> Iterator[tuple[Path, Path]]:
    path = Path(name)
    if path.is_dir():
        inside = [(file, path) for file in _audio_below(path)]
        if not inside:
            raise ConfigError(f"The folder {path} holds no audio.")
        yield from inside
    elif name == STREAM or path.exists() or not glob.has_magic(name):
        yield path, path.parent  # a missing file is reported when its turn comes
    else:
        files = [match for match in _matches(name) if match.is_file() and is_audio(match)]
        if not files:
            brackets = ", in which [[] stands for a bracket" if "[" in name else ""
            raise ConfigError(
                f"Nothing matches {name!r} that is audio; check the pattern{brackets}."
            )
        yield from ((file, file.parent) for file in files)


def _matches(pattern: str) -> list[Path]:
    """Return what a glob matches, sorted, without what is hidden; ``**`` follows no links.

    Links in a circle would keep `glob.glob` busy for ever. A folder that is there is no pattern,
    whatever its name.
    """
    path = Path(pattern)
    anchor = Path(path.anchor)
    for part in path.relative_to(anchor).parts:
        if not (anchor / part).is_dir():
            break
        anchor /= part
    try:
        found = list(anchor.glob(str(path.relative_to(anchor))))
    except ValueError as error:
        raise ConfigError(f"The pattern {pattern!r} cannot be read: {error}.") from None
    seen = (p for p in found if not any(x[0] == "." and x not in path.parts for x in p.parts))
    return sorted(seen, key=str)


def _audio_below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not name.endswith(STEMS)
        )
        yield from filter(is_audio, (Path(place, name) for name in sorted(names)))


def _names_one(output: str) -> bool:
    """Return whether `output` names a single file, not a folder or a pattern."""
    return output == STREAM or ("{" not in output and not _is_folder(output))


def _is_folder(output: str) -> bool:
    return output.endswith(("/", os.sep)) or Path(output).is_dir() or not Path(output).suffix


def _result(source: Path, root: Path, output: str | None, suffix: str, stem: str = "") -> str:
    """Return where the result of one piece goes, which has another `stem` if need be."""
    stem = stem or ("stdin" if str(source) == STREAM else source.stem)
    if output is None:
        beside = str(source.with_name(f"{stem}{RESTORED}{suffix}"))
        return STREAM if str(source) == STREAM else beside
    if "{" in output:
        path = Path(_fill(output, stem=stem, suffix=source.suffix.lstrip(".")))
        return str(path if path.suffix else path.with_name(path.name + suffix))
    if output != STREAM and _is_folder(output):
        return in_folder(output, source.relative_to(root).as_posix(), suffix, stem)
    return str(Path(output))


def in_folder(folder: str, place: str, suffix: str, stem: str = "") -> str:
    """Return where the result of a piece goes in a folder that mirrors the folder of the pieces."""
    path = PurePosixPath(place)
    name = path.parent / f"{stem or path.stem}{RESTORED}{suffix}"
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else str(Path(folder, name))


def _fill(pattern: str, **names: str) -> str:
    try:
        fields = {
            field for _, field, _, _ in string.Formatter().parse(pattern) if field is not None
        }
    except ValueError as error:
        raise ConfigError(f"The pattern {pattern!r} cannot be read: {error}.") from None
    if not fields or not fields <= set(names):
        raise ConfigError(
            f"The pattern {pattern!r} names {', '.join(sorted(fields)) or 'nothing'}; it can name "
            "{stem} (the input's name) and {suffix} (wav, mp3, …)."
        )
    return pattern.format(**names)


def named_apart(sources: Sequence[str], namers: Sequence[Callable[..., str]]) -> list[str]:
    """Return the name of each result; pieces that would share one say more of their own in it.

    That is the folder where they lie in different ones, and the suffix where they end differently:
    `song.wav` and `song.flac` become `song_wav_restored.wav` and `song_flac_restored.wav`. Two that
    differ in large and small letters alone are one name on Windows and macOS, so they are numbered
    wherever they are made: after `Song.wav`, `song.wav` becomes `song_2_restored.wav`.

    Args:
        sources: the pieces.
        namers: give the name of the result of each, also with another `stem=` of the piece.
    """
    outputs = [name() for name in namers]
    taken = {_folded(output) for output in outputs}
    alike: dict[str, list[int]] = {}
    for index, output in enumerate(outputs):
        alike.setdefault(_folded(output), []).append(index)
    moved: list[str] = []
    for group in alike.values():
        paths = [PurePath(_absolute(sources[index])) for index in group]
        levels = zip(*(path.parts[:-1] for path in paths), strict=False)
        shared = sum(takewhile(bool, (len(set(map(_folded, names))) == 1 for names in levels)))
        suffixes = {path.suffix for path in paths}
        given: dict[str, int] = {}
        for index, path in zip(group, paths, strict=True):
            if len(group) > 1:
                more = f"_{path.suffix[1:]}" if len(suffixes) > 1 and path.suffix else ""
                stem = "/".join((*path.parts[shared:-1], path.stem + more))
                name, outputs[index] = outputs[index], namers[index](stem=stem)
                first = given.setdefault(_folded(outputs[index]), index)
                if outputs[index] != outputs[first] and not _same(sources[index], sources[first]):
                    numbered = (
                        namers[index](stem=f"{stem}_{n}") for n in range(2, len(outputs) + 2)
                    )
                    free = (one for one in numbered if _folded(one) not in taken)
                    outputs[index] = next(free, outputs[index])  # its list may have named it
                taken.add(_folded(outputs[index]))
                if outputs[index] != name:
                    moved.append(f"{sources[index]} → {outputs[index]}")
    _warn("Called alike, and so named apart", moved)
    return outputs


def _folded(name: str) -> str:
    """Return a name as a file system has it that does not tell large letters from small."""
    return unicodedata.normalize("NFC", name).casefold()


def _same(one: str, other: str) -> bool:
    """Return whether two names are known to be of one file."""
    try:
        return os.path.samefile(one, other)  # noqa: PTH121  names
    except (OSError, ValueError):
        return False


def _warn(what: str, names: Sequence[str]) -> None:
    """Log a list, the first of it by name."""
    if names:
        shown = ", ".join(names[:LOGGED])
        more = f" and {len(names) - LOGGED} more" if len(names) > LOGGED else ""
        logger.warning("%s: %s%s.", what, shown, more)


def _absolute(name: str) -> str:
    return name if is_remote(name) else os.path.abspath(name)  # noqa: PTH100  links stay


def _check_suffix(output: str, format: str | None) -> None:  # noqa: A002
    """Refuse a result whose suffix names no format that nitido writes, or not the one asked for."""
    suffix = PurePath(output).suffix.lower()
    if format is None and output != STREAM and suffix not in WRITABLE:
        raise ConfigError(
            f"{output} names no format that nitido writes "
            f"({', '.join(sorted(SUFFIXES.values()))}); `format=` does, or end a folder in '/'."
        )
    says = SUFFIX_FORMATS.get(suffix, format)
    if format not in (None, says) and (says, format) != ("ogg", "opus"):  # Opus is an Ogg, too
        raise ConfigError(
            f"{output} says {says} and `format={format}` another format; leave one of them out."
        )


def read_shard(text: str) -> tuple[int, int]:
    """Return ``3/16`` as the numbers 3 and 16.

    Raises:
        ConfigError: it is no such pair, or the first is not one of 1 to the second.

    >>> read_shard("3/16")
    (3, 16)
    """
    found = re.fullmatch(r"([0-9]{1,7})/([0-9]{1,7})", text)
    number, count = (int(part) for part in found.groups()) if found else (0, 0)
    if not 1 <= number <= count <= SHARDS_MAX:
        raise ConfigError(
            f"The shard is {text!r}; write K/N, such as 3/16 for the third of sixteen."
        )
    return number, count


def shard(jobs: Iterable[Job], number: int, count: int) -> list[Job]:
    """Return the jobs of shard `number` of `count`, numbered from 1.

    Where a piece belongs depends on its own name below the input folder (in a manifest: on its
    input, as written there), by SHA-256: it stays in its shard when other pieces come or go, on
    every machine and wherever the folder is mounted. Shards are therefore about equally large, not
    exactly. An accent written as one character or as two is the same name.
    """
    return [job for job in jobs if _number(job, count) == number]


def _number(job: Job, count: int) -> int:
    name = unicodedata.normalize("NFC", job.place or job.source)
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % count + 1
