"""What Windows does otherwise: an open file stays where it is, some names are devices."""
# ruff: noqa: PTH100, PTH113, PTH115, PTH118, PTH208

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import nitido
from nitido.cli import main
from nitido.demo import DECODER_HZ, add_artifacts
from nitido.demo.render import render
from nitido.errors import AudioWriteError
from nitido.generation.run_folder import slug

OPEN = Path("/proc/self/fd")


@pytest.fixture
def open_files_stay(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuse to move, to replace or to remove a file that this process has open; list what was."""
    if not OPEN.is_dir():
        pytest.skip("this system does not list open files")
    refused: list[str] = []

    def is_open(path: str) -> bool:
        for opened in os.listdir(OPEN):
            try:
                place = os.readlink(OPEN / opened)
            except OSError:
                continue
            if os.path.isfile(place) and Path(place).is_relative_to(path):
                return True
        return False

    def guard(name: str, paths: int) -> None:
        call: Callable[..., Any] = getattr(os, name)

        def guarded(*arguments: Any, **options: Any) -> Any:
            above = options.get("dir_fd")
            for path in arguments[:paths]:
                place = os.path.abspath(path)
                if above is not None:
                    place = os.path.join(os.readlink(OPEN / str(above)), path)
                if os.path.lexists(place) and is_open(os.path.realpath(place)):
                    refused.append(f"{name} {place}")
                    raise PermissionError(13, "The file is in use by another process", place)
            return call(*arguments, **options)

        monkeypatch.setattr(os, name, guarded)

    for name in ("unlink", "remove", "rmdir"):
        guard(name, 1)
    for name in ("rename", "replace"):
        guard(name, 2)
    return refused


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return add_artifacts(render(seconds=8.0))[:, : 3 * DECODER_HZ]


def test_results_appear_and_leave_nothing_beside_them(
    clip: np.ndarray, tmp_path: Path, open_files_stay: list[str]
) -> None:
    song = nitido.restore(clip, sample_rate=DECODER_HZ).write(tmp_path / "song.wav")
    for _ in range(2):
        result = nitido.restore(song)
        result.write(tmp_path / "again.mp3", removed=True, report=True, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {
        "song.wav", "song.wav.nitido.json", "again.mp3", "again.mp3.nitido.json",
        "again.removed.mp3", "again.report.html",
    }  # fmt: skip
    # Windows does not let the lock go while it is open: it is removed once it is not.
    assert {Path(one).name for one in open_files_stay} <= {"lock"}


def test_a_run_resumed_and_a_page_leave_nothing_open(
    clip: np.ndarray, tmp_path: Path, open_files_stay: list[str]
) -> None:
    songs, done = tmp_path / "songs", tmp_path / "done"
    songs.mkdir()
    nitido.restore(clip, sample_rate=DECODER_HZ).write(songs / "a.wav", sidecar=False)
    copyfile(songs / "a.wav", songs / "b.wav")
    for _ in range(2):
        asked = ["restore", str(songs), "-o", str(done), "--resume", "--csv", str(done) + ".csv"]
        result = CliRunner().invoke(main, asked)
        assert result.exit_code == 0, result.output
    asked = ["restore", "-", "-o", str(done / "c.flac")]
    result = CliRunner().invoke(main, asked, input=(songs / "a.wav").read_bytes())
    assert result.exit_code == 0, result.output
    asked = ["compare", str(songs / "a.wav"), str(done / "a_restored.wav"), "--html"]
    result = CliRunner().invoke(main, [*asked, str(done / "page.html")])
    assert result.exit_code == 0, result.output
    assert [path.name for path in done.iterdir() if path.name.startswith(".")] == []
    assert {Path(one).name for one in open_files_stay} <= {"lock"}


def test_a_visit_to_the_page_leaves_no_file_open(
    clip: np.ndarray, tmp_path: Path, open_files_stay: list[str]
) -> None:
    pytest.importorskip("fastapi")
    from nitido.web.limits import Limits
    from nitido.web.sessions import Visits
    from nitido.web.work import download, examine, offered, preview, restore, zip_results

    def silent(share: float) -> None:
        del share

    visits = Visits(Limits(), folder=tmp_path / "visits")
    visit = visits.of(visits.new_token())
    piece = visit.add('what: "a" song?.wav', limits=visits.limits)
    nitido.restore(clip, sample_rate=DECODER_HZ).write(piece.source, sidecar=False)
    examine(piece, silent)
    preview(piece, silent)
    restore(piece, silent)
    for form in offered(piece):
        download(piece, form)
    zip_results([piece], tmp_path / "all.zip", "mp3")
    with zipfile.ZipFile(tmp_path / "all.zip") as bundle:
        assert not set('<>:"/\\|?*') & set("".join(bundle.namelist()))
    visit.remove(piece.id)
    assert list(visit.folder.glob(f"{piece.id}-*")) == []
    visits.close()
    assert {Path(one).name for one in open_files_stay} <= {"lock"}


def test_a_file_that_another_program_has_open_is_named(
    clip: np.ndarray, tmp_path: Path, open_files_stay: list[str]
) -> None:
    result = nitido.restore(clip, sample_rate=DECODER_HZ)
    page = result.report(tmp_path / "song.html")
    song = result.write(tmp_path / "song.wav")
    for path, write in ((page, result.report), (song, result.write)):
        with path.open("rb"), pytest.raises(AudioWriteError, match=r"another program.*close it"):
            write(path, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_console_that_knows_few_signs_gets_those_that_mean_the_same() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-c", "from nitido.cli import main; main()"]
    done = subprocess.run([*command, "stages", "loudness"], env=environment, capture_output=True)
    assert done.returncode == 0
    assert "-14" in done.stdout.decode("cp1252")
    assert "?" not in done.stdout.decode("cp1252")


@pytest.mark.parametrize("prompt", ["Con", "nul", "COM1", "lpt9"])
def test_no_piece_is_called_like_a_device(prompt: str) -> None:
    assert slug(prompt).casefold() != prompt.casefold()


def test_what_only_unix_has_is_not_missed(clip: np.ndarray, tmp_path: Path) -> None:
    """No fork, no SIGHUP, no fcntl, and locks by msvcrt."""
    nitido.restore(clip, sample_rate=DECODER_HZ).write(tmp_path / "song.wav", sidecar=False)
    program = """
import os, pkgutil, signal, subprocess, sys
from importlib import import_module
from types import ModuleType, SimpleNamespace

for place, names in (
    (os, "fork forkpty sched_getaffinity getuid geteuid mkfifo statvfs O_NOFOLLOW O_NONBLOCK"),
    (signal, "SIGHUP SIGKILL SIGUSR1 SIGPIPE SIGALRM pthread_sigmask setitimer"),
):
    for name in names.split():
        delattr(place, name)
for name in ("fcntl", "grp", "pwd", "resource", "termios", "tty"):
    sys.modules[name] = None
asked = []
msvcrt = sys.modules["msvcrt"] = ModuleType("msvcrt")
msvcrt.LK_NBLCK = 2
msvcrt.locking = lambda file, mode, count: asked.append((mode, count))

import nitido.lock

nitido.lock.sys = SimpleNamespace(platform="win32")
extras = ("nitido.generation", "nitido.mcp_server", "nitido.separation", "nitido.web")
for module in pkgutil.walk_packages(nitido.__path__, "nitido."):
    if not module.name.startswith(extras):
        import_module(module.name)
from nitido.cli import main

main(["restore", "song.wav", "-o", "done/"], standalone_mode=False)
assert asked and set(asked) == {(2, 1)}, asked
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "done").iterdir()} == {
        "song_restored.wav", "song_restored.wav.nitido.json",
    }  # fmt: skip
