"""Take the decoder's comb out: pull its lines down to the level of the sound beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.comb import NEIGHBOURHOOD_HZ, frame_size
from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.spectral import Frames, Spec, median
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
FINE_LOBE_BINS = 1.2  # of lines so close that whole lobes would cover a fifth of the spectrum


class Decomb(Stage):
    """Pulls the lines of the comb, frame by frame, down to the median of the bins around them.

    Two things tell a line from a note that lies on the grid. A line is weak: at most `line_db`
    below the piece; so no more amplitude than that is taken from a bin, and less the further the
    bin stands above it. And a line is always there: only those that the diagnosis found standing
    out of the whole piece's average are touched.
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
        """Every frame that touches the samples to return is in the window, and the one before."""
        return self._frames.n_fft + self._frames.hop_length

    def apply(self, window: Wav, *, start: int) -> Wav:
        """Return the samples from `start` on, `[C, n]`, without the lines."""
        first = start - self.context_samples
        spec = self._frames.analyse(window, first=first)
        self._lower(spec)
        removed = self._frames.synthesise(spec, first=first, length=window.shape[1])
        return self.span(window) - self.span(removed)

    def _lower(self, spec: Spec) -> None:
        """Turn the spectrum `[C, N, F]` into the spectrum of what is to be removed, in place."""
        settings = self.settings
        half = max(8, round(NEIGHBOURHOOD_HZ / self._bin_hz))
        removed = []
        for hz, height_db in zip(settings["lines_hz"], settings["lines_db"], strict=True):
            multiple = hz / settings["spacing_hz"]
            fine = abs(multiple - round(multiple)) > 0.01
            centre = hz / self._bin_hz
            lobe = FINE_LOBE_BINS if fine else MAIN_LOBE_BINS
            low, high = int(np.ceil(centre - lobe)), int(np.floor(centre + lobe))
            bins = slice(max(1, low), min(spec.shape[2], high + 1))
            if bins.stop <= bins.start:
                continue
            around = np.arange(
                max(1, round(centre) - half), min(spec.shape[2], round(centre) + half)
            )
            around = around[np.abs((around * self._bin_hz + 25) % 50 - 25) > 5.0]
            beside = median(np.abs(spec[:, :, around]))[:, :, None]
            mag = np.abs(spec[:, :, bins])
            # The highest of the bins of a line is what stands out, so their mean has to come lower.
            floor = np.maximum(
                beside * np.float32(10 ** ((0.0 if fine else -2.0) / 20)),
                mag * np.float32(10 ** (-(height_db + HEADROOM_DB) / 20)),
            )
            less_db = 12.0 * fine + 5.0 * (hz < settings["low_hz"])
            most = self._most * 10 ** ((settings["line_db"] - less_db) / 20)
            limit = most * np.minimum(1.0, 4.0 * most / np.maximum(mag, 1e-20))
            take = np.clip(mag - floor, 0.0, limit) * settings["amount"]
            taken = spec[:, :, bins] * (take / np.maximum(mag, 1e-20))
            removed.append((bins, self._steady(taken, beside, hz)))
        spec[...] = 0
        for bins, part in removed:
            spec[:, :, bins] = part

    def _steady(self, taken: Spec, beside: NDArray[np.floating[Any]], hz: float) -> Spec:
        """Return what is taken of a line, `[C, N, K]`, read in the frame before if that is quiet.

        A line goes on as it is: from frame to frame it only turns, by its frequency.

        Args:
            taken: as each frame tells it, `[C, N, K]`.
            beside: level of the sound beside the line, `[C, N, 1]`.
            hz: of the line.
        """
        turn = np.complex64(np.exp(2j * np.pi * hz * self._frames.hop_length / self.sample_rate))
        before, fainter = taken[:, :-1], np.float32(10 ** (-QUIETER_DB / 20))
        # Where nothing was taken there is no line to go by, as before the piece begins.
        stands = np.abs(before).sum(axis=2, keepdims=True) > 0
        attack = stands & (beside[:, :-1] < fainter * beside[:, 1:])
        later = np.where(attack, before * turn, taken[:, 1:])
        return np.concatenate([taken[:, :1], later], axis=1)
