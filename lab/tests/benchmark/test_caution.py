from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import soundfile as sf

from nitido.demo.render import render
from nitido.errors import ConfigError
from nitido_lab.benchmark import caution
from nitido_lab.benchmark.caution import CASES, CONDITIONS, Case, Caution, measure

INDEX = "path,author,duration_seconds,bandwidth_max_hz\n"


def case(artist: str, condition: str, *, faint: bool) -> Case:
    """Return a case in which faint treble does harm, and little of it does none."""
    details = {
        "ceiling_hz": 11_000.0,
        "end_fall_db_per_khz": -2.0,
        "treble_db": -40.0 if faint else -20.0,
        "wall_db": 30.0 if faint else 60.0,
    }
    mos = (4.5, 4.51, 4.3) if faint else (3.0, 3.5, 4.0)
    return Case(f"{artist}.wav", artist, condition, details, mos)


@pytest.fixture
def cases() -> list[Case]:
    return [
        case(f"{faint}-{number}", condition, faint=faint)
        for faint in (True, False)
        for number in range(4)
        for condition in CONDITIONS
    ]


def test_harm_that_has_a_sign_is_avoided_and_costs_the_others_nothing(cases: list[Case]) -> None:
    (table,) = Caution(cases).tables()
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["all of it"][-3:] == ("20", "-4.00", "-0.20")
    for name in ("as planned", "constants chosen without the artist"):
        assert rows[name][-3] == "0"
        assert float(rows[name][0]) == pytest.approx(0.5, abs=0.01)


def test_a_case_that_is_measured_is_not_measured_again(
    tmp_path: Path, cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    music, out = tmp_path / "music", tmp_path / "out"
    music.mkdir()
    out.mkdir()
    (music / "index.csv").write_text(INDEX + "True-0.wav,True-0,9,20000\nlow.wav,B,9,15000\n")
    lines = [json.dumps(asdict(each)) for each in cases if each.artist == "True-0"]
    (out / CASES).write_text("\n".join(lines) + "\n")
    monkeypatch.delattr(caution, "_measured")
    assert [each.condition for each in measure(music, out).cases] == list(CONDITIONS)


def test_music_without_the_names_of_its_artists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="says who made what"):
        measure(tmp_path, tmp_path / "out")


def test_what_is_cut_off_gains_by_what_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("visqol")
    monkeypatch.setattr(caution, "CONDITIONS", {"11-khz": CONDITIONS["11-khz"]})
    sf.write(tmp_path / "song.wav", render(seconds=4.0).T, 48_000)
    (tmp_path / "index.csv").write_text(INDEX + "song.wav,nobody,4,24000\n")
    (found,) = measure(tmp_path, tmp_path / "out").cases
    assert found.mos is not None
    nothing, some, everything = found.mos
    assert nothing + 0.1 < some < everything
