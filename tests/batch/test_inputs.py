import re
from pathlib import Path

import pytest

from nitido.batch import Job, make_jobs
from nitido.errors import ConfigError
from nitido.formats import READABLE

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"sound")


def pieces(*inputs: str, output: str | None = None, **how: str) -> list[Job]:
    return make_jobs(inputs, Job(**how), output=output)


def results(*inputs: str, **options: str) -> list[str]:
    return [job.output for job in pieces(*inputs, **options)]


def test_a_result_lies_beside_its_input() -> None:
    assert results("songs/a.mp3") == ["songs/a_restored.wav"]
    assert results("songs/a.mp3", format="flac") == ["songs/a_restored.flac"]


def test_a_missing_file_is_left_to_the_reader() -> None:
    assert results("gone.wav") == ["gone_restored.wav"]


def test_a_folder_gives_its_audio_and_that_below_in_order() -> None:
    touch("m/b.wav", "m/a.FLAC", "m/x/c.ogg", "m/cover.jpg", "m/.hidden.wav", "m/.git/d.wav")
    assert [job.source for job in pieces("m")] == ["m/a.FLAC", "m/b.wav", "m/x/c.ogg"]


def test_results_of_earlier_runs_are_passed_over_whatever_their_name_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    touch("m/a.wav", "m/b_x.flac", "m/b_x.removed.flac", "m/b_x.flac.nitido.json")
    assert results("m") == ["m/a_restored.wav"]
    assert "results of earlier runs: m/b_x.flac, m/b_x.removed.flac" in caplog.text
    assert results("m/*a*") == ["m/a_restored.wav"]
    assert results("m/a.wav", "m/b_x.flac") == ["m/a_restored.wav"]  # as a shell expands m/*
    assert results("m/b_x.flac") == ["m/b_x_restored.wav"]
    with pytest.raises(ConfigError, match="Every input is a result"):
        results("m/b_*")


def test_a_file_that_only_has_the_name_of_a_result_is_a_piece() -> None:
    touch("m/tape_restored.wav", "m/tape.removed.wav")
    assert results("m") == ["m/tape.removed_restored.wav", "m/tape_restored_restored.wav"]


def test_an_output_folder_mirrors_the_input_folder() -> None:
    touch("m/a.wav", "m/x/a.wav")
    assert results("m", output="done") == ["done/a_restored.wav", "done/x/a_restored.wav"]
    assert results("m/a.wav", output="done/") == ["done/a_restored.wav"]


def test_a_pattern_names_results_by_their_input() -> None:
    touch("a.wav", "a.mp3")
    assert results("a.wav", output="out/{stem}-x.flac") == ["out/a-x.flac"]
    assert results("a.wav", "a.mp3", output="{stem}_{suffix}_x") == ["a_wav_x.wav", "a_mp3_x.wav"]


def test_a_quoted_glob_is_expanded_also_across_folders() -> None:
    touch("m/a.wav", "m/x/b.wav", "m/n.txt")
    assert [job.source for job in pieces("m/**/*")] == ["m/a.wav", "m/x/b.wav"]


def test_a_file_whose_name_looks_like_a_glob_is_a_file() -> None:
    touch("take[1].wav")
    assert results("take[1].wav") == ["take[1]_restored.wav"]


def test_a_folder_whose_name_looks_like_a_glob_is_a_folder() -> None:
    touch("live [2024]/a.wav", "live [2024]/b.wav")
    assert [job.source for job in pieces("live [2024]/*.wav")] == [
        "live [2024]/a.wav",
        "live [2024]/b.wav",
    ]
    with pytest.raises(ConfigError, match=r"in which \[\[\] stands for a bracket"):
        pieces("live [2024]/[x]*.wav")


def test_a_file_that_is_named_twice_is_one_job() -> None:
    touch("m/a.wav")
    assert len(pieces("m/a.wav", "m", "./m/a.wav")) == 1


def test_standard_input_goes_to_standard_output() -> None:
    assert results("-") == ["-"]
    assert results("-", output="x/{stem}.flac") == ["x/stdin.flac"]
    assert results("a.wav", output="-") == ["-"]


