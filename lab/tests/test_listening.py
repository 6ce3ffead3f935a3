import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from scipy import stats

from nitido.demo.comb import add_comb
from nitido.demo.render import render
from nitido.errors import ConfigError
from nitido_lab.cli import main
from nitido_lab.listening import ALPHA, analyse_listening_results, holm


def session(
    folder: Path,
    listener: str = "one",
    *,
    right: int = 0,
    wrong: int = 0,
    ratings: Sequence[dict[str, float]] = (),
    reference: bool = False,
    began: str = "2026-01-01T10:00:00Z",
) -> Path:
    """Results as the page saves them."""
    answers = [("after", "after")] * right + [("after", "before")] * wrong
    content = {
        "nitido_listening_test": 1,
        "test": "0123456789abcdef",
        "title": "song",
        "seed": 0,
        "reference": reference,
        "listener": listener,
        "began": began,
        "ended": began,
        "abx": [{"pair": ["after", "before"], "x": x, "answer": given} for x, given in answers],
        "ratings": [{"excerpt": 0, "order": list(scores), "scores": scores} for scores in ratings],
    }
    path = folder / f"{listener}-{began[11:13]}.json"
    path.write_text(json.dumps(content))
    return path


def test_twelve_of_sixteen_is_more_than_luck_and_eleven_is_not(tmp_path: Path) -> None:
    (twelve,) = analyse_listening_results([session(tmp_path, right=12, wrong=4)]).abx
    (eleven,) = analyse_listening_results([session(tmp_path, right=11, wrong=5)]).abx
    assert twelve.p == pytest.approx(2517 / 65536)  # (C(16,12) + … + C(16,16)) / 2**16
    assert twelve.p < ALPHA < eleven.p
    assert "can be told apart: 12 of 16" in twelve.sentence()
    assert "not shown to differ" in eleven.sentence()


def test_the_interval_of_all_right_starts_where_all_right_is_one_in_forty(tmp_path: Path) -> None:
    (result,) = analyse_listening_results([session(tmp_path, right=10)]).abx
    assert result.low**10 == pytest.approx(0.025)
    assert result.high == 1.0


def test_listeners_who_guess_do_not_hear_a_difference(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(100):
        right = int(rng.binomial(16, 0.5))
        (result,) = analyse_listening_results(
            [session(tmp_path, right=right, wrong=16 - right)]
        ).abx
        found += result.p < ALPHA
    assert found <= 10


def test_the_answers_of_all_listeners_count_together(tmp_path: Path) -> None:
    files = [session(tmp_path, name, right=6, wrong=2) for name in ("one", "two", "three")]
    results = analyse_listening_results(files)
    assert results.listeners == ("one", "three", "two")
    (result,) = results.abx
    assert (result.trials, result.correct, result.listeners) == (24, 18, 3)


def rate(folder: Path, gain: float, *, listeners: int = 12, **more: Any) -> list[Path]:
    rng = np.random.default_rng(3)
    files = []
    for number in range(listeners):
        bias = rng.normal(50, 10)
        ratings = [
            {
                "reference": 100.0,
                "anchor": 5.0,
                "before": float(np.clip(bias + rng.normal(0, 4), 0, 99)),
                "after": float(np.clip(bias + gain + rng.normal(0, 4), 0, 99)),
            }
            for _ in range(3)
        ]
        files.append(session(folder, f"l{number}", ratings=ratings, reference=True, **more))
    return files


def test_a_version_that_all_rate_higher_is_better(tmp_path: Path) -> None:
    results = analyse_listening_results(rate(tmp_path, gain=8))
    assert list(results.means) == ["reference", "after", "before", "anchor"]
    (better,) = [r for r in results.ratings if r.pair == ("after", "before")]
    assert (better.unit, better.count) == ("listener", 12)
    assert better.low is not None
    assert better.high is not None
    assert better.low < 8 < better.high
    assert better.p_holm < ALPHA
    assert "after is rated above before" in better.sentence()


def test_the_same_version_twice_is_not_told_apart(tmp_path: Path) -> None:
    results = analyse_listening_results(rate(tmp_path, gain=0))
    (same,) = [r for r in results.ratings if set(r.pair) == {"after", "before"}]
    assert same.p_holm > ALPHA
    assert "not shown to differ" in same.sentence()


def test_one_listener_is_judged_by_passages(tmp_path: Path) -> None:
    ratings = [{"a": 80.0 + n, "b": 60.0, "anchor": 10.0} for n in range(3)]
    results = analyse_listening_results([session(tmp_path, ratings=ratings)])
    (better,) = [r for r in results.ratings if r.pair == ("a", "b")]
    assert (better.unit, better.count, better.difference) == ("passage", 3, 21.0)
    assert better.p == pytest.approx(0.25)  # all three of one sign, either way: 2 / 2**3


@pytest.mark.parametrize(
    "apart",
    [[3, -1, 4, 8, 5, -2, 7, 6], [0, 2, 2, -2, 5, 5, 9, 0]],
    ids=["plain", "ties and zeros"],
)
def test_ratings_are_judged_by_all_choices_of_signs(apart: list[float], tmp_path: Path) -> None:
    files = [
        session(tmp_path, f"l{n}", ratings=[{"a": 50 + d, "b": 50.0}]) for n, d in enumerate(apart)
    ]
    (result,) = analyse_listening_results(files).ratings
    signs = np.array(list(itertools.product([-1, 1], repeat=len(apart))))
    ranks = stats.rankdata(np.abs(apart)) * (np.array(apart) != 0)
    expected = np.mean(np.abs(signs @ ranks) >= abs(np.sign(apart) @ ranks))
    assert result.p == pytest.approx(expected)


def test_who_does_not_find_the_hidden_reference_is_left_out_of_the_rating(tmp_path: Path) -> None:
    deaf = [{"reference": 40.0, "anchor": 60.0, "before": 90.0, "after": 10.0}]
    files = rate(tmp_path, gain=8)
    alone = analyse_listening_results(files)
    joined = analyse_listening_results(
        [*files, session(tmp_path, "deaf", ratings=deaf, reference=True, right=5)]
    )
    assert joined.left_out == ("deaf",)
    assert joined.means == alone.means
    assert joined.abx[0].trials == 5
    assert "deaf" in joined.sentences()[-1]


def test_more_pairs_make_the_same_difference_less_certain() -> None:
    assert holm([0.01]) == [0.01]
    assert holm([0.01, 0.5, 0.9]) == pytest.approx([0.03, 1.0, 1.0])
    assert holm([0.02, 0.02, 0.02]) == pytest.approx([0.06] * 3)
    assert holm([]) == []


def test_the_results_are_plain_json(tmp_path: Path) -> None:
    said = analyse_listening_results(rate(tmp_path, gain=8, right=3)).to_dict()
    assert json.loads(json.dumps(said))["abx"][0]["trials"] == 36
    assert len(said["sentences"]) == 1 + 6


def test_the_same_session_is_not_counted_twice(tmp_path: Path) -> None:
    path = session(tmp_path, right=3)
    with pytest.raises(ConfigError, match="twice"):
        analyse_listening_results([path, path])
    later = session(tmp_path, right=3, began="2026-01-01T11:00:00Z")
    assert analyse_listening_results([path, later]).abx[0].trials == 6


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "[]",
        "{}",
        '{"nitido_listening_test": 1}',
        '{"nitido_listening_test": 1, "test": "", "listener": "", "began": "", "reference": false,'
        ' "abx": [{"pair": ["a", "b"], "x": "a", "answer": "c"}], "ratings": []}',
        '{"nitido_listening_test": 1, "test": "", "listener": "", "began": "", "reference": false,'
        ' "abx": [], "ratings": [{"scores": {"a": 1000}}]}',
        '{"nitido_listening_test": 1, "test": "", "listener": "", "began": "", "reference": true,'
        ' "abx": [], "ratings": [{"scores": {"a": 10}}]}',
    ],
)
def test_other_files_are_refused_in_one_sentence(content: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"results\.json"):
        analyse_listening_results([path])
    with pytest.raises(ConfigError, match="does not exist"):
        analyse_listening_results([tmp_path / "gone.json"])


