"""`nitido-lab benchmark`: measured figures, beside those of systems."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.output import console, print_json, table
from nitido.errors import ConfigError
from nitido_lab.cli.scale import scale
from nitido_lab.cli.throughput import throughput

if TYPE_CHECKING:
    from nitido_lab.benchmark.document import Chapter

TASKS = {
    "comb": "Real MusicGen clips: what is left of the decoder's comb, and was the music kept?",
    "codec": "Clean music through MusicGen's decoder and lossy codecs, and back.",
    "pairs": "Originals and what became of them, listed in an index.csv.",
    "bandwidth": "Full-band music with its treble cut off, and back.",
    "clean": "Music without a fault: is it left alone?",
    "planted": "Faults of known strength in clean music: what goes, what it costs, what is found.",
}
FIGURES_WIDE = 6  # columns of figures that fit side by side
EXAMPLES = """\b
Examples:
  nitido-lab benchmark all --audio clips/ --docs docs/benchmark.md
  nitido-lab benchmark comb clips/musicgen
  nitido-lab benchmark comb clips/musicgen --system apollo=made-by-apollo/
  nitido-lab benchmark speed --seconds 20 --json
"""


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every task."""
    for option in (
        verbose,
        as_json,
        click.option("--docs", metavar="FILE", help="Write the page of all that was measured."),
        click.option(
            "--out",
            metavar="FOLDER",
            default="nitido-benchmark",
            show_default=True,
            help="Where results are kept; a run that was stopped goes on from there.",
        ),
    ):
        command = option(command)
    return command


