"""A list of pieces: one JSON object per line, each with its input, its output, and how.

{"input": "takes/a.wav", "output": "a.flac"}
{"input": "takes/b.wav", "output": "b/b.wav", "preset": "gentle"}
{"input": "takes/c.wav", "output": "c.wav", "settings": {"bandwidth.amount": 0.5}}
{"input": "takes/d.wav", "output": "d.wav", "plan": "d.plan.json"}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from nitido.batch.task import Request, Task, check_tasks, is_remote, local
from nitido.errors import AudioReadError, ConfigError, NitidoError, shown
from nitido.jobs import SUFFIXES, WRITABLE

KNOWN = ("input", "output", "preset", "settings", "plan")
LINE_MAX = 2**20  # characters


def read_manifest(path: str | Path, request: Request, *, output: str | None = None) -> list[Task]:
    """Return the pieces of a list, every line of it checked.

    Inputs and plans are relative to the folder of the list. Outputs are relative to `output`, or
    else to the folder of the list, and cannot leave it. Where a line names no preset, settings or
    plan, those of `request` hold; its settings are added to those of `request`.

    Args:
        path: of the list, JSON Lines in UTF-8; empty lines are passed over.
        request: what holds for all lines.
        output: folder of the results.

    Raises:
        AudioReadError: the list cannot be read.
        AudioWriteError: a result would be one of the inputs.
        ConfigError: a line is wrong; the message names it.
    """
    path = Path(path)
    folder = path.parent
    base = local(output) if output is not None else str(folder)
    tasks = []
    for number, text in _lines(path):
        try:
            tasks.append(_read_line(text, request, folder, base))
        except NitidoError as error:
            raise ConfigError(f"{path} line {number}: {error}") from None
    if not tasks:
        raise ConfigError(f"{path} lists no piece; write one JSON object per line.")
    check_tasks(tasks)
    return tasks


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            number = 0
            while text := file.readline(LINE_MAX):
                number += 1
                if len(text) == LINE_MAX:
                    raise ConfigError(f"{path} line {number} is longer than {LINE_MAX} characters.")
                if text.strip():
                    yield number, text
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; save it as that.") from None
    except OSError as error:
        if isinstance(error, NitidoError):
            raise
        raise AudioReadError(f"The list {path} cannot be read: {error.strerror}.") from None


def _read_line(text: str, request: Request, folder: Path, base: str) -> Task:
    from nitido.restoration.preset import suggest

    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"this is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise ConfigError('this is not an object such as {"input": "a.wav", "output": "b.wav"}.')
    for key in content:
        if key not in KNOWN:
            raise ConfigError(f"there is no entry {shown(key)}{suggest(key, KNOWN)}")
    source, output = _name(content, "input"), _name(content, "output")
    return Task(
        local(source) if is_remote(source) else str(folder / source),
        _inside(output, base),
        _request(content, request, folder),
        source,
    )


def _name(content: dict[str, Any], key: str) -> str:
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


def _request(content: dict[str, Any], request: Request, folder: Path) -> Request:
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
        return replace(request, plan=_plan(content["plan"], folder))
    if preset is None and settings is None:
        return request
    if request.plan is not None:
        raise ConfigError("`plan=` says everything already; leave out preset and settings.")
    choice = {**request.choice, "settings": {**(request.choice.get("settings") or {})}}
    choice["settings"] |= settings or {}
    if preset is not None:
        choice["preset"] = preset
    changed = replace(request, choice=choice)
    changed.check()
    return changed


def _plan(given: Any, folder: Path) -> Any:
    from nitido.audio import read_text
    from nitido.restoration.plan import Plan

    if isinstance(given, dict):
        return Plan.from_json(json.dumps(given))
    if not isinstance(given, str) or "\0" in given:
        raise ConfigError(
            f"the plan is {shown(given)}; it is a plan, or the name of a file with one."
        )
    return Plan.from_json(read_text(folder / given))
