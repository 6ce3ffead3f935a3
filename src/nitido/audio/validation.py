"""What is let in: regular files only, texts up to a size, sound up to a length.

A pipe or a device would keep us waiting or never end, so a file is looked at before it is opened.
"""

from __future__ import annotations

import codecs
import os
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

import soundfile as sf

from nitido.audio.limits import MAX_SECONDS, too_long
from nitido.audio.mpeg import after_id3, is_mpeg
from nitido.dsp.wav import CHANNELS_MAX, SAMPLE_RATE_MAX_HZ
from nitido.errors import AudioReadError, AudioWriteError, NitidoError
from nitido.formats import READS, is_known

TEXT_MAX_BYTES = 16 * 2**20  # plans, sidecars and lists are far smaller
_SNIFFED_BYTES = 2**20
_TAGS_MAX_BYTES = 2**28  # what an ID3 tag can take
_MPEG_BYTES_PER_SECOND_MAX = 448_000 / 8  # of layer I
_BYTES_PER_SECOND_MAX = SAMPLE_RATE_MAX_HZ * 2 * 8  # stereo in 64 bit, if a stream does not say


def check_regular(path: Path) -> os.stat_result:
    """Return the status of a file that can be opened without waiting; links are followed.

    Raises:
        AudioReadError: missing, a folder, a pipe, a device, or a name that no file can have.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        scheme, mark, place = str(path).partition(":/")
        if mark and len(scheme) > 1 and scheme.isalnum():  # one letter is a drive
            raise AudioReadError(
                f"{scheme}://{place.lstrip('/')} is an address; only restoring many files fetches "
                "from there (`nitido restore ADDRESS -o FOLDER`), so save it to a file first."
            ) from error
        raise AudioReadError(f"{path} does not exist; check the name.") from error
    except OSError as error:
        raise AudioReadError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # a zero in the name, half a letter
        raise AudioReadError(f"{str(path)!r} can be no file: {error}.") from error
    if stat.S_ISDIR(status.st_mode):
        raise AudioReadError(f"{path} is a folder; name the files in it.")
    if not stat.S_ISREG(status.st_mode):
        raise AudioReadError(
            f"{path} is not a regular file but a pipe or a device; save it to a file."
        )
    return status


def read_text(path: str | os.PathLike[str], *, max_bytes: int = TEXT_MAX_BYTES) -> str:
    """Return the text of a file: a plan, a sidecar, a list of files.

    UTF-8, or what PowerShell and Notepad write: UTF-8 or UTF-16 behind a byte order mark.

    Raises:
        AudioReadError: not a regular file, too large, not text, or it cannot be read.
    """
    path = Path(path)
    size = check_regular(path).st_size
    if size > max_bytes:
        raise AudioReadError(
            f"{path} holds {size} bytes, more than the {max_bytes} that such a text can have."
        )
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes)
        utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise AudioReadError(f"{path} is not text in UTF-8.") from None
    except OSError as error:
        raise AudioReadError(f"{path} cannot be read: {error.strerror}.") from error


def set_down(stream: BinaryIO, path: Path, *, max_seconds: float = MAX_SECONDS) -> None:
    """Write a stream of bytes, such as standard input, to a new file, up to its end.

    What is no sound is refused at its first mebibyte, and a stream that never ends when it has more
    bytes than `max_seconds` of its sound can take.

    Raises:
        AudioReadError: not sound, too long, or it cannot be read.
        AudioWriteError: the folder has no room.
    """
    try:
        with path.open("xb") as file:
            head = _read(stream)
            file.write(head)
            if len(head) < _SNIFFED_BYTES:
                return
            file.flush()
            per_second = _bytes_per_second(path, head)
            left = _TAGS_MAX_BYTES + max_seconds * per_second - len(head)
            while left > 0 and (piece := _read(stream)):
                file.write(piece)
                left -= len(piece)
    except NitidoError:
        raise
    except OSError as error:
        raise no_room(error) from error
    if left <= 0:
        raise too_long("The stream", max_seconds, max_seconds)


def _read(stream: BinaryIO) -> bytes:
    try:
        return stream.read(_SNIFFED_BYTES)
    except OSError as error:
        raise AudioReadError(f"The stream cannot be read: {error.strerror or error}.") from error


def no_room(error: OSError) -> AudioWriteError:
    """Return the error for a temporary folder that cannot take what has to be set down."""
    try:
        folder = tempfile.gettempdir()
    except OSError:  # there is none that can be written to
        folder = os.environ.get("TMPDIR", "")
    return AudioWriteError(
        f"The temporary folder {folder} cannot take the piece: "
        f"{error.strerror or error}; set TMPDIR to a folder with more room."
    )


def _bytes_per_second(path: Path, head: bytes) -> float:
    """Return the most bytes that a second of a sound takes, told from its beginning."""
    if is_mpeg(path):  # whose decoder would print what it thinks of a file that goes on
        return _MPEG_BYTES_PER_SECOND_MAX
    try:
        info = sf.info(os.fspath(path))
    except (sf.SoundFileError, TypeError, ValueError):
        start = after_id3(head)
        if start < len(head) and not is_known(head[start:]):
            raise AudioReadError(
                f"The stream is not audio that nitido can read; {READS}."
            ) from None
        return _BYTES_PER_SECOND_MAX
    rate = min(max(info.samplerate, 1), SAMPLE_RATE_MAX_HZ)
    return float(rate * min(max(info.channels, 1), CHANNELS_MAX) * 8)
