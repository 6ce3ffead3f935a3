"""`nitido compare --abx`: the page of a blind listening test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nitido.comparison import Comparison

TEST_PAGE = "listening-test.html"  # in the folder that --abx names


def write_test(
    folder: str, comparison: Comparison, *, seed: int, trials: int, overwrite: bool
) -> Path:
    """Write the page of a listening test of a comparison; return where it is."""
    import numpy as np

    from nitido.dsp.chunks import join
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
