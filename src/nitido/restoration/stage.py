"""What a stage is: one remedy, for nearly all of them a pure function of a window of the signal.

Such a `Stage` sees a window of the piece, with some context on either side of the part it has to
give back, and the position of that part. It keeps no memory from window to window: that is why a
piece restored in blocks equals the piece restored whole, and why blocks can be worked on in
parallel. A `Remedy` that cannot be cut so (a network with segments of its own at another sample
rate) turns a stream into a stream, and has to see to that itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.chunks import windows
from nitido.dsp.wav import Wav
from nitido.restoration.resources import Resources
from nitido.restoration.setting import Setting

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """A stage as planned: whether it is on, why, and with which settings (JSON values only)."""

    stage: str
    on: bool
    reason: str
    settings: Settings = field(default_factory=dict)


@dataclass(frozen=True)
class Budget:
    """How much a stage may change before it is turned down (see `nitido.restoration.verify`).

    Attributes:
        si_sdr_db: the least SI-SDR of its output to its input in the protected band, 60 Hz–7 kHz,
            downmixed, dB.
        taken_sone: the most music that it may take, sones (`nitido.metrics.audibility`); None: not
            measured.
        fault_hz: the band of the fault that it mends, Hz: what stands out there above the usual
            level of that band may be taken down to it, and is not music; None: everything counts.
        turn_down: the setting that is halved when the budget is exceeded; None if the stage can
            only be bypassed.
        bypass: false: where halving does not help the setting becomes 0 and the stage stays on,
            for what it does beside that is needed in any case.
    """

    si_sdr_db: float
    taken_sone: float | None = None
    fault_hz: tuple[float, float] | None = None
    turn_down: str | None = "amount"
    bypass: bool = True


class Remedy(ABC):
    """One remedy, as plan and chain know it.

    Class attributes say what it is; an instance is bound to one piece. `settings` are complete
    (defaults filled in, checked by `check`) by the time `__init__` sees them.
    """

    name: ClassVar[str]
    summary: ClassVar[str]  # one line for the help
    schema: ClassVar[Mapping[str, Setting]]  # what it can be told
    defaults: ClassVar[Settings]  # of `schema`
    budget: ClassVar[Budget]
    at_input_rate: ClassVar[bool] = False  # True: works before the resampler, at the file's rate

    def __init_subclass__(cls) -> None:
        """Gather the defaults of a stage."""
        if hasattr(cls, "schema"):
            cls.defaults = {name: setting.default for name, setting in cls.schema.items()}

    def __init__(
        self, settings: Settings, *, sample_rate: int, channels: int, samples: int
    ) -> None:
        """Bind the stage to a piece of `samples` samples in `channels` channels."""
        self.settings = settings
        self.sample_rate = sample_rate
        self.channels = channels
        self.samples = samples

    @classmethod
    @abstractmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """Decide from the findings whether the stage is needed, and with which settings. Pure.

        Args:
            diagnosis: of the input.
            settings: the preset's settings for this stage over `defaults`, complete.
        """

    @classmethod
    def settle(cls, diagnosis: Diagnosis, settings: Settings) -> Settings:
        """Return the settings as the plan records them also where the stage is off.

        Args:
            diagnosis: of the input.
            settings: complete.
        """
        del diagnosis
        return settings

    @classmethod
    def check(cls, settings: Settings) -> None:
        """Check what `schema` cannot say, of complete settings.

        Raises:
            ConfigError: settings that contradict each other.
        """
        del settings  # most stages have nothing to add

    @property
    def channels_out(self) -> int:
        """Number of channels that `apply` returns."""
        return self.channels

    @property
    @abstractmethod
    def context_samples(self) -> int:
        """How much of the signal on either side a sample of the result depends on."""

    @property
    def judged(self) -> tuple[int, int]:
        """The first sample, and the one after the last, that the budget is about."""
        return 0, self.samples

    @classmethod
    def prepare(cls, settings: Settings, resources: Resources) -> None:
        """Say before any work if what the stage needs beside the signal is not there.

        Args:
            settings: complete.
            resources: what the caller lends.

        Raises:
            NitidoError: a library or weights are missing.
        """
        del settings, resources  # most stages need nothing

    @abstractmethod
    def stream(
        self, blocks: Iterable[Wav], *, block_samples: int, resources: Resources
    ) -> Iterator[tuple[Wav, Wav]]:
        """Yield stretches of the signal: as it was `[C, n]`, as it is now `[channels_out, n]`.

        Args:
            blocks: the whole piece, in waveforms `[C, n]` of any length.
            block_samples: how much to work on at once; the result does not depend on it.
            resources: what the caller lends; it is no part of the settings.
        """


class Stage(Remedy):
    """A remedy that is a pure function of a window of the signal."""

    @abstractmethod
    def apply(self, window: Wav, *, start: int) -> Wav:
        """Return the repaired samples from `start` on, `[channels_out, n]`.

        Args:
            window: `[C, context + n + context]`; outside the piece it is zero. Not written to.
            start: position in the piece of the first sample to return.
        """

    def stream(
        self,
        blocks: Iterable[Wav],
        *,
        block_samples: int,
        resources: Resources,  # noqa: ARG002
    ) -> Iterator[tuple[Wav, Wav]]:
        """Yield the signal window by window, as it was and as it is now."""
        for window, start in windows(blocks, size=block_samples, context=self.context_samples):
            yield self.span(window), self.apply(window, start=start)

    def span(self, window: Wav) -> Wav:
        """Return the middle of the window, without the context: the input of this call."""
        return window[:, self.context_samples : window.shape[1] - self.context_samples]
