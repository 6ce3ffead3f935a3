"""What is done with a piece is what nitido does, and nothing is done twice."""

import zipfile
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
import soundfile as sf
from tests.signals import pink_noise, sine

import nitido
from nitido import api
from nitido.errors import AudioReadError, CancelledError, ConfigError
from nitido.restoration.headroom import file_true_peak_dbtp
from nitido.web.choices import Choices
from nitido.web.limits import Limits
from nitido.web.sessions import SessionPiece, Visits
from nitido.web.work import (
    CREDENTIALS,
    download,
    examine,
    judge,
    offered,
    preview,
    restore,
    zip_results,
)


@pytest.fixture
def piece(clip: Path) -> Iterator[SessionPiece]:
    visits = Visits(Limits())
    piece = visits.of(visits.new_token()).add("my song.wav", limits=visits.limits)
    copyfile(clip, piece.source)
    yield piece
    visits.close()


def silent(share: float) -> None:
    del share


def test_a_restored_piece_lies_there_complete(piece: SessionPiece, clip: Path) -> None:
    restore(piece, silent)
    folder = download(piece, "report").parent
    assert folder == piece.result_folder
    names = {path.name for path in folder.iterdir()}
    assert names == {"result.wav", "report.html", "plan.json", "0", "1", "2"}
    wav, rate = sf.read(folder / "result.wav")
    given, given_rate = sf.read(clip)
    assert len(wav) / rate == pytest.approx(len(given) / given_rate)
    plan = nitido.Plan.from_json((folder / "plan.json").read_text("utf-8"))
    assert plan["decomb"].on
    assert "my song.wav" in (folder / "report.html").read_text("utf-8")
    assert piece.folder.name not in (folder / "plan.json").read_text("utf-8")


@pytest.mark.parametrize(("form", "bits"), [("wav", 24), ("wav16", 16), ("wav32", 32)])
def test_it_is_what_nitido_restore_gives(
    piece: SessionPiece, clip: Path, tmp_path: Path, form: str, bits: int
) -> None:
    restore(piece, silent)
    same = nitido.restore(clip).write(tmp_path / "same.wav", bit_depth=bits)
    ours, theirs = (sf.read(path, dtype="float64")[0] for path in (download(piece, form), same))
    assert np.array_equal(ours, theirs)


def test_every_form_that_is_offered_can_be_had(piece: SessionPiece) -> None:
    restore(piece, silent)
    assert {"wav", "wav16", "wav32", "flac", "mp3", "ogg", "opus"} <= set(offered(piece))
    for form in offered(piece):
        path = download(piece, form)
        if form not in ("report", "plan"):
            found = nitido.diagnose(path)
            assert found.duration_seconds == pytest.approx(3.0, abs=0.1), form
    with pytest.raises(ConfigError, match="cannot be had as exe"):
        download(piece, "exe")


def test_a_result_beyond_full_scale_is_not_offered_in_a_format_that_would_clip_it(
    piece: SessionPiece,
) -> None:
    wav, rate = sf.read(piece.source)
    sf.write(piece.source, 2 * wav / np.abs(wav).max(), rate, subtype="FLOAT")
    piece.choices = Choices(settings={"loudness.mode": "off"})
    restore(piece, silent)
    assert "wav32" in offered(piece)
    assert not {"wav", "wav16", "flac"} & set(offered(piece))


@pytest.mark.parametrize("form", ["mp3", "opus", "ogg", "m4a"])
def test_a_lossy_download_holds_the_ceiling_of_its_plan(piece: SessionPiece, form: str) -> None:
    wav = np.clip(pink_noise(seconds=3.0, channels=2, rms=0.3), -0.5, 0.5)
    sf.write(piece.source, wav.T, 48_000, subtype="FLOAT")
    piece.choices = Choices(settings={"loudness.target_lufs": -8.0})
    restore(piece, silent)
    if form in offered(piece):
        assert (file_true_peak_dbtp(download(piece, form)) or 0.0) <= -1.0
    assert not list(piece.result_folder.glob("begun*"))


def test_a_verdict_is_that_of_nitido_check_of_the_result_once_there_is_one(
    piece: SessionPiece,
) -> None:
    judge(piece, "spotify", silent)
    assert piece.verdict["of"] == ""
    restore(piece, silent)
    judge(piece, "broadcast", silent)
    same = nitido.check(piece.result_folder / "result.wav", target="broadcast")
    assert piece.verdict["verdict"] == same.sentence.replace("result.wav", piece.name)
    assert [one["summary"] for one in piece.verdict["reasons"]] == [
        reason.summary for reason in same.reasons
    ]


def test_the_seam_of_what_a_hand_calls_a_loop_is_looked_at(piece: SessionPiece) -> None:
    wav = sine(220, seconds=3.0, amplitude=0.1) + 0.05 * np.tile(pink_noise(seconds=1.0), 3)
    wav[:, 200] += 0.3
    sf.write(piece.source, wav.T, 48_000, subtype="FLOAT")
    for loop in (False, True):
        piece.choices = Choices(preset="song", settings={"ending.loop": loop})
        restore(piece, silent)
        assert piece.result["steps"]["declick"]["on"] == loop


def test_credentials_that_came_in_can_be_taken_along(piece: SessionPiece) -> None:
    restore(piece, silent)
    assert "credentials" not in offered(piece)
    (piece.result_folder / CREDENTIALS).write_bytes(b"store")
    assert download(piece, "credentials").read_bytes() == b"store"