def clipped(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the tasks that go through clips."""
    for option in (
        click.option(
            "--keep", is_flag=True, help="Keep the clips and what each system made of them."
        ),
        click.option(
            "--no-visqol",
            "visqol",
            flag_value=False,
            default=True,
            help="Leave ViSQOL out: faster.",
        ),
        click.option("--workers", type=click.IntRange(1), help="Processes.  [default: all cores]"),
        click.option(
            "--limit", type=click.IntRange(1), help="At most so many files, spread over the folder."
        ),
        click.option(
            "--system",
            "systems",
            multiple=True,
            metavar="NAME=FOLDER",
            help="Files that another system made of the same clips; repeatable.",
        ),
        click.option(
            "--only",
            multiple=True,
            metavar="NAME",
            help="Beside nitido and resample, of our systems only this one; repeatable.",
        ),
        click.option(
            "--audio",
            envvar="NITIDO_AUDIO",
            metavar="FOLDER",
            help="Holds musicgen, clean/test and pairs.  [also: NITIDO_AUDIO]",
        ),
    ):
        command = option(command)
    return shared(command)


@click.group(epilog=EXAMPLES)
def benchmark() -> None:
    """Measure nitido on this computer, beside systems on the same clips.

    What is measured is kept in a folder, and --docs writes a page of all of it.
    """


def _add(name: str, help_text: str) -> None:
    epilog = f"\b\nExamples:\n  nitido-lab benchmark {name} FOLDER --limit 3\n"
    epilog += f"  nitido-lab benchmark {name} --audio clips/ --json\n"

    @benchmark.command(name, help=help_text, epilog=epilog)
    @click.argument("folder", required=False)
    @clipped
    def task(folder: str | None, as_json: bool, docs: str | None, **options: Any) -> None:
        chapter, content = run_clips(name, folder, **options)
        finish([chapter], content, options["out"], docs, as_json=as_json)


for _name, _help in TASKS.items():
    _add(_name, _help)


@benchmark.command(epilog=EXAMPLES)
@click.option(
    "--seconds",
    type=click.FloatRange(1.0, 3600.0),
    default=60.0,
    show_default=True,
    help="Length of the piece.",
)
@click.option(
    "--runs",
    type=click.IntRange(1, 100),
    default=5,
    show_default=True,
    help="Runs of each, in turn; the medians are shown.",
)
@click.option(
    "--random-weights", is_flag=True, help="Also time Demucs, with random weights; takes minutes."
)
@shared
def speed(as_json: bool, out: str, docs: str | None, **options: Any) -> None:
    """Time the default preset on faulty 48 kHz stereo, and measure its memory.

    Beside it, in the same run, the other systems, and the floor: one resampling and one short-time
    Fourier transform there and back of the same piece.
    """
    chosen = {key: options[key] for key in ("seconds", "runs", "random_weights")}
    chapter, content = run_speed(out, **chosen)
    finish([chapter], content, out, docs, as_json=as_json)


@benchmark.command(
    epilog="\b\nExamples:\n  nitido-lab benchmark memory\n"
    "  nitido-lab benchmark memory --minutes 60\n"
)
@click.option(
    "--minutes",
    type=click.FloatRange(0.1, 600.0),
    multiple=True,
    help="Length of a piece; repeatable.  [default: 1 and 10]",
)
@shared
def memory(minutes: tuple[float, ...], as_json: bool, out: str, docs: str | None) -> None:
    """Measure the peak memory of a fresh process, for short and long pieces."""
    chapter, content = run_memory(out, minutes)
    finish([chapter], content, out, docs, as_json=as_json)


@benchmark.command(
    epilog="\b\nExamples:\n  nitido-lab benchmark recoded --audio clips/ --restored 2\n"
)
@click.option(
    "--audio",
    envvar="NITIDO_AUDIO",
    metavar="FOLDER",
    required=True,
    help="Holds musicgen, other_generators and clean/test.  [also: NITIDO_AUDIO]",
)
@click.option("--limit", type=click.IntRange(1), help="At most so many files of each folder.")
@click.option(
    "--restored",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Of so many clips, also compare every version restored; slow.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: all cores]")
@click.option("--everything", is_flag=True, help="Also the clips on which the constants were set.")
@shared
def recoded(audio: str, as_json: bool, out: str, docs: str | None, **options: Any) -> None:
    """Look for faults in clips that were resampled, recoded and cut to 16 bit.

    What is found on a clip as it came has to be found in all its versions; on clean music, nothing.
    """
    chapter, content = run_recoded(audio, out, **options)
    finish([chapter], content, out, docs, as_json=as_json)


@benchmark.command(
    epilog="\b\nExamples:\n  nitido-lab benchmark generators --audio clips/ --limit 5\n"
)
@click.option(
    "--audio",
    envvar="NITIDO_AUDIO",
    metavar="FOLDER",
    required=True,
    help="Holds musicgen, other_generators and generators.  [also: NITIDO_AUDIO]",
)
@click.option("--limit", type=click.IntRange(1), help="At most so many files of each folder.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: all cores]")
@shared
def generators(audio: str, as_json: bool, out: str, docs: str | None, **options: Any) -> None:
    """Look for faults in what generators made, before and after a restoration.

    There is no original to hold them against: what counts is what is found, and what is left.
    """
    chapter, content = run_generators(audio, out, **options)
    finish([chapter], content, out, docs, as_json=as_json)


@benchmark.command(epilog="\b\nExamples:\n  nitido-lab benchmark caution music/ --limit 20\n")
@click.argument("folder")
@click.option("--limit", type=click.IntRange(1), help="At most so many excerpts.")
@shared
def caution(folder: str, as_json: bool, out: str, docs: str | None, limit: int | None) -> None:
    """Hear what new treble gains and costs, all of it or half.

    FOLDER holds music with an index.csv that names its artists, as `nitido-lab music` fetches it.
    The constants of the stage `bandwidth` that turn it down are set by this.
    """
    from nitido_lab.benchmark.caution import measure
    from nitido_lab.benchmark.document import save_chapter

    with bar("caution") as tick:
        result = measure(Path(folder), Path(out), limit=limit, on_progress=tick)
    chapter = save_chapter(
        Path(out),
        task="caution",
        what="Where may there have been little above a ceiling, so that less is added?",
        call=call(),
        tables=result.tables(),
        sentences=result.sentences(),
    )
    finish([chapter], result.to_dict(), out, docs, as_json=as_json)


@benchmark.command("all", epilog=EXAMPLES.replace("speed --seconds 20", "all --limit 2"))
@clipped
def everything(as_json: bool, docs: str | None, **options: Any) -> None:
    """Measure all of it, one task after the other."""
    done = [run_clips(name, None, **options) for name in TASKS]
    if options["audio"] is not None:
        chosen = {key: options[key] for key in ("limit", "workers")}
        done.append(run_generators(options["audio"], options["out"], **chosen))
        done.append(run_recoded(options["audio"], options["out"], **chosen))
    done += [run_speed(options["out"]), run_memory(options["out"], ())]
    content = {chapter.task: figures for chapter, figures in done}
    finish([chapter for chapter, _ in done], content, options["out"], docs, as_json=as_json)


benchmark.add_command(scale)
benchmark.add_command(throughput)


def run_clips(
    name: str,
    folder: str | None,
    *,
    audio: str | None,
    systems: tuple[str, ...],
    only: tuple[str, ...] = (),
    **options: Any,
) -> tuple[Chapter, dict[str, Any]]:
    """Run a task that goes through clips; return its chapter and its figures."""
    from nitido_lab.benchmark.document import save_chapter
    from nitido_lab.benchmark.findings import roc
    from nitido_lab.benchmark.runner import run_task
    from nitido_lab.benchmark.systems import chosen_systems, read_system
    from nitido_lab.benchmark.tables import Summary

    tried = [*chosen_systems(only), *map(read_system, systems)]
    out = Path(options.pop("out"))
    place = _clips(name, folder, audio)
    with bar(name) as tick:
        outcome = run_task(name, folder=place, systems=tried, out=out, on_progress=tick, **options)
    summary = Summary(outcome)
    content, tables, sentences = summary.to_dict(), summary.tables(), summary.sentences()
    if name == "planted":
        found = roc(place, limit=options["limit"], workers=options["workers"])
        content["found"] = found.to_dict()
        tables, sentences = [*tables, found.table()], [*sentences, *found.sentences()]
    chapter = save_chapter(
        out,
        task=name,
        what=summary.task.what,
        call=call(),
        tables=tables,
        sentences=sentences,
        systems={system.name: system.what for system in tried if system.name in summary.systems},
    )
    return chapter, content


def _clips(name: str, folder: str | None, audio: str | None) -> Path:
    """Return the folder of a task's clips: as named, or its place in the audio folder."""
    from nitido_lab.benchmark.tasks import TASKS as KNOWN

    if folder is not None:
        return Path(folder)
    if audio is not None:
        return Path(audio, KNOWN[name].folder)
    raise ConfigError(
        f"The task {name} needs clips: nitido-lab benchmark {name} FOLDER, or --audio FOLDER with "
        f"{KNOWN[name].folder} in it."
    )


def run_speed(
    out: str, *, seconds: float = 60.0, runs: int = 5, random_weights: bool = False
) -> tuple[Chapter, dict[str, Any]]:
    """Time everything; return the chapter and the figures."""
    from nitido_lab.benchmark.document import save_chapter
    from nitido_lab.benchmark.speed import measure
    from nitido_lab.benchmark.systems import RandomDemucs, default_systems
    from nitido_lab.benchmark.tables import Table

    # Resampling is part of the floor.
    systems = [
        system for system in default_systems() if not system.name.startswith(("nitido", "resample"))
    ]
    systems += [RandomDemucs()] if random_weights else []
    result = measure(seconds=seconds, runs=runs, systems=systems)
    chapter = save_chapter(
        Path(out),
        task="speed",
        what="How long does it take? Medians, timed in turn in one process.",
        call=call(),
        tables=[Table("speed", ("what", "measured"), tuple(result.rows()))],
        sentences=result.sentences(),
        systems={system.name: system.what for system in systems if system.name in result.others},
    )
    return chapter, result.to_dict()


def run_memory(out: str, minutes: tuple[float, ...]) -> tuple[Chapter, dict[str, Any]]:
    """Measure memory; return the chapter and the figures."""
    from nitido_lab.benchmark.document import save_chapter
    from nitido_lab.benchmark.memory import MINUTES, measure

    result = measure(minutes=minutes or MINUTES)
    chapter = save_chapter(
        Path(out),
        task="memory",
        what="How much memory does it take, and does that grow with the piece? Peak resident "
        "memory of a fresh process that restores 48 kHz stereo from file to file.",
        call=call(),
        tables=[result.table()],
        sentences=result.sentences(),
    )
    return chapter, result.to_dict()


def run_generators(audio: str, out: str, **options: Any) -> tuple[Chapter, dict[str, Any]]:
    """Look for faults in what generators made; return the chapter and the figures."""
    from nitido_lab.benchmark.document import save_chapter
    from nitido_lab.benchmark.findings import generators as measure

    with bar("generators") as tick:
        result = measure(Path(audio), on_progress=tick, **options)
    chapter = save_chapter(
        Path(out),
        task="generators",
        what="Which generator has which faults, by what is found in its clips, and in how many of "
        "them it is still found after a restoration with the default preset? Edges and loudness "
        "are left out: the clips are excerpts.",
        call=call(),
        tables=[result.table()],
        sentences=result.sentences(),
    )
    return chapter, result.to_dict()


def run_recoded(audio: str, out: str, **options: Any) -> tuple[Chapter, dict[str, Any]]:
    """Look for faults in recoded clips; return the chapter and the figures."""
    from nitido_lab.benchmark.document import save_chapter
    from nitido_lab.benchmark.recoded import measure

    with bar("recoded") as tick:
        result = measure(Path(audio), on_progress=tick, **options)
    chapter = save_chapter(
        Path(out),
        task="recoded",
        what="Clips as users have them: resampled, recoded, cut to 16 bit. Is what was found on "
        "the clip as it came found again, and nothing on clean music? A ceiling that the coder "
        "itself made is no false alarm.",
        call=call(),
        tables=[result.table()],
        sentences=result.sentences(),
    )
    return chapter, result.to_dict()


def finish(
    chapters: list[Chapter], content: Any, out: str, docs: str | None, *, as_json: bool
) -> None:
    """Show what was measured, and write the page if one is wanted."""
    from nitido_lab.benchmark.document import write_page

    if docs is not None:
        write_page(Path(docs), Path(out))
    if as_json:
        print_json(content)
        return
    for chapter in chapters:
        for measured in (part for whole in chapter.tables for part in whole.parts(FIGURES_WIDE)):
            heads = (f"{head}>" for head in measured.columns[1:])
            rows = table(measured.columns[0], *heads, title=measured.title)
            for row in measured.rows:
                rows.add_row(*row)
            console().print(rows)
        for sentence in chapter.sentences:
            click.echo(f"  {sentence}")
    if docs is not None:
        click.echo(f"Written: {docs}")


def call() -> str:
    """Return the command as it was given, but for the folders and files of whoever measured."""
    kept = iter(sys.argv[1:])
    words = [word for word in kept if word not in ("--docs", "--out") or not next(kept, "")]
    return shlex.join(["nitido-lab", *words])


@contextmanager
def bar(name: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show on standard error, if that is a terminal, how many clips are done."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1, label=name, file=sys.stderr, show_pos=True) as shown:

        def on_progress(done: int, total: int) -> None:
            shown.length = total
            shown.update(done - shown.pos)

        yield on_progress
