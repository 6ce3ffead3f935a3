import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from tests.batch.cases import contents, how
from tests.signals import pink_noise

import nitido
from nitido import output, result_files
from nitido.batch import Job, make_jobs, restore_many
from nitido.errors import AudioReadError, AudioWriteError, ConfigError, MissingExtraError
from nitido.lock import try_lock
from nitido.output import Reservation, reserve
from nitido.result_files import SIDECAR, check_outputs, output_files


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "song.wav"


def reserved(target: Path) -> Reservation:
    found = reserve(target)
    assert isinstance(found, Reservation)
    return found


def make(held: Reservation, content: bytes = b"new") -> None:
    """Write a result, its sidecar, and stems."""
    (held.folder / "song.wav").write_bytes(content)
    (held.folder / "song.wav.nitido.json").write_bytes(content)
    (held.folder / "song.stems").mkdir()
    (held.folder / "song.stems" / "drums.wav").write_bytes(content)


ALL = {"song.wav", "song.wav.nitido.json", "song.stems/drums.wav"}


def die(held: Reservation) -> None:
    """Let go as a killed process does: the system closes its files, and that is all."""
    os.close(held._lock)


def test_only_one_at_a_time_has_the_right_to_make_a_result(target: Path) -> None:
    with reserved(target):
        assert reserve(target) is None
    with reserved(target):
        pass
    assert contents(target.parent) == {}


def test_all_files_of_a_result_appear_at_the_end_and_nothing_else(target: Path) -> None:
    with reserved(target) as held:
        make(held)
        assert not target.exists()
        held.publish(overwrite=False)
    assert contents(target.parent) == dict.fromkeys(ALL, b"new")


def test_what_is_not_published_leaves_nothing(target: Path) -> None:
    def interrupted() -> None:
        with reserved(target) as held:
            make(held)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert contents(target.parent) == {}


@pytest.mark.parametrize("name", sorted(ALL))
def test_an_existing_file_is_only_replaced_when_asked(target: Path, name: str) -> None:
    other = target.parent / name
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(b"mine")
    with reserved(target) as held:
        make(held)
        with pytest.raises(AudioWriteError, match="exists already"):
            held.publish(overwrite=False)
    assert contents(target.parent) == {name: b"mine"}
    with reserved(target) as held:
        make(held)
        held.publish(overwrite=True)
    assert contents(target.parent) == dict.fromkeys(ALL, b"new")


def test_what_a_killed_run_has_left_is_cleared_away(target: Path) -> None:
    held = reserved(target)
    make(held)
    die(held)
    with reserved(target) as after:
        assert [path.name for path in after.folder.iterdir()] == ["lock"]
    assert contents(target.parent) == {}


