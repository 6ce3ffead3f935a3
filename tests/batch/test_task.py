from pathlib import Path
from typing import Any

import pytest

from nitido.batch import Outcome, Request, Task, make_tasks
from nitido.batch.task import DEFAULTS, explain, one_line
from nitido.errors import AudioReadError, ConfigError
from nitido.restoration.plan import Plan

PLAN = Plan.from_dict({"steps": [{"stage": "dc"}], "preset": "mine"})


def test_a_task_travels_as_json() -> None:
    request = Request({"preset": "gentle", "without": ["dc"]}, PLAN, format="flac", resume=True)
    task = Task("s3://a/b.wav", "c.flac", request, "b.wav", "b")
    assert Task.from_json(task.to_json()) == task


def test_an_outcome_travels_as_json() -> None:
    outcome = Outcome("a", "b", "failed", error="x: \udcff", account=["dc"])
    assert Outcome.from_json(outcome.to_json()) == outcome


@pytest.mark.parametrize(
    "other",
    [
        {"choice": {"preset": "gentle"}},
        {"choice": {"settings": {"bandwidth.amount": 0.5}}},
        {"choice": {"output_sample_rate": 44_100}},
        {"plan": PLAN},
        {"format": "flac"},
        {"bit_depth": 16},
        {"removed": True},
        {"report": True},
        {"stems": True},
    ],
)
def test_what_changes_a_result_changes_the_fingerprint(other: dict[str, Any]) -> None:
    assert Request(**other).fingerprint != Request().fingerprint


@pytest.mark.parametrize(
    "other", [{"lent": {"demucs_repo": "/models"}}, {"overwrite": True}, {"resume": True}]
)
def test_what_changes_no_result_changes_no_fingerprint(other: dict[str, Any]) -> None:
    assert Request(**other).fingerprint == Request().fingerprint


def test_a_choice_that_is_the_default_is_the_same_as_none() -> None:
    import inspect

    import nitido

    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(nitido.restore).parameters.items()
        if name in DEFAULTS
    }
    assert {**defaults, "without": [], "settings": {}} == DEFAULTS
    assert Request(DEFAULTS).fingerprint == Request().fingerprint


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request({"preset": "musicgem"}), "musicgen"),
        (Request({"settings": {"bandwidth.amuont": 1}}), "amount"),
        (Request(format="m4a"), "format"),
        (Request(bit_depth=12), "bit depth"),
    ],
)
def test_a_wrong_request_is_refused_before_any_work(request_: Request, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        request_.check()


def test_a_file_name_cannot_break_a_line_or_command_the_terminal() -> None:
    assert one_line("a\nb\x1b[2J.wav") == "a\\nb\\x1b[2J.wav"
    assert explain(AudioReadError("a\nb is empty.")) == "a\\nb is empty."
    assert explain(RuntimeError("lamp\nout")) == "unexpected RuntimeError: lamp out"


def test_standard_input_is_no_piece_of_many(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="single stream"):
        make_tasks(["-", "a.wav"], Request(), output=f"{tmp_path}/")
