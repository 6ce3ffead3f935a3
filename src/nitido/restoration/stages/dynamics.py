"""Lower one band while a fault sounds in it: sharp s, harsh rings, mud.

Three remedies, one idea: what the fault adds is subtracted from the signal, frame by frame, so that
nothing outside its band changes and nothing moves in time. The gain is smooth over time and
frequency, looks half a frame ahead, never lifts, and never lowers by more than 6 dB: half of the
amplitude is left at least, so that a wrong guess is no hole.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis import harshness, mud, sibilance
from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.dsp.spectral import Frames, Spec, band, fft_size
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Settings, Stage, Step

Array = NDArray[np.float64]
Band = tuple[float, float]

MOST_DB = 6.0
SKIRT_OCTAVES = 0.15  # from lowered to untouched
PLAIN_S_DB = -18.0  # level of a plain s re the piece: what is above is too much
RAMP_SECONDS = 0.015  # from untouched to lowered, before and after an s
SMOOTH = (0.25, 0.5, 0.25)  # of the gain, over frames

AMOUNT = Setting(1.0, "scales by how much it is lowered", (0.0, 1.0))


class _LoweredBand(Stage):
    """Lowers a band of the spectrum by what each kind of fault asks for, frame by frame."""

    finding: ClassVar[str]
    nothing: ClassVar[str]  # why it is off where nothing was found
    lists: ClassVar[tuple[str, ...]]  # settings that have to be of equal length
    band_hz: ClassVar[Band]
    frame_seconds: ClassVar[float]
    most_db: ClassVar[float] = MOST_DB  # that it lowers

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """On where the fault was found."""
        found = diagnosis[cls.finding]
        if not found.found:
            return Step(cls.name, False, cls.nothing, settings)
        return Step(cls.name, True, found.summary.rstrip("."), {**settings, **cls.taken(found)})

    @classmethod
    @abstractmethod
    def taken(cls, found: Finding) -> dict[str, Any]:
        """Return the settings that the finding gives."""

    @classmethod
    def check(cls, settings: Settings) -> None:
        """Check that lists which belong together are of one length."""
        lengths = {len(settings[name]) for name in cls.lists}
        if len(lengths) > 1 or any(None in settings[name] for name in cls.lists):
            names = " and ".join(f"{cls.name}.{name}" for name in cls.lists)
            raise ConfigError(f"{names} need as many numbers as each other.")

    def __init__(
        self, settings: Settings, *, sample_rate: int, channels: int, samples: int
    ) -> None:
        super().__init__(settings, sample_rate=sample_rate, channels=channels, samples=samples)
        n_fft = fft_size(self.frame_seconds, sample_rate=sample_rate)
        self._frames = Frames(n_fft, n_fft // 4)
        low, high = self.band_hz
        skirt = 2**SKIRT_OCTAVES
        self._inside = band(low / skirt, high * skirt, n_fft=n_fft, sample_rate=sample_rate)
        hz = np.arange(n_fft // 2 + 1)[self._inside] * sample_rate / n_fft
        self._octaves = np.log2(np.maximum(hz, 1.0))

    @property
    def context_samples(self) -> int:
        """Every frame that touches the samples to return is in the window, and the one beside."""
        return self._frames.n_fft + self._frames.hop_length

    def apply(self, window: Wav, *, start: int) -> Wav:
        """Return the samples from `start` on, `[C, n]`, with the band lowered."""
        first = start - self.context_samples
        spec = self._frames.analyse(window, first=first)
        seconds = np.array(self._frames.indices(first, window.shape[1]))
        seconds = seconds * self._frames.hop_length / self.sample_rate
        when = np.convolve(self.when(spec[:, :, self._inside], seconds), SMOOTH, "same")
        lower_db = np.minimum(when[:, None] * self.where(), self.most_db) * self.settings["amount"]
        if not lower_db.any():
            return self.span(window)
        taken = np.zeros_like(spec)
        share = (1 - 10 ** (-lower_db / 20)).astype(np.float32)
        taken[:, :, self._inside] = spec[:, :, self._inside] * share
        excess = self._frames.synthesise(taken, first=first, length=window.shape[1])
        return self.span(window) - self.span(excess)

    @abstractmethod
    def when(self, spec: Spec, seconds: Array) -> Array:
        """Return by how much each frame is lowered, `[N]`; in units of `where`.

        Args:
            spec: the bins of the band, `[C, N, K]`.
            seconds: middle of each frame in the piece, `[N]`.
        """

    @abstractmethod
    def where(self) -> Array:
        """Return by how much each bin of the band is lowered, dB `[K]`."""


class Deess(_LoweredBand):
    """Lowers 5–9 kHz during each s that is too loud, down to a plain one."""

    name: ClassVar[str] = "deess"
    summary: ClassVar[str] = "softens a sharp s"
    finding = "sibilance"
    nothing = "no sharp s was found"
    lists = ("starts_seconds", "ends_seconds", "lower_db")
    band_hz = sibilance.S_HZ
    frame_seconds = sibilance.FRAME_SECONDS
    most_db = 5.0
    schema: ClassVar[Mapping[str, Setting]] = {
        "amount": AMOUNT,
        "starts_seconds": Setting([], "where an s begins", (0.0, 1e6), "s", measured=True),
        "ends_seconds": Setting([], "where it ends", (0.0, 1e6), "s", measured=True),
        "lower_db": Setting([], "by how much it is lowered", (0.0, MOST_DB), "dB", measured=True),
    }
    budget: ClassVar[Budget] = Budget(si_sdr_db=18.0, taken_sone=0.1, fault_hz=band_hz)

    @classmethod
    def taken(cls, found: Finding) -> dict[str, Any]:
        """Return each s that is louder than a plain one, with how much it is too loud."""
        details = found.details
        over_db = np.array(details["levels_db"]) - details["rms_db"] - PLAIN_S_DB
        loud = np.flatnonzero(over_db > 0)
        return {
            "starts_seconds": [details["starts_seconds"][i] for i in loud],
            "ends_seconds": [details["ends_seconds"][i] for i in loud],
            "lower_db": [round(float(min(over_db[i], cls.most_db)), 1) for i in loud],
        }

    def when(self, spec: Spec, seconds: Array) -> Array:
        """Return by how many dB each frame is lowered."""
        del spec
        starts, ends, lower_db = (np.array(self.settings[name]) for name in self.lists)
        result = np.zeros(len(seconds))
        if not len(seconds):
            return result
        near = (ends > seconds[0] - RAMP_SECONDS) & (starts < seconds[-1] + RAMP_SECONDS)
        for start, end, most_db in zip(starts[near], ends[near], lower_db[near], strict=True):
            outside = np.maximum(start - seconds, seconds - end) / RAMP_SECONDS
            result = np.maximum(result, most_db * np.clip(1 - outside, 0, 1))
        return result

    def where(self) -> Array:
        """Return 1 inside the band, 1/2 at its edges, 0 outside."""
        low, high = np.log2(self.band_hz)
        inside = np.minimum(self._octaves - low, high - self._octaves) / SKIRT_OCTAVES
        return np.asarray(np.clip(inside + 0.5, 0, 1), np.float64)


class _LoweredPlaces(_LoweredBand):
    """Lowers places of the spectrum by what was measured there, as far as the band is loud."""

    lists = ("bands_hz", "bands_db")
    schema: ClassVar[Mapping[str, Setting]] = {
        "amount": AMOUNT,
        "bands_hz": Setting([], "middle of each band", (1.0, 96_000.0), "Hz", measured=True),
        "bands_db": Setting(
            [], "by how much it stands out", (-100.0, 100.0), "dB", measured=True
        ),
        "usual_db": Setting(
            -60.0, "level of the band at which nothing is lowered", (-200.0, 200.0), "dB",
            measured=True,
        ),
        "loud_db": Setting(
            -40.0, "level at which all of it is", (-200.0, 200.0), "dB", measured=True
        ),
    }  # fmt: skip

    @classmethod
    def taken(cls, found: Finding) -> dict[str, Any]:
        """Return what was measured."""
        return {name: found.details[name] for name in cls.schema if name != "amount"}

    def when(self, spec: Spec, seconds: Array) -> Array:
        """Return how loud the band is in each frame: 0 as usual or softer, 1 loud."""
        del seconds
        usual_db, loud_db = self.settings["usual_db"], self.settings["loud_db"]
        level_db = self._frames.level_db(spec)
        return np.asarray(
            np.clip((level_db - usual_db) / max(loud_db - usual_db, 1.0), 0, 1), np.float64
        )

    def where(self) -> Array:
        """Return how far each bin stands out, 0 beyond the band."""
        if not self.settings["bands_hz"]:
            return np.zeros(len(self._octaves))
        octaves = np.log2(self.settings["bands_hz"])
        over_db = np.maximum(self.settings["bands_db"], 0.0)
        beside = [octaves[0] - SKIRT_OCTAVES], [octaves[-1] + SKIRT_OCTAVES]
        places = np.concatenate([beside[0], octaves, beside[1]])
        return np.asarray(np.interp(self._octaves, places, np.pad(over_db, 1)), np.float64)


class Deharsh(_LoweredPlaces):
    """Lowers what rings from 2 to 5 kHz, by as much as it stands out more where it is loud."""

    name: ClassVar[str] = "deharsh"
    summary: ClassVar[str] = "takes the edge off what rings from 2 to 5 kHz when it is loud"
    finding = "harshness"
    nothing = "nothing rings from 2 to 5 kHz"
    band_hz = harshness.HARSH_HZ
    frame_seconds = harshness.FRAME_SECONDS
    schema: ClassVar[Mapping[str, Setting]] = _LoweredPlaces.schema
    budget: ClassVar[Budget] = Budget(si_sdr_db=18.0, taken_sone=0.1, fault_hz=band_hz)


class Demud(_LoweredPlaces):
    """Lowers the hill from 200 to 500 Hz, except where it is soft."""

    name: ClassVar[str] = "demud"
    summary: ClassVar[str] = "clears mud from 200 to 500 Hz"
    finding = "mud"
    nothing = "no mud was found"
    band_hz = mud.MUD_HZ
    frame_seconds = 2 * harshness.FRAME_SECONDS
    most_db = 4.0  # it is always there: more would make another arrangement of the music
    schema: ClassVar[Mapping[str, Setting]] = _LoweredPlaces.schema
    # What is mended lies in the middle of the protected band, where most of the energy is, and it
    # is there all the time: the measure of the music taken, which does not know the original, would
    # count the mud as music. Held against the original, all that it costs is 0.01 sone.
    budget: ClassVar[Budget] = Budget(si_sdr_db=8.0)
