"""Stems: take the piece apart with Demucs, treat each stem by itself, add them up again.

What the model finds in no stem is a part of its own, the residual, so the parts always add up to
what went in. Drums can be sharpened without sharpening a voice, and the band widened around a bass
that stays in the middle. Dropping the residual was the founding pipeline's idea of enhancement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np

from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.chunks import windows
from nitido.dsp.wav import Wav
from nitido.restoration.resources import Resources
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Remedy, Settings, Step
from nitido.restoration.stem_processing import StemProcessing
from nitido.separation.demucs_model import RESIDUAL
from nitido.separation.separator import Separator, open_separator
from nitido.separation.stems import CHANNELS_MAX, check_channels, separate_stream

SEGMENT_SECONDS = 8.0  # of Demucs's models, most of them: what one look takes in


class Stems(Remedy):
    """Separates with Demucs and treats the stems."""

    name: ClassVar[str] = "stems"
    summary: ClassVar[str] = "takes the piece apart with Demucs and treats the stems"
    schema: ClassVar[Mapping[str, Setting]] = {
        "model": Setting(
            "htdemucs", "a Demucs model, official or in the folder that --demucs-repo names"
        ),
        "residual": Setting(
            "keep", "what becomes of what the model finds in no stem", choices=("keep", "drop")
        ),
        "widen": Setting(
            0.0, "how wide a mono piece becomes but for drums and bass, as width.amount", (0.0, 2.0)
        ),
        "attack_db": Setting(
            0.0, "lift of the attack of the drums, as transients.gain_db", (0.0, 12.0), "dB"
        ),
        "centre_bass": Setting(False, "the bass stem of a stereo piece comes to the middle"),
        "mono_below_hz": Setting(
            0.0, "below it left and right become the same; 0 for nowhere", (0.0, 500.0), "Hz"
        ),
        "amount": Setting(1.0, "how much of all that", (0.0, 1.0)),
        "rms_db": Setting(
            None,
            "level of the piece, re full scale",
            (-200.0, 20.0),
            "dB",
            nullable=True,
            measured=True,
        ),
    }
    budget: ClassVar[Budget] = Budget(si_sdr_db=15.0)

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """On where a stem is to be treated; what mono or stereo has no use for is left out."""
        resolved = dict(settings)
        if resolved["rms_db"] is None:
            level_db = diagnosis["loudness"].details["rms_dbfs"]
            resolved["rms_db"] = None if level_db is None else round(level_db, 2)
        if diagnosis.channels > CHANNELS_MAX:
            reason = f"{diagnosis.channels} channels cannot be separated"
            return Step(cls.name, False, reason, resolved)
        if resolved["rms_db"] is None:
            return Step(cls.name, False, "silence has no stems", resolved)
        if not diagnosis["width"].details["mono"]:
            resolved["widen"] = 0.0
        elif not resolved["widen"]:
            resolved |= {"centre_bass": False, "mono_below_hz": 0.0}
        reasons = list(_intentions(resolved)) if resolved["amount"] else []
        reason = f"separated by {resolved['model']}: {', '.join(reasons)}"
        return Step(cls.name, bool(reasons), reason if reasons else "no stem is treated", resolved)

    @classmethod
    def prepare(cls, settings: Settings, resources: Resources) -> None:
        """Load the model; it is kept for all the pieces of a run."""
        _open(settings, resources)

    @property
    def channels_out(self) -> int:
        """Two where mono is widened, otherwise as many as there are."""
        return 2 if self.settings["widen"] else self.channels

    @property
    def context_samples(self) -> int:
        """One of Demucs's segments, and what the treatment of the stems looks at."""
        return round(SEGMENT_SECONDS * self.sample_rate) + self._processing(()).context_samples

    def stream(
        self, blocks: Iterable[Wav], *, block_samples: int, resources: Resources
    ) -> Iterator[tuple[Wav, Wav]]:
        """Yield the piece as it was, `[C, n]`, and with its stems treated.

        Raises:
            AudioShapeError: more than two channels.
        """
        check_channels(self.channels)
        separator = _open(self.settings, resources)
        names = (*separator.stems, RESIDUAL)
        care = self._processing(names)
        if resources.stems is not None:
            resources.stems.open(names, channels=self.channels_out, sample_rate=self.sample_rate)
        context = care.context_samples
        separated = self._separated(separator, blocks)
        for window, start in windows(separated, size=block_samples, context=context):
            together = window.reshape(1 + len(separator.stems), self.channels, -1)
            mix, stems = together[0], together[1:]
            parts = np.concatenate([stems, (mix - stems.sum(axis=0))[None]])
            untouched, treated = care.treat(parts, start=start)
            if resources.stems is not None:
                resources.stems.add(treated)
            before = mix[:, context : mix.shape[1] - context]
            # Not the sum of the parts: where nothing is treated, not a bit changes.
            yield before, before + (treated - untouched).sum(axis=0)

    def _processing(self, names: Sequence[str]) -> StemProcessing:
        return StemProcessing(
            self.settings,
            names=names,
            sample_rate=self.sample_rate,
            channels=self.channels,
            channels_out=self.channels_out,
            samples=self.samples,
        )

    def _separated(self, separator: Separator, blocks: Iterable[Wav]) -> Iterator[Wav]:
        """Yield the piece and below it its stems, `[(1 + S) · C, n]`."""
        stream = separate_stream(
            separator,
            blocks,
            sample_rate=self.sample_rate,
            channels=self.channels,
            samples=self.samples,
            level_db=self.settings["rms_db"] or 0.0,
        )
        for mix, stems in stream:
            yield np.concatenate([mix, stems.reshape(-1, mix.shape[1])])


def _open(settings: Settings, resources: Resources) -> Separator:
    return open_separator(settings["model"], resources.demucs_repo, resources.device)


def _intentions(settings: Settings) -> Iterator[str]:
    """Yield in words what is done to the stems."""
    if settings["widen"]:
        yield "all but drums and bass widened"
    if settings["attack_db"]:
        yield f"attack of the drums lifted by up to {settings['attack_db']:g} dB"
    if settings["centre_bass"]:
        yield "bass centred"
    if settings["mono_below_hz"]:
        yield f"mono below {settings['mono_below_hz']:g} Hz"
    if settings["residual"] == "drop":
        yield "what is in no stem dropped"
