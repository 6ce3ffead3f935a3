"""`nitido compare`: versions of a piece side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nitido.cli.listening import TEST_PAGE, write_test
from nitido.cli.options import as_json, verbose
from nitido.cli.printing import print_json, print_table
from nitido.errors import AudioWriteError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nitido.comparison import Comparison

TABLES = ("content", "artefacts", "delivery", "features", "fidelity", "perceptual")
EXAMPLES = """\b
Examples:
  nitido compare song.wav song_restored.wav
  nitido compare song.wav mine.wav theirs.wav --html song.html
  nitido compare coded.mp3 restored.wav --reference clean.wav --table fidelity --table perceptual
  nitido compare song.wav song_restored.wav --table features --png pictures/
  nitido compare song.wav song_restored.wav --png pictures/
  nitido compare song.wav song_restored.wav --abx test/     a blind listening test
"""


@click.command(epilog=EXAMPLES)
@click.argument("before", metavar="BEFORE")
@click.argument("after", nargs=-1, required=True, metavar="AFTER...")
@click.option("--reference", metavar="CLEAN", help="How it should sound, where that is known.")
@click.option(
    "--table",
    "tables",
    multiple=True,
    type=click.Choice(TABLES),
    help="What to measure; repeatable.  [default: the first three; fidelity with a reference]",
)
@click.option("--html", metavar="FILE", help="Also write a page to listen and look.")
@click.option(
    "--png", metavar="FOLDER", help="Also draw each AFTER beside BEFORE; with nitido[plots]."
)
@click.option("--abx", metavar="FOLDER", help="Also write a page for blind listening: ABX, rating.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of the order in a listening test."
)
@click.option(
    "--trials", type=click.IntRange(1), default=16, show_default=True, help="Of each ABX pair."
)
@click.option("--overwrite", is_flag=True, help="Replace pages and pictures that exist already.")
@as_json
@verbose
def compare(
    before: str,
    after: tuple[str, ...],
    reference: str | None,
    tables: tuple[str, ...],
    html: str | None,
    png: str | None,
    abx: str | None,
    seed: int,
    trials: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Say what is different between BEFORE and each AFTER.

    First in plain words, then in numbers. Files are brought to one sample rate, aligned and matched
    in loudness wherever two are held against each other; their artefacts and their loudness are
    measured as they are.
    """
    from nitido.comparison import compare as measure

    inputs = [Path(name) for name in (before, *after, reference) if name]
    for target in filter(None, (html, png, abx and f"{abx}/{TEST_PAGE}")):
        _check_new(Path(target), overwrite=overwrite, inputs=inputs)
    if png:
        from nitido.report.figures import check_drawing

        check_drawing()
    comparison = measure(before, *after, reference=reference, tables=tables or None)
    if html:
        _write_page(Path(html), comparison, overwrite=overwrite)
    written = (
        _write_pictures(Path(png), comparison, overwrite=overwrite, inputs=inputs) if png else []
    )
    if abx:
        written.append(write_test(abx, comparison, seed=seed, trials=trials, overwrite=overwrite))
    if as_json:
        print_json(comparison.to_dict())
        return
    show(comparison)
    for path in [*([html] if html else []), *written]:
        click.echo(f"Written: {path}")


def show(comparison: Comparison) -> None:
    """Print a comparison: sentences, then tables."""
    click.secho(" → ".join(p.name for p in (comparison.before, *comparison.after)), bold=True)
    for sentence in comparison.sentences():
        click.echo(f"  {sentence}")
    click.echo()
    for title, found in comparison.tables.items():
        columns = list(found[0]) if found else []
        ends = ("measure", "better")
        heads = (name if name in ends else f"{name}>" for name in columns)
        print_table(heads, (row.values() for row in found), title=title)


def _check_new(path: Path, *, overwrite: bool, inputs: Sequence[Path] = ()) -> None:
    """Refuse before any work what could not, or must not, be written after it."""
    if path.exists() and any(file.exists() and file.samefile(path) for file in inputs):
        raise AudioWriteError(f"{path} is one of the files to compare; give another name.")
    if path.is_file() and not overwrite:
        raise AudioWriteError(f"{path} exists already; --overwrite replaces it.")


def _write_page(path: Path, comparison: Comparison, *, overwrite: bool) -> None:
    from nitido.report.page import write_report

    write_report(
        path,
        tracks=comparison.tracks(),
        title=comparison.before.name,
        sentences=comparison.sentences(),
        tables=comparison.tables,
        overwrite=overwrite,
    )


def _write_pictures(
    folder: Path, comparison: Comparison, *, overwrite: bool, inputs: Sequence[Path]
) -> list[Path]:
    """Draw each piece that came after beside the one before; return where the pictures are."""
    from nitido.report.figures import comparison_figure, save

    before, *others = (track for track in comparison.tracks() if track.role != "reference")
    said = comparison.sentences() if len(others) == 1 else []
    figures: dict[Path, Callable[[], Figure]] = {}
    for track in others:
        path = folder / f"{before.name}_{track.name}.png"
        figures[path] = partial(comparison_figure, before, track, sentences=said)
    if "features" in comparison.scores:
        figures |= _seed_figures(folder, comparison)
    for path in figures:
        _check_new(path, overwrite=overwrite, inputs=inputs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, draw in figures.items():
            save(draw(), path, overwrite=overwrite)
    except OSError as error:
        if isinstance(error, AudioWriteError):
            raise
        raise AudioWriteError(f"{folder} cannot be written to: {error.strerror}.") from None
    return list(figures)


def _seed_figures(folder: Path, comparison: Comparison) -> dict[Path, Callable[[], Figure]]:
    """Return what draws the pictures of the founding table, by where they go."""
    from nitido.comparison import OUTPUT_HZ, measures
    from nitido.report.figures import bar_figure, mel_figure

    before, scores = comparison.before, comparison.scores["features"]
    titles = {measure.name: measure.title for measure in measures("features", scores)}
    raw = [(f"{before.name}: {before.sample_rate} Hz", before.wav, before.sample_rate)]
    raw += [(f"{before.name} at {OUTPUT_HZ} Hz, nothing else", before.at(OUTPUT_HZ), OUTPUT_HZ)]
    figures: dict[Path, Callable[[], Figure]] = {
        folder / f"{before.name}_{piece.name}_mel.png": partial(
            mel_figure,
            [*raw, (f"{piece.name}: {piece.sample_rate} Hz", piece.wav, piece.sample_rate)],
        )
        for piece in comparison.after
    }
    shown = {piece.name: scores[piece.name] for piece in (before, *comparison.after)}
    return {**figures, folder / f"{before.name}_seed.png": partial(bar_figure, shown, titles)}
