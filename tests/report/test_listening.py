import base64
import hashlib
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyloudnorm
import pytest
import soundfile as sf
from click.testing import CliRunner
from tests.signals import noise, silence

from nitido.cli import main
from nitido.cli.listening import TEST_PAGE
from nitido.demo.render import render
from nitido.dsp.wav import Wav
from nitido.errors import AudioShapeError, AudioWriteError, ConfigError
from nitido.report.listening import PAGE, write_listening_test, write_listening_test_of_pieces

RATE = 48_000


@pytest.fixture(scope="module")
def music() -> Wav:
    return render(seconds=6.0, sample_rate=RATE)


def content(path: Path) -> dict[str, Any]:
    """What the page knows."""
    found = re.search(
        r'<script type="application/json" id="test">(.*?)</script>', path.read_text("utf-8"), re.S
    )
    assert found
    read: dict[str, Any] = json.loads(found[1])
    return read


def sound(excerpt: dict[str, Any], name: str) -> Any:
    """A version as the page plays it, `[T, C]`."""
    wav, sample_rate = sf.read(io.BytesIO(base64.b64decode(excerpt["flac"][name])))
    assert sample_rate == RATE
    return wav


def write(folder: Path, **options: Any) -> dict[str, Any]:
    path = write_listening_test(folder, sample_rate=RATE, **options)
    assert path == folder / PAGE
    return content(path)


def test_all_versions_are_equally_loud_and_none_clips(tmp_path: Path, music: Wav) -> None:
    loud = np.clip(music * 4, -1, 1)
    tracks = {"before": music * np.float32(0.05), "after": loud, "mono": music[:1]}
    (excerpt,) = write(tmp_path, tracks=tracks, reference=music)["excerpts"]
    meter = pyloudnorm.Meter(RATE)
    lufs = {name: meter.integrated_loudness(sound(excerpt, name)) for name in excerpt["flac"]}
    assert set(lufs) == {"before", "after", "mono", "reference", "anchor"}
    assert max(lufs.values()) - min(lufs.values()) < 0.2
    assert all(np.abs(sound(excerpt, name)).max() < 0.9 for name in lufs)


