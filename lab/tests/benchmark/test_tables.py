import json

import numpy as np
import pytest

from nitido_lab.benchmark.runner import Result, TaskResults
from nitido_lab.benchmark.tables import Summary, Table, interval


def outcome(task: str = "codec", *, clips: int = 10, **systems: float) -> TaskResults:
    """A task in which each system reads its own ViSQOL, and a bit more on every further clip."""
    results = [
        Result(
            f"song{clip}.mp3-64",
            "mp3-64",
            system,
            {"visqol_mos": visqol + clip / 100, "si_sdr_db": 20.0 + clip % 2},
            {},
            0.1,
        )
        for clip in range(clips)
        for system, visqol in systems.items()
    ]
    return TaskResults(task, tuple(results), {}, len(results))


def column(table: Table, head: str) -> dict[str, list[str]]:
    place = table.columns.index(head)
    return {row[0]: row[place].split("\n") for row in table.rows}


def test_a_cell_is_mean_interval_and_worst_clip() -> None:
    (table,) = Summary(outcome(nitido=3.5, resample=3.0, clips=9)).tables()
    cells = column(table, "ViSQOL, MOS ↑")
    mean, between, worst = cells["nitido"]
    low, high = map(float, between.split("…"))
    assert (mean, worst) == ("3.54", "worst 3.50")
    assert low < 3.54 < high
    assert high - low < 0.06


def test_the_worst_distance_is_the_largest() -> None:
    results = [
        Result(f"s{n}", "", "nitido", {"lsd_below_8_khz_db": float(n)}, {}, 0.0) for n in range(4)
    ]
    (table,) = Summary(TaskResults("codec", tuple(results), {}, 0)).tables()
    assert column(table, "LSD < 8 kHz, dB ↓")["nitido"][2] == "worst 3.00"


def test_the_interval_holds_the_mean_nineteen_times_out_of_twenty() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        low, high = interval(rng.normal(1.0, 2.0, 30))
        held += low <= 1.0 <= high
    assert 180 <= held <= 198
    assert interval(np.array([5.0])) == (5.0, 5.0)
    assert interval(np.arange(9.0)) == interval(np.arange(9.0))


def test_losing_is_said_plainly() -> None:
    said = Summary(outcome(nitido=3.0, resample=3.2)).sentences()
    assert said[0] == (
        "nitido loses to resample in ViSQOL, MOS: 3.04 against 3.25, by 0.20 (95 % 0.20…0.20), "
        "10 clips."
    )
    assert "worse than doing nothing on 10 of 10 clips, most on song" in said[1]


def test_winning_is_not_boasted_of() -> None:
    said = Summary(outcome(nitido=3.5, resample=3.0)).sentences()
    assert said == [
        "nitido loses to none of these in any measure, beyond chance.",
        "By ViSQOL, MOS, nitido is worse than doing nothing on none of 10 clips.",
    ]


def test_a_few_pieces_prove_nothing() -> None:
    said = Summary(outcome(nitido=3.0, resample=3.2, clips=5)).sentences()
    assert said[0] == "Too few pieces of music to tell a difference from chance: 5."


def test_one_piece_through_many_codecs_is_still_one_piece() -> None:
    results = [
        Result(f"song{n}.{group}", group, system, {"visqol_mos": visqol + n}, {}, 0.0)
        for n in range(2)
        for group in "abcdef"
        for system, visqol in (("nitido", 3.0), ("resample", 3.2))
    ]
    summary = Summary(TaskResults("codec", tuple(results), {}, 0))
    assert summary.duels() == []
    main, by_group = summary.tables()
    assert column(main, "ViSQOL, MOS ↑")["nitido"][1] == "3.00…4.00"
    assert by_group.columns == ("system", *"abcdef")
    assert by_group.rows[0] == ("nitido", *["3.50"] * 6)


def test_all_systems_are_shown_on_the_same_clips() -> None:
    made = outcome(nitido=3.5, resample=3.0)
    results = [
        r
        if (r.system, r.clip) != ("resample", "song9.mp3-64")
        else Result(r.clip, r.group, r.system, {}, {}, 0.0, f"no file for {r.clip}.")
        for r in made.results
    ]
    summary = Summary(TaskResults("codec", tuple(results), {}, 0))
    assert len(summary.clips) == 9
    assert column(summary.tables()[0], "ViSQOL, MOS ↑")["nitido"][0] == "3.54"
    assert summary.sentences()[-1] == (
        "1 of 10 clips are left out, for not every system has them: resample 1 ×, no file for …."
    )


def test_doing_nothing_does_not_win_where_nothing_was_to_be_done() -> None:
    results = [
        Result(f"s{n}", "", system, {"si_sdr_db": value, "comb_400_hz_db": 1.0}, {}, 0.0)
        for n in range(8)
        for system, value in (("nitido", 20.0), ("resample", 120.0), ("eq", 25.0))
    ]
    said = Summary(TaskResults("comb", tuple(results), {"demucs": "no demucs"}, 0)).sentences()
    assert any("loses to eq in SI-SDR" in sentence for sentence in said)
    assert not any("resample" in sentence for sentence in said)
    assert said[-1] == "Left out: demucs (no demucs)."


def test_everything_can_be_had_as_json() -> None:
    said = json.loads(json.dumps(Summary(outcome(nitido=3.5, resample=3.0)).to_dict()))
    assert said["systems"]["nitido"]["visqol_mos"]["worst"] == 3.5
    assert len(said["figures"]) == 20


def test_a_wide_table_is_shown_in_parts() -> None:
    table = Table("t", tuple("nabcde"), (tuple("123456"),))
    parts = table.parts(3)
    assert [part.columns for part in parts] == [tuple("nabc"), tuple("nde")]
    assert [part.rows for part in parts] == [(tuple("1234"),), (tuple("156"),)]


def test_no_clips_at_all_are_shown_as_none() -> None:
    failed = Result("s", "", "nitido", {}, {}, 0.0, "broken")
    summary = Summary(TaskResults("codec", (failed,), {}, 0))
    assert summary.tables()[0].rows == (("nitido",),)
    with pytest.raises(IndexError):
        summary.duels()[0]
