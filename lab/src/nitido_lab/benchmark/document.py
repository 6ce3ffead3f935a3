"""`docs/benchmark.md`: what was measured, with versions and the exact call; never by hand.

A task of `OWN_PAGE` has a page beside it, which is looked for by its name; there it is a link.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from nitido.audio import write_text
from nitido.audio.validation import read_text
from nitido.errors import AudioWriteError, ConfigError
from nitido_lab.benchmark.machine import machine, versions
from nitido_lab.benchmark.tables import Table

CHAPTER = "chapter.json"
ORDER = (
    *("comb", "codec", "pairs", "bandwidth", "clean", "planted", "generators"),
    *("recoded", "caution", "speed", "memory"),
)
OWN_PAGE = {"generators": "Which generator has which faults"}
HEAD = """\
# Benchmark

Written by `nitido-lab benchmark` from what was measured; do not edit it. Same clips, same run, same
measures for every system. Each cell: the mean over the clips, its 95 % bootstrap interval, the
worst clip. ↑ more is better, ↓ less is. Everything is judged on the mean of the channels at 48 kHz,
level matched between 60 Hz and 7 kHz. "Loses" is said where the 95 % interval of the difference,
clip by clip, leaves out 0. Each chapter ends with the commit it was measured on; the oldest ones,
from before that was noted, with their date.
"""


@dataclass(frozen=True)
class Chapter:
    """One task in the page.

    Attributes:
        task: its name.
        what: the question, in words.
        call: the command that measured it.
        date: when, UTC.
        versions: of everything that counts.
        machine: on which.
        tables: the figures.
        sentences: what they say, losses first.
        systems: name → what it is.
    """

    task: str
    what: str
    call: str
    tables: Sequence[Table]
    sentences: Sequence[str]
    systems: Mapping[str, str]
    date: str
    versions: Mapping[str, str]
    machine: str


def save_chapter(
    out: Path,
    *,
    task: str,
    what: str,
    call: str,
    tables: Sequence[Table],
    sentences: Sequence[str],
    systems: Mapping[str, str] | None = None,
) -> Chapter:
    """Keep what was measured beside the results, so that the page can be written from all tasks."""
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    made = Chapter(task, what, call, tables, sentences, systems or {}, date, versions(), machine())
    (out / task).mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(made), indent=1, ensure_ascii=False)
    write_text(out / task / CHAPTER, text + "\n", overwrite=True)
    return made


def load_chapters(out: Path) -> list[Chapter]:
    """Return what was measured so far, in the order of the page.

    Raises:
        ConfigError: a file in the folder is not of this kind.
    """
    found = []
    for task in ORDER:
        path = out / task / CHAPTER
        if not path.is_file():
            continue
        try:
            content = json.loads(path.read_text("utf-8"))
            content["tables"] = [
                Table(t["title"], tuple(t["columns"]), tuple(tuple(row) for row in t["rows"]))
                for t in content["tables"]
            ]
            found.append(Chapter(**content))
        except (ValueError, KeyError, TypeError):
            raise ConfigError(f"{path} cannot be read; delete it and measure again.") from None
    return found


def write_page(path: Path, out: Path) -> Path:
    """Write the page from all tasks that were measured into a folder, and return its path.

    What the page already says of other tasks stays as it is, with what they were measured with. The
    pages of `OWN_PAGE` lie beside it.

    Raises:
        AudioWriteError: it cannot be written, or is there already and no such page.
        ConfigError: nothing was measured yet.
    """
    chapters = load_chapters(out)
    if not chapters:
        raise ConfigError(f"Nothing was measured into {out} yet; run a task first.")
    before = read_text(path) if path.is_file() else HEAD
    if not before.startswith(HEAD.partition("\n")[0]):
        raise AudioWriteError(f"{path} is no benchmark page, so it is not replaced.")
    texts = {text.split(None, 2)[1]: text for text in re.split(r"^(?=## )", before, flags=re.M)[1:]}
    texts = {task: text.rstrip() + "\n" for task, text in texts.items()}
    for chapter in chapters:
        texts[chapter.task] = _chapter(chapter)
        if title := OWN_PAGE.get(chapter.task):
            own = path.with_name(f"{chapter.task}.md")
            text = texts[chapter.task].replace(f"## {chapter.task}\n", f"# {title}\n", 1)
            write_text(own, text, overwrite=True)
            texts[chapter.task] = f"## {chapter.task}\n\n[{title}]({own.name}).\n"
    tasks = sorted(texts, key=(*ORDER, *texts).index)
    return write_text(path, "\n".join([HEAD, *(texts[task] for task in tasks)]), overwrite=True)


def _chapter(chapter: Chapter) -> str:
    parts = [f"## {chapter.task}", chapter.what, *map(_table, chapter.tables)]
    parts.append("\n".join(f"- {_escaped(sentence)}" for sentence in chapter.sentences))
    parts += ["```sh\n" + chapter.call + "\n```"]
    if chapter.systems:
        systems = "; ".join(f"{name}: {what}" for name, what in chapter.systems.items())
        parts.append(f"The systems. {_escaped(systems)}.")
    used = ", ".join(f"{name} {version}" for name, version in chapter.versions.items())
    parts.append(f"Measured {chapter.date} on {chapter.machine}; {used}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(table: Table) -> str:
    lines = [
        "| " + " | ".join(_escaped(cell) for cell in row) + " |"
        for row in (table.columns, *table.rows)
    ]
    lines.insert(1, "| --- |" + " ---: |" * (len(table.columns) - 1))
    return f"**{_escaped(table.title)}**\n\n" + "\n".join(lines)


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is."""
    for sign in ("\\", "|", "<", ">", "*", "_"):
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", "<br>")
