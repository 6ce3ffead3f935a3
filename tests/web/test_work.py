"""Work goes on while the page looks, stops when it is told to, and does nothing twice."""

import threading
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
import soundfile as sf
from tests.signals import pink_noise

import nitido
from nitido import api
from nitido.errors import AudioReadError, CancelledError, ConfigError
from nitido.restoration.headroom import file_true_peak_dbtp
from nitido.web.choices import choose
from nitido.web.limits import Limits
from nitido.web.sessions import SessionPiece, Visits
from nitido.web.work import Task, Tell, analyse, encode, restore


@pytest.fixture
def piece(clip: Path, tmp_path: Path) -> Iterator[SessionPiece]:
    visits = Visits(Limits())
    upload = tmp_path / "0123abcd.wav"
    copyfile(clip, upload)
    yield visits.of("one").add("my song.wav", upload, limits=visits.limits)
    visits.close()


def silent(share: float) -> None:
    del share


def test_progress_rises_and_ends_with_the_result() -> None:
    def work(tell: Tell) -> str:
        for share in (0.1, 0.3, 0.2, 0.9):
            tell(share)
        return "done"

    task = Task(work)
    shares = list(task.shares())
    assert shares == sorted(shares)
    assert task.result == "done"


def test_work_that_is_cancelled_stops_at_its_next_step() -> None:
    begun, steps = threading.Event(), []

    def work(tell: Tell) -> None:
        for step in range(10_000):
            tell(step / 10_000)
            steps.append(step)
            begun.set()
            threading.Event().wait(0.001)

    task = Task(work)
    shares = task.shares()
    next(shares)
    begun.wait()
    task.cancelled.set()
    with pytest.raises(CancelledError):
        list(shares)
    assert len(steps) < 10_000


def test_work_stops_when_nobody_looks_any_more() -> None:
    ended = threading.Event()

    def work(tell: Tell) -> None:
        try:
            while True:
                tell(0.5)
                threading.Event().wait(0.001)
        finally:
            ended.set()

    shares = Task(work).shares()
    next(shares)
    shares.close()
    assert ended.is_set()


@pytest.mark.parametrize("left_early", [False, True])
def test_a_task_that_is_over_cancels_no_other_of_its_visitor(left_early: bool) -> None:
    class Lingering(Task[None]):
        """Its thread still lives when its end was told."""

        def _run(self) -> None:
            super()._run()
            threading.Event().wait(0.05)

    shared = threading.Event()
    shares = Lingering(lambda tell: tell(0.5), cancelled=shared).shares()
    next(shares)
    shares.close() if left_early else list(shares)
    assert not shared.is_set()


def test_an_error_reaches_who_waits() -> None:
    def work(tell: Tell) -> None:
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        list(Task(work).shares())


def test_a_restored_piece_lies_there_complete(piece: SessionPiece, clip: Path) -> None:
    restore(piece, silent)
    folder = piece.folder / piece.result
    assert {path.name for path in folder.iterdir()} == {
        "result.wav", "result.flac", "report.html", "plan.json",
    }  # fmt: skip
    wav, rate = sf.read(folder / "result.wav")
    given, given_rate = sf.read(clip)
    assert len(wav) / rate == pytest.approx(len(given) / given_rate)
    assert nitido.Plan.from_json((folder / "plan.json").read_text("utf-8")) == piece.plan
    assert "my song.wav" in (folder / "report.html").read_text("utf-8")
    assert piece.source.stem not in (folder / "plan.json").read_text("utf-8")


def test_it_is_what_nitido_restore_gives(piece: SessionPiece, clip: Path) -> None:
    restore(piece, silent)
    wav, _ = sf.read(piece.folder / piece.result / "result.wav", always_2d=True)
    assert np.abs(wav.T - nitido.restore(clip).wav).max() < 2**-22  # 24 bit


def test_a_result_beyond_full_scale_is_not_offered_in_a_format_that_would_clip_it(
    piece: SessionPiece,
) -> None:
    wav, rate = sf.read(piece.source)
    sf.write(piece.source, 2 * wav / np.abs(wav).max(), rate, subtype="FLOAT")
    piece.choices = choose(switches={"loudness": False})
    restore(piece, silent)
    assert "wav" in piece.formats
    assert "flac" not in piece.formats
    assert sf.info(piece.folder / piece.result / "result.wav").subtype == "FLOAT"


def test_lossy_formats_are_written_when_they_are_asked_for(piece: SessionPiece) -> None:
    restore(piece, silent)
    folder = piece.folder / piece.result
    for name, container in (("mp3", "MP3"), ("opus", "OGG")):
        written = sf.info(encode(folder, name))
        assert written.format == container
        assert written.duration == pytest.approx(sf.info(folder / "result.wav").duration, abs=0.1)


def test_a_lossy_download_holds_the_ceiling_of_its_plan(tmp_path: Path) -> None:
    wav = np.clip(pink_noise(seconds=3.0, channels=2, rms=0.3), -0.5, 0.5)
    settings = {"loudness.target_lufs": -5.0}
    loud = nitido.restore((wav, 48_000), stages=["loudness"], settings=settings)
    loud.write(tmp_path / "result.wav")
    (tmp_path / "result.wav.nitido.json").rename(tmp_path / "plan.json")
    for name in ("mp3", "opus"):
        assert (file_true_peak_dbtp(encode(tmp_path, name)) or 0.0) <= -1.0
    assert {path.name for path in tmp_path.glob("*.*")} == {
        "result.wav", "plan.json", "result.mp3", "result.opus",
    }  # fmt: skip


def test_one_slider_does_not_make_nitido_listen_again(
    piece: SessionPiece, monkeypatch: pytest.MonkeyPatch
) -> None:
    listened = []
    analyse_source = api.analyse
    monkeypatch.setattr(
        api, "analyse", lambda *a, **k: listened.append(1) or analyse_source(*a, **k)
    )
    analyse(piece, silent)
    restore(piece, silent)
    first = piece.result
    piece.choices = choose(amounts={"bandwidth": 0.5})
    restore(piece, silent)
    assert listened == [1]
    assert piece.result != first
    assert piece.plan is not None
    assert piece.plan["bandwidth"].settings["amount"] == 0.5


def test_a_cancelled_restoration_leaves_the_result_before(piece: SessionPiece) -> None:
    restore(piece, silent)
    first = piece.result

    def stop(share: float) -> None:
        if share > 0.5:
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        restore(piece, stop)
    assert piece.result == first
    assert (piece.folder / first / "result.wav").is_file()


def test_a_restoration_that_is_cancelled_at_its_end_leaves_nothing(piece: SessionPiece) -> None:
    def stop(share: float) -> None:
        if list(piece.folder.rglob("report.html")):
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        restore(piece, stop)
    assert [path.name for path in piece.folder.iterdir()] == ["source.wav"]


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
