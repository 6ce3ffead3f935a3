import itertools
import json
import shutil
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.batch.cases import contents, jobs_of, make_pieces, run_all

from nitido.batch import Job, Outcome, Progress, restore_many
from nitido.cli.jobs import run_many
from nitido.errors import AudioWriteError, CancelledError, ConfigError


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    make_pieces(tmp_path / "in", 3, seconds=0.6)
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def states(outcomes: list[Outcome]) -> list[str]:
    return [outcome.state for outcome in outcomes]


def test_results_and_sidecars_lie_in_the_tree_of_the_input(songs: Path, out: Path) -> None:
    before = contents(songs)
    outcomes = run_all(songs, out)
    assert states(outcomes) == ["done"] * 3
    names = ["below/piece1", "piece0", "piece2"]
    assert sorted(contents(out)) == sorted(
        f"{name}_restored.wav{end}" for name in names for end in ("", ".nitido.json")
    )
    assert contents(songs) == before
    assert [round(outcome.seconds, 1) for outcome in outcomes] == [0.6] * 3


def test_one_bad_file_does_not_stop_the_others_and_says_why(songs: Path, out: Path) -> None:
    (songs / "bad.wav").write_bytes(b"words")
    outcomes = run_all(songs, out)
    assert states(outcomes) == ["failed", "done", "done", "done"]
    assert "is not an audio file" in str(outcomes[0].error)


def test_fail_fast_stops_at_the_first_failure(songs: Path, out: Path) -> None:
    (songs / "piece1.wav").write_bytes(b"words")  # between piece0 and piece2
    found = list(restore_many(jobs_of(songs, out), fail_fast=True))
    assert states(found) == ["done", "failed"]


def test_a_second_run_only_looks_and_changes_no_byte(songs: Path, out: Path) -> None:
    run_all(songs, out)
    before = contents(out)
    assert states(run_all(songs, out, resume=True)) == ["unchanged"] * 3
    assert contents(out) == before


def test_without_resume_results_that_exist_are_left_alone_and_told_of(
    songs: Path, out: Path
) -> None:
    run_all(songs, out)
    before = contents(out)
    outcomes = run_all(songs, out)
    assert states(outcomes) == ["failed"] * 3
    for remedy in ("`resume=True` keeps it", "`overwrite=True` replaces it"):
        assert remedy in str(outcomes[0].error)
    assert contents(out) == before


def test_what_changed_and_only_that_is_made_again(songs: Path, out: Path) -> None:
    run_all(songs, out)
    shutil.copy(songs / "piece2.wav", songs / "piece0.wav")
    outcomes = run_all(songs, out, resume=True)
    assert {Path(one.source).name: one.state for one in outcomes} == {
        "piece0.wav": "done", "piece1.wav": "unchanged", "piece2.wav": "unchanged",
    }  # fmt: skip
    made = contents(out)
    assert made["piece0_restored.wav"] == made["piece2_restored.wav"]


@pytest.mark.parametrize(
    "other",
    [
        {"settings": {"bandwidth.amount": 0.5}},
        {"preset": "gentle"},
        {"bit_depth": 16},
        {"removed": True},
    ],
)
def test_other_choices_make_results_again(songs: Path, out: Path, other: dict[str, Any]) -> None:
    run_all(songs / "below", out)
    assert states(run_all(songs / "below", out, resume=True, **other)) == ["done"]
    assert states(run_all(songs / "below", out, resume=True, **other)) == ["unchanged"]


