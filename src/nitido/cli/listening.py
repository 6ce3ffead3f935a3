"""`nitido compare --abx`: a blind listening test, and what the listeners heard."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nitido.cli.output import console, print_json, table

if TYPE_CHECKING:
    from nitido.comparison import Comparison

TEST_PAGE = "listening-test.html"  # in the folder that --abx names


def write_test(
    folder: str, comparison: Comparison, *, seed: int, trials: int, overwrite: bool
) -> Path:
    """Write the page of a listening test of a comparison; return where it is."""
    import numpy as np

    from nitido.chunks import join
    from nitido.report.listening import write_listening_test

    wavs, reference = {}, None
    for track in comparison.tracks():
        blocks = list(track.blocks())
        wav = join(blocks, channels=blocks[0].shape[0])
        if track.role == "reference":
            reference = np.asarray(wav, np.float32)
        else:
            wavs[track.name] = np.asarray(wav, np.float32)
    return write_listening_test(
        folder,
        tracks=wavs,
        sample_rate=comparison.sample_rate,
        reference=reference,
        title=f"Listening test: {comparison.before.name}",
        seed=seed,
        trials=trials,
        overwrite=overwrite,
    )


def show_results(files: Iterable[str], *, as_json: bool) -> None:
    """Print what the listeners heard."""
    from nitido.report.listening_results import analyse_listening_results

    results = analyse_listening_results(files)
    if as_json:
        print_json(results.to_dict())
        return
    count = len(results.listeners)
    click.secho(f"{count} listener{'s' * (count != 1)}", bold=True)
    for sentence in results.sentences():
        click.echo(f"  {sentence}")
    if results.means:
        rows = table("version", "mean rating of 100>")
        for name, mean in results.means.items():
            rows.add_row(name, f"{mean:.1f}")
        console().print(rows)
