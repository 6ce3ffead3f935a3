"""The benchmark `caution`: what is gained and lost by adding all of the new treble, or less of it.

Music by many artists is cut off or coded; where the stage `bandwidth` would add something, ViSQOL
hears it with nothing, half and all of it added; what lies between is read from the lines between
these. Each case is a line of a file, so a run that was stopped goes on, and constants of the stage
can be tried on what was measured. How much more is lost on artists that a choice of constants has
not seen says how far to trust it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nitido.errors import ConfigError
from nitido.restoration.stages import bandwidth
from nitido_lab.benchmark.clips import INDEX, SAMPLE_RATE, faded, mono, read
from nitido_lab.benchmark.tables import Table
from nitido_lab.degradation import apply

CASES = "caution.jsonl"
SECONDS, SECONDS_MIN = 6.0, 3.5
FULL_BAND_HZ = 19_000.0
OF_AN_ARTIST, PLACES = 2, (0.33, 0.66)  # excerpts, and where in a piece they begin
CONDITIONS: Mapping[str, Mapping[str, Any]] = {
    "11-khz": {"kind": "ceiling", "ceiling_hz": 11_000.0},
    "16-khz": {"kind": "ceiling", "ceiling_hz": 16_000.0},
    "mp3-64": {"kind": "mp3", "kbps": 64},
    "mp3-128": {"kind": "mp3", "kbps": 128},
    "aac-64": {"kind": "aac", "kbps": 64},
}
HARMED = -0.03  # of ViSQOL
MEAN_LOSS_MAX = 0.02  # of a condition's mean, that caution may cost
# Where each sign sets in, that is tried: faint treble, dB; a fall at the end, dB/kHz.
FAINT_DB = (-38.0, -37.0, -36.0, -35.5, -35.0, -34.5, -34.0)
DYING_DB = (-99.0, -5.5, -5.0, -4.5)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One excerpt in one condition.

    Attributes:
        path: of the piece, below the folder.
        artist: who made it.
        condition: of `CONDITIONS`.
        details: of the finding ``bandwidth``.
        mos: ViSQOL with nothing, half and all of the treble added; None where none is.
    """

    path: str
    artist: str
    condition: str
    details: Mapping[str, float]
    mos: tuple[float, float, float] | None


@dataclass(frozen=True)
class Caution:
    """All cases in which treble is added."""

    cases: Sequence[Case]

    def tables(self) -> list[Table]:
        """Return what is gained by all, by half and as planned, and how far the choice holds."""
        ways = {
            "all of it": np.ones(len(self.cases)),
            "half of it": np.full(len(self.cases), 0.5),
            "as planned": self._added({}),
            "constants chosen without the artist": self.on_unseen_artists(),
        }
        heads = ("added", *CONDITIONS, f"clips under {HARMED:g}", "their sum", "worst")
        rows = tuple((name, *self._line(added)) for name, added in ways.items())
        return [Table(f"gain in ViSQOL, {len(self.cases)} cases", heads, rows)]

    def sentences(self) -> list[str]:
        """Return every case that is harmed as planned, and the constants that fit all cases."""
        said = [
            f"{case.path}, {case.condition}: {gain:+.2f}"
            for case, gain in zip(self.cases, self._gains(self._added({})), strict=True)
            if gain < HARMED
        ]
        best = TRIALS[int(np.argmax(self._scores(np.ones(len(self.cases), bool))))]
        return [f"Best over all cases: {best}.", *said]

    def to_dict(self) -> dict[str, Any]:
        """Return all cases as plain JSON values."""
        return {"cases": [asdict(case) for case in self.cases]}

    def on_unseen_artists(self) -> Array:
        """Return which share is added if each artist's constants come from all the others."""
        artists = np.array([case.artist for case in self.cases])
        added = np.zeros(len(self.cases))
        for artist in np.unique(artists):
            best = int(np.argmax(self._scores(artists != artist)))
            added[artists == artist] = self._trials[best][artists == artist]
        return added

    @cached_property
    def _trials(self) -> list[Array]:
        """What each of the trials adds to the cases."""
        return [self._added(ramps) for ramps in TRIALS]

    def _added(self, ramps: Mapping[str, bandwidth.Ramp]) -> Array:
        """Return which share is added to each case, as planned or with other signs."""
        return np.array([bandwidth.share_added(case.details, **ramps)[0] for case in self.cases])

    def _scores(self, chosen: NDArray[np.bool_]) -> Array:
        """Return how good each trial is on some of the cases: the harm that is left, and means."""
        conditions = np.array([case.condition for case in self.cases])[chosen]
        everything = self._gains(np.ones(len(self.cases)))[chosen]
        scores = []
        for added in self._trials:
            gains = self._gains(added)[chosen]
            lost = [(everything - gains)[conditions == name].mean() for name in set(conditions)]
            score = np.minimum(gains - HARMED, 0).mean() + 0.5 * (gains - everything).mean()
            scores.append(score if max(lost) <= MEAN_LOSS_MAX else -np.inf)
        return np.array(scores)

    def _gains(self, added: Array) -> Array:
        """Return what each case gains over nothing with a share of the treble."""
        nothing, some, everything = np.array([c.mos for c in self.cases if c.mos is not None]).T
        low, high = np.minimum(2 * added, 1), np.maximum(2 * added - 1, 0)
        return np.asarray(low * (some - nothing) + high * (everything - some), np.float64)

    def _line(self, added: Array) -> tuple[str, ...]:
        gains = self._gains(added)
        conditions = np.array([case.condition for case in self.cases])
        means = [f"{gains[conditions == name].mean():+.3f}" for name in CONDITIONS]
        harmed = gains[gains < HARMED]
        return (*means, str(len(harmed)), f"{harmed.sum():.2f}", f"{gains.min():+.2f}")


