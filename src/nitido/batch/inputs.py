"""Which pieces a command line of files, folders and globs means, or a list; whose part they are.

Only names are looked at here, no sound. All questions about names are settled before the first
sample is read.

A list holds a file name a line, or a JSON object with an input, its output, and how:

takes/a.wav
{"input": "takes/a.wav", "output": "a.flac"}
{"input": "takes/b.wav", "output": "b/b.wav", "preset": "gentle"}
{"input": "takes/c.wav", "output": "c.wav", "settings": {"bandwidth.amount": 0.5}}
{"input": "takes/d.wav", "output": "d.wav", "plan": "d.plan.json"}
"""

from __future__ import annotations

import codecs
import glob
import hashlib
import io
import json
import logging
import os
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from nitido.batch.job import (
    STREAM,
    SUFFIX_FORMATS,
    SUFFIXES,
    WRITABLE,
    Job,
    check_jobs,
    is_remote,
    local,
)
from nitido.errors import AudioReadError, ConfigError, NitidoError, shown
from nitido.formats import READABLE
from nitido.output import REMOVED, RESTORED, SIDECAR, STEMS

if TYPE_CHECKING:
    from nitido.restoration.plan import Plan
    from nitido.restoration.restore_options import RestoreOptions

logger = logging.getLogger(__name__)

LOGGED = 3
AUDIO_SUFFIXES = WRITABLE.union(*(form.suffixes for form in READABLE))
COMMENT = "#EXT"  # what M3U playlists say of their pieces; a file's name may begin with #
KNOWN = ("input", "output", "preset", "settings", "plan")  # in a line of a list
LINE_MAX = 2**20  # characters
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
        namers = [partial(_in_folder, str(output), place, how.suffix) for _, place in pieces]
    else:
        found = _found(inputs)
        _check_found(found, inputs, output)
        pieces = [(str(source), source.relative_to(root).as_posix()) for source, root in found]
        namers = [partial(_result, source, root, output, how.suffix) for source, root in found]
    outputs = _apart([source for source, _ in pieces], namers)
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
        return _in_folder(output, source.relative_to(root).as_posix(), suffix, stem)
    return str(Path(output))


def _in_folder(folder: str, place: str, suffix: str, stem: str = "") -> str:
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


def _apart(sources: Sequence[str], namers: Sequence[Callable[..., str]]) -> list[str]:
    """Return the name of each result; pieces that would share one say more of their own in it.

    That is the folder where they lie in different ones, and the suffix where they end differently:
    `song.wav` and `song.flac` become `song_wav_restored.wav` and `song_flac_restored.wav`.

    Args:
        sources: the pieces.
        namers: give the name of the result of each, also with another `stem=` of the piece.
    """
    outputs = [name() for name in namers]
    alike: dict[str, list[int]] = {}
    for index, output in enumerate(outputs):
        alike.setdefault(unicodedata.normalize("NFC", output).casefold(), []).append(index)
    named_apart: list[str] = []
    for group in alike.values():
        paths = [PurePath(_absolute(sources[index])) for index in group]
        levels = zip(*(path.parts[:-1] for path in paths), strict=False)
        shared = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, levels))
        suffixes = {path.suffix for path in paths}
        for index, path in zip(group, paths, strict=True):
            if len(group) > 1:
                more = f"_{path.suffix[1:]}" if len(suffixes) > 1 and path.suffix else ""
                stem = "/".join((*path.parts[shared:-1], path.stem + more))
                name, outputs[index] = outputs[index], namers[index](stem=stem)
                if outputs[index] != name:
                    named_apart.append(f"{sources[index]} → {outputs[index]}")
    _warn("Called alike, and so named apart", named_apart)
    return outputs


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