def test_another_version_makes_results_again(
    songs: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_all(songs / "below", out)
    monkeypatch.setattr("nitido.batch.job.__version__", "99.0")
    assert states(run_all(songs / "below", out, resume=True)) == ["done"]


@pytest.mark.parametrize("becomes", [None, "a word", {}])
def test_a_result_whose_sidecar_lacks_a_part_is_made_again(
    songs: Path, out: Path, becomes: object
) -> None:
    run_all(songs / "below", out)
    sidecar = out / "piece1_restored.wav.nitido.json"
    whole = json.loads(sidecar.read_text())
    for part in set(whole) - {"nitido"}:
        kept = {name: value for name, value in whole.items() if name != part}
        sidecar.write_text(json.dumps(kept if becomes is None else {**whole, part: becomes}))
        (outcome,) = run_all(songs / "below", out, resume=True)
        assert (part, outcome.state, outcome.error) == (part, "done", None)
        assert json.loads(sidecar.read_text()) == whole


@pytest.mark.parametrize("damage", ["cut", "gone", "sidecar gone and result too", "removed gone"])
def test_a_damaged_result_is_made_again(songs: Path, out: Path, damage: str) -> None:
    run_all(songs / "below", out, removed=True)
    before = contents(out)
    result = out / "piece1_restored.wav"
    if damage == "cut":
        result.write_bytes(before[result.name][:-100])
    elif damage == "removed gone":
        (out / "piece1_restored.removed.wav").unlink()
    else:
        result.unlink()
    if damage.startswith("sidecar"):
        (out / "piece1_restored.wav.nitido.json").unlink()
        (out / "piece1_restored.removed.wav").unlink()
    assert states(run_all(songs / "below", out, resume=True, removed=True)) == ["done"]
    assert contents(out) == before


def test_resume_replaces_no_file_that_nitido_did_not_make(songs: Path, out: Path) -> None:
    out.mkdir()
    (out / "piece1_restored.wav").write_bytes(b"mine")
    (outcome,) = run_all(songs / "below", out, resume=True)
    assert "exists already" in str(outcome.error)
    assert contents(out) == {"piece1_restored.wav": b"mine"}


def test_a_sidecar_that_is_none_counts_as_no_sidecar(songs: Path, out: Path) -> None:
    out.mkdir()
    sidecar = out / "piece1_restored.wav.nitido.json"
    for text in (b"", b"[]", b"[" * 100_000, b'{"nitido": 3, "input": 4}', b"\xff\xfe"):
        sidecar.write_bytes(text)
        (outcome,) = run_all(songs / "below", out, resume=True, overwrite=True)
        assert outcome.state == "done", text
        assert json.loads(sidecar.read_text())["input"]["name"] == "piece1.wav"


def test_two_runs_at_once_share_the_work_and_spoil_nothing(songs: Path, out: Path) -> None:
    run_all(songs, out.with_name("alone"))
    found: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda: found.extend(run_all(songs, out, resume=True)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(states(found)) == ["done"] * 3 + ["unchanged"] * 3
    assert contents(out) == contents(out.with_name("alone"))


def test_progress_comes_to_its_end_and_never_goes_back(songs: Path, out: Path) -> None:
    (songs / "bad.wav").write_bytes(b"words")
    heard: list[Progress] = []
    list(restore_many(jobs_of(songs, out), on_progress=heard.append))
    shares = [progress.share for progress in heard]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert (heard[-1].done, heard[-1].failed, heard[-1].pieces) == (3, 1, 4)
    assert heard[-1].seconds == pytest.approx(1.8)


def test_work_done_before_does_not_count_for_the_time_that_is_left(songs: Path, out: Path) -> None:
    run_all(songs / "piece0.wav", out)
    heard: list[Progress] = []
    list(restore_many(jobs_of(songs, out, resume=True), on_progress=heard.append))
    assert heard[0].unchanged == 1
    assert heard[0].share == 0.0


def test_what_the_caller_raises_stops_the_run_and_leaves_nothing(songs: Path, out: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.done:
            raise CancelledError("enough")

    with pytest.raises(CancelledError, match="enough"):
        list(restore_many(jobs_of(songs, out), on_progress=stop))
    assert len(contents(out)) == 2  # one result and its sidecar


def test_a_wrong_choice_stops_before_any_work(songs: Path, out: Path) -> None:
    with pytest.raises(ConfigError, match="musicgen"):
        restore_many(jobs_of(songs, out, preset="musicgem"))
    with pytest.raises(ConfigError, match="1 or more"):
        restore_many(jobs_of(songs, out), workers=0)
    assert not out.exists()


def during(songs: Path, out: Path, happen: Any, **options: Any) -> Outcome:
    """Restore one piece; let something happen as soon as some of it is done."""
    once = itertools.count()

    def on_progress(_: Progress) -> None:
        if next(once) == 0:
            happen()

    jobs = jobs_of(songs / "below", out, **options)
    (outcome,) = restore_many(jobs, on_progress=on_progress)
    return outcome


def test_an_input_that_changes_while_it_is_read_gives_no_result(songs: Path, out: Path) -> None:
    song = songs / "below" / "piece1.wav"

    def add() -> None:
        with song.open("ab") as file:
            file.write(b"more")

    outcome = during(songs, out, add)
    assert "was changed or moved after it was opened" in str(outcome.error)
    assert contents(out) == {}


def test_an_old_result_is_up_to_date_whatever_its_date_is(songs: Path, out: Path) -> None:
    import os

    run_all(songs / "below", out)
    for path in out.iterdir():
        os.utime(path, (0, 0))
    assert states(run_all(songs / "below", out, resume=True)) == ["unchanged"]


def test_a_report_and_what_was_removed_appear_with_the_result(songs: Path, out: Path) -> None:
    (outcome,) = run_all(songs / "below", out, removed=True, report=True)
    assert outcome.state == "done", outcome.error
    assert set(contents(out)) == {
        "piece1_restored.wav", "piece1_restored.removed.wav", "piece1_restored.report.html",
        "piece1_restored.wav.nitido.json",
    }  # fmt: skip


def test_the_result_is_never_the_input(songs: Path) -> None:
    song = songs / "piece0.wav"
    before = song.read_bytes()
    with pytest.raises(AudioWriteError, match="would replace the input"):
        list(restore_many([Job(str(song), str(song), overwrite=True)]))
    assert song.read_bytes() == before


def test_a_long_run_keeps_less_of_its_pieces_than_their_sidecars_hold(
    songs: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_all(songs, out)[0]
    text = json.dumps(first.content)

    def again(jobs: Sequence[Job], **_: Any) -> Iterator[Outcome]:
        yield from (replace(first, output=job.output, content=json.loads(text)) for job in jobs)

    monkeypatch.setattr("nitido.batch.many.restore_many", again)
    job = jobs_of(songs, out)[0]
    jobs = [replace(job, output=f"{out}/{number}.wav") for number in range(200)]
    quiet: dict[str, Any] = dict.fromkeys(("workers", "ray", "csv_file"))
    tracemalloc.start()
    run_many(jobs, fail_fast=False, texts=[], as_json=False, strict=False, **quiet)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(jobs) * len(text)
