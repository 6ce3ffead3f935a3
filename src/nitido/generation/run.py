"""From prompts to run folders: generate, choose, restore, write.

Each file is written as soon as there is something to write, so a run that is stopped leaves what is
finished. `run.json` comes last: a folder that has one is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nitido.errors import ConfigError
from nitido.generation.candidates import Candidate, Choice, choose
from nitido.generation.generate import Progress, generate_all
from nitido.generation.run_folder import RunFolder, run_folders, slug
from nitido.generation.settings import SEED_MAX, Request, Settings, same_request_twice

if TYPE_CHECKING:
    from nitido.diagnosis.finding import Diagnosis
    from nitido.restoration.result import Restoration

CANDIDATES_MAX = 1000
Watch = Callable[[str], AbstractContextManager[Progress | None]]


@dataclass(frozen=True)
class Order:
    """What is to be done with each prompt.

    Attributes:
        requests: one for each prompt.
        settings: of the generator.
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
    settings: Settings
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
class _Piece:
    """A piece that was generated: where it lies, and how it was made."""

    stem: str
    raw: Path
    provenance: dict[str, Any]
    restoration: Restoration | None = None


@dataclass
class _Work:
    """The work on one prompt."""

    folder: RunFolder
    request: Request
    pieces: list[_Piece] = field(default_factory=list)


def carry_out(order: Order, *, watch: Watch) -> Iterator[dict[str, Any]]:
    """Yield the record of each prompt, the content of its `run.json`, as it is finished.

    Args:
        order: what to do.
        watch: `watch(name)` gives a context with the progress callback of one piece of work.

    Raises:
        AudioWriteError: a folder holds a run already, or cannot be written.
        ConfigError: see `Order` and `nitido.generation.generate.generate_all`.
        DeviceMemoryError: the device has too little memory.
        WeightsError: the weights cannot be had.
    """
    prompts = [request.prompt for request in order.requests]
    folders = run_folders(order.root, prompts, overwrite=order.overwrite)
    for folder in folders:
        folder.check(inputs=(order.settings.melody, order.settings.continue_from))
    works = [_Work(f, r) for f, r in zip(folders, order.requests, strict=True)]
    _generate(order, works, watch)
    for work in works:
        choice = _choose(order, work, watch) if order.candidates > 1 else None
        kept = work.pieces if choice is None or order.keep_all else [work.pieces[choice.kept]]
        for piece in work.pieces:
            if piece in kept:
                _restore(order, work, piece, watch)
            else:
                work.folder.remove(piece.stem)
        yield _record(order, work, kept, choice)


def _generate(order: Order, works: Sequence[_Work], watch: Watch) -> None:
    """Make all pieces, batch by batch, and write each as it is there."""
    owners = [work for work in works for _ in range(order.candidates)]
    requests = [
        replace(work.request, seed=work.request.seed + number)
        for work in works
        for number in range(order.candidates)
    ]
    with watch("generating") as on_progress:
        for index, made in generate_all(requests, order.settings, on_progress=on_progress):
            work = owners[index]
            seed = f"-seed-{made.seed}" if order.candidates > 1 else ""
            stem = f"{slug(made.prompt)}{seed}"
            raw = work.folder.write_generation(made, stem)
            work.pieces.append(_Piece(stem, raw, made.provenance()))
    for work in works:
        work.pieces.sort(key=lambda piece: int(piece.provenance["seed"]))


def _choose(order: Order, work: _Work, watch: Watch) -> Choice:
    """Judge the candidates, as restored if they are to be restored."""
    candidates = []
    for piece in work.pieces:
        with watch(piece.stem) as on_progress:
            if order.restore is None:
                found = Candidate(piece.stem, order.diagnose(piece.raw, on_progress=on_progress))
            else:
                piece.restoration = order.restore(piece.raw, on_progress=on_progress)
                found = Candidate(piece.stem, piece.restoration.diagnosis, piece.restoration.after)
        candidates.append(found)
    return choose(candidates)


def _restore(order: Order, work: _Work, piece: _Piece, watch: Watch) -> None:
    """Restore a piece that is kept, and write what comes of it."""
    if order.restore is None:
        return
    if piece.restoration is None or order.stems:  # candidates are judged without their stems
        with watch(piece.stem) as on_progress:
            extra = {"stems": True} if order.stems else {}
            piece.restoration = order.restore(piece.raw, on_progress=on_progress, **extra)
    piece.restoration.write(
        work.folder.place("restored", f"{piece.stem}.wav"),
        overwrite=order.overwrite,
        stems=work.folder.place("stems", piece.stem) if order.stems else False,
    )
    if order.report:
        page = work.folder.place("report", f"{piece.stem}.html")
        piece.restoration.report(page, overwrite=order.overwrite)
    piece.restoration = None  # its sound is on the disk now


def _record(
    order: Order, work: _Work, kept: Sequence[_Piece], choice: Choice | None
) -> dict[str, Any]:
    """Write `run.json` and return what it holds, with the folder."""
    content: dict[str, Any] = {
        "prompt": work.request.prompt,
        "pieces": [
            {
                "name": piece.stem,
                "kept": choice is None or piece is work.pieces[choice.kept],
                "files": _files(order, piece),
                **piece.provenance,
            }
            for piece in kept
        ],
    }
    if choice is not None:
        content["choice"] = {"reason": choice.reason, "candidates": list(choice.candidates)}
    work.folder.write_record(content)
    return {"folder": str(work.folder.path), **content}


def _files(order: Order, piece: _Piece) -> dict[str, str]:
    """Return the files of a piece, relative to the run folder."""
    files = {part: f"{part}/{piece.stem}.wav" for part in ("raw", "processed")}
    if order.restore is not None:
        files["restored"] = f"restored/{piece.stem}.wav"
    if order.stems:
        files["stems"] = f"stems/{piece.stem}"
    if order.report:
        files["report"] = f"report/{piece.stem}.html"
    return files