def test_the_command_says_what_was_heard(tmp_path: Path) -> None:
    path = session(tmp_path, right=8, ratings=[{"after": 80, "before": 60}])
    shown = CliRunner().invoke(main, ["listening", str(path)])
    assert shown.exit_code == 0, shown.output
    assert "after and before can be told apart: 8 of 8 right" in shown.stdout
    told = json.loads(CliRunner().invoke(main, ["listening", str(path), "--json"]).stdout)
    assert told["abx"][0]["p"] == pytest.approx(2**-8)
    gone = CliRunner().invoke(main, ["listening", str(tmp_path / "gone.json")])
    assert (gone.exit_code, gone.stderr.count("\n")) == (2, 1)


def test_a_test_to_send_has_a_pair_of_each_song_in_which_something_is_repaired(
    tmp_path: Path,
) -> None:
    music = render(seconds=6.0)
    for name, wav in (("clean", music), ("combed", add_comb(music, sample_rate=48_000))):
        sf.write(tmp_path / f"{name}.wav", wav.T, 48_000)
    call = ["listening-test", str(tmp_path), "-o", str(tmp_path / "test")]
    made = CliRunner().invoke(main, [*call, "--json"])
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert (told["pieces"], told["unchanged"]) == (["combed.wav"], ["clean.wav"])
    assert Path(told["page"]).is_file()
    idle = CliRunner().invoke(main, [*call, "--overwrite", "--without", "decomb"])
    assert (idle.exit_code, "Nothing is repaired" in idle.stderr) == (2, True)


def test_what_no_listener_can_have_answered_is_refused_in_one_sentence(tmp_path: Path) -> None:
    many = session(tmp_path, "many", ratings=[{"a": float(n % 100), "b": 50.0} for n in range(501)])
    with pytest.raises(ConfigError, match="more than the 500 answers"):
        analyse_listening_results([many])
    huge = session(tmp_path, "huge", ratings=[{"a": 10**400, "b": 50.0}])
    with pytest.raises(ConfigError, match="incomplete"):
        analyse_listening_results([huge])
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="not a regular file"):
        analyse_listening_results([pipe])
