"""Give clipped peaks their shape back.

A clipped sample is not lost: it is known to lie at or beyond the clip level. Music is sparse in
frequency, noise made by clipping is not. So each frame that holds clipped samples is shrunk in
frequency by a Wiener rule, put back between its bounds (the reliable samples as they are, the
clipped ones at or beyond the level), and again, while the threshold falls from just below the
frame's strongest line to far below it: the strong lines carry the peaks first, the weak ones fill
in. Only the clipped samples are taken from the result.

Source: Siedenburg, Kowalski, Dörfler, Audio declipping with social sparsity, ICASSP 2014 (empirical
Wiener shrinkage, continuation, inertia); Záviška et al., A survey and an extensive evaluation of
popular audio declipping methods, IEEE JSTSP 2021. The constants were chosen on clean recordings
clipped at −1 to −10 dB: 20 to 7 dB gained on average over the clipped samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.fourier import irfft, rfft
from nitido.dsp.spectral import fft_size, hann
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Settings, Stage, Step

TOLERANCE = 6e-5  # two steps of 16 bits: dither may leave a plateau that much below its level
FRAME_SECONDS = 0.05
OVERLAP = 4  # frames per frame length
ITERATIONS = 40
THRESHOLD_DB = (-10.0, -70.0)  # first and last, below the frame's strongest line
INERTIA = 0.8  # part of the last step that is added to the next one
BATCH = 64  # frames at work at once, bounds the memory


class Declip(Stage):
    """Restores the samples at and beyond the clip level from their surroundings; no others."""

    name: ClassVar[str] = "declip"
    summary: ClassVar[str] = "restores clipped peaks from their surroundings"
    schema: ClassVar[Mapping[str, Setting]] = {
        "positive_level": Setting(
            [],
            "where the upper peaks of each channel are cut; null: nowhere, empty: as found",
            (0.0, 1e10),
        ),
        "negative_level": Setting([], "the same for the lower peaks, negative", (-1e10, 0.0)),
        "amount": Setting(1.0, "0 leaves the clipped samples, 1 restores them", (0.0, 1.0)),
        "max_gain_db": Setting(
            6.0, "how far above the level a restored sample may reach", (0.0, 20.0), "dB"
        ),
    }
    budget: ClassVar[Budget] = Budget(si_sdr_db=15.0)
    at_input_rate: ClassVar[bool] = True

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """Go by the finding ``clipping``; levels that are given keep precedence."""
        chosen = dict(settings)
        given = _has_level(chosen)
        clipping = diagnosis["clipping"]
        if clipping.found and not given:
            for key in ("positive_level", "negative_level"):
                chosen[key] = list(clipping.details[key])
        if given:
            return Step(cls.name, True, "restores the samples at the given levels", chosen)
        if not clipping.found:
            return Step(cls.name, False, "nothing is clipped", chosen)
        if not _has_level(chosen):
            reason = "no level is left at which peaks are cut, as the file was recoded since"
            return Step(cls.name, False, reason, chosen)
        count = clipping.details.get("clipped_samples")
        what = "the clipped samples" if count is None else f"{count} clipped samples"
        return Step(cls.name, True, f"restores {what} from their surroundings", chosen)

    def __init__(
        self, settings: Settings, *, sample_rate: int, channels: int, samples: int
    ) -> None:
        """Bind the stage to a piece.

        Raises:
            ConfigError: not as many levels as channels.
        """
        super().__init__(settings, sample_rate=sample_rate, channels=channels, samples=samples)
        self._high = self._levels("positive_level")
        self._low = -self._levels("negative_level")
        self._n_fft = fft_size(FRAME_SECONDS, sample_rate=sample_rate)

    def _levels(self, key: str) -> NDArray[np.float32]:
        levels = self.settings[key] or [None] * self.channels
        if len(levels) != self.channels:
            raise ConfigError(
                f"declip.{key} has {len(levels)} values for {self.channels} channels; "
                "give one per channel."
            )
        magnitudes = [abs(level) if level else np.inf for level in levels]
        return np.array(magnitudes, np.float32)[:, None]

    @property
    def context_samples(self) -> int:
        """One frame: a sample is restored from the frames that hold it, and from no others."""
        return self._n_fft

    def apply(self, window: Wav, *, start: int) -> Wav:
        """Return `window` with its clipped samples restored; see `Stage.apply`."""
        over = window >= self._high - TOLERANCE
        under = window <= self._low + TOLERANCE
        if not (over.any() or under.any()) or not self.settings["amount"]:
            return self.span(window)
        reach = np.float32(10 ** (self.settings["max_gain_db"] / 20))
        # The most and the least that each sample may be; both are the sample if it is reliable.
        least, most = window.copy(), window.copy()
        np.copyto(least, np.maximum(window, self._high), where=over)
        np.copyto(most, np.maximum(window, self._high * reach), where=over)
        np.copyto(most, np.minimum(window, self._low), where=under)
        np.copyto(least, np.minimum(window, self._low * reach), where=under)
        out = window.copy()
        clipped = over | under
        for channel in np.flatnonzero(clipped.any(axis=1)):
            rebuilt = _rebuild(
                window[channel],
                least[channel],
                most[channel],
                clipped[channel],
                n_fft=self._n_fft,
                first=start - self.context_samples,
            )
            change = rebuilt - window[channel]
            np.copyto(
                out[channel],
                window[channel] + np.float32(self.settings["amount"]) * change,
                where=clipped[channel],
            )
        return self.span(out)


def _has_level(settings: Settings) -> bool:
    return any(level for key in ("positive_level", "negative_level") for level in settings[key])


def _rebuild(
    wav: NDArray[np.float32],
    least: NDArray[np.float32],
    most: NDArray[np.float32],
    clipped: NDArray[np.bool_],
    *,
    n_fft: int,
    first: int,
) -> NDArray[np.float32]:
    """Return one channel `[T]` with its clipped samples rebuilt; sample 0 is the piece's `first`.

    Frame k of the piece starts at sample k·hop. A frame is worked on if a clipped sample lies in
    its middle half, where its window is high; each sample lies in the middle of two frames.
    """
    hop = n_fft // OVERLAP
    count = np.concatenate([[0], np.cumsum(clipped)])
    starts = np.arange(-first % hop, len(wav) - n_fft + 1, hop)
    quarter = n_fft // 4
    starts = starts[count[starts + 3 * quarter] > count[starts + quarter]]
    window = hann(n_fft)
    # Frames of one phase do not overlap. The phases are added in one order, wherever blocks begin.
    total, weight = np.zeros((2, OVERLAP, len(wav)), np.float32)
    for batch in np.split(starts, range(BATCH, len(starts), BATCH)):
        at = batch[:, None] + np.arange(n_fft)
        frames = _sparse(wav[at] * window, least[at] * window, most[at] * window) * window
        phase = ((batch + first) // hop % OVERLAP)[:, None]
        total[phase, at], weight[phase, at] = frames, window**2
    total, weight = total.sum(axis=0), weight.sum(axis=0)
    whole = weight > 0.1  # at least 0.5 where a clipped sample can be reached from both sides
    return np.clip(np.where(whole, total / np.maximum(weight, 0.1), wav), least, most)


def _sparse(
    frames: NDArray[np.float32], least: NDArray[np.float32], most: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return frames `[N, n_fft]` that lie between their bounds and are sparse in frequency."""
    now = before = frames
    strongest = np.zeros((len(frames), 1), np.float32)
    for step, threshold_db in enumerate(np.linspace(*THRESHOLD_DB, ITERATIONS)):
        spec = rfft(now)
        power = spec.real**2 + spec.imag**2
        if step == 0:
            strongest = power.max(axis=1, keepdims=True) + np.float32(1e-20)
        threshold = strongest * np.float32(10 ** (threshold_db / 10))
        spec *= 1 - threshold / np.maximum(power, threshold)  # empirical Wiener: 0 below it
        found = np.clip(irfft(spec, frames.shape[1]), least, most)
        now, before = found + np.float32(INERTIA) * (found - before), found
    return before
