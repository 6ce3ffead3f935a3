"""One run at a time works on a result, and all its files appear together.

Whoever makes a result first claims it: a hidden folder beside it, with a locked file in it. Result,
sidecar and whatever else was asked for are written there, whole and synced, and moved out at the
end, the sidecar last. The system releases the lock when its holder ends, however it ends, so a
folder without a locked file is what a killed run has left: the next one clears it away.

A run can also be killed while it moves. Before the first file moves, one word in the locked file
says so; then the next run moves what is left instead of clearing it away. A result without its
sidecar is therefore never ours for longer than that.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path

from nitido.errors import AudioWriteError
from nitido.jobs import check_free
from nitido.lock import try_lock

LOCK = "lock"
SUFFIX = ".nitido"
SIDECAR = ".nitido.json"
_MOVE, _REPLACE = "move", "replace"  # the word: all is ready, existing files stay or are replaced
_NAME_KEPT = 40  # characters of the result's name in that of the folder: names end at 255 bytes


class Claim:
    """The right to make one result, from `claim`; a context, which gives it back.

    Attributes:
        target: the result.
        folder: to write it in, under its own name; its sidecar and the others likewise.
    """

    def __init__(self, target: Path, folder: Path, lock: int) -> None:
        self.target = target
        self.folder = folder
        self._lock = lock

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._finish()
        finally:
            os.close(self._lock)

    @property
    def path(self) -> Path:
        """Where the result is to be written."""
        return self.folder / self.target.name

    def publish(self, *, overwrite: bool) -> None:
        """Move all that lies in the folder to its place, the sidecar last.

        Args:
            overwrite: replace files that exist already.

        Raises:
            AudioWriteError: one of them exists, or their folder is gone.
        """
        try:
            if not overwrite:
                for file in self._files():
                    check_free(self._place(file))
            self._say(_REPLACE if overwrite else _MOVE)
            self._move(overwrite=overwrite)
        except AudioWriteError:
            self._say("")
            raise
        except OSError as error:
            raise _cannot(self.target, error) from error

    def recover(self) -> None:
        """Bring to its end what a killed run has left here."""
        self._finish_move()
        for path in self.folder.iterdir():
            if path.name != LOCK:
                _remove(path)
        self._say("")

    def _finish(self) -> None:
        """Move what is ready, if that was interrupted, and remove the folder."""
        self._finish_move()
        with suppress(OSError):  # the folder may have been removed meanwhile
            for path in self.folder.iterdir():
                if path.name != LOCK:
                    _remove(path)
            (self.folder / LOCK).unlink()
            self.folder.rmdir()  # fails where the next run has locked it already

    def _finish_move(self) -> None:
        os.lseek(self._lock, 0, os.SEEK_SET)
        words = os.read(self._lock, 4096).decode("utf-8", "replace").split()
        if words[-1:] in ([_MOVE], [_REPLACE]):
            with suppress(OSError):  # something else lies there now: then it stays
                self._move(overwrite=words[-1] == _REPLACE)

    def _say(self, word: str) -> None:
        """Write into the locked file who works here, and how far the result is."""
        text = f"{os.getpid()} {socket.gethostname()} at work {word}\n".encode()
        os.ftruncate(self._lock, 0)
        os.lseek(self._lock, 0, os.SEEK_SET)
        os.write(self._lock, text)
        if word:  # has to be on the disk before the first file moves
            os.fsync(self._lock)

    def _move(self, *, overwrite: bool) -> None:
        for file in self._files():
            place = self._place(file)
            place.parent.mkdir(exist_ok=True)
            _put(file, place, overwrite=overwrite)
        _sync(self.target.parent)
        self._say("")

    def _files(self) -> list[Path]:
        """Return what is to be moved: the sidecar last, the result before it."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and path.name != LOCK]
        sidecar = self.target.name + SIDECAR
        return sorted(files, key=lambda f: (f.name == sidecar, f.name == self.target.name, str(f)))

    def _place(self, file: Path) -> Path:
        return self.target.parent / file.relative_to(self.folder)


def claim(target: Path) -> Claim | None:
    """Return the right to make a result, or None where another run has it.

    Args:
        target: the result, links followed; its folder exists.

    Raises:
        AudioWriteError: its folder cannot be written to.
    """
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]
    folder = target.with_name(f".{target.name[:_NAME_KEPT]}.{digest}{SUFFIX}")
    try:
        lock = _locked(folder)
        if lock is None:
            return None
        claimed = Claim(target, folder, lock)
        try:
            claimed.recover()
        except BaseException:
            claimed.__exit__()
            raise
    except OSError as error:
        raise _cannot(target, error) from error
    return claimed


def _locked(folder: Path) -> int | None:
    """Return the lock file of the folder, opened and locked; None if somebody else has it."""
    while True:
        folder.mkdir(exist_ok=True)
        if folder.is_symlink():
            raise NotADirectoryError(errno.ENOTDIR, f"{folder} is a link", str(folder))
        try:
            file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # its holder has just ended and removed the folder
            continue
        try:
            locked = try_lock(file)
            if locked and _is_still(file, folder / LOCK):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        if not locked:
            return None


def _is_still(file: int, path: Path) -> bool:
    """Return whether an open file is the one of that name: its holder may have removed it."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _put(file: Path, place: Path, *, overwrite: bool) -> None:
    if overwrite:
        with suppress(OSError):
            shutil.copymode(place, file)
        file.replace(place)
        return
    try:
        place.hardlink_to(file)  # unlike a rename, fails if something lies there
    except FileExistsError:
        if not place.samefile(file):  # else it was moved already when the run was killed
            check_free(place)
    except OSError:  # a file system without hard links
        check_free(place)
        file.replace(place)
        return
    file.unlink()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def _sync(folder: Path) -> None:
    """Let the names in a folder outlive a power cut, where the system can do that."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _cannot(target: Path, error: OSError) -> AudioWriteError:
    if isinstance(error, AudioWriteError):
        return error
    if isinstance(error, FileNotFoundError) and not target.parent.is_dir():
        return AudioWriteError(f"The folder {target.parent} is gone, so {target.name} is lost.")
    return AudioWriteError(
        f"{target} cannot be written: {error.strerror or error}; -o names another place."
    )
