"""How wide the image is: mono, stereo, one side upside down, a speaker of which nothing comes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nitido.diagnosis.finding import Finding, Severity
from nitido.dsp.speakers import LOW_FREQUENCY, default_mask, speakers, twin
from nitido.dsp.wav import Wav, energies

EQUAL_DB = -90.0  # a difference this small is rounding: the channels are the same
INVERTED_BELOW = -0.5  # correlation of one second in which the sides work against each other
INVERTED_SHARE = 0.8  # of the energy: wide effects go below zero for moments, a swapped wire stays
DEAD_DB = -50.0  # a channel so far under the other is silent; a lossy coder leaks that much into it
SILENCE = 1e-12  # mean square, −120 dBFS


class WidthAnalyser:
    """Correlation between left and right, second by second and over the whole piece."""

    def __init__(self, *, sample_rate: int, channels: int, mask: int | None = None) -> None:
        self._tile = sample_rate
        self._channels = channels
        named = speakers(channels, default_mask(channels) if mask is None else mask)
        self._speakers = ("left", "right") if channels == 2 else named
        self._samples = 0
        # left², right², left·right, (left − right)², of the unfinished second and of the whole
        self._second = np.zeros(4)
        self._whole = np.zeros(4)
        self._spread = 0.0  # energy of the differences of all channels to the first
        self._energies = np.zeros(channels)
        self._inverted = 0.0  # energy of the seconds with inverted polarity

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        while block.shape[1]:
            size = self._tile - self._samples % self._tile
            part, block = block[:, :size], block[:, size:]
            self._samples += part.shape[1]
            self._add(part)
            if self._samples % self._tile == 0:
                self._close_second()

    def finish(self) -> Finding:
        """Return the finding ``"width"``: correlation from −1 to 1, 1 for mono, None if unknown."""
        self._close_second()
        left, right, both, difference = self._whole
        energy = float(self._energies.sum())
        silent = energy <= SILENCE * max(self._samples, 1)
        mono = bool(self._spread <= 10 ** (EQUAL_DB / 10) * energy)
        correlation = None
        if mono and not silent:
            correlation = 1.0
        elif self._channels == 2 and not silent:
            correlation = float(both / math.sqrt(left * right)) if left * right > 0 else 0.0
        middle = left + right + 2 * both
        side_db = None
        if self._channels == 2 and middle > 0 and difference > 0:
            side_db = 10 * math.log10(difference / middle)
        inverted = self._channels == 2 and not mono and not silent
        inverted = bool(inverted and self._inverted >= INVERTED_SHARE * energy)
        fold_db = None
        if self._channels == 2 and not silent:  # of the mean of both re the mean energy of each
            fold_db = 10 * math.log10(max(middle / (2 * (left + right)), 1e-12))
        faint = self._energies < 10 ** (DEAD_DB / 10) * self._energies.max(initial=0.0)
        dead = [name for name, one in zip(self._speakers, faint, strict=True) if one]
        severity, summary = self._judge(silent, mono, inverted, dead, correlation, fold_db)
        return Finding(
            "width",
            correlation,
            "",
            severity,
            summary,
            details={
                "mono": mono,
                "correlation": correlation,
                "side_db": side_db,
                "polarity_inverted": inverted,
                "silent_channels": dead,
                "fold_db": fold_db,
            },
        )

    def _judge(
        self,
        silent: bool,
        mono: bool,
        inverted: bool,
        dead: Sequence[str],
        correlation: float | None,
        fold_db: float | None,
    ) -> tuple[Severity, str]:
        if silent:
            return "ok", "Silence has no width."
        if self._channels > 2:
            return self._judge_many(dead)
        if self._channels == 1:
            return "slight", "Mono: one channel."
        if mono:
            return "slight", "Mono: both channels are the same."
        if dead:
            return "moderate", f"The {dead[0]} channel is silent."
        if inverted:
            return "moderate", (
                f"One side is upside down (correlation {correlation:.2f}): "
                f"a mono speaker plays it {-(fold_db or 0.0):.0f} dB softer."
            )
        return "ok", f"Stereo, correlation {correlation:.2f}."

    def _judge_many(self, dead: Sequence[str]) -> tuple[Severity, str]:
        """Judge more than two channels: at fault is a silent one whose twin is not.

        A silent centre, or a silent pair, is how the piece was mixed; low frequencies are few.
        """
        silent = [name for name in dead if name != LOW_FREQUENCY]
        lost = any(twin(name) in self._speakers and twin(name) not in silent for name in silent)
        summary = f"{self._channels} channels: each is taken on its own"
        if silent:
            many = len(silent) > 1
            summary += f"; {', '.join(silent)} {'are' if many else 'is'} silent"
        return "moderate" if lost else "ok", summary + "."

    def _add(self, part: Wav) -> None:
        first = part[0]
        own = energies(part)
        self._energies += own
        spreads = energies(part[1:] - first)
        self._spread += float(spreads.sum())
        if self._channels == 2:
            cross = (first * part[1]).sum(dtype=np.float32)
            self._second += [*own, cross, *spreads]

    def _close_second(self) -> None:
        left, right, both, _ = self._second
        if both < INVERTED_BELOW * math.sqrt(left * right):
            self._inverted += left + right
        self._whole += self._second
        self._second = np.zeros(4)