@pytest.mark.parametrize(
    ("inputs", "output", "expected"),
    [
        (["m"], None, ["m/a_flac_restored.wav", "m/a_wav_restored.wav", "m/b_restored.wav"]),
        (
            ["m"],
            "out/",
            ["out/a_flac_restored.wav", "out/a_wav_restored.wav", "out/b_restored.wav"],
        ),
        (["m"], "out/{stem}.mp3", ["out/a_flac.mp3", "out/a_wav.mp3", "out/b.mp3"]),
        (["m/b.wav", "n/b.wav"], "out/", ["out/m/b_restored.wav", "out/n/b_restored.wav"]),
        (["m/a.wav", "n/b.wav", "n/a.ogg"], "{stem}.mp3", ["m/a_wav.mp3", "b.mp3", "n/a_ogg.mp3"]),
    ],
)
def test_pieces_that_are_called_alike_get_names_of_their_own_and_that_is_said(
    inputs: list[str], output: str | None, expected: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    touch("m/a.wav", "m/a.flac", "m/b.wav", "n/b.wav", "n/a.ogg")
    assert results(*inputs, **({} if output is None else {"output": output})) == expected
    assert "Called alike, and so named apart: " in caplog.text


def test_folders_that_differ_in_letter_case_alone_are_not_named_twice() -> None:
    touch("m/Sub/a.wav", "m/sub/a.wav")
    if Path("M/SUB").exists():
        pytest.skip("this file system does not tell large letters from small")
    assert results("m", output="out/") == ["out/Sub/a_restored.wav", "out/sub/a_2_restored.wav"]


@pytest.mark.parametrize("output", [None, "out/", "out/{stem}.mp3"])
def test_names_that_differ_in_letter_case_alone_stay_apart_where_case_is_not_told(
    output: str | None,
) -> None:
    touch("A.wav", "a.wav", "a_2.wav")
    if Path("A.WAV").exists():
        pytest.skip("this file system does not tell large letters from small")
    names = [name.casefold() for name in results("A.wav", "a.wav", "a_2.wav", output=output)]
    assert len(set(names)) == 3
    assert "a_3" in names[1]


def test_a_format_that_the_name_of_the_result_contradicts_is_refused() -> None:
    touch("a.wav")
    with pytest.raises(ConfigError, match="`format=flac` another"):
        results("a.wav", output="k.wav", format="flac")
    with pytest.raises(ConfigError, match="leave one of them out"):
        results("a.wav", output="out/{stem}.mp3", format="ogg")
    assert results("a.wav", output="k.WAVE", format="wav") == ["k.WAVE"]
    assert results("a.wav", output="k.ogg", format="opus") == ["k.ogg"]
    assert results("a.wav", output="k.pcm", format="wav") == ["k.pcm"]


@pytest.mark.parametrize(
    ("inputs", "output", "says"),
    [
        ([], None, "no input"),
        (["*.nothing"], None, "Nothing matches"),
        (["empty"], None, "holds no audio"),
        (["a.wav", "b.wav"], "one.wav", "cannot all be written"),
        (["a.wav", "b.wav"], "-", "cannot all be written"),
        (["a.wav"], "{name}.wav", "it can name"),
        (["a.wav"], "{stem", "cannot be read"),
        (["a.wav"], "result.wma", "names no format"),
    ],
)
def test_names_that_make_no_sense_are_refused(
    inputs: list[str], output: str | None, says: str
) -> None:
    touch("a.wav", "b.wav", "a.mp3")
    Path("empty").mkdir()
    with pytest.raises(ConfigError, match=says):
        pieces(*inputs, output=output)


def test_every_format_that_can_be_read_is_found_in_a_folder_and_stands_in_the_docs() -> None:
    lines = (DOCS / "formats.md").read_text("utf-8").splitlines()
    rows = [line.split(" | ") for line in lines if line.endswith((" built in |", " ffmpeg |"))]
    told = [(row[0].removeprefix("| "), tuple(re.findall(r"`(\S+)`", row[1]))) for row in rows]
    assert told == [(form.name, form.suffixes) for form in READABLE]
    names = {f"song{suffix}" for _, suffixes in told for suffix in suffixes}
    touch(*(f"in/{name}" for name in names))
    found = pieces("in", output="out/{stem}_{suffix}.wav")
    assert {Path(job.source).name for job in found} == names
