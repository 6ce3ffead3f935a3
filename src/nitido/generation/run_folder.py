"""The folder of a run: one place for each step, every file whole or not there.

raw/         as generated, 32 kHz, float
processed/   the same at 48 kHz, float
stems/       what was separated
restored/    the result with its sidecar
report/      the page to listen and look
run.json     what was asked, done and chosen; written last
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nitido.audio import write, write_text
from nitido.dsp.resample import resample, resampled_length
from nitido.errors import AudioWriteError
from nitido.generation.result import Generation

PROCESSED_HZ = 48_000
SLUG_BYTES_MAX = 48
RECORD = "run.json"
PARTS = ("raw", "processed", "stems", "restored", "report")


@dataclass(frozen=True)
class RunFolder:
    """The folder of one prompt.

    Attributes:
        path: of the folder.
        overwrite: whether files of an earlier run may be replaced.
    """

    path: Path
    overwrite: bool = False

    def check(self, *, inputs: Iterable[object] = ()) -> None:
        """Say before any work if the folder cannot be used.

        Args:
            inputs: that the run reads; a path among them must not lie where the run writes.

        Raises:
            AudioWriteError: it holds a finished run and must not be overwritten, it is a file, or
                an input lies in it.
        """
        written = [(self.path / part).resolve() for part in PARTS]
        for file in inputs:
            if isinstance(file, str | Path) and written.count(Path(file).resolve().parent):
                raise AudioWriteError(
                    f"The input {file} lies where the run writes; `output=` names another place."
                )
        if self.path.exists() and not self.path.is_dir():
            raise AudioWriteError(f"{self.path} is a file; `output=` names a folder.")
        if (self.path / RECORD).exists() and not self.overwrite:
            raise AudioWriteError(
                f"{self.path} holds a run already; `overwrite=True` replaces it, `output=` names "
                "another place."
            )

    def place(self, part: str, name: str) -> Path:
        """Return the path of a file in one of the parts, whose folder is made.

        Raises:
            AudioWriteError: the folder cannot be made.
        """
        folder = self.path / part
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AudioWriteError(f"{folder} cannot be made: {error.strerror}.") from None
        return folder / name

    def write_generation(self, generation: Generation, stem: str) -> Path:
        """Write a piece as generated and at 48 kHz; return the path as generated."""
        raw = self.place("raw", f"{stem}.wav")
        generation.write(raw, overwrite=self.overwrite)
        wav, rate = generation.wav, generation.sample_rate
        channels, samples = wav.shape
        write(
            self.place("processed", f"{stem}.wav"),
            resample([wav], from_hz=rate, to_hz=PROCESSED_HZ, samples=samples, channels=channels),
            sample_rate=PROCESSED_HZ,
            channels=channels,
            samples=resampled_length(samples, rate, PROCESSED_HZ),
            bit_depth=32,
            tags=generation.tags(),
            overwrite=self.overwrite,
        )
        return raw

    def remove(self, stem: str) -> None:
        """Remove a piece of this run from `raw` and `processed`: a candidate that was not kept."""
        for part in ("raw", "processed"):
            (self.path / part / f"{stem}.wav").unlink(missing_ok=True)

    def write_record(self, content: dict[str, Any]) -> Path:
        """Write `run.json`; a folder that has one is finished."""
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        return write_text(self.path / RECORD, text, overwrite=self.overwrite)


def run_folders(root: Path, prompts: Sequence[str], *, overwrite: bool = False) -> list[RunFolder]:
    """Return a folder for each prompt: `root` itself for one, numbered folders in it for several.

    >>> [folder.path.name for folder in run_folders(Path("run"), ["Slow, sad song!", "Pop"])]
    ['1-slow-sad-song', '2-pop']
    """
    if len(prompts) == 1:
        return [RunFolder(root, overwrite)]
    digits = len(str(len(prompts)))
    return [
        RunFolder(root / f"{number:0{digits}d}-{slug(prompt)}", overwrite)
        for number, prompt in enumerate(prompts, start=1)
    ]


def slug(prompt: str) -> str:
    r"""Return a file name that tells what a prompt was: letters, digits, and ``-`` between words.

    >>> slug("An 80s pop song,\nwith ../ heavy synth"), slug("…"), slug("Ça va, 音楽")
    ('an-80s-pop-song-with-heavy-synth', 'piece', 'ça-va-音楽')
    """
    text = unicodedata.normalize("NFC", prompt).casefold()
    words = "".join(letter if letter.isalnum() else " " for letter in text).split()
    name = "-".join(words).encode()[:SLUG_BYTES_MAX].decode("utf-8", "ignore").rstrip("-")
    return name or "piece"
