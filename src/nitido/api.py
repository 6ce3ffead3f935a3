"""The verbs: diagnose, plan, restore. Every way to use nitido goes through these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nitido.audio import open_source
from nitido.diagnosis.finding import Diagnosis
from nitido.errors import ConfigError
from nitido.restoration.chain import BLOCK_SECONDS
from nitido.restoration.plan import Plan, make_plan
from nitido.restoration.preset import adjust, load_preset
from nitido.restoration.restore import DIAGNOSED, Progress, carry_out, examine
from nitido.restoration.result import Restoration

OUTPUT_SAMPLE_RATE = 48_000


def diagnose(
    audio: Any, *, sample_rate: int | None = None, on_progress: Progress | None = None
) -> Diagnosis:
    """Return what is wrong with a piece; changes nothing.

    Args:
        audio: path of a file, or a waveform: array or tensor `[T]`, `[C, T]` or `[1, C, T]`.
        sample_rate: of a waveform, Hz; not given for a file.
        on_progress: called with `(done_seconds, total_seconds)`; what it raises stops the work.

    Raises:
        AudioReadError: the file cannot be read as audio.
        AudioShapeError: the array is no waveform.
    """
    return examine(open_source(audio, sample_rate), on_progress=on_progress)


def plan(
    diagnosis: Diagnosis,
    *,
    preset: str = "musicgen",
    stages: Sequence[str] | None = None,
    without: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    output_sample_rate: int = OUTPUT_SAMPLE_RATE,
) -> Plan:
    """Return what `restore` would do to a piece of that diagnosis, and why.

    Args:
        diagnosis: from `diagnose`.
        preset: ``musicgen``, ``gentle`` or ``master``.
        stages: only these may run; one that the preset leaves off is switched on.
        without: these do not run.
        settings: single settings, ``{"bandwidth.amount": 0.5, "loudness.target_lufs": -16}``.
        output_sample_rate: of the result, Hz.

    Raises:
        ConfigError: an unknown preset, stage or setting, or a value out of range.
    """
    chosen = adjust(
        load_preset(preset),
        stages=None if stages is None else list(stages),
        without=list(without),
        settings=settings,
    )
    return make_plan(diagnosis, chosen, sample_rate=output_sample_rate)


_plan = plan  # `restore` has an argument of the same name


def restore(
    audio: Any,
    *,
    sample_rate: int | None = None,
    preset: str = "musicgen",
    stages: Sequence[str] | None = None,
    without: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    plan: Plan | None = None,
    output_sample_rate: int = OUTPUT_SAMPLE_RATE,
    block_seconds: float = BLOCK_SECONDS,
    on_progress: Progress | None = None,
) -> Restoration:
    """Return the piece repaired, with the evidence; nothing is written.

    Args:
        audio: path of a file, or a waveform: array or tensor `[T]`, `[C, T]` or `[1, C, T]`, as
            `MusicgenForConditionalGeneration.generate` returns it for one prompt.
        sample_rate: of a waveform, Hz (32000 for MusicGen); not given for a file.
        preset: ``musicgen``, ``gentle`` or ``master``.
        stages: only these may run; one that the preset leaves off is switched on.
        without: these do not run.
        settings: single settings, ``{"bandwidth.amount": 0.5, "loudness.target_lufs": -16}``.
        plan: carry out this plan; preset, stages, without, settings and output_sample_rate are
            then not looked at.
        output_sample_rate: of the result, Hz.
        block_seconds: length of the blocks at work; the result does not depend on it.
        on_progress: called with `(done_seconds, total_seconds)`; what it raises stops the work.

    Raises:
        AudioReadError: the file cannot be read as audio.
        AudioShapeError: the array is no waveform.
        ConfigError: an unknown preset, stage or setting, or a value out of range.
    """
    if not block_seconds > 0:
        raise ConfigError(f"block_seconds is {block_seconds!r}; it is a positive number.")
    source = open_source(audio, sample_rate)
    if plan is None:  # choices are checked before the file is read
        adjust(
            load_preset(preset), stages=list(stages or []), without=list(without), settings=settings
        )
    diagnosis = examine(source, on_progress=on_progress, share=(0.0, DIAGNOSED))
    if plan is None:
        plan = _plan(
            diagnosis,
            preset=preset,
            stages=stages,
            without=without,
            settings=settings,
            output_sample_rate=output_sample_rate,
        )
    return carry_out(source, diagnosis, plan, block_seconds=block_seconds, on_progress=on_progress)
