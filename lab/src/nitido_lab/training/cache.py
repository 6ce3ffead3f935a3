"""The cache on disk: levels of clean music and of its spoilt versions, made once.

    cache/NAME/meta.json      licence, credit, split, where the file ends, what was done to it
    cache/NAME/clean.npy      [C, N, 256] float16, dB
    cache/NAME/tonal.npy      [C, N, 64] uint8, 0 to 255 for noise to tones
    cache/NAME/spoilt-0.npy   [C, N, 256] float16, dB

`meta.json` comes last, so an entry is whole or is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nitido.audio import write_text
from nitido.cores import begin_in_a_pool, usable_cores
from nitido.diagnosis.bandwidth import BandwidthAnalyser
from nitido.diagnosis.finding import Finding
from nitido.dsp.wav import Wav
from nitido.errors import NitidoError
from nitido.restoration.treble.levels import (
    BANDS,
    CROSSOVER,
    RATE,
    Levels,
    band_levels,
    crossover_band,
    frames_at,
    tonality,
)
from nitido_lab.benchmark.clips import read
from nitido_lab.degradation import apply, draw
from nitido_lab.training.config import TrainConfig
from nitido_lab.training.corpus import FULL_BAND_HZ, Work, works
from nitido_lab.training.midi import random_piece, render_midi, soundfont_of

END_LOWEST_HZ = 15_000.0  # files that end lower teach too little about the top
PART_FRAMES = 2048
FORMAT = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One cached piece.

    Attributes:
        folder: of its files.
        split: ``train`` or ``validation``.
        frames: number of frames.
        channels: number of channels.
        end_hz: above it there is no target.
        crossovers: first band above the ceiling of each spoilt version; 256 for none.
        rendered: whether it was made from MIDI.
        licence: of the music.
        credit: title and author.
    """

    folder: Path
    split: str
    frames: int
    channels: int
    end_hz: float
    crossovers: tuple[int, ...]
    rendered: bool
    licence: str
    credit: str

    def levels(self, name: str) -> NDArray[Any]:
        """Return an array of the entry, mapped into memory."""
        array: NDArray[Any] = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return array


def build_cache(
    config: TrainConfig, *, on_progress: Callable[[int, int], None] | None = None
) -> list[Entry]:
    """Return the cached pieces of a configuration; what is not there yet is made.

    Raises:
        ConfigError: no music, see `nitido_lab.training.corpus.works`.
    """
    root = config.folder / "cache"
    todo = [*works(config), *_random_works(config, root)]
    jobs = [(work, config, root / f"{work.name}-{_key(work, config)}") for work in todo]
    due = [job for job in jobs if not (job[2] / "meta.json").is_file()]
    done = len(jobs) - len(due)
    workers = min(usable_cores(), max(len(due), 1))
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=begin_in_a_pool) as pool:
        left_out: dict[str, int] = {}
        for count, problem in enumerate(pool.map(_make, due)):
            if problem:
                left_out[problem] = left_out.get(problem, 0) + 1
                if left_out[problem] == 1:  # a missing SoundFont is said once, not by each piece
                    log.warning("%s: %s", due[count][0].path.name, problem)
            if on_progress is not None:
                on_progress(done + count + 1, len(jobs))
    for problem, times in left_out.items():
        if times > 1:
            log.warning("%d pieces are left out: %s", times, problem)
    return [entry for _, _, folder in jobs if (entry := read_entry(folder)) is not None]


def read_entry(folder: Path) -> Entry | None:
    """Return the entry of a folder; None if the piece was of no use."""
    path = folder / "meta.json"
    if not path.is_file():
        return None
    meta = json.loads(path.read_text("utf-8"))
    if meta.get("unusable"):
        return None
    names = ("split", "frames", "channels", "end_hz", "rendered", "licence", "credit")
    crossovers = tuple(meta["crossovers"])
    return Entry(folder, crossovers=crossovers, **{name: meta[name] for name in names})


def _random_works(config: TrainConfig, root: Path) -> list[Work]:
    made = []
    for number in range(config.random_pieces):
        path = root / "random" / f"random-{number}.mid"
        if not path.is_file():
            random_piece(path, seed=config.seed + number, seconds=config.midi_seconds)
        split = "validation" if number % 10 == 9 else "train"
        made.append(Work(path.stem, path, "CC0-1.0", "random piece, nitido", None, split))
    return made


