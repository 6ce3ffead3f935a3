"""How the files of a result are written: they appear together and whole, or not at all.

Whoever makes a result first reserves it: a hidden folder beside it, with a locked file in it. All
files are written there, whole and synced, and moved out at the end, the sidecar last. The system
releases the lock when its holder ends, however it ends, so a folder without a locked file is what a
killed run has left: the next one clears it away.

A run can also be killed while it moves. Before the first file moves, one word in the locked file
says so; then the next run moves what is left instead of clearing it away. A result without its
sidecar is therefore never ours for longer than that.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nitido.errors import AudioWriteError
from nitido.lock import try_lock
from nitido.result_files import (
    SIDECAR,
    check_free,
    check_no_result,
    check_outputs,
    check_writable,
    output_files,
    resolved,
)
from nitido.version import __version__

if TYPE_CHECKING:
    from nitido.restoration.restored_sound import RestoredSound

logger = logging.getLogger(__name__)

_HIDDEN, _LOCK = ".nitido", "lock"  # the folder, and the file in it
_MOVE, _REPLACE = "move", "replace"  # the word: all is ready, existing files stay or are replaced
_NAME_KEPT = 40  # characters of the result's name in that of the folder: names end at 255 bytes


def write_result(
    restoration: RestoredSound,
    path: Path,
    *,
    overwrite: bool,
    sidecar: bool = True,
    removed: bool = False,
    stems: bool = False,
    report: bool = False,
    **form: Any,
) -> None:
    """Write the files of a result: all of them appear, or none.

    Args:
        restoration: what to write.
        path: of the result; the others lie beside it.
        overwrite: replace files that exist already.
        sidecar: also write what was found and done.
        removed: also write what was taken away.
        stems: also write the stems.
        report: also write the page.
        form: `format` and `bit_depth` of the sound.

    Raises:
        AudioWriteError: a file exists, would replace the input, or cannot be written.
        ConfigError: the format is not known, or there are no stems.
    """
    more: dict[str, Any] = {"removed": removed, "stems": stems, "report": report}
    target = resolved(path)
    files = output_files(
        str(target), sidecar=sidecar, ingredient=restoration.credentials is not None, **more
    )
    check_outputs([(restoration.name, files)], inputs=map(str, restoration.forbidden))
    check_writable(files, overwrite=overwrite)
    if not target.parent.is_dir():
        raise AudioWriteError(f"The folder {target.parent} does not exist; make it first.")
    reserved = reserve(target)
    if reserved is None:
        raise AudioWriteError(f"Another run is at work on {path}; wait until it has finished.")
    with reserved:
        reserved.fill(restoration, sidecar=sidecar, **more, **form)
        reserved.publish(overwrite=overwrite)


def sidecar_of(restoration: RestoredSound) -> dict[str, Any]:
    """Return version, plan, changes, findings before and after, sentences as JSON values."""
    from nitido.report.text import describe_restoration

    source = restoration.input
    return {
        "nitido": __version__,
        "input": {"name": source.name, "sha256": source.sha256, "tags": dict(source.tags)},
        "plan": restoration.plan.to_dict(),
        "changes": [change.to_dict() for change in restoration.changes],
        "before": restoration.diagnosis.to_dict(),
        "after": restoration.after.to_dict(),
        "new_faults": [finding.kind for finding in restoration.new_faults],
        "no_faults": sorted(restoration.no_faults),
        "sentences": describe_restoration(restoration),
    }


class Reservation:
    """The right to make one result, from `reserve`; a context, which gives it back.

    Attributes:
        target: the result.
        folder: to write it in, under its own name; its sidecar and the others likewise.
    """

    def __init__(self, target: Path, folder: Path, lock: int) -> None:
        self.target = target
        self.folder = folder
        self._lock = lock

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        locked_in = False
        try:
            locked_in = self._finish()
        finally:
            os.close(self._lock)
        if locked_in:
            with suppress(OSError):  # the next run may be in it already
                self._remove_folder()

    def fill(
        self,
        restoration: RestoredSound,
        *,
        sidecar: bool = True,
        removed: bool = False,
        stems: bool = False,
        report: bool = False,
        request: Mapping[str, Any] | None = None,
        **form: Any,
    ) -> dict[str, Any]:
        """Write all files into the folder; return the content of the sidecar.

        Args:
            restoration: what to write.
            sidecar: whether its sidecar is written, too.
            removed: whether what was taken away is written, too.
            stems: whether the stems are written, too.
            report: whether the page is written, too.
            request: what was asked for, for the sidecar.
            form: `format` and `bit_depth` of the sound.

        Raises:
            AudioWriteError: they cannot be written.
            ConfigError: the format is not known, or there are no stems.
        """
        # Here, since the command line needs no numpy for its --help.
        from nitido.audio import part_file, write_text

        audio = self.folder / self.target.name
        files = output_files(
            str(audio), removed=removed, stems=stems, report=report, ingredient=True
        )
        form["bit_depth"] = depth = _bit_depth(restoration, audio, **form)
        try:
            restoration.write_audio(audio, **form)
            signed = restoration.sign(audio, format=form.get("format"))
            in_manifest = signed and restoration.files  # of the file that they came in
            if restoration.credentials is not None and not in_manifest:
                with part_file(Path(files["ingredient"]), overwrite=False) as kept:
                    kept.write(restoration.credentials)
            restoration.analyse_file(audio)
            if removed:
                restoration.write_removed(Path(files["removed"]), **form)
            if stems:
                restoration.write_stems(Path(files["stems"]))
            if report:
                from nitido.report.page import write_restoration_report  # brings Pillow and Jinja

                write_restoration_report(files["report"], restoration)
            with audio.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = audio.stat().st_size
            content: dict[str, Any] = {
                **sidecar_of(restoration),
                **({} if request is None else {"request": request}),
                "result": {
                    "name": self.target.name,
                    "bytes": size,
                    "sha256": sha256,
                    "bit_depth": depth,
                    "true_peak_dbtp": restoration.after["loudness"].details["true_peak_dbtp"],
                    "ceiling_dbtp": restoration.ceiling_dbtp,
                },
            }
            if sidecar:
                text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
                # Bytes of a file name that are not text stand for themselves in JSON, escaped.
                text = text.encode("utf-8", "backslashreplace").decode("utf-8")
                write_text(files["sidecar"], text)
        except AudioWriteError as error:
            raise self._outside(error) from error
        return content

    def _outside(self, error: AudioWriteError) -> AudioWriteError:
        """Return an error as it reads outside the hidden folder."""
        if not self.folder.is_dir():
            return AudioWriteError(
                f"The folder {self.target.parent} was removed while {self.target.name} was at "
                "work; run again."
            )
        return AudioWriteError(str(error).replace(str(self.folder), str(self.target.parent)))

    def publish(self, *, overwrite: bool) -> None:
        """Move all that lies in the folder to its place, the sidecar last.

        Args:
            overwrite: replace files that exist already.

        Raises:
            AudioWriteError: one of them exists, or their folder is gone.
        """
        try:
            for file in self._files():
                place = self._place(file)
                if not overwrite:
                    check_free(place)
                elif place.exists():
                    _check_not_in_use(place)
                if file.name != self.target.name:
                    check_no_result("file", place)
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
            if path.name != _LOCK:
                _remove(path)
        self._say("")

    def _finish(self) -> bool:
        """Move what is ready, if that was interrupted, and remove the folder.

        Returns:
            Whether it is still there, as Windows removes no file that is open.
        """
        self._finish_move()
        with suppress(OSError):  # the folder may have been removed meanwhile
            for path in self.folder.iterdir():
                if path.name != _LOCK:
                    _remove(path)
            try:
                self._remove_folder()
            except PermissionError:
                return True
        return False

    def _remove_folder(self) -> None:
        (self.folder / _LOCK).unlink()
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
        files = [path for path in self.folder.rglob("*") if path.is_file() and path.name != _LOCK]
        sidecar = self.target.name + SIDECAR
        return sorted(files, key=lambda f: (f.name == sidecar, f.name == self.target.name, str(f)))

    def _place(self, file: Path) -> Path:
        return self.target.parent / file.relative_to(self.folder)


def reserve(target: Path) -> Reservation | None:
    """Return the right to make a result, or None where another run has it.

    Args:
        target: the result, links followed; its folder exists.

    Raises:
        AudioWriteError: its folder cannot be written to.
    """
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]
    folder = target.with_name(f".{target.name[:_NAME_KEPT]}.{digest}{_HIDDEN}")
    try:
        lock = _locked(folder)
        if lock is None:
            return None
        reserved = Reservation(target, folder, lock)
        try:
            reserved.recover()
        except BaseException:
            reserved.__exit__()
            raise
    except OSError as error:
        raise _cannot(target, error) from error
    return reserved


def _locked(folder: Path) -> int | None:
    """Return the lock file of the folder, opened and locked; None if somebody else has it."""
    while True:
        folder.mkdir(exist_ok=True)
        if folder.is_symlink():
            raise NotADirectoryError(errno.ENOTDIR, f"{folder} is a link", str(folder))
        try:
            file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # its holder has just ended and removed the folder
            continue
        try:
            locked = try_lock(file)
            if locked and _is_still(file, folder / _LOCK):
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


def _check_not_in_use(place: Path) -> None:
    """Say before anything is moved if a file cannot be replaced, as on Windows while it is open."""
    from nitido.audio.part import in_use

    try:
        place.replace(place)
    except PermissionError:
        raise in_use(place) from None


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


def _bit_depth(restoration: RestoredSound, audio: Path, **form: Any) -> int | None:
    """Return the bit depth to write with; say so where peaks beyond full scale decide it."""
    depth = restoration.bit_depth(audio, **form)
    peak_dbfs = restoration.peak_dbfs
    if peak_dbfs is not None and peak_dbfs > 0 and form.get("bit_depth") is None:
        over = f"its peaks are {max(peak_dbfs, 0.01):.2f} dB above full scale"
        if depth == 32:
            logger.warning("%s is written as 32-bit float: %s.", audio.name, over)
        else:
            logger.warning("%s: %s, which most players will clip.", audio.name, over)
    return depth


def _cannot(target: Path, error: OSError) -> AudioWriteError:
    if isinstance(error, AudioWriteError):
        return error
    if isinstance(error, FileNotFoundError) and not target.parent.is_dir():
        return AudioWriteError(f"The folder {target.parent} is gone, so {target.name} is lost.")
    return AudioWriteError(
        f"{target} cannot be written: {error.strerror or error}; `output=` names another place."
    )
