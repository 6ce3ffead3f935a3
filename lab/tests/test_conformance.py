"""Every meter against the cases of its standard, and the page that says so."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from nitido_lab import conformance
from nitido_lab.cli import main
from nitido_lab.conformance import Case, as_table, measure

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return measure()


def test_every_meter_reads_what_its_standard_says(cases: list[Case]) -> None:
    assert [case.row() for case in cases if not case.passes] == []


def test_all_cases_that_can_be_made_by_code_are_measured(cases: list[Case]) -> None:
    assert {case.number for case in cases} == {
        *(f"Tech 3341, {number}" for number in (*range(1, 7), 9, 10, 12, 13, *range(15, 24))),
        *(f"Tech 3342, {number}" for number in range(1, 5)),
        "by definition",
    }


def test_the_page_says_what_is_measured(cases: list[Case]) -> None:
    lines = PAGE.read_text("utf-8").splitlines()
    written = [tuple(line.strip("| ").split(" | ")) for line in lines if line.startswith("| ")]
    _, _, *written = written  # head and rule
    measured = as_table(cases).rows
    read = conformance.COLUMNS.index("read")
    assert [row[:read] + row[read + 1 :] for row in written] == [
        row[:read] + row[read + 1 :] for row in measured
    ]
    for old, new in zip(written, measured, strict=True):  # another machine may round otherwise
        readings = [
            [float(figure.replace("−", "-")) for figure in row[read].split(" to ")]
            for row in (old, new)
        ]
        assert readings[0] == pytest.approx(readings[1], abs=0.02), new


def test_a_reading_beyond_the_tolerance_fails_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Case("true peak, dBTP", "Tech 3341, 15", "a tone", -6.0, 0.4, 0.2, (-6.3, -5.7))
    monkeypatch.setattr(conformance, "measure", lambda: [case])
    done = CliRunner().invoke(main, ["conformance"])
    assert done.exit_code == 1
    assert "Tech 3341, 15 (true peak, dBTP)" in done.stderr
