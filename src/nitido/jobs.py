"""What a command line of files, folders and globs means: which file to read, which one to write.

Only names are looked at here, no sound. All questions about names are settled before the first
sample is read.
"""

from __future__ import annotations

import glob
import logging
import os
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from nitido.errors import ConfigError
from nitido.formats import FORMATS, READABLE
from nitido.output import REMOVED, RESTORED, SIDECAR, STEMS

logger = logging.getLogger(__name__)

STDIN = "-"
PASSED_OVER_SHOWN = 3
SUFFIXES = {name: form.suffixes[0] for name, form in FORMATS.items()}
WRITABLE = frozenset(suffix for form in FORMATS.values() for suffix in form.suffixes)
AUDIO_SUFFIXES = WRITABLE.union(*(form.suffixes for form in READABLE))


@dataclass(frozen=True)
class Job:
    """One piece to restore.

    Attributes:
        source: file to read; ``-`` is standard input.
        output: file to write; None is standard output.
        place: name below the folder that it was found in, with ``/`` on every system.
    """

    source: Path
    output: Path | None
    place: str = field(default="", compare=False)

    @property
    def from_stdin(self) -> bool:
        """Whether the piece comes from standard input."""
        return str(self.source) == STDIN


def make_jobs(
    inputs: Sequence[str],
    *,
    output: str | None = None,
    format: str | None = None,  # noqa: A002
) -> list[Job]:
    """Return one job per piece, in the order given, folders sorted by name.

    Args:
        inputs: files, folders (searched with everything below), globs, or ``-``.
        output: a file, a folder, a pattern with ``{stem}`` (and ``{suffix}``), or ``-``; None puts
            `NAME_restored.wav` beside each input.
        format: names the suffix of results that `output` does not name.

    Raises:
        ConfigError: nothing to do, or names that make no sense.
    """
    suffix = SUFFIXES[format or "wav"]
    found = _found(inputs)
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
    jobs = [
        Job(source, _result(source, root, output, suffix), source.relative_to(root).as_posix())
        for source, root in found
    ]
    if format is None:
        _check_suffixes(jobs)
    return jobs


def _found(inputs: Sequence[str]) -> list[tuple[Path, Path]]:
    """Return each piece once, with the folder that its place in an output folder is relative to.

    Results of earlier runs are passed over, unless one is the only input; that is logged.
    """
    found = {source.absolute(): (source, root) for name in inputs for source, root in _expand(name)}
    pieces = list(found.values())
    if len(inputs) == len(pieces) == 1 and pieces[0][0] == Path(inputs[0]):
        return pieces
    results = [source for source, _ in pieces if is_result(source)]
    if results:
        logger.warning(
            "Passed over, as results of earlier runs: %s%s.",
            ", ".join(map(str, results[:PASSED_OVER_SHOWN])),
            f" and {left} more" if (left := len(results) - PASSED_OVER_SHOWN) > 0 else "",
        )
    return [piece for piece in pieces if piece[0] not in results]


def _expand(name: str) -> Iterator[tuple[Path, Path]]:
    path = Path(name)
    if path.is_dir():
        inside = [(file, path) for file in _audio_below(path)]
        if not inside:
            raise ConfigError(f"The folder {path} holds no audio.")
        yield from inside
    elif name == STDIN or path.exists() or not glob.has_magic(name):
        yield path, path.parent  # a missing file is reported when its turn comes
    else:
        files = [match for match in _matches(name) if match.is_file() and is_audio(match)]
        if not files:
            raise ConfigError(f"Nothing matches {name!r} that is audio.")
        yield from ((file, file.parent) for file in files)


def _matches(pattern: str) -> list[Path]:
    """Return what a glob matches, sorted, without what is hidden; ``**`` follows no links.

    Links in a circle would keep `glob.glob` busy for ever.
    """
    path = Path(pattern)
    anchor = Path(path.anchor)
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
    return output == STDIN or ("{" not in output and not _is_folder(output))


def _is_folder(output: str) -> bool:
    return output.endswith(("/", os.sep)) or Path(output).is_dir() or not Path(output).suffix


def _result(source: Path, root: Path, output: str | None, suffix: str) -> Path | None:
    """Return where the result of one piece goes."""
    stem = "stdin" if str(source) == STDIN else source.stem
    if output == STDIN or (output is None and str(source) == STDIN):
        return None
    if output is None:
        return source.with_name(f"{stem}{RESTORED}{suffix}")
    if "{" in output:
        path = Path(_fill(output, stem=stem, suffix=source.suffix.lstrip(".")))
        return path if path.suffix else path.with_name(path.name + suffix)
    if _is_folder(output):
        return Path(output, source.parent.relative_to(root), f"{stem}{RESTORED}{suffix}")
    return Path(output)


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


def _check_suffixes(jobs: Iterable[Job]) -> None:
    """Refuse results whose suffix names no format that nitido writes."""
    for job in jobs:
        if job.output is not None and job.output.suffix.lower() not in WRITABLE:
            raise ConfigError(
                f"{job.output} names no format that nitido writes "
                f"({', '.join(sorted(SUFFIXES.values()))}); `format=` does, or end a folder in '/'."
            )
