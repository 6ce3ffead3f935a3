import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.batch.cases import how

from nitido.batch import Job, read_manifest
from nitido.errors import AudioReadError, AudioWriteError, ConfigError, NitidoError

GOOD = {"input": "a.wav", "output": "x/a.wav"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.wav").write_bytes(b"sound")
    return tmp_path


def listed(folder: Path, *lines: Any, **options: Any) -> list[Job]:
    path = folder / "list.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", "utf-8")
    return read_manifest(path, options.pop("how", Job()), **options)


def test_names_are_relative_to_the_list(folder: Path) -> None:
    (job,) = listed(folder, GOOD)
    assert job.source == str(folder / "a.wav")
    assert job.output == str(folder / "x" / "a.wav")


def test_outputs_lie_below_the_output_folder(folder: Path) -> None:
    (job,) = listed(folder, GOOD, output=str(folder / "done"))
    assert job.output == str(folder / "done" / "x" / "a.wav")
    (job,) = listed(folder, GOOD, output="s3://bucket/done/")
    assert job.output == "s3://bucket/done/x/a.wav"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_plain_list_of_names_is_a_list(folder: Path, encoding: str) -> None:
    path = folder / "names.txt"  # as `ls -name > names.txt` writes it in PowerShell
    path.write_text("a.wav\r\n\r\nÄ [1].wav\r\n", encoding)
    jobs = read_manifest(path, Job(), output=str(folder / "done"))
    assert [job.source for job in jobs] == [str(folder / "a.wav"), str(folder / "Ä [1].wav")]
    assert [Path(job.output).name for job in jobs] == ["a_restored.wav", "Ä [1]_restored.wav"]


def test_what_a_playlist_says_of_its_pieces_is_no_piece(folder: Path) -> None:
    lines = ("#EXTM3U", "#EXTINF:123,Somebody - A", "a.wav", "#1.wav")
    assert [Path(job.source).name for job in listed(folder, *lines)] == ["a.wav", "#1.wav"]


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("x/a.wav", "x/a_restored.flac"),
        ("../x/a.wav", "a_restored.flac"),
        ("/music/a.wav", "a_restored.flac"),
        ("s3://bucket/x/a.wav", "a_restored.flac"),
    ],
)
def test_a_line_without_output_gets_one_in_the_folder_of_the_results(
    folder: Path, source: str, result: str
) -> None:
    (job,) = listed(folder, {"input": source}, output=str(folder / "done"), how=Job(format="flac"))
    assert job.output == str(folder / "done" / result)
    (job,) = listed(folder, {"input": source}, output="s3://out/", how=Job(format="flac"))
    assert job.output == f"s3://out/{result}"


def test_the_suffix_of_an_output_names_its_format_and_the_run_that_of_the_others(
    folder: Path,
) -> None:
    own, other = listed(folder, GOOD, "b.wav", how=Job(format="flac"))
    assert (own.format, Path(own.output).name) == (None, "a.wav")
    assert (other.format, Path(other.output).name) == ("flac", "b_restored.flac")


def test_lines_that_are_called_alike_get_names_of_their_own(folder: Path) -> None:
    jobs = listed(folder, "x/a.wav", {"input": "x/a.flac"}, "b.wav")
    assert [str(Path(job.output).relative_to(folder)) for job in jobs] == [
        "x/a_wav_restored.wav", "x/a_flac_restored.wav", "b_restored.wav",
    ]  # fmt: skip


@pytest.mark.parametrize("output", ["out/{stem}.flac", "out/a.wav"])
def test_no_folder_is_called_like_a_file_or_a_pattern(folder: Path, output: str) -> None:
    with pytest.raises(ConfigError, match="is no folder; beside a list it is one"):
        listed(folder, "b.wav", output=output)


def test_a_line_that_stands_twice_is_refused_by_the_name_of_its_result(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match=r"would both be written to \S+a_restored\.wav;"):
        listed(folder, "x/a.wav", "x/a.wav")
    assert "named apart" not in caplog.text


def test_empty_lines_and_a_byte_order_mark_are_passed_over(folder: Path) -> None:
    assert len(listed(folder, "\ufeff" + json.dumps(GOOD), "", "  ")) == 1


