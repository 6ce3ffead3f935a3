"""What must not be let in: what never ends, what lies outside, what is no file."""

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from tests.signals import pink_noise, silence

import nitido
from nitido.audio import FileSource, read_text, set_down, write, write_text
from nitido.cli import main
from nitido.errors import AudioReadError, AudioWriteError, ConfigError, NitidoError
from nitido.restoration.plan import Plan
from nitido.restoration.preset import load_preset

SOUND = pink_noise(seconds=0.5, sample_rate=8000)
NAMES = [
    "-o.wav",
    "--help.wav",
    "a\nb.wav",
    "..wav",
    "{stem}.wav",
    "*.wav",
    "caf\u00e9.wav",
    "cafe\u0301.wav",
    "\x1b[31mred.wav",
    os.fsdecode(b"\xff\xfe.wav"),
    "x" * 240 + ".wav",
]


def written(path: Path, wav: np.ndarray = SOUND, **options: object) -> Path:
    return write(path, [wav], sample_rate=8000, channels=len(wav), samples=wav.shape[1], **options)


def call(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, where a hang would be seen."""
    return subprocess.run(
        [sys.executable, "-c", "from nitido.cli import main; main()", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, format="wav")
    assert FileSource(path).samples == SOUND.shape[1]
    result = nitido.restore(path).write(tmp_path / f"new{name[-200:]}", overwrite=True)
    sidecar = result.with_name(result.name + ".nitido.json")
    assert json.loads(sidecar.read_text("utf-8"))["input"]["name"] == name
    assert len(list(tmp_path.iterdir())) == 3


def test_two_spellings_of_one_letter_are_two_files(tmp_path: Path) -> None:
    written(tmp_path / "caf\u00e9.wav")
    written(tmp_path / "cafe\u0301.wav", SOUND[:, :1000])
    assert FileSource(tmp_path / "caf\u00e9.wav").samples == SOUND.shape[1]
    assert FileSource(tmp_path / "cafe\u0301.wav").samples == 1000


def test_the_command_line_takes_a_folder_of_strange_names(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in NAMES[:9]:
        written(tmp_path / "in" / name)
    names = sorted(path.name for path in (tmp_path / "in").iterdir())
    done = call("diagnose", "--json", "--", *names, folder=tmp_path / "in")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 9


@pytest.mark.parametrize("kind", ["fifo", "device", "loop", "folder", "zero", "long"])
def test_what_is_no_file_is_refused_at_once_to_read_and_to_write(tmp_path: Path, kind: str) -> None:
    path = {"device": Path("/dev/zero"), "long": tmp_path / ("x" * 300)}.get(kind, tmp_path / "x")
    if kind == "fifo":
        os.mkfifo(path)
    if kind == "loop":
        path.symlink_to("y")
        (tmp_path / "y").symlink_to("x")
    if kind == "folder":
        path.mkdir()
    if kind == "zero":
        path = tmp_path / "a\0b"
    with pytest.raises(AudioReadError):
        FileSource(path)
    with pytest.raises(AudioReadError):
        read_text(path)
    with pytest.raises(AudioWriteError):
        written(path, format="wav", overwrite=True)
    with pytest.raises(AudioWriteError):
        write_text(path, "{}", overwrite=True)


def test_a_plan_that_is_a_pipe_or_a_device_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "a.wav")
    os.mkfifo(tmp_path / "plan.json")
    for plan in ("plan.json", "/dev/zero"):
        done = call("restore", "a.wav", "--plan", plan, folder=tmp_path)
        assert done.returncode == 1
        assert "regular file" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_text_beyond_all_measure_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "plan.json").open("wb") as file:
        file.truncate(2**40)  # a terabyte, of which nothing lies on the disk
    with pytest.raises(AudioReadError, match="1099511627776"):
        read_text(tmp_path / "plan.json")
    (tmp_path / "plan.json").write_bytes(b"{\xff\xfe}")
    with pytest.raises(AudioReadError, match="UTF-8"):
        read_text(tmp_path / "plan.json")


def test_links_in_a_circle_do_not_catch_a_folder_walk(tmp_path: Path) -> None:
    folder = tmp_path / "songs"
    folder.mkdir()
    written(folder / "a.wav")
    for name in ("up", "again"):
        (folder / name).symlink_to(".", target_is_directory=True)
    (folder / "b.wav").symlink_to("b.wav")
    done = call("restore", "songs", "-o", "done/", "--dry-run", "--json", folder=tmp_path)
    assert done.returncode == 1  # b.wav leads nowhere
    assert "symbolic links" in done.stderr
    assert [Path(entry["file"]).name for entry in json.loads(done.stdout)] == ["a.wav", "b.wav"]
    (folder / "b.wav").unlink()
    done = call("restore", "songs/**/*.wav", "-o", "done/", "--dry-run", "--json", folder=tmp_path)
    assert json.loads(done.stdout)["file"] == "songs/a.wav"


def flac_of_silence(path: Path, *, hours: float) -> Path:
    """Write a FLAC file that grows a thousandfold when it is read."""
    block = silence(seconds=60, sample_rate=8000).T
    with sf.SoundFile(path, "w", 8000, 1, format="FLAC", subtype="PCM_16") as file:
        for _ in range(round(60 * hours)):
            file.write(block)
    return path


def test_a_small_file_that_holds_hours_is_refused_unless_allowed(tmp_path: Path) -> None:
    path = flac_of_silence(tmp_path / "a.flac", hours=7)
    grows = 7 * 3600 * 8000 * 4 / path.stat().st_size
    assert grows > 1000
    with pytest.raises(AudioReadError, match=r"7\.00 h .* 6 h .*max_seconds="):
        FileSource(path)
    with pytest.raises(AudioReadError, match="max_seconds="):
        nitido.restore(path)
    assert FileSource(path, max_seconds=8 * 3600).samples == 7 * 3600 * 8000


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.opus"])
def test_the_limit_holds_for_every_format(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name)
    assert FileSource(path, max_seconds=1).samples == SOUND.shape[1]
    with pytest.raises(AudioReadError, match="max_seconds="):
        FileSource(path, max_seconds=0.4)
    with pytest.raises(AudioReadError, match="max_seconds="):
        nitido.diagnose(path, max_seconds=0.4)


def test_the_limit_holds_for_a_flac_stream_that_does_not_say_its_length(tmp_path: Path) -> None:
    path = written(tmp_path / "a.flac")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert FileSource(path).samples == SOUND.shape[1]
    with pytest.raises(AudioReadError, match="max_seconds="):
        FileSource(path, max_seconds=0.4)


def test_the_limit_is_an_option_of_the_commands(tmp_path: Path) -> None:
    path = str(written(tmp_path / "a.wav"))
    for command in (["restore", path, "-o", str(tmp_path / "b.wav")], ["diagnose", path]):
        refused = CliRunner().invoke(main, [*command, "--max-seconds", "0.4"])
        assert refused.exit_code == 1
        assert "--max-seconds" in refused.stderr
        assert CliRunner().invoke(main, [*command, "--max-seconds", "0"]).exit_code == 2
        assert CliRunner().invoke(main, [*command, "--max-seconds", "0.6"]).exit_code == 0
    for limit in (0, -1, float("nan")):
        with pytest.raises(ConfigError, match="max_seconds"):
            FileSource(path, max_seconds=limit)


class Endless(io.RawIOBase):
    """A stream that begins like a file and never ends."""

    def __init__(self, head: bytes) -> None:
        self.head, self.given = head, 0

    def read(self, size: int = -1) -> bytes:
        piece, self.head = self.head[:size], self.head[size:]
        self.given += size
        return piece + bytes(size - len(piece))


def test_a_stream_of_zeros_is_refused_at_its_first_mebibyte(tmp_path: Path) -> None:
    stream = Endless(b"")
    with pytest.raises(AudioReadError, match="not audio"):
        set_down(stream, tmp_path / "a")
    assert stream.given == 2**20


def test_a_sound_that_never_ends_is_refused_when_it_is_too_long(tmp_path: Path) -> None:
    head = written(tmp_path / "a.wav").read_bytes()[:44]
    stream = Endless(head[:4] + b"\xff" * 4 + head[8:40] + b"\xff" * 4)
    with pytest.raises(AudioReadError, match="max_seconds="):
        set_down(stream, tmp_path / "b", max_seconds=60)
    assert stream.given < 2**28 + 2**24


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg"])
def test_a_stream_that_ends_is_set_down_whole(tmp_path: Path, name: str) -> None:
    content = written(tmp_path / name).read_bytes()
    set_down(io.BytesIO(content), tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == content
    long = written(tmp_path / f"long{name}", pink_noise(seconds=100, sample_rate=8000))
    set_down(io.BytesIO(long.read_bytes()), tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == long.read_bytes()


def test_a_never_ending_standard_input_ends_the_command(tmp_path: Path) -> None:
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as pipe:
            try:
                while True:
                    pipe.write(bytes(2**16))
            except BrokenPipeError:
                return

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    done = subprocess.run(
        [sys.executable, "-c", "from nitido.cli import main; main()", "restore", "-"],
        stdin=reading,
        capture_output=True,
        timeout=60,
    )
    os.close(reading)
    feeder.join(10)
    assert done.returncode == 1
    assert b"not audio" in done.stderr
    assert not feeder.is_alive()


def test_samples_beyond_all_measure_are_filled_in_like_no_numbers(tmp_path: Path) -> None:
    wav = pink_noise(seconds=1, sample_rate=16_000)
    wav[0, 5000:5010] = 1e30
    wav[0, 9000] = -3e38
    result = nitido.restore(wav, sample_rate=16_000)
    assert result.diagnosis["nonfinite"].value == 11
    assert np.abs(result.wav).max() <= 1
    loud = nitido.diagnose(pink_noise(seconds=1) * np.float32(32_768), sample_rate=48_000)
    assert loud["nonfinite"].value == 0  # 16 bit taken for float: loud, but a sound


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "presets/musicgen", "musicgen.toml", "", "..", "a\0b"]
)
def test_a_preset_is_a_name_and_never_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="no preset"):
        load_preset(name)


def test_no_text_in_a_plan_is_a_path() -> None:
    for settings in ({"model": "../x"}, {"model": "/etc/passwd"}, {"model": "a/b"}):
        for stage in ("stems", "bandwidth"):
            step = {"stage": stage, "on": True, "settings": settings}
            with pytest.raises(ConfigError):
                Plan.from_dict({"steps": [step]})
    plan = Plan.from_dict({"preset": "/etc/passwd", "steps": []})  # a remark, never looked up
    assert plan.preset == "/etc/passwd"
    nitido.restore(SOUND, sample_rate=8000, plan=plan)


def test_an_error_is_a_nitido_error_whatever_the_path_is(tmp_path: Path) -> None:
    for path in ("", ".", "/", "/proc/self/mem", "/proc/self/environ", "/dev/stdin", "\ud800"):
        with pytest.raises(NitidoError):
            FileSource(path)


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))  # a disk with room for a mebibyte
from nitido.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit for the size of files there")
@pytest.mark.parametrize("source", ["song.wav", "-"])
def test_a_full_temporary_folder_is_told_in_one_sentence_and_nothing_is_left(
    tmp_path: Path, source: str
) -> None:
    path, place = tmp_path / "song.wav", tmp_path / "tmp"
    sf.write(path, np.zeros((60 * 48_000, 2), np.float32), 48_000, subtype="FLOAT")
    place.mkdir()
    with path.open("rb") as sound:
        done = subprocess.run(
            [sys.executable, "-c", FULL, "restore", source, "-o", str(tmp_path / "new.wav")],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=sound,
            cwd=tmp_path,
            env={**os.environ, "TMPDIR": str(place)},
        )
    assert done.stderr == (
        f"Error: The temporary folder {place} cannot take the piece: File too large; set TMPDIR to "
        "a folder with more room.\n"
    )
    assert done.returncode == 1
    assert sorted(tmp_path.rglob("*")) == [path, place]
