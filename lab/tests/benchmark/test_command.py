import json
from pathlib import Path

import pytest
import soundfile as sf
from click.testing import CliRunner, Result

from nitido.demo.render import render
from nitido_lab.cli import main


@pytest.fixture
def audio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the tasks expect it, in an otherwise empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NITIDO_AUDIO", raising=False)
    for folder in ("musicgen", "clean/test"):
        place = Path("audio", folder)
        place.mkdir(parents=True)
        sf.write(place / "song.wav", render(seconds=3.0).T, 48_000)
    return Path("audio")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["benchmark", *arguments])


def test_a_task_measures_prints_and_writes_the_page(audio: Path) -> None:
    docs = ["--docs", "benchmark.md"]
    result = run("comb", "--audio", "audio", "--workers", "1", *docs)
    assert result.exit_code == 0, result.output
    assert "Too few pieces" in result.stdout
    assert Path("nitido-benchmark/comb/nitido/song.json").is_file()
    page = Path("benchmark.md").read_text("utf-8")
    assert "## comb" in page
    assert str(Path.cwd()) not in page


def test_the_figures_come_as_json_and_are_not_measured_twice(audio: Path) -> None:
    first = run("comb", str(audio / "musicgen"), "--workers", "1", "--json", "--out", "kept")
    before = {path: path.stat().st_mtime_ns for path in Path("kept").rglob("song.json")}
    second = run("comb", str(audio / "musicgen"), "--workers", "1", "--json", "--out", "kept")
    assert first.exit_code == second.exit_code == 0
    assert json.loads(first.stdout) == json.loads(second.stdout)
    assert before == {path: path.stat().st_mtime_ns for path in Path("kept").rglob("song.json")}
    figures = {row["system"]: row for row in json.loads(first.stdout)["figures"]}
    assert figures["resample"]["si_sdr_db"] == 120.0
    assert figures["mastering-eq"]["si_sdr_db"] < 30.0


def test_visqol_is_left_out_on_request_and_measured_when_wanted_again(audio: Path) -> None:
    without, asked = (
        json.loads(run("clean", "--audio", "audio", "--workers", "1", "--json", *more).stdout)
        for more in (["--only", "resample", "--no-visqol"], ["--only", "resample"])
    )
    assert {row["system"] for row in without["figures"]} == {"nitido", "resample"}
    assert {row["visqol_mos"] for row in without["figures"]} == {None}
    assert "Left out: ViSQOL (--no-visqol)." in without["sentences"]
    assert min(row["visqol_mos"] for row in asked["figures"]) > 4.0


def test_another_system_stands_in_the_same_table(audio: Path) -> None:
    system = ["--system", f"copy={audio / 'musicgen'}"]
    result = run("comb", "--audio", "audio", "--workers", "1", "--json", *system)
    figures = {row["system"]: row for row in json.loads(result.stdout)["figures"]}
    assert figures["copy"]["si_sdr_db"] == 120.0


def test_without_clips_it_says_what_to_give(audio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("comb")
    assert result.exit_code == 2
    assert "--audio FOLDER with musicgen in it" in result.stderr
    assert run("comb", "--system", "nonsense", "--audio", "audio").exit_code == 2
    monkeypatch.setenv("NITIDO_AUDIO", "elsewhere")
    assert "elsewhere/musicgen" in run("comb").stderr
