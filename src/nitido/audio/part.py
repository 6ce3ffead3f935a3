"""A file that appears whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from nitido.errors import AudioWriteError

_NAME_KEPT = 40  # characters of the final name in the temporary one: names end at 255 bytes


def check_target(path: Path, *, overwrite: bool, forbidden: Iterable[Path]) -> Path:
    """Return where the file will lie, links followed, after checking that it may be written there.

    Raises:
        AudioWriteError: the folder is missing, the path is not a regular file, it exists and
            `overwrite` is False, it is one of `forbidden`, also through a link, or no file can have
            its name.
    """
    try:
        return _checked(path, overwrite, forbidden)
    except AudioWriteError:
        raise
    except OSError as error:
        raise AudioWriteError(f"{path} cannot be written: {error.strerror}.") from error
    except (RuntimeError, ValueError) as error:  # links in a circle, a zero in the name
        raise AudioWriteError(f"{str(path)!r} can be no file: {error}.") from error


def _checked(path: Path, overwrite: bool, forbidden: Iterable[Path]) -> Path:
    if not path.parent.is_dir():
        raise AudioWriteError(f"The folder {path.parent} does not exist; make it first.")
    for source in forbidden:
        if path.exists() and source.exists() and path.samefile(source):
            raise AudioWriteError(
                f"{path} is the input {source.name} itself, which is never written to; give "
                "another name."
            )
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise AudioWriteError(f"{path} is not a regular file; give the name of a file.")
    if path.exists() and not overwrite:
        raise _exists(path)
    return path.resolve()


@contextmanager
def part_file(target: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Give a hidden file beside `target`; it becomes `target` at the end, or is removed.

    Whatever goes wrong inside, KeyboardInterrupt included, leaves nothing behind, and an existing
    `target` as it was.

    Raises:
        AudioWriteError: the folder is read-only, the disk is full, or `target` appeared meanwhile.
    """
    part = target.with_name(f".{target.name[:_NAME_KEPT]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _publish(part, target, overwrite=overwrite)
    except OSError as error:
        if isinstance(error, AudioWriteError) or error.errno is None:
            raise
        raise _reason(error, target) from error
    finally:
        with suppress(OSError):
            part.unlink()


def write_text(
    path: str | Path, text: str, *, overwrite: bool = False, forbidden: Iterable[Path] = ()
) -> Path:
    """Write a text file, whole or not at all, and return its path.

    Raises:
        AudioWriteError: as `nitido.audio.write`.
    """
    path = Path(path)
    target = check_target(path, overwrite=overwrite, forbidden=forbidden)
    with part_file(target, overwrite=overwrite) as file:
        # A name that is no text stands in JSON as an escape.
        file.write(text.encode("utf-8", "backslashreplace"))
    return path


def _publish(part: Path, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        with suppress(OSError):
            part.chmod(stat.S_IMODE(target.stat().st_mode))
        try:
            part.replace(target)
        except PermissionError:
            raise in_use(target) from None
        return
    try:
        target.hardlink_to(part)  # unlike a rename, fails if the target appeared meanwhile
    except FileExistsError as error:
        raise _exists(target) from error
    except OSError:  # a file system without hard links
        if target.exists():
            raise _exists(target) from None
        part.replace(target)


def in_use(path: Path) -> AudioWriteError:
    """Return the error of a file that Windows does not let go, as it is open elsewhere."""
    return AudioWriteError(
        f"{path} cannot be replaced: another program has it open; close it there first."
    )


def _exists(path: Path) -> AudioWriteError:
    return AudioWriteError(f"{path} exists; give another name, or allow it to be overwritten.")


def _reason(error: OSError, target: Path) -> AudioWriteError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return AudioWriteError(
            f"No space left on the disk for {target}; free some, or write elsewhere."
        )
    if error.errno == errno.EFBIG:
        return AudioWriteError(f"{target} would be larger than the file system allows.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AudioWriteError(f"The folder {target.parent} cannot be written to; choose another.")
    return AudioWriteError(f"{target} cannot be written: {error.strerror}.")
