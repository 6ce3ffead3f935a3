import html
import json
import re
from pathlib import Path

import pytest
import soundfile as sf
from click.testing import CliRunner
from tests.signals import pink_noise

import nitido
from nitido.cli import main
from nitido.demo import DECODER_HZ, add_artifacts
from nitido.demo.render import render
from nitido.diagnosis.finding import Finding
from nitido.report.text import describe_comparison, mended

RATE = 48_000


def tell(old=None, new=None, table="artefacts", **more):
    found = {table: {"a": old or {}, "b": new or {}}}
    return describe_comparison(found, before="a", after=["b"], **more)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (5.0, 0.0, "The comb is gone: it stood 5.0 dB out of the music."),
        (5.0, 1.5, "The comb is 3.5 dB lower; it stands 1.5 dB out of the music."),
        (1.5, 5.0, "The comb is 3.5 dB higher; it stands 5.0 dB out of the music."),
        (0.0, 2.0, "There is a comb now, 2.0 dB out of the music."),
        (2.0, 2.1, "The comb stands as high as before, 2.1 dB out of the music."),
    ],
)
def test_the_comb_is_told_as_it_is(old, new, said):
    assert tell({"comb_db": old}, {"comb_db": new}) == [said]


def test_lines_that_only_chance_makes_are_no_whine():
    old, new = {"comb_db": 0.0, "comb_8000_hz_db": 3.0}, {"comb_db": 0.0, "comb_8000_hz_db": 0.0}
    assert tell(old, new) == []
    assert len(tell({**old, "comb_db": 4.0}, new)) == 2


def test_harm_to_the_music_is_told_with_what_was_promised():
    (said,) = tell(new={"chroma_cosine": 0.91, "onset_f1": 1.0}, table="content")
    assert "harmony (chroma cosine) 0.910, 0.98 is what a repair has to keep" in said
    assert tell(new={"protected_si_sdr_db": -3.0}, table="content") == [
        "Up to 7 kHz the waveform was not kept: more changed than stayed."
    ]


def test_clipping_holes_and_ends_are_told_both_ways():
    faults = {"clipped_samples_per_second": 40.0, "holes_percent": 0.5, "end_cut": 1.0}
    none = dict.fromkeys(faults, 0.0)
    assert [text.split()[0] for text in tell(faults, none)] == ["Peaks", "Fewer", "The"]
    assert tell(none, faults)[0] == "Peaks are cut off now: 40 samples per second."
    assert tell(none, none) == []


def test_what_was_not_measured_is_not_told():
    empty = {"comb_db": None, "bandwidth_hz": None, "integrated_lufs": None}
    for table in ("artefacts", "content", "delivery", "fidelity"):
        assert tell(empty, empty, table=table) == []
    assert tell(left_out={"content": "it needs librosa"}) == [
        "The table 'content' is left out: it needs librosa"
    ]


def test_a_restoration_tells_what_is_better_what_stayed_and_how_loud_it_is(
    restoration: nitido.Restoration,
) -> None:
    said = " ".join(restoration.sentences())
    assert "The comb every 400 Hz is gone" in said
    assert "; before, at 16.0 kHz." in said
    assert "left and right together are still the mono piece" in said
    assert re.search(r"no band of the music changed its level by more than 0\.", said)
    assert "It plays at −14.0 LUFS" in said


def test_no_level_is_told_of_bands_in_which_there_was_nothing() -> None:
    piece = pink_noise(seconds=3, sample_rate=8_000)
    said = " ".join(nitido.restore(piece, sample_rate=8_000).sentences())
    assert "before, at 4.0 kHz" in said
    assert re.search(r"no band of the music changed its level by more than 0\.", said)


@pytest.mark.parametrize("fades", [{}, {"ending.fade_in_ms": 300, "ending.fade_out_seconds": 1}])
def test_a_comparison_of_the_files_says_what_the_restoration_said(
    fades: dict[str, float], tmp_path: Path
) -> None:
    pytest.importorskip("librosa", reason="needs librosa: pip install 'nitido[metrics]'")
    piece, path = add_artifacts(render(seconds=6.0)[:, :96_000]), tmp_path / "before.wav"
    sf.write(path, piece.T, DECODER_HZ, subtype="FLOAT")
    done = nitido.restore(path, settings=fades)
    after = done.write(tmp_path / "after.wav", bit_depth=32)
    (said,) = (text for text in done.sentences() if "no band of the music" in text)
    kept, beside = said.split(" (beside the ends: ")
    assert f"{kept}." in nitido.compare(path, after, tables=["content"]).sentences()
    ends_db = float(beside.split(" dB")[0]) - float(kept.split("lies ")[1].split(" dB")[0])
    assert ends_db > 1


