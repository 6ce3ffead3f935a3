"""The verbs: diagnose, plan, restore. Every way to use nitido goes through these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack, overload

from nitido.audio import MAX_SECONDS, Source, open_source
from nitido.audio.limits import Damaged, check_damaged, check_max_seconds
from nitido.diagnosis.analysis import analyse
from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.chunks import OnProgress
from nitido.dsp.wav import Wav, check_sample_rate
from nitido.errors import ConfigError, shown
from nitido.generation.generate import generate_all
from nitido.generation.result import Generation
from nitido.generation.settings import Options, Request, Settings
from nitido.restoration.chain import BLOCK_SECONDS
from nitido.restoration.plan import Plan, make_plan
from nitido.restoration.preset import Preset, adjust, is_number, load_preset
from nitido.restoration.registry import STAGES
from nitido.restoration.resources import Resources
from nitido.restoration.restore import DIAGNOSED, carry_out
from nitido.restoration.result import Restoration
from nitido.restoration.stem_store import StemStore
from nitido.separation.separator import open_separator
from nitido.separation.stems import check_channels, separate_whole

OUTPUT_SAMPLE_RATE = 48_000


def diagnose(
    audio: Any,
    *,
    sample_rate: int | None = None,
    max_seconds: float = MAX_SECONDS,
    damaged: Damaged = "refuse",
    on_progress: OnProgress | None = None,
) -> Diagnosis:
    """Return what is wrong with a piece; changes nothing.

    Args:
        audio: path of a file; open binary file; waveform, an array or tensor `[T]`, `[C, T]` or
            `[1, C, T]`; pair of waveform and rate, as soundfile or Gradio gives it; `Generation`;
            or `Restoration`.
        sample_rate: of a waveform, Hz; all else knows its own.
        max_seconds: a longer file is refused: a small one can hold days of silence.
        damaged: ``take`` takes what is there of a file that is cut short or damaged.
        on_progress: called with `(done_seconds, total_seconds)`; what it raises stops the work.

    Raises:
        AudioReadError: the file cannot be read as audio, or is too long.
        AudioShapeError: the array is no waveform.
    """
    check_max_seconds(max_seconds)
    check_damaged(damaged)
    source = open_source(audio, sample_rate, max_seconds=max_seconds, damaged=damaged)
    return analyse(source, on_progress=on_progress)


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
        preset: ``musicgen``, ``gentle``, ``master``, ``stems`` or ``demucs``.
        stages: only these may run; one that the preset leaves off is switched on.
        without: these do not run.
        settings: single settings, ``{"bandwidth.amount": 0.5, "loudness.target_lufs": -16}``.
        output_sample_rate: of the result, Hz.

    Raises:
        ConfigError: an unknown preset, stage or setting, or a value out of range.
    """
    _check_kind("diagnosis", diagnosis, Diagnosis, "a Diagnosis, from nitido.diagnose")
    chosen = _chosen(preset, stages, without, settings)
    return make_plan(diagnosis, chosen, sample_rate=check_sample_rate(output_sample_rate))


def _chosen(
    preset: str,
    stages: Sequence[str] | None,
    without: Sequence[str],
    settings: Mapping[str, Any] | None,
) -> Preset:
    """Return the preset with the user's own choice on top; what is of the wrong kind is refused."""
    _check_kind("preset", preset, str, "a name, such as 'gentle'")
    for name, value in (("stages", stages), ("without", without)):
        if value is not None:
            _check_kind(name, value, list | tuple | set | frozenset, "a list, such as ['width']")
            for stage in value:
                _check_kind(f"one of {name}", stage, str, "a name, such as 'width'")
    if settings is not None:
        _check_kind("settings", settings, Mapping, "a table, such as {'bandwidth.amount': 0.5}")
        for key in settings:
            if not isinstance(key, str) or "." not in key:
                raise ConfigError(
                    f"settings has {shown(key)}; a setting is called 'stage.setting', such as "
                    "'bandwidth.amount'."
                )
    return adjust(
        load_preset(preset),
        stages=None if stages is None else list(stages),
        without=list(without or ()),
        settings=settings,
    )


def _check_kind(name: str, value: Any, kind: Any, what: str) -> None:
    """Check the kind of an argument.

    Raises:
        ConfigError: it is another.
    """
    if not isinstance(value, kind):
        raise ConfigError(f"{name} is {shown(value)}; it is {what}.")