@pytest.mark.parametrize("moves", range(4))
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_killed_while_it_publishes_is_finished_by_the_next(
    target: Path, moves: int, overwrite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if overwrite:
        target.write_bytes(b"old")
    held = reserved(target)
    make(held)
    put, done = output._put, []

    def put_some(file: Path, place: Path, *, overwrite: bool) -> None:
        if len(done) == moves:
            raise KeyboardInterrupt
        done.append(file)
        put(file, place, overwrite=overwrite)

    with monkeypatch.context() as patched:
        patched.setattr(output, "_put", put_some)
        try:
            held.publish(overwrite=overwrite)
        except KeyboardInterrupt:
            assert not (target.parent / "song.wav.nitido.json").exists()
    die(held)
    with reserved(target):
        pass
    assert contents(target.parent) == dict.fromkeys(ALL, b"new")


def test_finishing_for_a_killed_run_replaces_nothing_that_appeared_since(target: Path) -> None:
    held = reserved(target)
    make(held)
    held._say("move")  # it was killed here
    die(held)
    target.write_bytes(b"mine")
    with reserved(target):
        pass
    assert target.read_bytes() == b"mine"
    assert not (target.parent / "song.wav.nitido.json").exists()


def test_a_file_that_was_linked_when_the_run_was_killed_counts_as_moved(target: Path) -> None:
    held = reserved(target)
    make(held)
    held._say("move")
    target.hardlink_to(held.folder / "song.wav")
    die(held)
    with reserved(target):
        pass
    assert contents(target.parent) == dict.fromkeys(ALL, b"new")


def test_the_holder_s_clearing_does_not_take_the_next_one_s_right(target: Path) -> None:
    first = reserved(target)
    old = os.open(first.folder / "lock", os.O_RDWR)  # a second run has opened it, and waits
    first.__exit__()
    assert try_lock(old)
    assert not output._is_still(old, first.folder / "lock")
    os.close(old)
    with reserved(target):
        assert reserve(target) is None


def test_long_names_that_begin_alike_do_not_share_a_reserve(tmp_path: Path) -> None:
    names = [f"{'long ' * 45}{n}.wav" for n in range(2)]
    with reserved(tmp_path / names[0]), reserved(tmp_path / names[1]):
        pass


def test_a_link_in_the_place_of_the_hidden_folder_is_not_followed(target: Path) -> None:
    with reserved(target) as held:
        hidden = held.folder
    treasure = target.parent / "treasure"
    treasure.mkdir()
    (treasure / "gold.wav").write_bytes(b"gold")
    hidden.symlink_to(treasure)
    with pytest.raises(AudioWriteError, match="cannot be written"):
        reserve(target)
    assert contents(treasure) == {"gold.wav": b"gold"}


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(AudioWriteError, match="is gone"):
        reserve(tmp_path / "gone" / "song.wav")


@pytest.fixture
def songs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pieces; every file in it is an input somewhere below."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("x.wav", "x.removed.wav", "y.wav", "x.stems/drums.wav")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        sf.write(path, pink_noise(seconds=0.6, seed=seed).T, 32_000)
    return tmp_path


def refused(*pieces: tuple[str, str], **options: Any) -> str:
    """What a run says that must not begin; nothing is written, nothing changed."""
    before = contents(Path())
    jobs = [
        replace(how(overwrite=True, **options), source=source, output=output)
        for source, output in pieces
    ]
    with pytest.raises((AudioWriteError, ConfigError)) as caught:
        list(restore_many(jobs))
    assert contents(Path()) == before
    return str(caught.value)


def test_no_file_of_a_result_replaces_an_input_whatever_it_is_called(songs: Path) -> None:
    Path("soft.wav").symlink_to("y.wav")
    Path("hard.wav").hardlink_to("y.wav")
    for name in ("y.wav", "./y.wav", "x.stems/../y.wav", "soft.wav", "hard.wav"):
        assert "would replace the input y.wav" in refused(("y.wav", name))
    said = refused(("x.removed.wav", "x.wav"), removed=True)
    assert "the input x.removed.wav" in said
    assert "removed sound" in said
    assert "the input x.wav" in refused(("y.wav", "x.wav"), ("x.wav", "z.wav"))
    assert "the input x.removed.wav" in refused(
        ("y.wav", "x.wav"), ("x.removed.wav", "z.wav"), removed=True
    )
    assert "the input x.stems/drums.wav" in refused(("x.stems/drums.wav", "x.wav"), stems=True)


def test_no_two_results_share_a_file(songs: Path) -> None:
    both = ("x.wav", "out/a.wav"), ("y.wav", "out/a.flac")
    assert "out/a.report.html" in refused(*both, report=True)
    assert "out/a.stems" in refused(*both, stems=True)
    swapped = ("x.wav", "out/a.wav"), ("y.wav", "out/a.removed.wav")
    assert "out/a.removed.wav" in refused(*swapped, removed=True)
    inside = ("x.wav", "out/a.wav"), ("y.wav", "out/a.stems/drums.wav")
    assert "folder of stems" in refused(*inside, stems=True)
    check_outputs([("x.wav", output_files("a.wav")), ("y.wav", output_files("a.flac"))])


def test_objects_elsewhere_are_held_against_each_other_like_files(songs: Path) -> None:
    assert "would replace" in refused(("s3://b/x.wav", "S3://b//x.wav"))
    assert "would replace" in refused(("gs://b/x.removed.wav", "gcs://b/x.wav"), removed=True)
    (job,) = make_jobs([f"local://{songs}/y.wav"], Job(), output=f"local://{songs}/")
    assert (job.source, job.output) == (str(songs / "y.wav"), str(songs / "y_restored.wav"))


def test_names_that_differ_in_letter_case_alone_are_one_where_the_folder_says_so(
    songs: Path,
) -> None:
    both = ("x.wav", "out/new.wav"), ("y.wav", "out/NEW.wav")
    check_outputs([(source, output_files(name)) for source, name in both])
    Path("out").mkdir()
    Path("out/song.wav").write_bytes(b"")
    Path("out/SONG.WAV").hardlink_to("out/song.wav")  # one file, as such disks show it
    assert "would both be written" in refused(*both)


def test_a_second_run_that_asks_for_more_leaves_its_input_alone(songs: Path) -> None:
    nitido.restore("x.removed.wav").write("z.wav", overwrite=True)
    nitido.restore("x.removed.wav").write("x.wav", overwrite=True)
    assert "would replace the input" in refused(
        ("x.removed.wav", "x.wav"), removed=True, resume=True
    )


def test_python_writes_all_files_of_a_result_or_none(songs: Path) -> None:
    result = nitido.restore("x.removed.wav")
    before = contents(songs)
    with pytest.raises(AudioWriteError, match="would replace the input"):
        result.write("x.wav", removed=True, overwrite=True)
    for wrong in (result.report, result.plot):
        with pytest.raises((AudioWriteError, ConfigError), match=r"input|picture"):
            wrong("x.removed.wav", overwrite=True)
    Path("z.wav.nitido.json").write_text("mine")
    with pytest.raises(AudioWriteError, match=r"z\.wav\.nitido\.json exists"):
        result.write("z.wav", removed=True)
    Path("z.wav.nitido.json").unlink()
    assert contents(songs) == before
    result.write("z.wav", removed=True, report=True)
    names = {"z.wav", "z.wav.nitido.json", "z.removed.wav", "z.report.html"}
    assert set(contents(songs)) - set(before) == names


def test_a_removed_sound_replaces_no_result(songs: Path) -> None:
    nitido.restore("y.wav").write("z.removed.wav")
    result = nitido.restore("x.wav")
    before = contents(songs)
    with pytest.raises(AudioWriteError, match="a result of its own"):
        result.write("z.wav", removed=True, overwrite=True)
    assert contents(songs) == before


def test_a_sidecar_tells_of_the_file_that_was_restored(songs: Path) -> None:
    sha256 = hashlib.sha256(Path("x.wav").read_bytes()).hexdigest()
    result = nitido.restore("x.wav")
    Path("y.wav").replace("x.wav")
    assert result.sidecar()["input"]["sha256"] == sha256
    assert result.write("z.wav").is_file()
    with pytest.raises(AudioReadError, match="changed or moved"):
        result.removed  # noqa: B018  of two sounds that have nothing to do with each other


@pytest.fixture(scope="module")
def over() -> nitido.Restoration:
    """A result that peaks 6 dB above full scale: it was delivered so, and no loudness was set."""
    wav = pink_noise(seconds=1, sample_rate=48_000)
    wav *= 2 / np.abs(wav).max()
    return nitido.restore(wav, sample_rate=48_000, without=["loudness"], preset="gentle")


@pytest.mark.parametrize("name", ["a.wav", "a.aiff"])
def test_peaks_beyond_full_scale_are_kept_as_float_and_that_is_said(
    over: nitido.Restoration, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    over.write(tmp_path / name, removed=True)
    wav, _ = sf.read(tmp_path / name, dtype="float32", always_2d=True)
    np.testing.assert_array_equal(wav.T, over.wav)
    assert np.abs(wav).max() > 1.5
    (said,) = caplog.messages
    assert name in said
    assert "32-bit float" in said
    result = json.loads((tmp_path / (name + SIDECAR)).read_text())["result"]
    assert result["bit_depth"] == 32


@pytest.mark.parametrize("form", [("a.wav", 24), ("a.aiff", 16), ("a.flac", None), ("a.flac", 24)])
def test_peaks_beyond_full_scale_are_never_clipped_to_integers(
    over: nitido.Restoration, form: tuple[str, int | None], tmp_path: Path
) -> None:
    with pytest.raises(AudioWriteError, match=r"\d\.\d\d dB above .*`bit_depth=32`"):
        over.write(tmp_path / form[0], bit_depth=form[1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.opus"])
def test_a_lossy_file_keeps_peaks_beyond_full_scale_and_that_is_said(
    over: nitido.Restoration, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    over.write(tmp_path / name)
    wav = nitido.audio.open_source(tmp_path / name)
    assert max(np.abs(block).max() for block in wav.blocks()) > 1.2
    assert "most players will clip" in caplog.text


def test_a_device_or_a_pipe_is_never_replaced(songs: Path) -> None:
    result = nitido.restore("x.wav")
    for name, more in (
        ("z.wav", {}), ("w.wav.nitido.json", {}), ("v.removed.wav", {"removed": True}),
        ("u.report.html", {"report": True}), ("t.stems", {"stems": True}),
    ):  # fmt: skip
        os.mkfifo(name)
        with pytest.raises(AudioWriteError, match="is there already and no"):
            result_files.check_writable(output_files(f"{name[0]}.wav", **more), overwrite=True)
        if not more:
            with pytest.raises(AudioWriteError, match="no regular file"):
                result.write(f"{name[0]}.wav", overwrite=True)
        assert Path(name).is_fifo()


@pytest.mark.parametrize("name", ["a\0.wav", f"{'x' * 300}.wav", f"{'x' * 247}.wav"])
def test_a_name_that_no_file_can_have_is_one_sentence(songs: Path, name: str) -> None:
    before = contents(songs)
    with pytest.raises(AudioWriteError, match="can be no file"):
        nitido.restore("x.wav").write(name)
    assert contents(songs) == before


@pytest.mark.parametrize(
    "form", [{"format": ["wav"]}, {"bit_depth": [24]}, {"bit_depth": 24.0}, {"stems": None}]
)
def test_a_form_of_the_wrong_kind_is_one_sentence(
    over: nitido.Restoration, form: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"wav|stems is None"):
        over.write(tmp_path / "a.wav", **form)


def test_an_error_is_one_line_whatever_a_file_is_called() -> None:
    with pytest.raises(AudioReadError) as caught:
        nitido.restore("\x1b[31mé\n.wav")
    assert str(caught.value) == r"\x1b[31mé\n.wav does not exist; check the name."


def test_m4a_without_ffmpeg_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("nitido.audio.ffmpeg.available", lambda _: False)
    with pytest.raises(MissingExtraError, match=r"pip install 'nitido\[m4a\]'"):
        result_files.check_writable(output_files(str(tmp_path / "a.m4a")), overwrite=False)