def test_a_line_goes_over_what_holds_for_all(folder: Path) -> None:
    line = {**GOOD, "preset": "gentle", "settings": {"bandwidth.amount": 0.5}}
    common = how(preset="master", settings={"loudness.target_lufs": -16}, removed=True)
    (job,) = listed(folder, line, how=common)
    assert job.options.preset == "gentle"
    assert job.options.settings == {"loudness.target_lufs": -16, "bandwidth.amount": 0.5}
    assert job.removed


def test_a_plan_stands_in_the_line_or_in_a_file(folder: Path) -> None:
    plan = {"steps": [{"stage": "dc"}]}
    (folder / "p.json").write_text(json.dumps({"plan": plan}))
    jobs = listed(folder, {**GOOD, "plan": plan}, {**GOOD, "output": "b.wav", "plan": "p.json"})
    for job in jobs:
        assert job.options.plan
        assert job.options.plan["dc"].on


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not JSON"),
        ('{"input":' * 100_000, "not JSON"),
        ({**GOOD, "output": None}, "'output' is None"),
        ({"output": "a.wav"}, "'input' is None"),
        ({**GOOD, "input": 3}, "name of a file"),
        ({**GOOD, "input": "a\0.wav"}, "name of a file"),
        ('{"input": "\\ud800.wav", "output": "b.wav"}', "not text"),
        ({**GOOD, "presset": "gentle"}, "did you mean 'preset'"),
        ({**GOOD, "preset": "gentel"}, "did you mean 'gentle'"),
        ({**GOOD, "preset": "../gentle"}, "no preset"),
        ({**GOOD, "settings": {"bandwidth.amuont": 1}}, "did you mean 'amount'"),
        ({**GOOD, "settings": []}, "table"),
        ({**GOOD, "plan": {}}, "not a plan"),
        ({**GOOD, "plan": "gone.json"}, "does not exist"),
        ({**GOOD, "plan": {"steps": []}, "preset": "gentle"}, "leave out"),
        ({**GOOD, "output": "b.exe"}, "no format"),
        ({"input": "link/a.wav"}, "outside"),
        ({**GOOD, "output": "../b.wav"}, "outside"),
        ({**GOOD, "output": "x/../../b.wav"}, "outside"),
        ({**GOOD, "output": "/tmp/b.wav"}, "outside"),
        ({**GOOD, "output": "C:\\b.wav"}, "outside"),
        ({**GOOD, "output": "s3://other/b.wav"}, "outside"),
        ({**GOOD, "output": "link/b.wav"}, "outside"),
        ({**GOOD, "output": "loop/b.wav"}, "outside"),
    ],
)
def test_a_wrong_line_is_named_with_its_number(folder: Path, line: Any, says: str) -> None:
    (folder / "link").symlink_to(folder.parent)
    (folder / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match="line 3: ") as raised:
        listed(folder, GOOD, "", line)
    assert says in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_two_lines_cannot_have_the_same_output(folder: Path) -> None:
    with pytest.raises(ConfigError, match="both be written"):
        listed(folder, GOOD, {**GOOD, "input": "b.wav"})


def test_an_output_cannot_be_an_input(folder: Path) -> None:
    with pytest.raises(AudioWriteError, match="would replace the input"):
        listed(folder, {"input": "a.wav", "output": "b.wav"}, {"input": "c.wav", "output": "a.wav"})


def test_a_list_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="lists no piece"):
        listed(folder, "")
    with pytest.raises(AudioReadError, match="cannot be read"):
        read_manifest(folder / "gone.jsonl", Job())
    (folder / "latin.jsonl").write_bytes(b'{"input": "\xe9.wav"}')
    with pytest.raises(ConfigError, match="UTF-8"):
        read_manifest(folder / "latin.jsonl", Job())
    with pytest.raises(ConfigError, match="longer than"):
        listed(folder, GOOD, " " * 2**21)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["steps", "stage", "settings", "preset", "dc.mode", "plan", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
keys = st.sampled_from(["input", "output", "preset", "settings", "plan", "other"])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(lines=st.lists(st.dictionaries(keys, values, max_size=5), min_size=1, max_size=3))
def test_whatever_stands_in_a_list_it_is_read_or_refused_in_one_line(
    lines: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "lists"
    folder.mkdir(exist_ok=True)
    said, outputs = "", []
    try:
        jobs = listed(folder, *({**GOOD, **line} for line in lines))
        outputs = [Path(job.output).resolve() for job in jobs]
    except NitidoError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1
    assert all(output.is_relative_to(folder.resolve()) for output in outputs)
    assert bool(said) != bool(outputs)