def _check_computing(demucs_repo: Any, device: Any) -> None:
    _check_kind("device", device, str, "a name, such as 'cpu'")
    _check_kind("demucs_repo", demucs_repo, str | Path | None, "the path of a folder")


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
    diagnosis: Diagnosis | None = None,
    name: str | None = None,
    output_sample_rate: int = OUTPUT_SAMPLE_RATE,
    stems: bool = False,
    demucs_repo: str | Path | None = None,
    device: str = "auto",
    max_seconds: float = MAX_SECONDS,
    damaged: Damaged = "refuse",
    block_seconds: float = BLOCK_SECONDS,
    on_progress: OnProgress | None = None,
) -> Restoration:
    """Return the piece repaired, with the evidence; nothing is written.

    Args:
        audio: whatever is a piece of audio, see `diagnose`; also what
            `MusicgenForConditionalGeneration.generate` returns for one prompt. Tags travel along.
        sample_rate: of a waveform, Hz (32000 for MusicGen); all else knows its own.
        preset: ``musicgen``, ``gentle``, ``master``, ``stems`` or ``demucs``.
        stages: only these may run; one that the preset leaves off is switched on.
        without: these do not run.
        settings: single settings, ``{"bandwidth.amount": 0.5, "loudness.target_lufs": -16}``.
        plan: carry out this plan; preset, stages, without, settings and output_sample_rate are
            then not looked at.
        diagnosis: of this piece, from `diagnose`; saves the pass that makes it.
        name: what the piece is called in sidecar and report; None: as its file.
        output_sample_rate: of the result, Hz.
        stems: also keep the stems, for `Restoration.stems` and `write(stems=True)`; separates the
            piece, which by itself does not change it.
        demucs_repo: folder of Demucs models in the hub's layout; None: official ones, fetched once.
        device: where networks compute: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        max_seconds: a longer file is refused: a small one can hold days of silence.
        damaged: ``take`` takes what is there of a file that is cut short or damaged.
        block_seconds: length of the blocks at work; the result does not depend on it.
        on_progress: called with `(done_seconds, total_seconds)`; what it raises stops the work.

    Raises:
        AudioReadError: the file cannot be read as audio.
        AudioShapeError: the array is no waveform.
        ConfigError: an unknown preset, stage or setting, or a value out of range.
        MissingExtraError: the plan needs a library that is not installed.
        WeightsError: the plan needs a network whose weights cannot be had.
    """
    if not is_number(block_seconds) or block_seconds <= 0:
        raise ConfigError(f"block_seconds is {shown(block_seconds)}; it is a positive number.")
    _check_computing(demucs_repo, device)
    _check_kind("plan", plan, Plan | None, "a Plan, from nitido.plan or Plan.from_json")
    _check_kind("name", name, str | None, "a text")
    _check_kind("diagnosis", diagnosis, Diagnosis | None, "a Diagnosis, from nitido.diagnose")
    if plan is None:
        check_sample_rate(output_sample_rate)
        _chosen(preset, stages, without, settings)
    check_max_seconds(max_seconds)
    check_damaged(damaged)
    source = open_source(audio, sample_rate, max_seconds=max_seconds, damaged=damaged)
    source.name = name or source.name
    if diagnosis is not None:
        _check_same_piece(diagnosis, source)
    resources = Resources(
        None if demucs_repo is None else Path(demucs_repo), device, StemStore() if stems else None
    )
    if stems:
        check_channels(source.channels)
        settings = {"stems.mode": "on", **(settings or {})}
        plan = plan and plan.with_step(replace(plan["stems"], on=True))
    _prepare(plan, preset, stages, without, settings, resources)  # before the file is read
    if diagnosis is None:
        diagnosis = analyse(source, on_progress=on_progress, share=(0.0, DIAGNOSED))
    if plan is None:
        plan = _plan(
            diagnosis,
            preset=preset,
            stages=stages,
            without=without,
            settings=settings,
            output_sample_rate=output_sample_rate,
        )
    return carry_out(
        source,
        diagnosis,
        plan,
        block_seconds=block_seconds,
        resources=resources,
        on_progress=on_progress,
    )


def _check_same_piece(diagnosis: Diagnosis, source: Source) -> None:
    of = (diagnosis.sample_rate, diagnosis.channels, diagnosis.samples)
    if of != (source.sample_rate, source.channels, source.samples):
        raise ConfigError(f"The diagnosis is not of {source.name}: rate, channels, length differ.")


def _prepare(
    plan: Plan | None,
    preset: str,
    stages: Sequence[str] | None,
    without: Sequence[str],
    settings: Mapping[str, Any] | None,
    resources: Resources,
) -> None:
    """Check the choices, and that what the stages need beside the sound is there."""
    if plan is not None:
        may_run = {step.stage: step.settings for step in plan.steps if step.on}
    else:
        chosen = _chosen(preset, stages, without, settings)
        may_run = {n: stage.settings for n, stage in chosen.stages.items() if stage.mode != "off"}
    for name, stage_settings in may_run.items():
        STAGES[name].prepare(stage_settings, resources)