def test_a_preview_is_the_loudest_part_at_its_place_as_it_will_be(piece: SessionPiece) -> None:
    wav, rate = sf.read(piece.source)
    quiet = 0.01 * np.tile(wav, 5)
    sf.write(piece.source, np.concatenate([quiet, np.tile(wav, 4), quiet]), rate)
    preview(piece, silent)  # before the piece is examined
    (told,) = piece.made["preview"]["parts"]
    assert told["offset"] == pytest.approx(15.0, abs=1.5)
    assert told["seconds"] == pytest.approx(10.0, abs=0.01)
    assert [track["name"] for track in told["tracks"]] == ["Before", "After", "Removed"]
    assert (piece.result, piece.diagnosis) == ({}, None)
    examine(piece, silent)
    preview(piece, silent)
    assert piece.made["preview"]["offset"] == told["offset"]


def test_one_slider_does_not_make_nitido_listen_again(
    piece: SessionPiece, monkeypatch: pytest.MonkeyPatch
) -> None:
    listened = []
    diagnose = api.diagnose
    monkeypatch.setattr(api, "diagnose", lambda *a, **k: listened.append(1) or diagnose(*a, **k))
    restore(piece, silent)
    assert not piece.stale
    piece.choices = Choices(settings={"bandwidth.amount": 0.5})
    assert piece.stale
    restore(piece, silent)
    assert listened == [1]
    assert not piece.stale
    assert piece.result["steps"]["bandwidth"]["settings"]["amount"] == 0.5


@pytest.mark.parametrize("at", [0.3, 0.7, 0.85, 0.9])
def test_a_cancelled_restoration_leaves_the_result_before(piece: SessionPiece, at: float) -> None:
    restore(piece, silent)
    first, before = piece.result["folder"], sorted(piece.folder.iterdir())

    def stop(share: float) -> None:
        if share >= at:
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        restore(piece, stop)
    assert piece.result["folder"] == first
    assert sorted(piece.folder.iterdir()) == before


def test_a_result_can_be_heard_before_its_report_is_written_and_asked_for_it_is_there(
    piece: SessionPiece, clip: Path, tmp_path: Path
) -> None:
    had: list[set[str]] = []
    restore(piece, silent, lambda: had.append({*offered(piece), *piece.made}))
    assert had[0] >= {"wav", "plan", "report", "result"}
    assert not (piece.result_folder / "report.html").exists()
    same = nitido.restore(clip, name=piece.name).report(tmp_path / "same.html")
    assert download(piece, "report").read_text("utf-8") == same.read_text("utf-8")


def test_a_long_piece_is_played_in_parts_and_nothing_of_it_is_left_out(
    piece: SessionPiece, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nitido.web.work.PART_SECONDS", 1.25)
    had: list[int] = []
    restore(piece, silent, lambda: had.append(len(piece.result["parts"])))
    parts = piece.result["parts"]
    assert had == [1, 2, 3]  # the first is heard before the others are there
    assert [part["offset"] for part in parts] == [0.0, 1.25, 2.5]
    assert sum(part["seconds"] for part in parts) == pytest.approx(3.0)
    for number in range(9):
        part = parts[number // 3]
        assert sf.info(piece.result_folder / str(number)).duration == pytest.approx(part["seconds"])
    assert [part["first"] for part in parts] == [0, 3, 6]


def test_all_results_go_into_one_file_and_none_hides_another(
    piece: SessionPiece, tmp_path: Path
) -> None:
    piece.name = "../../évil?.wav"
    restore(piece, silent)
    other = copy(piece)
    other.name = piece.name.replace("?", "*")  # the same once it is a name of a file
    path = tmp_path / "all.zip"
    zip_results([piece, other], path, "mp3")
    with zipfile.ZipFile(path) as bundle:
        names = bundle.namelist()
    assert len(set(names)) == 6  # with reports that nobody had asked for yet
    assert not [name for name in names if "/" in name or name.startswith(".")]
    assert sum(name.endswith(".mp3") for name in names) == 2


def test_what_is_too_long_is_refused_before_it_is_listened_to(clip: Path) -> None:
    with pytest.raises(ConfigError, match=r"my song is 0.1 minutes long; this page takes 0.04"):
        Limits(minutes=0.04).check_length(clip, "my song")


def test_what_unpacks_to_too_much_is_refused_though_it_is_short(tmp_path: Path) -> None:
    path = tmp_path / "wide.wav"
    sf.write(path, np.zeros((8000, 64)), 192_000)
    Limits(minutes=0.05).check_length(path, "wide")
    with pytest.raises(ConfigError, match="64 channels at 192000 Hz; this page takes as much as"):
        Limits(minutes=0.001).check_length(path, "wide")


def test_an_error_names_the_file_as_its_visitor_does(tmp_path: Path) -> None:
    path = tmp_path / "0123456789abcdef.wav"
    path.write_text("no sound")
    with pytest.raises(AudioReadError, match=r"^my song\.wav is not an audio file") as caught:
        Limits().check_length(path, "my song.wav")
    assert "0123" not in str(caught.value)


def test_a_visitor_is_advised_nothing_that_the_page_has_not(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "half.wav"
    path.write_bytes(clip.read_bytes()[:20_000])
    with pytest.raises(AudioReadError, match=r"get the file again from where it came from\.$"):
        Limits().check_length(path, "half.wav")
    monkeypatch.setattr("nitido.audio.ffmpeg.program", lambda: None)
    film = tmp_path / "film.m4a"
    film.write_bytes(b"\0\0\0\x18ftypM4A \0\0\0\0" + bytes(80))
    with pytest.raises(AudioReadError, match=r"not installed; convert the file to FLAC or WAV\.$"):
        Limits().check_length(film, "film.m4a")