def _ramps(faint_db: float, dying_db: float) -> dict[str, bandwidth.Ramp]:
    """Return signs as wide and as strong as those of the stage that set in elsewhere."""
    (least_db, _), shares = bandwidth.FAINT
    return {
        "faint": ((least_db, faint_db), shares),
        "dying": ((dying_db - 1.0, dying_db), bandwidth.DYING[1]),
    }


TRIALS = [_ramps(*constants) for constants in product(FAINT_DB, DYING_DB)]


def measure(
    folder: Path,
    out: Path,
    *,
    limit: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Caution:
    """Return all cases of a folder of music; what `out` already holds is not measured again.

    Args:
        folder: holds music and an `index.csv` with path, author, duration_seconds and
            bandwidth_max_hz.
        out: folder that the cases are kept in.
        limit: at most so many excerpts.
        on_progress: called with `(done, total)` excerpts.

    Raises:
        ConfigError: the folder has no index, or nothing in it reaches 19 kHz.
    """
    excerpts = list(_excerpts(folder))[:limit]
    if not excerpts:
        raise ConfigError(f"{folder} has no music that reaches {FULL_BAND_HZ / 1000:g} kHz.")
    out.mkdir(parents=True, exist_ok=True)
    path = out / CASES
    known = {(case.path, case.condition): case for case in _read(path)}
    with path.open("a", encoding="utf-8") as file:
        for done, (row, start) in enumerate(excerpts):
            for condition in CONDITIONS:
                if (row["path"], condition) not in known:
                    case = _measured(folder, row, start, condition)
                    known[case.path, condition] = case
                    file.write(json.dumps(asdict(case)) + "\n")
                    file.flush()
            if on_progress is not None:
                on_progress(done + 1, len(excerpts))
    chosen = [known[row["path"], condition] for row, _ in excerpts for condition in CONDITIONS]
    return Caution([case for case in chosen if case.mos is not None])


def _read(path: Path) -> Iterator[Case]:
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            values = json.loads(line)
            yield Case(**{**values, "mos": values["mos"] and tuple(values["mos"])})


def _excerpts(folder: Path) -> Iterator[tuple[dict[str, str], float]]:
    """Yield rows of the index and where to begin: first one of each artist, then a second."""
    try:
        text = (folder / INDEX).read_text(encoding="utf-8")
    except OSError:
        raise ConfigError(f"{folder} has no {INDEX} that says who made what.") from None
    by_artist: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(text.splitlines()):
        reaches = float(row["bandwidth_max_hz"]) >= FULL_BAND_HZ
        if reaches and float(row["duration_seconds"]) >= SECONDS_MIN:
            by_artist.setdefault(row["author"], []).append(row)
    for number in range(OF_AN_ARTIST):
        for _, rows in sorted(by_artist.items()):
            if number < len(rows):
                row, seconds = rows[number], float(rows[number]["duration_seconds"])
                yield row, max(0.0, min(PLACES[number] * seconds, seconds - SECONDS))


def _measured(folder: Path, row: Mapping[str, str], start: float, condition: str) -> Case:
    """Return what one excerpt gains in one condition."""
    import nitido
    from nitido.metrics.perceptual import visqol

    wav, _ = read(
        folder / row["path"], start_seconds=start, seconds=SECONDS, sample_rate=SAMPLE_RATE
    )
    clean = faded(wav[:2], sample_rate=SAMPLE_RATE)
    spoilt = apply([CONDITIONS[condition]], clean, sample_rate=SAMPLE_RATE)
    diagnosis = nitido.diagnose(spoilt, sample_rate=SAMPLE_RATE)
    step = bandwidth.Bandwidth.plan(diagnosis, bandwidth.Bandwidth.defaults)
    details = diagnosis["bandwidth"].details
    mos = None
    if step.on and clean.any():
        heard = []
        for amount in (0.0, 0.5, 1.0):
            settings = {**step.settings, "amount": amount}
            stage = bandwidth.Bandwidth(
                settings, sample_rate=SAMPLE_RATE, channels=len(spoilt), samples=spoilt.shape[1]
            )
            side = stage.context_samples
            added = stage.apply(np.pad(spoilt, ((0, 0), (side, side))), start=0)
            both = {"estimate": mono(added), "reference": mono(clean)}
            heard.append(visqol(**both, sample_rate=SAMPLE_RATE) or 0.0)
        mos = (heard[0], heard[1], heard[2])
    return Case(row["path"], row["author"], condition, details, mos)
