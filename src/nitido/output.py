"""The files that make up one result: their names, what they may not replace, how they appear.

    song.wav                 the result
    song.wav.nitido.json     its sidecar: what was found and done
    song.removed.wav         what was taken away
    song.stems/drums.wav …   its stems
    song.report.html         the page to listen, look and read
    song.wav.ingredient.c2pa the Content Credentials of the input, which speak of the sound before

Before a run makes the first file, the names of all are held against all inputs and each other.
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
import posixpath
import shutil
import socket
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nitido.errors import AudioWriteError, ConfigError
from nitido.lock import try_lock
from nitido.version import __version__

if TYPE_CHECKING:
    from nitido.restoration.restored_sound import RestoredSound

logger = logging.getLogger(__name__)

RESTORED = "_restored"  # what a result's name ends in, unless the user names it
SIDECAR = ".nitido.json"
REMOVED = ".removed"
STEMS = ".stems"
REPORT = ".report.html"
INGREDIENT = ".ingredient.c2pa"  # NAME.c2pa would be read as credentials of the result itself
_KINDS = {  # as a sentence calls them
    "audio": "result",
    "sidecar": "sidecar",
    "removed": "removed sound",
    "stems": "folder of stems",
    "report": "report",
    "ingredient": "ingredient",
}
_HIDDEN, _LOCK = ".nitido", "lock"  # the folder, and the file in it
_MOVE, _REPLACE = "move", "replace"  # the word: all is ready, existing files stay or are replaced
_NAME_KEPT = 40  # characters of the result's name in that of the folder: names end at 255 bytes


def output_files(
    audio: str,
    *,
    sidecar: bool = True,
    removed: bool = False,
    stems: bool = False,
    report: bool = False,
    ingredient: bool = False,
) -> dict[str, str]:
    """Return the names of all files of a result, by kind; that of `stems` is a folder.

    >>> output_files("out/song.flac", removed=True, stems=True)["removed"]
    'out/song.removed.flac'

    Args:
        audio: path of the result, or where fsspec finds it: ``s3://…``.
        sidecar: whether there is one.
        removed: whether the removed sound is written.
        stems: whether the stems are written.
        report: whether the page is written.
        ingredient: whether credentials of the input are kept aside.
    """
    folder, slash, name = audio.rpartition("/" if "://" in audio else os.sep)
    stem, suffix = os.path.splitext(name)  # noqa: PTH122  a name, not a path
    names = {
        "audio": name,
        "sidecar": name + SIDECAR if sidecar else None,
        "removed": stem + REMOVED + suffix if removed else None,
        "stems": stem + STEMS if stems else None,
        "report": stem + REPORT if report else None,
        "ingredient": name + INGREDIENT if ingredient else None,
    }
    return {kind: folder + slash + name for kind, name in names.items() if name is not None}


def check_outputs(
    pieces: Iterable[tuple[str, Mapping[str, str]]], *, inputs: Iterable[str] | None = None
) -> None:
    """Refuse results of which any file would replace an input, or a file of another result.

    The same file counts under all of its names: through links, hard links, and in a folder that
    does not tell large letters from small.

    Args:
        pieces: the input of each, and its files as `output_files` gives them.
        inputs: all files that are read; by default those of the pieces.

    Raises:
        AudioWriteError: a file would replace an input.
        ConfigError: two files would lie in one place.
    """
    pieces = list(pieces)
    _folder.cache_clear()
    sources = [source for source, _ in pieces] if inputs is None else inputs
    read = {key: source for source in sources for key in _keys(source)}
    taken: dict[str, str] = {}  # the input of which a file lies at each place
    for source, files in pieces:
        # Whether there are credentials to keep aside is known when the input was read.
        aside = {"ingredient": files["audio"] + INGREDIENT} if "audio" in files else {}
        for kind, name in {**files, **aside}.items():
            beside = list(map(str, Path(name).glob("*"))) if kind == "stems" else []
            for file in [name, *beside]:
                if original := next((read[key] for key in _keys(file) if key in read), None):
                    raise _would_replace(kind, file, original)
            place = _place(name)
            if place in taken:
                of = f"{taken[place]} and {source}" if taken[place] != source else source
                raise ConfigError(
                    f"Files of {of} would both be written to {name}; `output=` has to give each a "
                    "name of its own."
                )
            taken[place] = source
    folders = {_place(files["stems"]): files["stems"] for _, files in pieces if "stems" in files}
    if folders:
        _check_folders(folders, read, taken)


def check_writable(
    files: Mapping[str, str], *, overwrite: bool, remedy: str = "`overwrite=True` replaces it"
) -> None:
    """Say before any work if the files of a result could not be written.

    Args:
        files: as `output_files` gives them.
        overwrite: files that exist already may be replaced.
        remedy: what the caller can do about one that exists.

    Raises:
        AudioWriteError: one exists already, is a result in its own right, a device, a pipe or a
            folder, has a name that no file can have, or their folder cannot be written to.
        ConfigError: it is to be signed, with a certificate that cannot be used.
        MissingExtraError: it is to be signed, and the extra `c2pa` is not installed; or to be M4A,
            without the ffmpeg program.
    """
    from nitido.audio.ffmpeg import required
    from nitido.restoration.credentials import signer, wanted

    if wanted():
        signer()
    if files["audio"].lower().endswith(".m4a"):
        required()
    for kind, name in files.items():
        path = Path(name)
        _check_kind(kind, path)
        if not overwrite:
            check_free(path, remedy)
        _check_no_result(kind, path)
    audio = Path(files["audio"])
    folder = next(parent for parent in audio.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise AudioWriteError(f"{folder} is not a folder, so {audio} cannot be written.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise AudioWriteError(f"The folder {folder} is read-only; `output=` names another place.")


def _check_kind(kind: str, path: Path) -> None:
    """Refuse to replace what is no file: a device would be gone for all programs."""
    resolved(path)
    if path.exists() and not (path.is_dir() if kind == "stems" else path.is_file()):
        what = "folder" if kind == "stems" else "regular file"
        raise AudioWriteError(f"{path} is there already and no {what}; `output=` names another.")


def check_free(path: Path, remedy: str = "`overwrite=True` replaces it") -> None:
    """Refuse a name that is taken.

    Raises:
        AudioWriteError: there is a file of that name.
    """
    if path.exists():
        raise AudioWriteError(f"{path} exists already; {remedy}.")


def read_sidecar(target: Path) -> dict[str, Any]:
    """Return what the sidecar of a result says; empty if there is none that nitido wrote."""
    path = target.with_name(target.name + SIDECAR)
    try:
        return read_content(path.read_bytes()) if path.is_file() else {}  # a pipe would hang
    except OSError:
        return {}


def read_content(text: str | bytes) -> dict[str, Any]:
    """Return what a sidecar says; empty if nitido did not write it."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) and "nitido" in content else {}


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
                    _check_no_result("file", place)
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


