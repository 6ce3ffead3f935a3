from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from nitido.demo.comb import add_comb
from nitido.demo.render import render
from nitido_lab.benchmark.findings import Generated, Generators, Roc, Score, generators, roc
from nitido_lab.benchmark.tasks import PLANTED_GROUPS


def test_a_finding_that_tells_planted_from_clean_has_the_whole_area_and_chance_has_half() -> None:
    rng = np.random.default_rng(0)
    chance = {
        g: [[Score("mud", v, False)] for v in rng.normal(size=400)] for g in ("", "mud-slight")
    }
    severe = [[Score("mud", 5.0 + number, True)] for number in range(400)]
    (row,) = Roc({**chance, "mud-moderate": severe, "mud-severe": severe}).table().rows
    assert row[:2] == ("mud", "mud")
    assert float(row[2]) == pytest.approx(0.5, abs=0.05)
    assert row[3:] == ("1.00", "1.00", "0", "100", "100", "0")


def test_every_planted_group_and_the_clean_piece_get_their_scores(tmp_path: Path) -> None:
    sf.write(tmp_path / "song.wav", render(seconds=2.0).T, 48_000)
    found = roc(tmp_path, workers=1)
    assert set(found.scores) == {"", *PLANTED_GROUPS}
    assert found.of("", "comb")


def test_what_generators_made_is_looked_at_before_and_after(tmp_path: Path) -> None:
    for name in ("musicgen/one.wav", "generators/suno_one.wav"):
        (tmp_path / name).parent.mkdir()
        sf.write(tmp_path / name, add_comb(render(seconds=6.0), sample_rate=48_000).T, 48_000)
    found = generators(tmp_path, workers=1)
    assert [clip.generator for clip in found.clips] == ["musicgen", "suno"]
    for clip in found.clips:
        assert "comb" in clip.before
        assert "comb" not in clip.after


def test_the_table_has_a_row_per_generator_and_says_what_is_left_and_new() -> None:
    clips = (
        Generated("a", "suno", ("comb", "bandwidth"), ()),
        Generated("b", "suno", ("comb",), ("comb",)),
        Generated("c", "udio", (), ("width",)),
    )
    found = Generators(clips)
    assert found.table().rows == (
        ("suno", "2", "1 → 0", "2 → 1", "–"),
        ("udio", "1", "–", "–", "0 → 1"),
    )
    assert found.sentences() == ["3 faults before, 2 after; new among these: 1."]
