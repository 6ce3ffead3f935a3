"""Speaker layouts: for which speaker each channel is meant, and what it counts in loudness.

A layout is a channel mask as WAVE has it: one bit per speaker, the channels in ascending order of
the bits. A mask of 0 knows of no speakers: the channels are tracks of their own, such as stems.

Source: Microsoft, WAVEFORMATEXTENSIBLE; RFC 9639 sec. 9.1.3 (the default layouts); Vorbis I
specification sec. 4.3.9 and RFC 7845 sec. 5.1.1.2 (the order in Vorbis and Opus); ITU-R BS.1770-5
annex 1 and 3 (what each counts).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LOW_FREQUENCY = "low-frequency"
NAMES = (  # of the bits
    *("front left", "front right", "front centre", LOW_FREQUENCY, "back left", "back right"),
    *("front left of centre", "front right of centre", "back centre", "side left", "side right"),
    *("top centre", "top front left", "top front centre", "top front right"),
    *("top back left", "top back centre", "top back right"),
)
_BACK = 1 << NAMES.index("back left") | 1 << NAMES.index("back right")
_SIDE = 1 << NAMES.index("side left") | 1 << NAMES.index("side right")
_DEFAULT = {1: 0x4, 2: 0x3, 3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}
VORBIS = {  # numbers of the speakers in the order of the channels
    3: (0, 2, 1),
    4: (0, 1, 4, 5),
    5: (0, 2, 1, 4, 5),
    6: (0, 2, 1, 4, 5, 3),
    7: (0, 2, 1, 9, 10, 8, 3),
    8: (0, 2, 1, 9, 10, 4, 5, 3),
}
SURROUND_GAIN = 1.41  # in power, +1.5 dB


def default_mask(channels: int) -> int:
    """Return the layout that a number of channels has where nothing is said; 0 beyond eight.

    >>> f"{default_mask(6):#x}"  # 5.1
    '0x3f'
    """
    return _DEFAULT.get(channels, 0)


def is_default(channels: int, mask: int) -> bool:
    """Return whether a layout is the default one, be its surrounds called back or side."""
    lone_sides = mask & _SIDE and not mask & _BACK
    return default_mask(channels) in (mask, mask & ~_SIDE | _BACK if lone_sides else mask)


def speakers(channels: int, mask: int) -> tuple[str, ...]:
    """Return the name of each channel: of its speaker, or its number from 1 on if it has none.

    >>> speakers(4, 0x7)
    ('front left', 'front right', 'front centre', 'channel 4')
    """
    names = [name for bit, name in enumerate(NAMES) if mask >> bit & 1][:channels]
    return (*names, *(f"channel {number + 1}" for number in range(len(names), channels)))


def twin(name: str) -> str:
    """Return the name of the speaker on the other side, its own in the middle.

    >>> twin("back left"), twin("front centre")
    ('back right', 'front centre')
    """
    here, there = ("left", "right") if "left" in name else ("right", "left")
    return name.replace(here, there)


def arrange(numbers: Sequence[int], channels: int) -> tuple[int, list[int]]:
    """Return the layout of a file, and for each channel of it its place in the file.

    Args:
        numbers: of the speakers, that is of their bits, in the order of the file; channels beyond
            have no speaker.
        channels: number of channels.
    """
    numbers = numbers[:channels]
    if len(set(numbers)) < len(numbers):
        return 0, list(range(channels))
    places = sorted(range(len(numbers)), key=lambda place: numbers[place])
    return sum(1 << number for number in numbers), [*places, *range(len(numbers), channels)]


def to_vorbis(channels: int) -> list[int]:
    """Return for each channel of a Vorbis or Opus stream its place in the default layout."""
    numbers = VORBIS.get(channels, range(channels))
    return [sorted(numbers).index(number) for number in numbers]


def loudness_weights(channels: int, mask: int) -> NDArray[np.float64]:
    """Return what the power of each channel counts in loudness, `[C]`: 1, 1.41 or 0.

    Surrounds between 60° and 120° to either side count 1.5 dB more, the low-frequency channel not
    at all. Back speakers stand there unless there are side speakers as well. One or two channels
    count 1, whatever they are called.
    """
    if channels <= 2:
        return np.ones(channels)
    surround = _SIDE if mask & _SIDE else _BACK
    table = {name: SURROUND_GAIN for bit, name in enumerate(NAMES) if surround >> bit & 1}
    table[LOW_FREQUENCY] = 0.0
    return np.array([table.get(name, 1.0) for name in speakers(channels, mask)])