def resolved(path: Path) -> Path:
    """Return where a result will lie: where a link leads, if there is one of its name.

    Raises:
        AudioWriteError: no file can have that name.
    """
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.lstat()
        return Path(os.path.realpath(path)) if path.is_symlink() else path
    except (OSError, ValueError) as error:
        raise AudioWriteError(f"{str(path)!r} can be no file: {error}.") from error


def _check_folders(
    folders: Mapping[str, str], inputs: Mapping[object, str], taken: Mapping[str, str]
) -> None:
    """Refuse inputs and files of other results that lie in a folder of stems."""
    for place in (*(key for key in inputs if isinstance(key, str)), *taken):
        above = next((one for one in map(str, Path(place).parents) if one in folders), None)
        if above is None:
            continue
        if place in inputs:
            raise _would_replace("stems", folders[above], inputs[place])
        raise ConfigError(
            f"A file of {taken[place]} would lie in {folders[above]}, a folder of stems; `output=` "
            "names another place."
        )


def _would_replace(kind: str, name: str, original: str) -> AudioWriteError:
    return AudioWriteError(
        f"The {_KINDS[kind]} {name} would replace the input {original}; nitido never writes to an "
        "input, `output=` names another place."
    )


def _check_no_result(kind: str, path: Path) -> None:
    """Refuse to let a companion replace a file that is a result itself, with a sidecar."""
    if kind != "audio" and read_sidecar(path):
        raise AudioWriteError(
            f"{path} is a result of its own, as its sidecar says; `output=` names another place."
        )


def _keys(name: str) -> Iterator[object]:
    """Yield what a file is known by: its place, and what tells it from others if it is there."""
    if not name:
        return
    yield _place(name)
    with suppress(OSError, ValueError):
        status = Path(name).stat()
        yield status.st_dev, status.st_ino


def _place(name: str) -> str:
    """Return where a file lies, the same for all of its names."""
    scheme, mark, place = name.partition("://")
    if mark:  # the same object however its address is spelt
        scheme = {"gcs": "gs", "s3a": "s3"}.get(scheme.lower(), scheme.lower())
        return f"{scheme}://{posixpath.normpath(place.strip('/'))}"
    folder, file = os.path.split(os.path.realpath(name) if os.path.islink(name) else name)  # noqa: PTH114
    folder, folds = _folder(folder)
    if folds:
        file = unicodedata.normalize("NFC", file).casefold()
    return str(Path(folder, file))


@lru_cache(1024)
def _folder(folder: str) -> tuple[str, bool]:
    """Return where a folder lies, and whether it takes ``a.wav`` and ``A.wav`` for one file."""
    place = Path(os.path.realpath(folder))
    there = next(one for one in (place, *place.parents) if one.is_dir())
    inside: list[Path] = []
    with suppress(OSError), os.scandir(there) as entries:
        inside = [Path(entry.path) for entry in islice(entries, 16)]
    for probe in (*inside, there, *there.parents):
        name = probe.name.swapcase()
        if name != probe.name:
            with suppress(OSError):
                return str(place), os.path.samestat(probe.with_name(name).lstat(), probe.lstat())
            return str(place), False
    return str(place), os.name == "nt"