def read_manifest(path: str | Path, how: Job, *, output: str | None = None) -> list[Job]:
    """Return the pieces of a list, every line of it checked.

    Inputs and plans are relative to the folder of the list. Outputs are relative to `output`, or
    else to the folder of the list, and cannot leave it; a line that names none gets
    `NAME_restored.wav` there, in the folders that its input names. Where a line names no preset,
    settings or plan, those of `how` hold; its settings are added to those of `how`.

    Args:
        path: of the list: a file name or a JSON object a line, in UTF-8, or UTF-16 with a byte
            order mark; empty lines are passed over, and lines of a playlist that begin with #EXT.
        how: what holds for all lines: a job without names.
        output: folder of the results.

    Raises:
        AudioReadError: the list cannot be read.
        AudioWriteError: a result would be one of the inputs.
        ConfigError: `output` is no folder, or a line is wrong; the message names it.
    """
    path = Path(path)
    if output is not None and ("{" in output or PurePath(output).suffix.lower() in WRITABLE):
        raise ConfigError(
            f"`output={output}` is no folder; beside a list it is one, and a line of the list can "
            "name its own output in it."
        )
    base = local(output) if output is not None else str(path.parent)
    jobs, namers = [], []
    for number, text in _lines(path):
        try:
            content = _read_line(text)
            place = _name(content, "input")
            source = local(place) if is_remote(place) else str(path.parent / place)
            options = _options(content, how, path.parent)
            form = None if "output" in content else how.format  # then its suffix says it
            jobs.append(replace(how, source=source, place=place, options=options, format=form))
            namers.append(partial(_line_output, content, base, how))
            namers[-1]()
        except NitidoError as error:
            raise ConfigError(f"{path} line {number}: {error}") from None
    if not jobs:
        raise ConfigError(f"{path} lists no piece; write a file name or a JSON object a line.")
    outputs = _apart([job.source for job in jobs], namers)
    jobs = [replace(job, output=name) for job, name in zip(jobs, outputs, strict=True)]
    check_jobs(jobs)
    return jobs


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open("rb") as file:
            utf_16 = file.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            encoding = "utf-16" if utf_16 else "utf-8-sig"
            lines = io.TextIOWrapper(file, encoding, newline="\n")
            number = 0
            while text := lines.readline(LINE_MAX):
                number += 1
                if len(text) == LINE_MAX:
                    raise ConfigError(f"{path} line {number} is longer than {LINE_MAX} characters.")
                if text.strip() and not text.startswith(COMMENT):
                    yield number, text.strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; save it as that.") from None
    except OSError as error:
        if isinstance(error, NitidoError):
            raise
        raise AudioReadError(f"The list {path} cannot be read: {error.strerror}.") from None


def _read_line(text: str) -> dict[str, Any]:
    from nitido.restoration.preset import suggest

    if not text.startswith("{"):
        return {"input": text}
    try:
        content: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"this is not JSON: {error}.") from None
    for key in content:
        if key not in KNOWN:
            raise ConfigError(f"there is no entry {shown(key)}{suggest(key, KNOWN)}")
    return content


def _line_output(content: Mapping[str, Any], base: str, how: Job, stem: str = "") -> str:
    """Return where the result of a line goes: as it says, or in the folders of its input."""
    if "output" in content:
        return _inside(_name(content, "output"), base)
    name = _name(content, "input")
    place = PurePath(name)
    if is_remote(name) or place.is_absolute() or ".." in place.parts:
        place = PurePath(place.name)
    return _inside(_in_folder("", place.as_posix(), how.suffix, stem), base)


def _name(content: Mapping[str, Any], key: str) -> str:
    name = content.get(key)
    if not isinstance(name, str) or not name.strip("/") or "\0" in name:
        raise ConfigError(f"{key!r} is {shown(name)}; it is the name of a file.")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{key!r} is {shown(name)}, which is not text.") from None
    return name


def _inside(name: str, base: str) -> str:
    """Return a name below the folder `base`, which it cannot leave, also not through a link."""
    leaves = ConfigError(
        f"the output {shown(name)} would lie outside {base}; it has to stay inside."
    )
    parts = PurePosixPath(name).parts
    if is_remote(name) or PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive:
        raise leaves
    if ".." in parts or ".." in PureWindowsPath(name).parts:
        raise leaves
    if PurePosixPath(name).suffix.lower() not in WRITABLE:
        raise ConfigError(
            f"the output {shown(name)} names no format that nitido writes; it can end in "
            f"{', '.join(sorted(SUFFIXES.values()))}."
        )
    if is_remote(base):
        return f"{base.rstrip('/')}/{PurePosixPath(name).as_posix()}"
    path = Path(base, name)
    try:
        if not path.resolve().is_relative_to(Path(base).resolve()):
            raise leaves
    except (OSError, RuntimeError):  # a loop of links
        raise leaves from None
    return str(path)


def _options(content: dict[str, Any], how: Job, folder: Path) -> RestoreOptions:
    """Return the options of a line: those of the run, with what the line says on top."""
    settings, preset = content.get("settings"), content.get("preset")
    if not isinstance(settings, dict | None):
        raise ConfigError(
            f"the settings are {shown(settings)}; they are a table of setting and value."
        )
    if not isinstance(preset, str | None):
        raise ConfigError(f"the preset is {shown(preset)}; it is a name.")
    if "plan" in content:
        if preset is not None or settings is not None:
            raise ConfigError("a plan says everything already; leave out preset and settings.")
        return how.options.with_plan(_plan(content["plan"], folder))
    if preset is None and settings is None:
        return how.options
    if how.options.plan is not None:
        raise ConfigError("`plan=` says everything already; leave out preset and settings.")
    return replace(
        how.options,
        preset=preset or how.options.preset,
        settings={**(how.options.settings or {}), **(settings or {})},
    )


def _plan(given: Any, folder: Path) -> Plan:
    from nitido.audio import read_text
    from nitido.restoration.plan import Plan

    if isinstance(given, dict):
        return Plan.from_json(json.dumps(given))
    if not isinstance(given, str) or "\0" in given:
        raise ConfigError(
            f"the plan is {shown(given)}; it is a plan, or the name of a file with one."
        )
    return Plan.from_json(read_text(folder / given))


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
