"""From prompts to run folders: generate, choose, restore, write.

raw/         as generated, 32 kHz, float
processed/   the same at 48 kHz, float
stems/       what was separated
restored/    the result with its sidecar
report/      the page to listen and look
run.json     what was asked, done and chosen; written last

Each file is written, whole, as soon as there is something to write, so a run that is stopped leaves
what is finished. A folder that has a `run.json` is complete.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nitido.audio import write, write_text
from nitido.dsp.chunks import OnProgress
from nitido.dsp.resample import resample, resampled_length
from nitido.errors import AudioWriteError, ConfigError
from nitido.generation.candidates import Candidate, Choice, choose
from nitido.generation.generate import generate_all
from nitido.generation.result import Generation
from nitido.generation.settings import SEED_MAX, GenerateOptions, Request, same_request_twice

if TYPE_CHECKING:
    from nitido.diagnosis.finding import Diagnosis
    from nitido.restored import Restoration

PROCESSED_HZ = 48_000
DEVICES = re.compile(r"con|prn|aux|nul|(com|lpt)\d")  # on Windows, whatever their suffix
SLUG_BYTES_MAX = 48
RECORD = "run.json"
PARTS = ("raw", "processed", "stems", "restored", "report")

CANDIDATES_MAX = 1000
Watch = Callable[[str], AbstractContextManager[OnProgress | None]]


@dataclass(frozen=True)
class Run:
    """What is to be done with each prompt.

    Attributes:
        requests: one for each prompt.
        options: of the generator.
        root: of the run folders.
        diagnose: `nitido.diagnose`.
        restore: `nitido.restore` with its choices filled in; None leaves the pieces as they are.
        candidates: pieces to make of each prompt, with seeds from the request's own on.
        keep_all: keep those that are not chosen, too.
        stems: also write the stems.
        report: also write the page.
        overwrite: replace an earlier run.
    """

    requests: Sequence[Request]
    options: GenerateOptions
    root: Path
    diagnose: Callable[..., Diagnosis]
    restore: Callable[..., Restoration] | None = None
    candidates: int = 1
    keep_all: bool = False
    stems: bool = False
    report: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check what contradicts itself.

        Raises:
            ConfigError: no prompt or the same one twice, a number of candidates out of range, or
                a report or stems of no restoration.
        """
        if not self.requests:
            raise ConfigError("There is no prompt; give one, in words.")
        if (twice := same_request_twice(self.requests)) is not None:
            raise ConfigError(
                f"The prompt {twice.prompt!r} is there twice with seed {twice.seed}: both would be "
                "the same piece; give them different seeds, or ask for candidates."
            )
        if not 1 <= self.candidates <= CANDIDATES_MAX:
            raise ConfigError(
                f"candidates is {self.candidates}; it lies between 1 and {CANDIDATES_MAX}."
            )
        if max(request.seed for request in self.requests) + self.candidates - 1 > SEED_MAX:
            raise ConfigError(f"The seeds of the candidates go beyond {SEED_MAX}; start lower.")
        if self.restore is None and (self.report or self.stems):
            asked = "report" if self.report else "stems"
            raise ConfigError(f"`{asked}=True` belongs to a restoration; it needs `restore=True`.")


@dataclass
class _Take:
    """A piece that was generated: where it lies, and how it was made."""

    stem: str
    raw: Path
    provenance: dict[str, Any]
    restoration: Restoration | None = None


@dataclass
class _PromptWork:
    """The work on one prompt."""

    folder: RunFolder
    request: Request
    pieces: list[_Take] = field(default_factory=list)


