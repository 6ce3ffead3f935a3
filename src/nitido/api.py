"""The verbs: diagnose, plan, restore. Every way to use nitido goes through these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Unpack, overload

from nitido.audio import MAX_SECONDS, Source, open_source
from nitido.audio.limits import Damaged, check_damaged, check_max_seconds
from nitido.diagnosis.analysis import analyse
from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.chunks import OnProgress
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError, check_kind, shown
from nitido.generation.generate import generate_all
from nitido.generation.result import Generation
from nitido.generation.settings import GenerateArguments, GenerateOptions, Request
from nitido.restoration.chain import BLOCK_SECONDS
from nitido.restoration.plan import Plan
from nitido.restoration.preset import suggest
from nitido.restoration.resources import Resources
from nitido.restoration.restore import DIAGNOSED, Restoring, carry_out_album
from nitido.restoration.restore_options import RestoreOptions
from nitido.restoration.setting import is_number
from nitido.restoration.stages.match import reference_settings
from nitido.restoration.stem_store import StemStore
from nitido.restored import Restoration
from nitido.separation.separator import open_separator
from nitido.separation.stems import check_channels, separate_whole


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
    preset: str = RestoreOptions.preset,
    stages: Sequence[str] | None = RestoreOptions.stages,
    without: Sequence[str] = RestoreOptions.without,
    settings: Mapping[str, Any] | None = RestoreOptions.settings,
    output_sample_rate: int = RestoreOptions.output_sample_rate,
) -> Plan:
    """Return what `restore` would do to a piece of that diagnosis, and why.

    Args:
        diagnosis: from `diagnose`.
        preset: ``auto`` (``musicgen`` or ``song``, by what the file shows), one of these two,
            ``gentle``, ``master``, ``stems`` or ``demucs``.
        stages: only these may run; one that the preset leaves off is switched on.
        without: these do not run.
        settings: single settings, ``{"bandwidth.amount": 0.5, "loudness.target_lufs": -16}``.
        output_sample_rate: of the result, Hz.

    Raises:
        ConfigError: an unknown preset, stage or setting, or a value out of range.
    """
    check_kind("diagnosis", diagnosis, Diagnosis, "a Diagnosis, from nitido.diagnose")
    options = RestoreOptions(preset, stages, without, settings, output_sample_rate)
    return options.plan_for(diagnosis)


def restore(
    audio: Any,
    *,
    sample_rate: int | None = None,
    preset: str = RestoreOptions.preset,
    stages: Sequence[str] | None = RestoreOptions.stages,
    without: Sequence[str] = RestoreOptions.without,
    settings: Mapping[str, Any] | None = RestoreOptions.settings,
    reference: Any = None,
    plan: Plan | None = None,
    diagnosis: Diagnosis | None = None,
    name: str | None = None,
    output_sample_rate: int = RestoreOptions.output_sample_rate,
    stems: bool = RestoreOptions.stems,
    demucs_repo: str | Path | None = RestoreOptions.demucs_repo,
    device: str = RestoreOptions.device,
    max_seconds: float = MAX_SECONDS,
    damaged: Damaged = "refuse",
    block_seconds: float = BLOCK_SECONDS,
    on_progress: OnProgress | None = None,
) -> Restoration:
    """Return the piece repaired, with the evidence; nothing is written.

    Args:
        audio: whatever is a piece of audio, see `diagnose`; also what
            `MusicgenForConditionalGeneration.generate` returns for one prompt. Tags travel along;
            an array has none, unless it comes as `nitido.audio.ArraySource` with tags.
        sample_rate: of a waveform, Hz (32000 for MusicGen); all else knows its own.
        preset: ``auto`` (``musicgen`` or ``song``, by what the file shows), one of these two,
            ``gentle``, ``master``, ``stems`` or ``demucs``.
        stages: only these may run; one that the preset leaves off is switched on.
        without: these do not run.
        settings: single settings, ``{"bandwidth.amount": 0.5, "loudness.target_lufs": -16}``.
        reference: piece whose tone the stage ``match`` brings this one nearer to, as `audio`; or
            its diagnosis. The plan has its levels, and needs it no more.
        plan: carry out this plan; it answers preset, stages, without, settings, reference and
            output_sample_rate, which are refused beside it.
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
        ConfigError: an unknown preset, stage or setting, a value out of range, or a choice beside
            a plan.
        MissingExtraError: the plan needs a library that is not installed.
        WeightsError: the plan needs a network whose weights cannot be had.
    """
    spared: tuple[Path, ...] = ()
    if reference is not None:
        if plan is not None:
            raise ConfigError(
                "A plan says everything already: `plan=` and `reference=` exclude each other."
            )
        if not isinstance(reference, Diagnosis):
            reference = _open_reference(reference, max_seconds=max_seconds, damaged=damaged)
            spared = reference.files
        settings = {**towards(reference), **(settings or {})}
    options = RestoreOptions(
        preset,
        stages,
        without,
        settings,
        output_sample_rate,
        plan=plan,
        stems=stems,
        demucs_repo=demucs_repo,
        device=device,
        max_seconds=max_seconds,
        damaged=damaged,
    )
    restoration = restore_with(
        options,
        audio,
        sample_rate=sample_rate,
        diagnosis=diagnosis,
        name=name,
        block_seconds=block_seconds,
        on_progress=on_progress,
    )
    restoration.spared = spared
    return restoration


def towards(
    reference: Any, *, max_seconds: float = MAX_SECONDS, damaged: Damaged = "refuse"
) -> dict[str, Any]:
    """Return the settings that bring the tone of any piece nearer to that of `reference`.

    Args:
        reference: whatever is a piece of audio, see `diagnose`, or the diagnosis of one.
        max_seconds: a longer file is refused.
        damaged: ``take`` takes what is there of a file that is cut short or damaged.

    Raises:
        AudioReadError: the file cannot be read as audio.
        ConfigError: it is silent or shorter than a second, or a stream.
    """
    if not isinstance(reference, Diagnosis):
        reference = analyse(_open_reference(reference, max_seconds=max_seconds, damaged=damaged))
    return reference_settings(reference)


def _open_reference(reference: Any, **limits: Any) -> Source:
    if isinstance(reference, str) and reference in ("", "-"):
        raise ConfigError(
            f"The reference is {shown(reference)}; give the path of a file with music in it."
        )
    return open_source(reference, **limits)


def restore_with(
    options: RestoreOptions,
    audio: Any,
    *,
    sample_rate: int | None = None,
    diagnosis: Diagnosis | None = None,
    name: str | None = None,
    block_seconds: float = BLOCK_SECONDS,
    on_progress: OnProgress | None = None,
) -> Restoration:
    """Return what `restore` does, with its choices as one object."""
    return _begin(
        options,
        audio,
        sample_rate=sample_rate,
        diagnosis=diagnosis,
        name=name,
        block_seconds=block_seconds,
        on_progress=on_progress,
    ).finish()


def restore_album(
    pieces: Sequence[Any],
    *,
    sample_rate: int | None = None,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> list[Restoration]:
    """Return the pieces of an album repaired, in their order, all at one gain.

    The target is the loudness of the album as a whole, so soft pieces stay soft; each piece is held
    under the ceiling. The edges between the pieces are left alone: nothing is faded.

    Args:
        pieces: each whatever is a piece of audio, see `diagnose`.
        sample_rate: of waveforms, Hz; all else knows its own.
        on_progress: called with `(done_seconds, total_seconds)` of the album; what it raises stops
            the work.
        options: the choices of `restore`, for all pieces: preset, stages, without, settings, plan,
            output_sample_rate, stems, demucs_repo, device, max_seconds.

    Raises:
        ConfigError: no pieces, or an option that `restore` refuses.
        NitidoError: as `restore`; one piece that fails ends the album.
    """
    check_kind("pieces", pieces, list | tuple, "a list of pieces")
    known = {field.name for field in fields(RestoreOptions)} - {"album"}
    if unknown := next((name for name in options if name not in known), None):
        raise ConfigError(f"restore_album has no option {shown(unknown)}{suggest(unknown, known)}")
    chosen = RestoreOptions(**options, album=True)
    return list(
        restore_album_with(chosen, pieces, sample_rate=sample_rate, on_progress=on_progress)
    )


def restore_album_with(
    options: RestoreOptions | Sequence[RestoreOptions],
    pieces: Sequence[Any],
    *,
    sample_rate: int | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[Restoration]:
    """Yield what `restore_album` does, with its choices as one object, or one for each piece."""
    each = [options] * len(pieces) if isinstance(options, RestoreOptions) else options
    sources = [
        open_source(piece, sample_rate, max_seconds=own.max_seconds or MAX_SECONDS)
        for piece, own in zip(pieces, each, strict=True)
    ]
    if not sources:
        raise ConfigError("An album needs pieces; none was given.")
    seconds = [source.samples / source.sample_rate for source in sources]
    done = [0.0] * len(sources)

    def tell(number: int) -> OnProgress | None:
        def told(done_seconds: float, total_seconds: float) -> None:
            if on_progress is not None:
                share = done_seconds / total_seconds if total_seconds else 1.0
                done[number] = max(done[number], share * seconds[number])
                on_progress(sum(done), sum(seconds))

        return told

    works = [
        _begin(own, source, on_progress=tell(n))
        for n, (own, source) in enumerate(zip(each, sources, strict=True))
    ]
    found = [work.diagnosis for work in works]
    if isinstance(options, RestoreOptions):
        plans = options.plans_for(found)
    else:
        plans = [own.plans_for(found)[n] for n, own in enumerate(options)]
    for work, plan in zip(works, plans, strict=True):
        work.plan = plan
    yield from carry_out_album(works)


def _begin(
    options: RestoreOptions,
    audio: Any,
    *,
    sample_rate: int | None = None,
    diagnosis: Diagnosis | None = None,
    name: str | None = None,
    block_seconds: float = BLOCK_SECONDS,
    on_progress: OnProgress | None = None,
) -> Restoring[Restoration]:
    """Return the work on a piece: opened, checked, diagnosed, planned, nothing done yet."""
    if not is_number(block_seconds) or block_seconds <= 0:
        raise ConfigError(f"block_seconds is {shown(block_seconds)}; it is a positive number.")
    check_kind("name", name, str | None, "a text")
    check_kind("diagnosis", diagnosis, Diagnosis | None, "a Diagnosis, from nitido.diagnose")
    source = open_source(audio, sample_rate, **options.reading)
    source.name = name or source.name
    if diagnosis is not None:
        _check_same_piece(diagnosis, source)
    if options.stems:
        check_channels(source.channels)
    repo = options.demucs_repo
    resources = Resources(
        None if repo is None else Path(repo), options.device, StemStore() if options.stems else None
    )
    options.prepare(resources)  # before the file is read
    if diagnosis is None:
        diagnosis = analyse(
            source, as_loop=options.loop, on_progress=on_progress, share=(0.0, DIAGNOSED)
        )
    plan = options.plan_for(diagnosis)
    return Restoring(
        source, diagnosis, plan, resources, block_seconds, on_progress, result=Restoration
    )


def _check_same_piece(diagnosis: Diagnosis, source: Source) -> None:
    of = (diagnosis.sample_rate, diagnosis.channels, diagnosis.samples)
    if of != (source.sample_rate, source.channels, source.samples):
        raise ConfigError(f"The diagnosis is not of {source.name}: rate, channels, length differ.")


def separate(
    audio: Any,
    *,
    sample_rate: int | None = None,
    model: str = "htdemucs",
    demucs_repo: str | Path | None = None,
    device: str = RestoreOptions.device,
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
    check_kind("device", device, str, "a name, such as 'cpu'")
    check_kind("demucs_repo", demucs_repo, str | Path | None, "the path of a folder")
    check_kind("model", model, str, "the name of a Demucs model, such as 'htdemucs'")
    source = open_source(audio, sample_rate)
    folder = None if demucs_repo is None else Path(demucs_repo)
    return separate_whole(source, open_separator(model, folder, device), on_progress=on_progress)


@overload
def generate(prompt: str, **options: Unpack[GenerateArguments]) -> Generation: ...
@overload
def generate(
    prompt: list[str] | tuple[str, ...], **options: Unpack[GenerateArguments]
) -> list[Generation]: ...
def generate(
    prompt: str | list[str] | tuple[str, ...],
    *,
    model: str = GenerateOptions.model,
    revision: str | None = GenerateOptions.revision,
    seconds: float = Request.seconds,
    seed: int = Request.seed,
    guidance: float = GenerateOptions.guidance,
    temperature: float = GenerateOptions.temperature,
    top_k: int = GenerateOptions.top_k,
    device: str = GenerateOptions.device,
    dtype: str = GenerateOptions.dtype,
    melody: Any = GenerateOptions.melody,
    continue_from: str | Path | None = GenerateOptions.continue_from,
    batch_size: int = GenerateOptions.batch_size,
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
    check_kind("prompt", prompt, str | list | tuple, "a text, or a list of texts")
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    options = GenerateOptions(
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
    made = dict(generate_all(requests, options, on_progress=on_progress))
    pieces = [made[index] for index in range(len(prompts))]
    return pieces[0] if isinstance(prompt, str) else pieces
