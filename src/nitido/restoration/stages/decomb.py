"""Take the decoder's comb out: pull its lines down to the level of the sound beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.comb import NEIGHBOURHOOD_HZ, frame_size
from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.fourier import fast_size
from nitido.dsp.spectral import Frames, Spec, median, windowed_spectra
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Settings, Stage, Step

HEADROOM_DB = 12.0  # a line may stand this much higher than on average and still be the comb
# The higher the comb stands, the surer it is no music: from here on as many dB more may be taken.
SURE_FROM_DB, SURE_MAX_DB = 6.0, 8.0
MAIN_LOBE_BINS = 1.99  # of the Hann window, on either side of a line
# Where the sound beside a line was so much fainter in the frame before, the line is read there:
# under an attack its phase is the attack's, and what is taken would sound in the quiet before it.
QUIETER_DB = 17.0
# What is taken is looked at again in frames of 32 ms and bands of 32 bins, 1 kHz.
SHORT_SECONDS, SHORT_BINS = 0.032, 32
ABSENT_DB = 6.0  # lines that much louder than the sound are not in it
ROUGHER = 100.0  # power, 20 dB: above, the sound is louder than the lines in the bands that count
FINE_LOBE_BINS = 1.2  # of lines so close that whole lobes would cover a fifth of the spectrum


class Decomb(Stage):
    """Pulls the lines of the comb, frame by frame, down to the median of the bins around them.

    Two things tell a line from a note that lies on the grid. A line is weak: at most `line_db`
    below the piece; so no more amplitude than that is taken from a bin, and less the further the
    bin stands above it. And a line is always there: only those that the diagnosis found standing
    out of the whole piece's average are touched. Nor is a line put where there is none: in the
    quiet between two hits less is taken, down to nothing.
    """

    name = "decomb"
    summary = "takes out the metallic lines of the neural decoder"
    schema: ClassVar[Mapping[str, Setting]] = {
        "amount": Setting(1.0, "share of the height that is taken", (0.0, 1.0)),
        "line_db": Setting(
            -61.0,
            "the most that is taken from one bin, re the piece; more of a comb above 6 dB",
            (-90.0, -20.0),
            "dB",
        ),
        "low_hz": Setting(
            1500.0,
            "below, 5 dB less is taken: the music hides the lines there",
            (0.0, 96_000.0),
            "Hz",
        ),
        "spacing_hz": Setting(
            400.0,
            "of the main grid; from lines that are not on it 12 dB less is taken",
            (1.0, 96_000.0),
            "Hz",
            measured=True,
        ),
        "rms_db": Setting(
            -20.0, "level of the piece, re full scale", (-200.0, 200.0), "dB", measured=True
        ),
        "lines_hz": Setting([], "where the lines are", (0.0, 96_000.0), "Hz", measured=True),
        "lines_db": Setting(
            [], "how far each line stands out on average", (-200.0, 200.0), "dB", measured=True
        ),
    }
    budget = Budget(si_sdr_db=27.0)
    at_input_rate = True

    def __init__(
        self, settings: Settings, *, sample_rate: int, channels: int, samples: int
    ) -> None:
        super().__init__(settings, sample_rate=sample_rate, channels=channels, samples=samples)
        n_fft = frame_size(sample_rate)
        self._frames = Frames(n_fft, n_fft // 2)
        short = 2 * fast_size(round(SHORT_SECONDS * sample_rate / 2))
        self._short = Frames(short, short // 2)
        self._bin_hz = sample_rate / n_fft
        # |X|² of all bins of a frame sums to 3/16 n_fft² σ² (Parseval, Hann).
        self._most = np.sqrt(3 / 16) * n_fft * 10 ** (settings["rms_db"] / 20)

    @classmethod
    def check(cls, settings: Settings) -> None:
        """Check that every line has a height."""
        lines = (*settings["lines_hz"], *settings["lines_db"])
        if len(settings["lines_hz"]) != len(settings["lines_db"]) or None in lines:
            raise ConfigError("decomb.lines_hz and decomb.lines_db need a number for every line.")

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """On where a comb was found."""
        finding = diagnosis["comb"]
        if not finding.found:
            return Step(cls.name, False, "no decoder comb was found", settings)
        found = ("lines_hz", "lines_db", "spacing_hz", "rms_db")
        lines = {key: finding.details[key] for key in found}
        count = len(lines["lines_hz"])
        reason = (
            f"comb every {lines['spacing_hz']:g} Hz, {finding.value:.1f} dB high: {count} lines"
        )
        sure_db = min(SURE_MAX_DB, max(0.0, (finding.value or 0.0) - SURE_FROM_DB))
        line_db = round(min(settings["line_db"] + sure_db, -20.0), 1)
        return Step(cls.name, True, reason, {**settings, **lines, "line_db": line_db})

    @property
    def context_samples(self) -> int:
        """Every frame that a sample's short frames touch is in the window, and the one before."""
        return self._frames.n_fft + self._frames.hop_length + self._short.n_fft

    def apply(self, window: Wav, *, start: int) -> Wav:
        """Return the samples from `start` on, `[C, n]`, without the lines."""
        context = self.context_samples
        first, last = start - context, window.shape[1] - context
        seen = window[:, : last + self._frames.n_fft + self._short.n_fft]  # one more only before
        removed = self._removed(self._frames.analyse(seen, first=first))
        lines = self._frames.synthesise(removed, first=first, length=seen.shape[1])
        lines -= self._absent(lines, seen, first=first)
        taken = lines[:, context:last] * np.float32(self.settings["amount"])
        return window[:, context:last] - taken

    def _absent(self, lines: Wav, window: Wav, *, first: int) -> Wav:
        """Return the part of the lines that is not there, `[C, T]`.

        In a band of a short frame where the sound is much fainter than the lines, they are there as
        far as it goes along with them: its projection.
        """
        cut_lines, cut = (self._short.cut(wav, first=first) for wav in (lines, window))
        # Most frames are loud. Differences from sample to sample tell so of the treble, in no time.
        quiet = _roughness(cut) < ROUGHER * _roughness(cut_lines)
        chosen = np.flatnonzero(quiet.any(axis=0))
        line, sound = (windowed_spectra(frames[:, chosen]) for frames in (cut_lines, cut))
        starts = np.arange(0, line.shape[2], SHORT_BINS)

        def in_bands(values: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.add.reduceat(values, starts, axis=2)

        power = line.real**2 + line.imag**2
        louder = sound.real**2 + sound.imag**2 - power * np.float32(10 ** (-ABSENT_DB / 10))
        gone = in_bands(louder * power * np.float32(1e12)) < 0  # 1e12: or it gets too small
        both = in_bands(line.real * sound.real + line.imag * sound.imag)
        absent = np.where(gone, 1 - np.clip(both / np.maximum(in_bands(power), 1e-30), 0, 1), 0)
        line *= np.repeat(absent, SHORT_BINS, axis=2)[:, :, : line.shape[2]]
        some = gone.any(axis=(0, 2))
        return self._short.synthesise(
            line[:, some], first=first, length=lines.shape[1], chosen=chosen[some]
        )

    def _removed(self, spec: Spec) -> Spec:
        """Return the spectrum of what is to be taken from the spectrum `[C, N, F]`."""
        removed, mag = np.zeros_like(spec), np.abs(spec)
        for lines in self._lines:
            beside = median(mag.take(lines.around, axis=2))[..., None]
            own = mag.take(lines.bins, axis=2)
            floor = np.maximum(beside * lines.beside, own * lines.height)
            limit = lines.most * np.minimum(1.0, 4.0 * lines.most / np.maximum(own, 1e-20))
            take = np.clip(own - floor, 0.0, limit)
            taken = spec.take(lines.bins, axis=2) * (take / np.maximum(own, 1e-20))
            removed[:, :, lines.bins] = _steady(taken, beside, lines.turn)
        return removed

    @cached_property
    def _lines(self) -> list[_Lines]:
        """Return the lines, in groups that are worked on at once: of as many bins, at most 32."""
        settings, hop = self.settings, self._frames.hop_length
        half = max(8, round(NEIGHBOURHOOD_HZ / self._bin_hz))
        end = self._frames.n_fft // 2 + 1
        alike: dict[tuple[int, int], list[tuple[Any, ...]]] = {}
        for hz, height_db in zip(settings["lines_hz"], settings["lines_db"], strict=True):
            multiple = hz / settings["spacing_hz"]
            fine = abs(multiple - round(multiple)) > 0.01
            centre = hz / self._bin_hz
            lobe = FINE_LOBE_BINS if fine else MAIN_LOBE_BINS
            low, high = int(np.ceil(centre - lobe)), int(np.floor(centre + lobe))
            bins = np.arange(max(1, low), min(end, high + 1))
            if not len(bins):
                continue
            around = np.arange(max(1, round(centre) - half), min(end, round(centre) + half))
            around = around[np.abs((around * self._bin_hz + 25) % 50 - 25) > 5.0]
            less_db = 12.0 * fine + 5.0 * (hz < settings["low_hz"])
            # The highest of the bins of a line is what stands out, so their mean comes lower.
            line = (
                bins,
                around,
                10 ** ((0.0 if fine else -2.0) / 20),
                10 ** (-(height_db + HEADROOM_DB) / 20),
                self._most * 10 ** ((settings["line_db"] - less_db) / 20),
                np.exp(2j * np.pi * hz * hop / self.sample_rate),
            )
            alike.setdefault((len(bins), len(around)), []).append(line)
        return [
            _Lines.of(lines[begin : begin + 32])
            for lines in alike.values()
            for begin in range(0, len(lines), 32)
        ]


@dataclass(frozen=True)
class _Lines:
    """Lines with the same number of bins, and what of each is taken.

    Attributes:
        bins: of each line, `[L, K]`.
        around: bins that tell the level of the sound beside it, `[L, M]`.
        beside: gain of that level where the line is to come to, `[L, 1]`.
        height: gain of a line that is taken down by all that it may be, `[L, 1]`.
        most: magnitude that is taken from a bin at most, `[L, 1]`.
        turn: of its phase from frame to frame, `[L, 1]`.
    """

    bins: NDArray[np.intp]
    around: NDArray[np.intp]
    beside: NDArray[np.float32]
    height: NDArray[np.float32]
    most: NDArray[np.float32]
    turn: NDArray[np.complex64]

    @classmethod
    def of(cls, lines: list[tuple[Any, ...]]) -> _Lines:
        """Return them side by side."""
        bins, around, *gains, turn = (np.array(values) for values in zip(*lines, strict=True))
        beside, height, most = (gain.astype(np.float32)[:, None] for gain in gains)
        return cls(bins, around, beside, height, most, turn.astype(np.complex64)[:, None])


def _roughness(frames: Wav) -> NDArray[np.float32]:
    """Return the power of the differences from sample to sample of frames `[C, N, n]`, `[C, N]`."""
    steps = frames[..., 1:] - frames[..., :-1]
    return np.asarray(np.einsum("cni,cni->cn", steps, steps), np.float32)


def _steady(taken: Spec, beside: NDArray[np.float32], turn: NDArray[np.complex64]) -> Spec:
    """Return what is taken of lines, read in the frame before if that is quiet.

    A line goes on as it is: from frame to frame it only turns, by its frequency.

    Args:
        taken: as each frame tells it, `[C, N, L, K]`.
        beside: level of the sound beside the lines, `[C, N, L, 1]`.
        turn: of each line from frame to frame, `[L, 1]`.
    """
    before, fainter = taken[:, :-1], np.float32(10 ** (-QUIETER_DB / 20))
    # Where nothing was taken there is no line to go by, as before the piece begins.
    attack = beside[:, :-1] < fainter * beside[:, 1:]
    attack &= before.any(axis=3, keepdims=True)
    if attack.any():
        taken[:, 1:] = np.where(attack, before * turn, taken[:, 1:])
    return taken