def carry_out(run: Run, *, watch: Watch) -> Iterator[dict[str, Any]]:
    """Yield the record of each prompt, the content of its `run.json`, as it is finished.

    Args:
        run: what to do.
        watch: `watch(name)` gives a context with the progress callback of one piece of work.

    Raises:
        AudioWriteError: a folder holds a run already, or cannot be written.
        ConfigError: see `Run` and `nitido.generation.generate.generate_all`.
        DeviceMemoryError: the device has too little memory.
        WeightsError: the weights cannot be had.
    """
    prompts = [request.prompt for request in run.requests]
    folders = run_folders(run.root, prompts, overwrite=run.overwrite)
    for folder in folders:
        folder.check(inputs=(run.options.melody, run.options.continue_from))
    works = [_PromptWork(f, r) for f, r in zip(folders, run.requests, strict=True)]
    _generate(run, works, watch)
    for work in works:
        choice = _choose(run, work, watch) if run.candidates > 1 else None
        kept = work.pieces if choice is None or run.keep_all else [work.pieces[choice.kept]]
        for piece in work.pieces:
            if piece in kept:
                _restore(run, work, piece, watch)
            else:
                work.folder.remove(piece.stem)
        yield _record(run, work, kept, choice)


def _generate(run: Run, works: Sequence[_PromptWork], watch: Watch) -> None:
    """Make all pieces, batch by batch, and write each as it is there."""
    owners = [work for work in works for _ in range(run.candidates)]
    requests = [
        replace(work.request, seed=work.request.seed + number)
        for work in works
        for number in range(run.candidates)
    ]
    with watch("generating") as on_progress:
        for index, made in generate_all(requests, run.options, on_progress=on_progress):
            work = owners[index]
            seed = f"-seed-{made.seed}" if run.candidates > 1 else ""
            stem = f"{slug(made.prompt)}{seed}"
            raw = work.folder.write_generation(made, stem)
            work.pieces.append(_Take(stem, raw, made.provenance()))
    for work in works:
        work.pieces.sort(key=lambda piece: int(piece.provenance["seed"]))


def _choose(run: Run, work: _PromptWork, watch: Watch) -> Choice:
    """Judge the candidates, as restored if they are to be restored."""
    candidates = []
    for piece in work.pieces:
        with watch(piece.stem) as on_progress:
            if run.restore is None:
                found = Candidate(piece.stem, run.diagnose(piece.raw, on_progress=on_progress))
            else:
                piece.restoration = run.restore(piece.raw, on_progress=on_progress)
                found = Candidate(piece.stem, piece.restoration.diagnosis, piece.restoration.after)
        candidates.append(found)
    return choose(candidates)


def _restore(run: Run, work: _PromptWork, piece: _Take, watch: Watch) -> None:
    """Restore a piece that is kept, and write what comes of it."""
    if run.restore is None:
        return
    if piece.restoration is None or run.stems:  # candidates are judged without their stems
        with watch(piece.stem) as on_progress:
            extra = {"stems": True} if run.stems else {}
            piece.restoration = run.restore(piece.raw, on_progress=on_progress, **extra)
    piece.restoration.write(
        work.folder.place("restored", f"{piece.stem}.wav"),
        overwrite=run.overwrite,
        stems=work.folder.place("stems", piece.stem) if run.stems else False,
    )
    if run.report:
        page = work.folder.place("report", f"{piece.stem}.html")
        piece.restoration.report(page, overwrite=run.overwrite)
    piece.restoration = None  # its sound is on the disk now


def _record(
    run: Run, work: _PromptWork, kept: Sequence[_Take], choice: Choice | None
) -> dict[str, Any]:
    """Write `run.json` and return what it holds, with the folder."""
    content: dict[str, Any] = {
        "prompt": work.request.prompt,
        "pieces": [
            {
                "name": piece.stem,
                "kept": choice is None or piece is work.pieces[choice.kept],
                "files": _files(run, piece),
                **piece.provenance,
            }
            for piece in kept
        ],
    }
    if choice is not None:
        content["choice"] = {"reason": choice.reason, "candidates": list(choice.candidates)}
    work.folder.write_record(content)
    return {"folder": str(work.folder.path), **content}


def _files(run: Run, piece: _Take) -> dict[str, str]:
    """Return the files of a piece, relative to the run folder."""
    files = {part: f"{part}/{piece.stem}.wav" for part in ("raw", "processed")}
    if run.restore is not None:
        files["restored"] = f"restored/{piece.stem}.wav"
    if run.stems:
        files["stems"] = f"stems/{piece.stem}"
    if run.report:
        files["report"] = f"report/{piece.stem}.html"
    return files


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
    return f"{name}-piece" if DEVICES.fullmatch(name) else name or "piece"
