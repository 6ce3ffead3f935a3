"""A list of pieces: a file name a line, or a JSON object with an input, its output, and how.

takes/a.wav
{"input": "takes/a.wav", "output": "a.flac"}
{"input": "takes/b.wav", "output": "b/b.wav", "preset": "gentle"}
{"input": "takes/c.wav", "output": "c.wav", "settings": {"bandwidth.amount": 0.5}}
{"input": "takes/d.wav", "output": "d.wav", "plan": "d.plan.json"}
"""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from nitido.batch.inputs import in_folder, named_apart
from nitido.batch.job import Job, check_jobs
from nitido.batch.names import SUFFIXES, WRITABLE, is_remote, local
from nitido.errors import AudioReadError, ConfigError, NitidoError, shown

if TYPE_CHECKING:
    from nitido.restoration.plan import Plan
    from nitido.restoration.restore_options import RestoreOptions

COMMENT = "#EXT"  # what M3U playlists say of their pieces; a file's name may begin with #
KNOWN = ("input", "output", "preset", "settings", "plan")  # in a line of a list
LINE_MAX = 2**20  # characters


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
    outputs = named_apart([job.source for job in jobs], namers)
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
    return _inside(in_folder("", place.as_posix(), how.suffix, stem), base)


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
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()  # from Python 3.13 on, `resolve` leads out of a loop of links
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