def _key(work: Work, config: TrainConfig) -> str:
    settings = [FORMAT, config.recipes, config.spoilt, config.clip_seconds, config.midi_seconds]
    if work.is_midi:
        settings.append(str(soundfont_of(work.name, config.soundfonts)))
    text = json.dumps([*settings, str(work.path), work.split, config.seed])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _make(job: tuple[Work, TrainConfig, Path]) -> str | None:
    """Make one entry; return what went wrong, if the piece cannot be used.

    What a piece is like is written down; what merely failed is tried again by the next run.
    """
    work, config, folder = job
    folder.mkdir(parents=True, exist_ok=True)
    try:
        meta = _fill(work, config, folder)
    except NitidoError as error:
        return str(error)
    except Exception as error:  # one bad file does not stop the others
        return f"{type(error).__name__}: {error}"
    write_text(folder / "meta.json", json.dumps(meta, indent=1) + "\n", overwrite=True)
    problem = meta.get("unusable")
    return str(problem) if problem else None


def _fill(work: Work, config: TrainConfig, folder: Path) -> dict[str, Any]:
    wav = _heard(work, config)
    finding = _bandwidth(wav)
    if finding.value is None:
        return {"unusable": "it is silent"}
    end_hz = work.end_hz or RATE / 2
    if finding.details.get("wall_db", 0) > 0:
        end_hz = min(end_hz, finding.details["ceiling_hz"])
    if end_hz < END_LOWEST_HZ:
        return {"unusable": f"it ends at {end_hz:.0f} Hz, too low to learn treble from"}
    rms_db = finding.details["rms_db"]
    clean, tonal = _analyse(wav, rms_db, with_tonality=True)
    np.save(folder / "clean.npy", clean)
    np.save(folder / "tonal.npy", tonal)
    crossovers, drawn = [], []
    for number in range(config.spoilt if config.recipes else 0):
        seed = int(hashlib.sha256(f"{work.name}{config.seed}{number}".encode()).hexdigest()[:8], 16)
        steps = draw(config.recipes, seed=seed)
        spoilt = apply(steps, wav, sample_rate=RATE)
        np.save(folder / f"spoilt-{number}.npy", _analyse(spoilt, rms_db)[0])
        crossovers.append(_crossover(_bandwidth(spoilt)))
        drawn.append(steps)
    return {
        "name": work.name,
        "licence": work.licence,
        "credit": work.credit,
        "split": work.split,
        "rendered": work.is_midi,
        "end_hz": end_hz,
        "full_band": end_hz >= FULL_BAND_HZ,
        "rms_db": rms_db,
        "channels": clean.shape[0],
        "frames": clean.shape[1],
        "crossovers": crossovers,
        "drawn": drawn,
    }


def _heard(work: Work, config: TrainConfig) -> Wav:
    """Return the piece as it is read, or rendered: at most two channels."""
    if not work.is_midi:
        return read(work.path, seconds=config.clip_seconds, sample_rate=RATE)[0][:2]
    # Apart: processes of a run that was killed may still be at the same entry.
    with tempfile.TemporaryDirectory(prefix="nitido-") as folder:
        path = Path(folder, "rendered.wav")
        soundfont = soundfont_of(work.name, config.soundfonts)
        render_midi(work.path, path, soundfont=soundfont, seconds=config.midi_seconds)
        return read(path, seconds=config.clip_seconds, sample_rate=RATE)[0][:2]


def _bandwidth(wav: Wav) -> Finding:
    analyser = BandwidthAnalyser(sample_rate=RATE, channels=wav.shape[0])
    analyser.update(wav)
    return analyser.finish()


def _crossover(finding: Finding) -> int:
    if not finding.found:
        return BANDS
    return crossover_band(CROSSOVER * float(finding.details["ceiling_hz"]))


def _analyse(
    wav: Wav, rms_db: float, *, with_tonality: bool = False
) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """Return levels and tonality of a whole piece, worked on in parts to save memory."""
    grid = frames_at(RATE)
    padded = np.pad(wav, ((0, 0), (grid.n_fft, grid.n_fft)))
    count = wav.shape[1] // grid.hop_length
    levels, tonal = [], []
    side = 8  # frames of context for the smoothing over time
    for start in range(0, count, PART_FRAMES):
        stop = min(start + PART_FRAMES, count)
        low, high = max(start - side, -1), min(stop + side, count + 1)
        # `padded` begins n_fft earlier; frame k is centred on sample k · hop_length of the piece.
        first = low * grid.hop_length + grid.n_fft // 2
        part = padded[:, first : first + (high - low - 1) * grid.hop_length + grid.n_fft]
        spec = grid.analyse(part, first=-(grid.n_fft // 2) + low * grid.hop_length)
        inside = slice(start - low, start - low + stop - start)
        levels.append(band_levels(spec[:, inside], sample_rate=RATE, rms_db=rms_db))
        if with_tonality:
            tonal.append(np.rint(255 * tonality(spec)[:, inside]))
    joined = _joined(tonal) if tonal else np.zeros(0)
    return _joined(levels).astype(np.float16), joined.astype(np.uint8)


def _joined(parts: Sequence[Levels]) -> Levels:
    return np.concatenate(parts, axis=1)
