"""Bring a piece to its delivery loudness, with its true peaks under a ceiling.

The gain is not known when the piece is planned: the other stages change the sound first. So the
piece is profiled as it comes out of them (`LevelProfile`), the gain is solved on the profile
(`LevelProfile.resolve`), and then applied (`Loudness.apply`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.chunks import windows
from nitido.dsp.limiter import (
    gain_curve,
    interval_peaks,
    interval_samples,
    reach_intervals,
    reduction_db,
)
from nitido.dsp.loudness import (
    ABSOLUTE_GATE_LUFS,
    RELATIVE_GATE_LU,
    SIDE_TAPS,
    WeightedPower,
)
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.restoration.scratch import Scratch
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Settings, Stage, Step

MARGIN_DB = 0.1  # aimed under the ceiling: meters differ by that much in their filters
LIMITING_MAX_DB = 12.0  # the most that can be asked for
CHUNK_INTERVALS = 1024  # profiled at once; fixed, so that the profile does not depend on the blocks
STORED_INTERVALS = 2**16  # looked at together when the gain is solved, 87 s; bounds the memory
GAIN_STEP_DB = 0.001  # gains are rounded down to it
NO_LOUDNESS = "too short or quiet to have a loudness; its peaks stay under the ceiling"


class Loudness(Stage):
    """Gain to a target loudness, and a look-ahead limiter where peaks would exceed the ceiling."""

    name: ClassVar[str] = "loudness"
    summary: ClassVar[str] = "brings the piece to its loudness, true peaks under a ceiling"
    schema: ClassVar[Mapping[str, Setting]] = {
        "target_lufs": Setting(
            -14.0,
            "integrated loudness of the result; null keeps the level",
            (-60.0, -5.0),
            "LUFS",
            nullable=True,
        ),
        "ceiling_dbtp": Setting(-1.0, "no true peak exceeds it", (-20.0, 0.0), "dBTP"),
        "max_limiting_db": Setting(
            4.0,
            "the most that a peak is turned down; where it takes more the result is quieter",
            (0.0, LIMITING_MAX_DB),
            "dB",
        ),
        "gain_db": Setting(
            None,
            "the gain; null until the piece has been profiled",
            (-120.0, 120.0),
            "dB",
            nullable=True,
        ),
        "limit": Setting(
            True, "whether peaks are turned down; else the gain stops where they meet the ceiling"
        ),
    }
    budget: ClassVar[Budget] = Budget(si_sdr_db=15.0, turn_down="max_limiting_db", bypass=False)

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """On unless the level is to be kept or the piece is silent; the reason is an estimate.

        A piece that has no loudness, such as a constant, is only held under the ceiling.
        """
        details = diagnosis["loudness"].details
        lufs, peak_db = details["integrated_lufs"], details["true_peak_dbtp"]
        target = settings["target_lufs"]
        if target is None:
            return Step(cls.name, False, "the level is kept", dict(settings))
        if peak_db is None:
            return Step(cls.name, False, "silence stays silent", dict(settings))
        if lufs is None:
            return Step(cls.name, True, NO_LOUDNESS, dict(settings))
        needed = target - lufs
        over = peak_db + needed - settings["ceiling_dbtp"]
        allowed = allowed_limiting_db(settings)
        stereo = ", which it has once it is stereo," if details.get("widened") else ""
        reason = f"from {_text(lufs)}{stereo} to {_text(target)} LUFS needs {needed:+.1f} dB"
        if over > allowed:
            reason += (
                f", peaks would need {over:.1f} dB of limiting, at most {allowed:g} are allowed: "
                f"lands near {_text(target - over + allowed)} LUFS"
            )
        elif over > 0:
            reason += f", peaks need about {over:.1f} dB of limiting"
        return Step(cls.name, True, reason, dict(settings))

    @property
    def context_samples(self) -> int:
        """What the gain of a sample depends on: look-ahead, hold and release, and interpolation."""
        interval = interval_samples(self.sample_rate)
        return (reach_intervals(self.sample_rate) + 1) * interval + SIDE_TAPS

    def apply(self, window: Wav, *, start: int) -> Wav:
        """Return `window` at its gain, limited where it would exceed the ceiling.

        Raises:
            ConfigError: `gain_db` has not been resolved yet.
        """
        gain_db = self.settings["gain_db"]
        if gain_db is None:
            raise ConfigError(
                "loudness.gain_db is null; it is resolved from the profile of the piece, "
                "or give a number of dB."
            )
        gain = np.float32(10 ** (gain_db / 20))
        louder = self.span(window) * gain
        if not self.settings["limit"] or not louder.shape[1]:
            return louder
        interval, reach = interval_samples(self.sample_rate), reach_intervals(self.sample_rate)
        first = start // interval - reach  # intervals of the piece's grid
        last = -(-(start + louder.shape[1]) // interval) + reach
        begin = first * interval - SIDE_TAPS - (start - self.context_samples)
        ceiling = _amplitude(_ceiling_db(self.settings) - gain_db)
        peaks = interval_peaks(
            window[:, begin : begin + (last - first) * interval + 2 * SIDE_TAPS],
            interval=interval,
            floor=ceiling,
        )
        edges_db = reduction_db(peaks, ceiling=ceiling, sample_rate=self.sample_rate)
        if not edges_db.any():
            return louder
        curve = gain_curve(edges_db[reach : len(edges_db) - reach], interval=interval)
        louder *= curve[start % interval :][: louder.shape[1]]
        return louder


class LevelProfile:
    """Peaks and loudness of a piece over time, from which its gain is found.

    Keeps two numbers per control interval, 6 kB per second of audio, whatever the channels; those
    of a long piece on disk.
    """

    def __init__(
        self,
        sample_rate: int,
        channels: int,
        mask: int | None = None,
        *,
        limiting_max_db: float = LIMITING_MAX_DB,
    ) -> None:
        """Make a profile for one piece.

        Args:
            sample_rate: see `WeightedPower`.
            channels: see `WeightedPower`.
            mask: see `WeightedPower`.
            limiting_max_db: the most that its peaks may be turned down; how far they would have to
                be where that is not enough is then told from the samples, to some tenths of a dB.
        """
        self._sample_rate = sample_rate
        self._floor = _amplitude(-limiting_max_db)
        self._interval = interval_samples(sample_rate)
        self._samples = 0
        self._power = WeightedPower(sample_rate, channels, mask)
        self._held: list[Wav] = [np.zeros((channels, SIDE_TAPS), np.float32)]
        self._held_samples = SIDE_TAPS
        self._highest = 0.0
        # Per interval the true peak, and Σ of the squared K-weighted samples.
        self._intervals = Scratch(channels=2)

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n, as they reach the loudness stage."""
        self._samples += block.shape[1]
        self._held.append(block)
        self._held_samples += block.shape[1]
        chunk = CHUNK_INTERVALS * self._interval
        if self._held_samples < chunk + 2 * SIDE_TAPS:
            return
        held = np.concatenate(self._held, axis=1)
        while held.shape[1] >= chunk + 2 * SIDE_TAPS:
            self._take(held[:, : chunk + 2 * SIDE_TAPS])
            held = held[:, chunk:]
        self._held, self._held_samples = [held.copy()], held.shape[1]

    @property
    def lufs(self) -> float | None:
        """Gated loudness of the piece as it came, LUFS; None if all of it is below the gate."""
        return _lufs_together([self], 0.0, math.inf)

    @property
    def peak_dbtp(self) -> float:
        """Highest true peak of the piece as it came, dBTP; −∞ in silence."""
        self._finish()
        return 20 * math.log10(self._highest) if self._highest else -math.inf

    def resolve(self, settings: Settings) -> tuple[dict[str, Any], str]:
        """Return the settings with `gain_db` filled in, and what was done, in words.

        To be called after the last block; as often as wanted, with other settings.
        """
        return resolve_together([self], settings)

    def block_powers(self, gain_db: float, aim_db: float) -> NDArray[np.float64]:
        """Return the K-weighted power of each block of 0.4 s after gain and limiter, `[n]`.

        A piece shorter than one block is taken as one block.
        """
        self._finish()
        ceiling = _amplitude(aim_db - gain_db) if aim_db < math.inf else math.inf
        count = self._intervals.samples
        seconds = self._samples / self._sample_rate
        blocks = math.floor((seconds - 0.4) / 0.1 + 1e-6) + 1
        if blocks > 0:
            tenth = 0.1 * self._sample_rate / self._interval
            at = np.rint(np.arange(blocks + 4) * tenth).astype(int).clip(max=count)
            total = self._energy_before(at, ceiling)
            power = (total[4:] - total[:-4]) / ((at[4:] - at[:-4]) * self._interval)
        else:
            power = self._energy_before(np.array([count]), ceiling) / max(self._samples, 1)
        return np.asarray(power * 10 ** (gain_db / 10), np.float64)

    def _energy_before(self, at: NDArray[np.intp], ceiling: float) -> NDArray[np.float64]:
        """Return the energy of the limited piece before each of the intervals `at`, ascending."""
        found, total = np.zeros(len(at)), 0.0
        reach = reach_intervals(self._sample_rate)
        stored = self._intervals.blocks(STORED_INTERVALS)
        for window, start in windows(stored, size=STORED_INTERVALS, context=reach):
            energies = window[1, reach:-reach].astype(np.float64)
            edges_db = reduction_db(window[0], ceiling=ceiling, sample_rate=self._sample_rate)
            edges_db = edges_db[reach : len(edges_db) - reach]
            if edges_db.any():
                edges = 10 ** (-edges_db.astype(np.float64) / 20)
                left, right = edges[:-1], edges[1:]
                energies *= (left * left + left * right + right * right) / 3
            sums = np.concatenate([[total], total + np.cumsum(energies)])
            low, high = np.searchsorted(at, [start, start + len(energies)], side="right")
            found[low:high] = sums[at[low:high] - start]
            total = sums[-1]
        return found

    def _take(self, window: Wav) -> None:
        """Profile whole intervals, `[C, SIDE_TAPS + n · interval + SIDE_TAPS]`."""
        interval = self._interval
        body = window[:, SIDE_TAPS:-SIDE_TAPS]
        self._highest = max(self._highest, float(body.max()), -float(body.min()))
        # The gain never lifts the highest peak further over the ceiling than it may be limited, so
        # peaks that far below it are not limited and need not be known.
        floor = self._highest * self._floor
        peaks = interval_peaks(window, interval=interval, floor=floor)
        self._highest = max(self._highest, float(peaks.max()))
        energies = self._power.update(body).reshape(-1, interval).sum(axis=1)
        self._intervals.append(np.stack([peaks, energies]))

    def _finish(self) -> None:
        """Profile what is left, with silence after it."""
        left = self._samples - self._intervals.samples * self._interval
        if left > 0:
            held = np.concatenate(self._held, axis=1)
            size = -(-left // self._interval) * self._interval + 2 * SIDE_TAPS
            self._take(np.pad(held, ((0, 0), (0, size - held.shape[1]))))


def resolve_together(
    profiles: Sequence[LevelProfile], settings: Settings
) -> tuple[dict[str, Any], str]:
    """Return the settings with one `gain_db` for all pieces, and what was done, in words.

    The target is the loudness of the pieces one after the other, gated over all of them; the piece
    with the highest peak says how much gain there may be.

    Args:
        profiles: of the pieces, each after its last block.
        settings: of the stage, complete.

    Source: EBU R 128 s2 and ITU-R BS.1770-4, the gates over all blocks of a programme; libebur128
    does the same for an album.
    """
    target, ceiling_db = settings["target_lufs"], settings["ceiling_dbtp"]
    peak_db = max(profile.peak_dbtp for profile in profiles)
    if target is None or peak_db == -math.inf:
        why = "silence stays silent" if target is not None else "the level is kept"
        return {**settings, "gain_db": 0.0, "limit": False}, why
    lufs = _lufs_together(profiles, 0.0, math.inf)
    aim_db = _ceiling_db(settings)
    allowed = allowed_limiting_db(settings)
    if lufs is None:
        gain_db = round(math.floor(min(0.0, aim_db - peak_db) / GAIN_STEP_DB) * GAIN_STEP_DB, 3)
        lowered = f": lowered by {-gain_db:.1f} dB" if gain_db else ""
        return {**settings, "gain_db": gain_db, "limit": False}, NO_LOUDNESS + lowered
    needed = target - lufs
    most = aim_db + allowed - peak_db
    gain_db = _solve(profiles, target, needed, most, aim_db)
    gain_db = round(math.floor(gain_db / GAIN_STEP_DB - 0.01) * GAIN_STEP_DB, 3)
    limited_db = max(0.0, peak_db + gain_db - aim_db)
    result = _lufs_together(profiles, gain_db, aim_db) or -math.inf
    moved = f"{'raised' if gain_db >= 0 else 'lowered'} by {abs(gain_db):.1f} dB"
    reason = f"{moved}, from {_text(lufs)} to {_text(result)} LUFS"
    if limited_db >= 0.05:
        reason += f", peaks limited to {_text(ceiling_db)} dBTP by up to {limited_db:.1f} dB"
    else:
        reason += f", no peak needs limiting to stay under {_text(ceiling_db)} dBTP"
    if target - result > 0.1:
        would_db = _solve(profiles, target, needed, aim_db + LIMITING_MAX_DB - peak_db, aim_db)
        would_db += peak_db - aim_db
        much = "more than " if would_db >= LIMITING_MAX_DB else ""
        reason += (
            f"; {_text(target)} LUFS would need {much}{would_db:.1f} dB of limiting, "
            f"at most {allowed:g} are allowed"
        )
    return {**settings, "gain_db": gain_db}, reason


def _solve(
    profiles: Sequence[LevelProfile], target: float, needed: float, most: float, aim_db: float
) -> float:
    """Return the gain, dB, up to `most`, at which the limited pieces have the target loudness."""

    def missing(gain_db: float) -> float:
        lufs = _lufs_together(profiles, gain_db, aim_db)
        return target - (ABSOLUTE_GATE_LUFS if lufs is None else lufs)

    if missing(most) >= 0:
        return most
    least = min(needed, most)
    if abs(missing(least)) < 0.005:  # nothing is limited, as most often
        return least
    while missing(least) < 0:  # the gates let other passages in than at the original level
        least -= 1.0
    while most - least > GAIN_STEP_DB:
        middle = (least + most) / 2
        least, most = (middle, most) if missing(middle) > 0 else (least, middle)
    return least


def _lufs_together(profiles: Sequence[LevelProfile], gain_db: float, aim_db: float) -> float | None:
    """Return the gated loudness after gain and limiter; None if all of it is below the gate."""
    power = np.concatenate([profile.block_powers(gain_db, aim_db) for profile in profiles])
    power = power[power > _power(ABSOLUTE_GATE_LUFS)]
    if not len(power):
        return None
    power = power[power > power.mean() * 10 ** (RELATIVE_GATE_LU / 10)]
    return float(-0.691 + 10 * np.log10(power.mean()))


def allowed_limiting_db(settings: Settings) -> float:
    """Return how far peaks may be turned down, dB."""
    return float(settings["max_limiting_db"]) if settings["limit"] else 0.0


def _ceiling_db(settings: Settings) -> float:
    return float(settings["ceiling_dbtp"]) - MARGIN_DB


def _amplitude(level_db: float) -> float:
    return float(10 ** (level_db / 20))


def _power(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


def _text(level_db: float) -> str:
    """Return a level with a proper minus sign, at most one digit after the point."""
    return f"{level_db:.1f}".removesuffix(".0").replace("-", "−")
