"""Listening tests: a page to send to people, and what they heard by the results that it saved.

How the results are judged:

ABX: the number of right answers against guessing, exact binomial test, one-sided, with the exact
95 % interval of the share. All trials of a pair are taken together, so the answer holds for these
listeners and this piece.
Rating: for every two versions the differences of the ratings, one per listener (the mean over the
passages), or one per passage where there is one listener only. Wilcoxon signed-rank test,
two-sided, with zeros ranked among the rest (Pratt): ratings end at 0 and 100, and are not normal.
SciPy's is exact for up to 50 differences, with ties or zeros for up to 13; beyond that normal. The
interval is Student's, 95 %, of the mean difference. A listener who rates the hidden reference below
90 in more than 15 % of the passages is left out.
The p of all pairs of one kind are corrected together after Holm.

Source: ITU-R BS.1116-3; ITU-R BS.1534-3, sec. 4.1.2 (post-screening); Holm, A simple sequentially
rejective multiple test procedure, Scand. J. Statist. 6, 1979.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nitido.audio.validation import read_text
from nitido.dsp.wav import Wav
from nitido.errors import AudioReadError, ConfigError
from nitido.report.listening import FORMAT, write_listening_test_of_pieces
from nitido_lab.benchmark.clips import SAMPLE_RATE, at_rate, excerpt_of, read

PAIRS, TRIALS = 12, 24  # of a test that is sent to people: about half an hour
PASSAGE_SECONDS = 10.0  # is restored, of which 8 s are heard
MOST = 500  # trials, passages or versions of a session; the statistics grow with their square
CONFIDENCE, ALPHA = 0.95, 0.05
HIDDEN_REFERENCE_MIN, HIDDEN_REFERENCE_SHARE = 90, 0.15


@dataclass(frozen=True)
class AbxResult:
    """Whether two versions could be told apart.

    Attributes:
        pair: names, in alphabetical order.
        listeners: who answered.
        trials: answers given.
        correct: of these right.
        share: of right answers; 0.5 is guessing.
        low: end of the exact 95 % interval of the share.
        high: its other end.
        p: chance of so many right answers by guessing.
        p_holm: the same, corrected for the number of pairs.
    """

    pair: tuple[str, str]
    listeners: int
    trials: int
    correct: int
    share: float
    low: float
    high: float
    p: float
    p_holm: float

    def sentence(self) -> str:
        """Return the result in words."""
        first, second = self.pair
        told = "can be told apart" if self.p_holm < ALPHA else "were not shown to differ"
        return (
            f"{first} and {second} {told}: {self.correct} of {self.trials} right "
            f"({100 * self.share:.0f} %, 95 % interval {100 * self.low:.0f} to "
            f"{100 * self.high:.0f} %), {_p(self.p_holm)}."
        )


@dataclass(frozen=True)
class RatingResult:
    """How much better one version was rated than another.

    Attributes:
        pair: names; the better one first.
        unit: what a difference belongs to, ``"listener"`` or ``"passage"``.
        count: of differences.
        difference: mean, points of 100.
        low: end of the 95 % interval of the mean; None for one difference.
        high: its other end.
        p: chance of such differences if nobody preferred either.
        p_holm: the same, corrected for the number of pairs.
    """

    pair: tuple[str, str]
    unit: str
    count: int
    difference: float
    low: float | None
    high: float | None
    p: float
    p_holm: float

    def sentence(self) -> str:
        """Return the result in words."""
        first, second = self.pair
        told = "is rated above" if self.p_holm < ALPHA else "was not shown to differ from"
        interval = (
            "" if self.low is None else f", 95 % interval {self.low:+.1f} to {self.high:+.1f}"
        )
        return (
            f"{first} {told} {second}: {self.difference:+.1f} points of 100{interval}, "
            f"{_p(self.p_holm)} ({self.count} {self.unit}{'s' * (self.count != 1)})."
        )


@dataclass(frozen=True)
class ListeningResults:
    """What the listeners heard.

    Attributes:
        listeners: all whose results were read.
        left_out: of the rating, by post-screening.
        abx: per pair.
        means: rating per version, points of 100, best first.
        ratings: per pair of versions.
    """

    listeners: tuple[str, ...]
    left_out: tuple[str, ...]
    abx: tuple[AbxResult, ...]
    means: Mapping[str, float]
    ratings: tuple[RatingResult, ...]

    def sentences(self) -> list[str]:
        """Return the results in words, one sentence each."""
        said = [result.sentence() for result in self.abx]
        said += [result.sentence() for result in self.ratings]
        if self.left_out:
            said.append(
                f"Left out of the rating, for not finding the hidden reference: "
                f"{', '.join(self.left_out)}."
            )
        return said

    def to_dict(self) -> dict[str, Any]:
        """Return the results as plain JSON values."""
        return {**asdict(self), "sentences": self.sentences()}


@dataclass(frozen=True)
class PairsTest:
    """A page that was written: where, of which pieces, and in which nothing was repaired."""

    path: Path
    pieces: tuple[str, ...]
    unchanged: tuple[str, ...]


def write_pairs_test(
    folder: str | Path,
    paths: Sequence[Path],
    *,
    pairs: int = PAIRS,
    preset: str = "auto",
    without: Sequence[str] = (),
    seed: int = 0,
    trials: int = TRIALS,
    overwrite: bool = False,
) -> PairsTest:
    """Write one page of a blind test: a passage of each of several pieces, before and after nitido.

    Both play at one loudness, so the loudness stage is left out; edges too, for a passage has none.
    A piece in which nothing else is repaired is no pair, and the next one is taken.

    Args:
        folder: where to.
        paths: of the pieces, in the order in which they are tried.
        pairs: how many are wanted.
        preset: to restore with.
        without: stages that do not run either.
        seed: of the order in which everything is presented.
        trials: of ABX, spread over the pieces.
        overwrite: replace an earlier page.

    Raises:
        ConfigError: nothing is repaired in any of the pieces.
        NitidoError: as `nitido.restore` and `write_listening_test_of_pieces`.
    """
    import nitido

    found: dict[str, dict[str, Wav]] = {}
    unchanged = []
    for path in paths:
        if len(found) == pairs:
            break
        start, seconds = excerpt_of(path, PASSAGE_SECONDS)
        wav, rate = read(path, start_seconds=start, seconds=seconds)
        with nitido.restore(
            wav, sample_rate=rate, preset=preset, without=[*without, "ending", "loudness"]
        ) as after:
            if any(step.on for step in after.plan.steps):
                found[path.name] = {"before": at_rate(wav, from_hz=rate), "after": after.wav}
            else:
                unchanged.append(path.name)
    if not found:
        raise ConfigError("Nothing is repaired in any of these pieces; there is nothing to hear.")
    page = write_listening_test_of_pieces(
        folder,
        pieces=list(found.values()),
        sample_rate=SAMPLE_RATE,
        title=f"Before or after: {len(found)} pieces",
        seed=seed,
        trials=trials,
        overwrite=overwrite,
    )
    return PairsTest(page, tuple(found), tuple(unchanged))


def analyse_listening_results(paths: Iterable[str | Path]) -> ListeningResults:
    """Return the statistics of results that the page saved, of any number of listeners and pieces.

    Raises:
        ConfigError: a file cannot be read or holds no such results, or two hold the same session.
    """
    sessions = [_read(Path(path)) for path in paths]
    if not sessions:
        raise ConfigError("There are no results; give the files that the listeners saved.")
    keys = [(session["test"], session["listener"], session["began"]) for session in sessions]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise ConfigError(f"The session of {twice[1]!r} was given twice; count it once.")
    left_out = {session["listener"] for session in sessions if _misses_reference(session)}
    rated = [session for session in sessions if session["listener"] not in left_out]
    means, ratings = _judge_ratings(rated)
    return ListeningResults(
        tuple(sorted({session["listener"] for session in sessions})),
        tuple(sorted(left_out)),
        tuple(_judge_abx(sessions)),
        means,
        tuple(ratings),
    )


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, after Holm; in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda index: p[index])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        corrected[index] = highest
    return corrected


def _judge_abx(sessions: Iterable[Mapping[str, Any]]) -> Iterable[AbxResult]:
    answers: dict[tuple[str, str], list[bool]] = defaultdict(list)
    listeners: dict[tuple[str, str], set[str]] = defaultdict(set)
    for session in sessions:
        for trial in session["abx"]:
            first, second = sorted(trial["pair"])
            answers[first, second].append(trial["answer"] == trial["x"])
            listeners[first, second].add(session["listener"])
    tests = {
        pair: stats.binomtest(sum(given), len(given), 0.5, alternative="greater")
        for pair, given in answers.items()
    }
    corrected = holm([float(test.pvalue) for test in tests.values()])
    for (pair, test), p_holm in zip(tests.items(), corrected, strict=True):
        right, trials = sum(answers[pair]), len(answers[pair])
        share = stats.binomtest(right, trials, 0.5).proportion_ci(CONFIDENCE, method="exact")
        yield AbxResult(
            pair,
            len(listeners[pair]),
            trials,
            right,
            right / trials,
            float(share.low),
            float(share.high),
            float(test.pvalue),
            p_holm,
        )


def _judge_ratings(
    sessions: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, float], list[RatingResult]]:
    unit = "listener" if len({session["listener"] for session in sessions}) > 1 else "passage"
    given: dict[str, dict[Any, list[float]]] = defaultdict(lambda: defaultdict(list))
    for session in sessions:
        for number, rating in enumerate(session["ratings"]):
            of = session["listener"]
            key = of if unit == "listener" else (session["test"], session["began"], number)
            for name, score in rating["scores"].items():
                given[name][key].append(score)
    scores = {
        name: {key: float(np.mean(values)) for key, values in units.items()}
        for name, units in given.items()
    }
    means = {name: float(np.mean(list(units.values()))) for name, units in scores.items()}
    means = dict(sorted(means.items(), key=lambda item: -item[1]))
    found = []
    for first, second in combinations(means, 2):  # the better one is first already
        common = sorted(scores[first].keys() & scores[second].keys())
        if common:
            apart = np.array([scores[first][key] - scores[second][key] for key in common])
            found.append(_judge_differences((first, second), unit, apart))
    corrected = holm([result.p for result in found])
    return means, [
        RatingResult(**{**vars(result), "p_holm": p_holm})
        for result, p_holm in zip(found, corrected, strict=True)
    ]


def _judge_differences(
    pair: tuple[str, str], unit: str, apart: NDArray[np.float64]
) -> RatingResult:
    if not apart.any():
        return RatingResult(pair, unit, len(apart), 0.0, 0.0, 0.0, 1.0, 1.0)
    p = float(stats.wilcoxon(apart, zero_method="pratt").pvalue)
    low = high = None
    if len(apart) > 1:
        reach = stats.t.ppf((1 + CONFIDENCE) / 2, len(apart) - 1) * stats.sem(apart)
        low, high = float(apart.mean() - reach), float(apart.mean() + reach)
    return RatingResult(pair, unit, len(apart), float(apart.mean()), low, high, p, p)


def _misses_reference(session: Mapping[str, Any]) -> bool:
    """Return whether a listener did not find the hidden reference again."""
    if not session["reference"] or not session["ratings"]:
        return False
    scores = [rating["scores"]["reference"] for rating in session["ratings"]]
    return bool(np.mean([s < HIDDEN_REFERENCE_MIN for s in scores]) > HIDDEN_REFERENCE_SHARE)


def _read(path: Path) -> dict[str, Any]:
    """Read one file of results, and check all that the statistics rely on."""
    try:
        content = json.loads(read_text(path))
    except AudioReadError as error:
        raise ConfigError(str(error)) from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is not JSON; give the file that the page saved.") from None
    if not isinstance(content, dict) or content.get("nitido_listening_test") != FORMAT:
        raise ConfigError(f"{path} holds no results of a listening test that this nitido reads.")
    try:
        session = {
            "test": str(content["test"]),
            "listener": str(content["listener"]).strip(),
            "began": str(content["began"]),
            "reference": bool(content["reference"]),
            "abx": [_trial(trial) for trial in content["abx"]],
            "ratings": [{"scores": _scores(rating["scores"])} for rating in content["ratings"]],
        }
        _misses_reference(session)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise ConfigError(f"The results in {path} are incomplete; save them again.") from None
    rated = [len(rating["scores"]) for rating in content["ratings"]]
    if max(len(rated), len(content["abx"]), *rated) > MOST:
        raise ConfigError(f"{path} holds more than the {MOST} answers of a listening test.")
    return session


def _trial(trial: Any) -> dict[str, Any]:
    first, second = trial["pair"]
    if not {trial["x"], trial["answer"]} <= {first, second}:
        raise ValueError
    return {"pair": (str(first), str(second)), "x": trial["x"], "answer": trial["answer"]}


def _scores(scores: Any) -> dict[str, float]:
    read = {str(name): float(score) for name, score in scores.items()}
    if not all(0 <= score <= 100 for score in read.values()):
        raise ValueError
    return read


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
