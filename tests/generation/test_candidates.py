"""Which candidate is kept, and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest

from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.generation.candidates import Candidate, artefact_points, choose, faults


def diagnosis(*, lufs: float | None = -14.0, **severities: Any) -> Diagnosis:
    found = tuple(Finding(kind, 1.0, "dB", level, kind) for kind, level in severities.items())
    loudness = Finding("loudness", lufs, "LUFS", "ok", "loudness")
    return Diagnosis(32_000, 1, 32_000, (*found, loudness))


def test_a_clean_piece_has_no_points_and_a_worse_one_more() -> None:
    points = [
        artefact_points(diagnosis(comb=severity))
        for severity in ("ok", "slight", "moderate", "severe")
    ]
    assert points[0] == 0
    assert points == sorted(set(points))


def test_two_clear_faults_are_worse_than_three_slight_ones() -> None:
    clear = diagnosis(comb="moderate", end="moderate")
    assert artefact_points(clear) > artefact_points(diagnosis(a="slight", b="slight", c="slight"))


def test_quiet_or_narrow_is_no_artefact() -> None:
    assert artefact_points(diagnosis(width="severe")) == 0
    assert faults(diagnosis(width="severe", comb="slight")) == {"comb": "slight"}


def test_silence_is_worse_than_any_music() -> None:
    bad = diagnosis(comb="severe", clipping="severe", end="severe", gaps="severe", dc="severe")
    assert artefact_points(diagnosis(lufs=None)) > artefact_points(bad)


def test_the_one_with_the_fewest_artefacts_is_kept_and_the_next_is_named() -> None:
    choice = choose(
        [
            Candidate("one", diagnosis(comb="moderate")),
            Candidate("two", diagnosis(end="slight")),
            Candidate("three", diagnosis(comb="severe")),
        ]
    )
    assert choice.kept == 1
    assert choice.reason == ("two has fewest artefacts (1 point; the next best 4): end slight.")


def test_what_is_left_after_restoring_counts_before_what_was_there() -> None:
    choice = choose(
        [
            Candidate("one", diagnosis(comb="slight"), diagnosis(comb="slight")),
            Candidate("two", diagnosis(comb="severe"), diagnosis(comb="ok")),
        ]
    )
    assert choice.kept == 1


def test_equal_after_restoring_the_one_that_needed_least_is_kept() -> None:
    choice = choose(
        [
            Candidate("one", diagnosis(comb="severe"), diagnosis()),
            Candidate("two", diagnosis(comb="slight"), diagnosis()),
        ]
    )
    assert choice.kept == 1
    assert "before restoring (1 point; the next best 9)" in choice.reason


def test_of_equal_ones_the_first_is_kept() -> None:
    choice = choose([Candidate(name, diagnosis(comb="moderate")) for name in ("one", "two")])
    assert choice.kept == 0
    assert "nothing tells them apart" in choice.reason


def test_the_record_says_what_was_found_in_each() -> None:
    (record,) = choose([Candidate("one", diagnosis(comb="moderate"), diagnosis())]).candidates
    assert record == {
        "name": "one",
        "points": 0,
        "points_as_generated": 4,
        "faults": {},
        "faults_as_generated": {"comb": "moderate"},
    }


@pytest.mark.parametrize("count", [1, 2])
def test_every_choice_has_a_reason(count: int) -> None:
    choice = choose([Candidate(f"take {n}", diagnosis()) for n in range(count)])
    assert choice.reason.startswith("take 0")