def test_the_anchor_has_nothing_above_4_khz_and_all_below_3_5(tmp_path: Path) -> None:
    white = noise(seconds=2.0, channels=2)
    (excerpt,) = write(tmp_path, tracks={"a": white}, reference=white)["excerpts"]
    gain = 10 ** ((excerpt["gains_db"]["reference"] - excerpt["gains_db"]["anchor"]) / 20)
    middle = slice(RATE // 2, RATE + RATE // 2)
    kept = np.fft.rfft(sound(excerpt, "anchor")[middle, 0] * np.hanning(RATE)) * gain
    whole = np.fft.rfft(sound(excerpt, "reference")[middle, 0] * np.hanning(RATE))
    level_db = 10 * np.log10(
        [np.sum(np.abs(kept[r]) ** 2) / np.sum(np.abs(whole[r]) ** 2)
         for r in (slice(100, 3500), slice(4000, 20_000))]
    )  # fmt: skip
    assert level_db[0] == pytest.approx(0, abs=0.1)
    assert level_db[1] < -50


def test_versions_start_together(tmp_path: Path, music: Wav) -> None:
    tracks = {"before": music, "after": music.copy()}
    (excerpt,) = write(tmp_path, tracks=tracks)["excerpts"]
    assert np.array_equal(sound(excerpt, "before"), sound(excerpt, "after"))
    assert np.abs(sound(excerpt, "before")[0]).max() < 1e-3  # looped without a click


def test_a_long_piece_is_heard_in_three_passages_and_silence_in_none(tmp_path: Path) -> None:
    long = noise(seconds=40.0, channels=2)
    excerpts = write(tmp_path, tracks={"a": long, "b": long * np.float32(0.5)})["excerpts"]
    starts = [excerpt["start_seconds"] for excerpt in excerpts]
    assert starts == [4.0, 16.0, 28.0]
    with pytest.raises(AudioShapeError, match="heard"):
        write(tmp_path / "silent", tracks={"a": silence(channels=2), "b": silence(channels=2)})


def test_one_page_holds_a_passage_of_each_of_several_pieces(tmp_path: Path, music: Wav) -> None:
    other = noise(seconds=20.0, channels=2)
    pieces = [{"before": wav, "after": 0.5 * wav} for wav in (music, other)]
    told = content(write_listening_test_of_pieces(tmp_path, pieces=pieces, sample_rate=RATE))
    assert told["pairs"] == [["before", "after"]]
    assert told["conditions"] == ["before", "after", "anchor"]
    assert [excerpt["seconds"] for excerpt in told["excerpts"]] == [6.0, 8.0]
    assert told["excerpts"][1]["start_seconds"] == 6.0  # the middle
    with pytest.raises(ConfigError, match="the same versions"):
        write_listening_test_of_pieces(
            tmp_path, pieces=[*pieces, {"before": music}], sample_rate=RATE
        )


def test_the_page_says_what_it_asks(tmp_path: Path, music: Wav) -> None:
    tracks = {"before": music, "one": music, "two": music}
    without = write(tmp_path / "without", tracks=tracks, seed=7, trials=5)
    assert without["pairs"] == [["before", "one"], ["before", "two"]]
    assert (without["seed"], without["trials"], without["reference"]) == (7, 5, False)
    assert without["conditions"] == ["before", "one", "two", "anchor"]
    alone = write(tmp_path / "alone", tracks={"after": music}, reference=music)
    assert alone["pairs"] == [["reference", "after"]]
    assert alone["conditions"] == ["reference", "after", "anchor"]


def test_the_same_test_is_the_same_page(tmp_path: Path, music: Wav) -> None:
    pages = [
        write_listening_test(
            tmp_path / name, tracks={"a": music, "b": -music}, sample_rate=RATE, seed=1
        ).read_bytes()
        for name in ("one", "two")
    ]
    assert pages[0] == pages[1]


def test_the_page_loads_nothing_and_runs_only_its_own_script(tmp_path: Path, music: Wav) -> None:
    title = '<script>alert("&")</script> {{ script }}'
    path = write_listening_test(
        tmp_path, tracks={"</script>a": music, "b": music}, sample_rate=RATE, title=title
    )
    page = path.read_text("utf-8")
    assert not re.search(r"https?:|(src|href)=|@import|url\(", page)
    assert "<script>alert" not in page
    assert list(content(path)["excerpts"][0]["flac"]) == ["</script>a", "b", "anchor"]
    for tag in ("style", "script"):
        found = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        assert found
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in html.unescape(page)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tracks": {}}, "two or more"),
        ({"tracks": {"a": noise()}}, "two or more"),
        ({"tracks": {"a": noise(), "anchor": noise()}}, "anchor"),
        ({"tracks": {"a": noise(), "b": noise()}, "trials": 0}, "0 trials"),
    ],
)
def test_what_is_no_test_is_refused(options: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        write(tmp_path, **options)


def test_a_page_is_only_replaced_when_asked(tmp_path: Path) -> None:
    tracks = {"a": noise(), "b": noise()}
    write(tmp_path, tracks=tracks)
    with pytest.raises(AudioWriteError):
        write(tmp_path, tracks=tracks)
    write(tmp_path, tracks=tracks, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(AudioWriteError):
        write(tmp_path / "file" / "folder", tracks=tracks)


@pytest.fixture
def songs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, music: Wav) -> None:
    """Three versions of a piece in the working folder; one is late and upside down."""
    monkeypatch.chdir(tmp_path)
    sf.write("before.wav", music.mean(axis=0), RATE)
    sf.write("after.wav", np.pad(-0.5 * music, ((0, 0), (500, 0))).T, RATE)
    sf.write("clean.wav", music.T, RATE)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["compare", *arguments])


def test_the_command_writes_a_test_of_aligned_versions(songs: None) -> None:
    files = ["before.wav", "after.wav", "--reference", "clean.wav"]
    result = run(*files, "--table", "delivery", "--abx", "test", "--seed", "3", "--trials", "8")
    assert result.exit_code == 0, result.output
    assert f"Written: test/{PAGE}" in result.stdout
    told = content(Path("test", TEST_PAGE))
    assert (told["seed"], told["trials"], told["reference"]) == (3, 8, True)
    (first, second), *_ = told["pairs"]
    one, other = (sound(told["excerpts"][0], name).mean(axis=1) for name in (first, second))
    assert np.corrcoef(one, other)[0, 1] > 0.99
    assert told["lags_samples"] == {"before": 0, "after": 0, "reference": 0}  # aligned already
    again = run(*files, "--table", "delivery", "--abx", "test")
    assert (again.exit_code, "--overwrite" in again.stderr) == (1, True)


def test_one_version_alone_is_not_compared(songs: None) -> None:
    assert "AFTER" in run("before.wav").stderr
