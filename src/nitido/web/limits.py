"""What a visitor may ask of the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nitido.audio import open_source
from nitido.errors import ConfigError, NitidoError
from nitido.formats import READS

NOT_HERE = (  # advice for who runs nitido, not for a visitor
    ', or restore what is there of it with `damaged="take"`',
    "pip install 'nitido[m4a]' brings it, or ",
    f"; {READS}",
)
# What a second of a piece may hold: a small file unpacks to much, and a result lies there whole.
VALUES_PER_SECOND = 2 * 192_000


class FullError(ConfigError):
    """There is no place for this now; later there may be."""


@dataclass(frozen=True)
class Limits:
    """Bounds that keep one visitor from taking everything.

    Attributes:
        megabytes: of one uploaded file.
        minutes: length of one piece.
        pieces: held for one visitor.
        visitors: at the same time; who has nothing here gives way to who comes.
        at_once: jobs that run at the same time, of all visitors.
        waiting: jobs that may wait for their turn, of all visitors.
        gigabytes: of all files of all visitors, with what is on its way.
        idle_minutes: after so long without a sign of life a visitor's files are deleted.
    """

    megabytes: float = 200.0
    minutes: float = 15.0
    pieces: int = 12
    visitors: int = 100
    at_once: int = 2
    waiting: int = 200
    gigabytes: float = 50.0
    idle_minutes: float = 60.0

    @property
    def file_bytes(self) -> int:
        """The most that one uploaded file may have."""
        return int(self.megabytes * 2**20)

    def check_length(self, path: Path, name: str) -> None:
        """Open a file and check its length, and how much it holds; no sound is read.

        Args:
            path: of the file.
            name: to call it by in a message.

        Raises:
            AudioReadError: it is no audio.
            ConfigError: it is too long, or has too many channels for its length.
        """
        try:
            source = open_source(path)
        except NitidoError as error:  # which knows the file by the name that it has on the disk
            said = str(error).replace(str(path), name).replace(path.name, name)
            for advice in NOT_HERE:
                said = said.replace(advice, "")
            raise type(error)(said) from error
        minutes = source.samples / source.sample_rate / 60
        told = f"{name} is {minutes:.1f} minutes"
        if minutes > self.minutes:
            raise ConfigError(
                f"{told} long; this page takes {self.minutes:g} minutes at most, the command line "
                "any length."
            )
        if source.samples * source.channels > 60 * self.minutes * VALUES_PER_SECOND:
            raise ConfigError(
                f"{told} of {source.channels} channels at {source.sample_rate} Hz; this page takes "
                f"as much as {self.minutes:g} minutes of stereo at 192000 Hz, the command line any."
            )
