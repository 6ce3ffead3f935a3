"""What is found: planted faults by their strength, and which generator has which faults.

`roc` asks of each finding how well it tells planted from clean: the area under its ROC curve, how
often it says so, and how often it says so of clean music. `generators` looks at what generators
made, before and after a restoration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from nitido.cores import begin_in_a_pool, usable_cores
from nitido.diagnosis.finding import Diagnosis
from nitido_lab.benchmark.clips import SAMPLE_RATE, Clip, audio_below, read, spread
from nitido_lab.benchmark.tables import Table
from nitido_lab.benchmark.tasks import PLANT, PLANTED_GROUPS
from nitido_lab.degradation.recipe import PLANTED, STRENGTHS

GENERATED = ("musicgen", "other_generators", "generators")
# What plants it → the finding that looks for it, where that is called otherwise.
LOOKED_FOR_BY = {
    "sharp s": "sibilance",
    "wide lows": "phase",
    "turned band": "phase",
    "phasey": "phase",
}
# Excerpts begin and end in the middle, and loudness is no fault of the sound.
NO_FAULTS = {"start", "end", "loudness"}
SECONDS = 30.0  # of a clip of a generator


def kind_of(fault: str) -> str:
    """Return the kind of the finding that looks for a planted fault.

    >>> kind_of("birdies shimmer"), kind_of("sharp s"), kind_of("mud")
    ('shimmer', 'sibilance', 'mud')
    """
    return LOOKED_FOR_BY.get(fault, fault.rpartition(" ")[2])


@dataclass(frozen=True)
class Score:
    """What the finding of one kind says of one piece: its number, and whether that is a fault."""

    kind: str
    value: float | None
    found: bool


def area(clean: Sequence[float], faulty: Sequence[float]) -> float:
    """Return the area under the ROC curve, 0.5 to 1: how well a number tells the two apart.

    Whether more or less of it is worse, the means say.

    >>> area([0.0, 1.0, 2.0], [2.0, 3.0]), area([5.0, 4.0], [1.0])
    (0.9166666666666666, 1.0)
    """
    one, other = np.array(clean)[:, None], np.array(faulty)
    above = float(np.mean((other > one) + 0.5 * (other == one)))
    return above if other.mean() >= one.mean() else 1 - above


def roc(folder: Path, *, limit: int | None = None, workers: int | None = None) -> Roc:
    """Return how well each planted fault is found in the clips of a folder."""
    clips = PLANT.clips(folder, limit)
    first = next(iter(PLANTED_GROUPS))
    clips = [*(replace(clip, group="") for clip in clips if clip.group == first), *clips]
    found: dict[str, list[tuple[Score, ...]]] = {}
    for group, scores in _carried_out(_scores, clips, workers):
        found.setdefault(group, []).append(scores)
    return Roc({group: tuple(scores) for group, scores in found.items()})


@dataclass(frozen=True)
class Roc:
    """The scores of all kinds, by group of planted clips; of clean pieces under ``""``."""

    scores: Mapping[str, Sequence[Sequence[Score]]]

    def of(self, group: str, kind: str) -> list[Score]:
        """Return the scores of one kind in a group of clips."""
        return [s for scores in self.scores.get(group, ()) for s in scores if s.kind == kind]

    def table(self) -> Table:
        """Return a row per fault: area under the curve and share found, by strength."""
        heads = ("planted", "finding", *(f"area, {s}" for s in STRENGTHS))
        heads += (*(f"found, {s}, %" for s in STRENGTHS), "false alarms, %")
        rows = []
        for fault in PLANTED:
            kind = kind_of(fault)
            clean = self.of("", kind)
            if not clean:
                continue
            groups = [self.of(name, kind) for name, (f, _) in PLANTED_GROUPS.items() if f == fault]
            areas = [f"{area(_values(clean), _values(g)):.2f}" for g in groups]
            shares = [f"{_share(scores):.0f}" for scores in (*groups, clean)]
            rows.append((fault, kind, *areas, *shares))
        count = len(self.scores.get("", ()))
        return Table(f"found, planted against clean, {count} pieces", heads, tuple(rows))

    def sentences(self) -> list[str]:
        """Return which planted faults nothing looks for."""
        absent = [fault for fault in PLANTED if not self.of("", kind_of(fault))]
        return [f"Nothing looks for {', '.join(absent)} yet."] if absent else []

    def to_dict(self) -> dict[str, Any]:
        """Return all scores as plain JSON values."""
        return {
            group or "clean": [[asdict(score) for score in scores] for scores in pieces]
            for group, pieces in self.scores.items()
        }


@dataclass(frozen=True)
class Generated:
    """One clip of a generator: the kinds of fault that were found in it, and are left in it."""

    clip: str
    generator: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True)
class Generators:
    """All clips of all generators."""

    clips: tuple[Generated, ...]

    def table(self) -> Table:
        """Return a row per generator: in how many clips each fault is found, and is left."""
        kinds = sorted({kind for clip in self.clips for kind in (*clip.before, *clip.after)})
        rows: list[tuple[str, ...]] = []
        for name in dict.fromkeys(clip.generator for clip in self.clips):
            own = [clip for clip in self.clips if clip.generator == name]
            cells = [
                f"{sum(kind in c.before for c in own)} → {sum(kind in c.after for c in own)}"
                for kind in kinds
            ]
            rows.append((name, str(len(own)), *(c if c != "0 → 0" else "–" for c in cells)))
        return Table(
            "clips with a fault, before → after", ("generator", "clips", *kinds), tuple(rows)
        )

    def sentences(self) -> list[str]:
        """Return how much is left in all."""
        before, after = (sum(len(getattr(c, s)) for c in self.clips) for s in ("before", "after"))
        new = sum(len(set(clip.after) - set(clip.before)) for clip in self.clips)
        return [f"{before} faults before, {after} after; new among these: {new}."]

    def to_dict(self) -> dict[str, Any]:
        """Return all clips as plain JSON values."""
        return {"clips": [asdict(clip) for clip in self.clips]}


def generators(
    audio: Path,
    *,
    limit: int | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Generators:
    """Return what is found in clips of generators, before and after a restoration by default.

    Args:
        audio: holds folders of `GENERATED`; a file is called GENERATOR_anything, but in `musicgen`.
        limit: at most so many files of each folder.
        workers: processes at work; as many as there are cores if None.
        on_progress: called with `(done, total)` clips.
    """
    folders = [audio / name for name in GENERATED if (audio / name).is_dir()]
    paths = [path for folder in folders for path in spread(audio_below(folder), limit)]
    clips = []
    for clip in _carried_out(_generated, paths, workers):
        clips.append(clip)
        if on_progress is not None:
            on_progress(len(clips), len(paths))
    return Generators(tuple(clips))


def _generated(path: Path) -> Generated:
    import nitido

    wav, rate = read(path, seconds=SECONDS)
    with nitido.restore(wav, sample_rate=rate, name=path.stem) as result:
        before, after = (_faults(each) for each in (result.diagnosis, result.after))
    own = path.parent.name == "musicgen"
    return Generated(path.stem, "musicgen" if own else path.stem.partition("_")[0], before, after)


def _faults(diagnosis: Diagnosis) -> tuple[str, ...]:
    return tuple(f.kind for f in diagnosis.findings if f.found and f.kind not in NO_FAULTS)


def _scores(clip: Clip) -> tuple[str, tuple[Score, ...]]:
    import nitido

    piece = PLANT.prepare(replace(clip, group=clip.group or next(iter(PLANTED_GROUPS))))
    wav = piece.wav if clip.group else piece.reference
    findings = nitido.diagnose(wav, sample_rate=SAMPLE_RATE).findings
    return clip.group, tuple(Score(f.kind, f.value, f.found) for f in findings)


def _carried_out(
    work: Callable[[Any], Any], given: Sequence[Any], workers: int | None
) -> Iterator[Any]:
    workers = min(workers or usable_cores(), len(given))
    if workers < 2:
        yield from map(work, given)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=begin_in_a_pool) as pool:
        yield from pool.map(work, given)


def _values(scores: Sequence[Score]) -> list[float]:
    return [0.0 if score.value is None else score.value for score in scores]


def _share(scores: Sequence[Score]) -> float:
    return 100 * float(np.mean([score.found for score in scores])) if scores else 0.0
