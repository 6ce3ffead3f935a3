"""The demo: a piece made here (`render`), spoiled as a decoder would (`comb`), and restored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal

from nitido.api import restore
from nitido.audio import read_tags, write
from nitido.demo.comb import add_comb
from nitido.demo.render import render
from nitido.dsp.wav import Wav
from nitido.errors import AudioWriteError
from nitido.restored import Restoration
from nitido.result_files import read_sidecar

ORIGINAL_HZ, DECODER_HZ = 48_000, 32_000
SECONDS = 16.0
CUT_SECONDS = 12.07  # in the middle of a bar
QUIET_DB = -12.0
TAGS = {"comment": ["Made by nitido demo"]}  # tells a demo's files from those of others


@dataclass(frozen=True)
class Demo:
    """What the demo made.

    Attributes:
        files: where everything lies, by what it is.
        restoration: the restoration itself.
    """

    files: dict[str, Path]
    restoration: Restoration

    def to_dict(self) -> dict[str, Any]:
        """Return the demo as plain JSON values."""
        files = {name: str(path) for name, path in self.files.items()}
        return {"files": files, **self.restoration.sidecar()}


def make_demo(folder: Path, *, on_progress: Callable[[float, float], None] | None = None) -> Demo:
    """Make the demo in a folder, replacing what an earlier demo left there.

    Args:
        folder: is made if it does not exist.
        on_progress: called with `(done_seconds, total_seconds)` while restoring.

    Raises:
        AudioWriteError: the folder cannot be written to, or holds other files of such names.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioWriteError(f"The folder {folder} cannot be made: {error.strerror}.") from None
    files = {
        "the piece as it was made": folder / "original.wav",
        "as a neural decoder would leave it": folder / "degraded.wav",
        "restored": folder / "restored.wav",
        "what was taken away": folder / "restored.removed.wav",
        "a page to listen, look and read": folder / "restored.report.html",
    }
    original, degraded, restored, *_ = files.values()
    _check_ours(list(files.values()))
    clean = render(seconds=SECONDS, sample_rate=ORIGINAL_HZ)
    _save(original, clean, ORIGINAL_HZ)
    _save(degraded, add_artifacts(clean), DECODER_HZ)
    restoration = restore(degraded, on_progress=on_progress)
    restoration.write(restored, overwrite=True, removed=True, report=True)
    return Demo(files, restoration)


def _check_ours(files: Sequence[Path]) -> None:
    """Refuse to replace files that no demo made: it leaves its mark in the tags."""
    original, degraded, restored, *_ = files
    made = read_sidecar(restored).get("input")
    result_of_ours = isinstance(made, dict) and made.get("tags") == TAGS
    for path in files:
        ours = result_of_ours
        if path in (original, degraded):
            ours = path.is_file() and read_tags(path) == TAGS
        if path.exists() and not ours:
            raise AudioWriteError(f"{path} is not of a demo; `output=` names another folder.")


def add_artifacts(clean: Wav) -> Wav:
    """Return a 48 kHz piece as MusicGen might have made it, `[1, T]` at 32 kHz.

    Mono, nothing above 16 kHz, with the lines of the decoder, quiet, and cut off in mid-note.
    """
    mono = clean[:, : round(CUT_SECONDS * ORIGINAL_HZ)].mean(axis=0, keepdims=True)
    # A short filter, that lets through and folds back a little at 16 kHz, like a decoder.
    narrow = scipy.signal.resample_poly(mono, DECODER_HZ // 16_000, ORIGINAL_HZ // 16_000, axis=1)
    combed = add_comb(narrow.astype(np.float32), sample_rate=DECODER_HZ)
    return combed * np.float32(10 ** (QUIET_DB / 20))


def _save(path: Path, wav: Wav, sample_rate: int) -> None:
    channels, samples = wav.shape
    shape = {"sample_rate": sample_rate, "channels": channels, "samples": samples}
    write(path, [wav], tags=TAGS, overwrite=True, **shape)
