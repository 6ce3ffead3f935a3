from pathlib import Path
from typing import Any

import pytest
from tests.batch.cases import how

from nitido.batch import Job, Outcome, RestoreOptions, make_jobs
from nitido.errors import AudioReadError, ConfigError, explain, one_line
from nitido.restoration.plan import Plan

PLAN = Plan.from_dict({"steps": [{"stage": "dc"}], "preset": "mine"})


@pytest.mark.parametrize(
    "options",
    [RestoreOptions(plan=PLAN, stems=True), RestoreOptions("gentle", without=["dc"], stages=None)],
)
def test_a_job_travels_as_json(options: RestoreOptions) -> None:
    job = Job("s3://a/b.wav", "c.flac", options, format="flac", resume=True, place="b.wav")
    assert Job.from_json(job.to_json()) == job


def test_an_outcome_travels_as_json() -> None:
    outcome = Outcome("a", "b", "failed", error="x: \udcff", account=["dc"])
    assert Outcome.from_json(outcome.to_json()) == outcome


@pytest.mark.parametrize(
    "other",
    [
        {"preset": "gentle"},
        {"settings": {"bandwidth.amount": 0.5}},
        {"output_sample_rate": 44_100},
        {"plan": PLAN},
        {"format": "flac"},
        {"bit_depth": 16},
        {"removed": True},
        {"report": True},
        {"stems": True},
    ],
)
def test_what_changes_a_result_changes_the_fingerprint(other: dict[str, Any]) -> None:
    assert how(**other).fingerprint != Job().fingerprint


@pytest.mark.parametrize(
    "other", [{"demucs_repo": "/models"}, {"overwrite": True}, {"resume": True}]
)
def test_what_changes_no_result_changes_no_fingerprint(other: dict[str, Any]) -> None:
    assert how(**other).fingerprint == Job().fingerprint


def test_a_choice_that_is_the_default_is_the_same_as_none() -> None:
    spelt = how(preset="auto", without=[], settings={}, output_sample_rate=48_000)
    assert spelt.fingerprint == Job().fingerprint


def test_the_fingerprint_is_the_one_that_older_sidecars_hold() -> None:
    choice = {"preset": "musicgen", "stages": None, "without": ["dc"], "settings": {}}
    assert how(preset="musicgen", without=["dc"]).fingerprint == {
        "choice": {**choice, "output_sample_rate": 48_000},
        "format": None, "bit_depth": None, "removed": False, "report": False, "stems": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"preset": "musicgem"}, "musicgen"),
        ({"settings": {"bandwidth.amuont": 1}}, "amount"),
        ({"format": "wma"}, "format"),
        ({"bit_depth": 12}, "bit depth"),
    ],
)
def test_a_wrong_choice_is_refused_before_any_work(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        how(**wrong)


def test_a_file_name_cannot_break_a_line_or_command_the_terminal() -> None:
    assert one_line("a\nb\x1b[2J.wav") == "a\\nb\\x1b[2J.wav"
    assert explain(AudioReadError("a\nb is empty.")) == "a\\nb is empty."
    assert explain(RuntimeError("lamp\nout")) == "unexpected RuntimeError: lamp out"


def test_standard_input_is_no_piece_of_many(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="single stream"):
        make_jobs(["-", "a.wav"], Job(), output=f"{tmp_path}/")