def separate(
    audio: Any,
    *,
    sample_rate: int | None = None,
    model: str = "htdemucs",
    demucs_repo: str | Path | None = None,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> dict[str, Wav]:
    """Return the stems of a piece by name, each `[C, T]` at its own rate; they add up to the piece.

    The last is ``residual``: what the model finds in no stem. The same piece gives the same stems:
    Demucs's shifts by chance are not used.

    Args:
        audio: whatever is a piece of audio, see `diagnose`.
        sample_rate: of a waveform, Hz; all else knows its own.
        model: an official Demucs model, or one in `demucs_repo`.
        demucs_repo: folder of Demucs models in the hub's layout; None: official ones, fetched once.
        device: where to compute: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        on_progress: called with `(done_seconds, total_seconds)`; what it raises stops the work.

    Raises:
        AudioReadError: the file cannot be read as audio.
        AudioShapeError: the array is no waveform, or has more than two channels.
        ConfigError: no such model or device.
        MissingExtraError: Demucs is not installed.
        WeightsError: the weights cannot be had or must not be used.
    """
    _check_computing(demucs_repo, device)
    _check_kind("model", model, str, "the name of a Demucs model, such as 'htdemucs'")
    source = open_source(audio, sample_rate)
    folder = None if demucs_repo is None else Path(demucs_repo)
    return separate_whole(source, open_separator(model, folder, device), on_progress=on_progress)


@overload
def generate(prompt: str, **options: Unpack[Options]) -> Generation: ...
@overload
def generate(
    prompt: list[str] | tuple[str, ...], **options: Unpack[Options]
) -> list[Generation]: ...
def generate(
    prompt: str | list[str] | tuple[str, ...],
    *,
    model: str = "facebook/musicgen-small",
    revision: str | None = None,
    seconds: float = 10.0,
    seed: int = 0,
    guidance: float = 3.0,
    temperature: float = 1.0,
    top_k: int = 250,
    device: str = "auto",
    dtype: str = "auto",
    melody: Any = None,
    continue_from: str | Path | None = None,
    batch_size: int = 8,
    on_progress: OnProgress | None = None,
) -> Generation | list[Generation]:
    """Return music made from words by MusicGen: a piece for a prompt, a list for several.

    Each piece depends on its prompt, seed and settings, not on its neighbours. The same seed on the
    same device gives the same bytes; elsewhere, or in a batch of another size, arithmetic rounds
    otherwise, and now and then another note follows from that.

    Args:
        prompt: what it is to sound like, in words; or several prompts.
        model: checkpoint on huggingface.co, fetched once, or a local folder.
        revision: of the checkpoint; its newest commit if None.
        seconds: how much to make, s; beyond 30 s the piece goes on in windows.
        seed: of the random numbers, the same for each prompt.
        guidance: how hard the prompt pulls; 1 leaves the model to itself.
        temperature: above 1 bolder, below 1 safer.
        top_k: draw among so many likeliest tokens; 0 for all.
        device: ``auto``, ``cuda``, ``cuda:N``, ``mps`` or ``cpu``.
        dtype: ``auto`` (float16 on CUDA, else float32), ``float32``, ``float16`` or ``bfloat16``.
        melody: path of a file to follow, or a waveform at 32 kHz; only for melody checkpoints.
        continue_from: path of a recording that the piece goes on from, and begins with.
        batch_size: most pieces at once on the device.
        on_progress: called with `(done_seconds, total_seconds)`; what it raises stops the work.

    Raises:
        AudioReadError: the melody or the recording cannot be read.
        ConfigError: an empty or too long prompt, no such checkpoint or device, a value out of
            range, or a melody for a checkpoint that takes none.
        DeviceMemoryError: the device has too little memory; the message says what takes less.
        MissingExtraError: torch or transformers is not installed.
        WeightsError: the weights cannot be had, or are refused.
    """
    _check_kind("prompt", prompt, str | list | tuple, "a text, or a list of texts")
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    settings = Settings(
        model=model,
        revision=revision,
        guidance=guidance,
        temperature=temperature,
        top_k=top_k,
        device=device,
        dtype=dtype,
        melody=melody,
        continue_from=continue_from,
        batch_size=batch_size,
    )
    requests = [Request(words, seed, seconds) for words in prompts]
    made = dict(generate_all(requests, settings, on_progress=on_progress))
    pieces = [made[index] for index in range(len(prompts))]
    return pieces[0] if isinstance(prompt, str) else pieces