def test_the_comb_is_read_on_the_same_lines_before_and_after(
    restoration: nitido.Restoration,
) -> None:
    spoiled = add_artifacts(render(seconds=6.0)[:, :96_000])
    left = nitido.restore(spoiled, sample_rate=DECODER_HZ, stages=["bandwidth", "loudness"])
    read = left.diagnosis["comb"].value, left.after["comb"].value
    # The new treble has no comb: that must not count as if the old one were lower.
    assert read[1] > read[0] - 0.2
    assert restoration.after["comb"].value < restoration.diagnosis["comb"].value - 2


def test_treble_that_has_no_ceiling_any_more_is_not_said_to_end_lower() -> None:
    low = Finding("bandwidth", 14_000, "Hz", "moderate", "A ceiling.", details={"wall_db": 40.0})
    most_of_the_time = Finding("bandwidth", 10_800, "Hz", "ok", "No ceiling.")
    assert [*mended(low, most_of_the_time)] == ["The treble no longer ends at 14.0 kHz."]


def test_of_a_piece_without_a_fault_it_is_said_that_nothing_was_done() -> None:
    clean = nitido.restore(render(seconds=2.0), sample_rate=RATE, stages=[])
    assert clean.sentences() == ["Nothing wrong was found.", "Nothing was changed."]


def test_a_fault_that_was_left_alone_is_told() -> None:
    spoiled = add_artifacts(render(seconds=6.0)[:, :96_000])
    left = nitido.restore(spoiled, sample_rate=DECODER_HZ, stages=[])
    said = left.sentences()
    assert said[0] == "Nothing was changed."
    assert "the comb" in said[1]


def test_the_same_is_said_in_terminal_page_json_and_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sf.write(
        "song.wav", add_artifacts(render(seconds=6.0)[:, :96_000]).T, DECODER_HZ, subtype="FLOAT"
    )
    done = CliRunner().invoke(main, ["restore", "song.wav", "-o", "done.wav", "--report"])
    assert done.exit_code == 0, done.output
    said = nitido.restore("song.wav").sentences()
    assert len(said) > 5
    page = html.unescape(Path("done.report.html").read_text("utf-8"))
    assert [text for text in said if f"<li>{text}</li>" in page] == said
    assert [line.strip() for line in done.output.splitlines() if line.strip() in said] == said
    assert json.loads(Path("done.wav.nitido.json").read_text("utf-8"))["sentences"] == said


def test_a_comparison_says_of_a_restoration_what_it_says_of_itself(tmp_path: Path) -> None:
    before, after = tmp_path / "before.wav", tmp_path / "after.wav"
    sf.write(before, add_artifacts(render(seconds=6.0)[:, :96_000]).T, DECODER_HZ, subtype="FLOAT")
    restoration = nitido.restore(before)
    restoration.write(after)
    compared = nitido.compare(before, after, tables=["artefacts", "delivery"])
    shared = [text for text in restoration.sentences() if text in compared.sentences()]
    assert [text.split()[1] for text in shared] == ["whine", "treble", "end", "plays"]


def test_what_was_repaired_is_counted_and_what_is_left_has_its_reason(tmp_path: Path) -> None:
    clip = add_artifacts(render(seconds=6.0)[:, :96_000])
    most = nitido.restore(clip, sample_rate=DECODER_HZ)
    (tally,) = [text for text in most.sentences() if "repaired" in text]
    had, left = (sum(f.found and f.kind != "loudness" for f in d.findings)
                 for d in (most.diagnosis, most.after))  # fmt: skip
    assert tally.startswith(f"{had - left} of {had} faults repaired")
    less = nitido.restore(clip, sample_rate=DECODER_HZ, without=["decomb"])
    (tally,) = [text for text in less.sentences() if "repaired" in text]
    assert "left: the comb, as decomb is off in this preset" in tally
    little = nitido.restore(clip, sample_rate=DECODER_HZ, settings={"bandwidth.amount": 0.05})
    (tally,) = [text for text in little.sentences() if "repaired" in text]
    assert "left: the ceiling, though less of it (treble of −" in tally


def test_a_new_fault_is_said_and_strict_exits_with_3(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    sf.write(path, render(seconds=3.0, sample_rate=RATE).T, RATE, subtype="FLOAT")
    command = ["restore", str(path), "-o", str(tmp_path / "a.wav"), "--stages", "dc", "--strict"]
    assert CliRunner().invoke(main, command).exit_code == 0
    done = CliRunner().invoke(main, [*command, "--overwrite", "--sample-rate", "16000"])
    assert done.exit_code == 3, done.output
    assert "It came at 48 kHz and is written at 16 kHz." in done.output
    assert "What was not there before: Most of the time nothing sounds above" in done.output
