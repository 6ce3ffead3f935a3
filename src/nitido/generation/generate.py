"""From requests to pieces: batches on the device, one after the other."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nitido import optional
from nitido.audio import open_source
from nitido.dsp.chunks import OnProgress
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.generation.result import Generation
from nitido.generation.settings import GenerateOptions, Request, no_melody

if TYPE_CHECKING:
    from nitido.generation.musicgen import Checkpoint


def generate_all(
    requests: Sequence[Request], options: GenerateOptions, *, on_progress: OnProgress | None = None
) -> Iterator[tuple[int, Generation]]:
    """Yield each piece with the index of its request, as batches are finished.

    Everything is checked before the first is made.

    Args:
        requests: of the pieces.
        options: for all of them.
        on_progress: called with `(done_seconds, total_seconds)` of music; what it raises stops the
            work.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        ConfigError: no such checkpoint or device, a prompt that is too long, a melody for a
            checkpoint that takes none.
        WeightsError: the weights cannot be had.
        DeviceMemoryError: the device has too little memory.
        AudioReadError: the melody or the recording to go on from cannot be read.
    """
    check_installed()
    from nitido.generation.musicgen import load

    recording = None if options.continue_from is None else open_source(options.continue_from)
    melody = None if options.melody is None else _open_melody(options.melody)
    checkpoint = load(
        options.model,
        revision=options.revision,
        device=options.device,
        dtype=options.dtype,
    )
    lengths = _token_counts(requests, checkpoint)
    if melody is not None and not checkpoint.takes_melody:
        raise no_melody(options.model)
    kit = _Kit.prepare(checkpoint, options, melody=melody, recording=recording)
    progress = _Meter(sum(request.seconds for request in requests), on_progress)
    for batch in _batches(requests, lengths, checkpoint, options.batch_size):
        chosen = [requests[index] for index in batch]
        yield from zip(batch, kit.make(chosen, progress), strict=True)


def check_installed() -> None:
    """Say what is missing for generating, before anything is done.

    Raises:
        MissingExtraError: torch or transformers is not installed.
    """
    for module in ("torch", "transformers"):
        optional.load(module, need="Generating music", remedy="pip install 'nitido[generate]'")


@dataclass(frozen=True)
class _Kit:
    """All that the pieces of a run have in common."""

    checkpoint: Checkpoint
    options: GenerateOptions
    window: int  # frames
    context: int  # frames
    melody: Any | None  # pitch classes [N, 12]
    recording: Wav | None

    @staticmethod
    def prepare(
        checkpoint: Checkpoint, options: GenerateOptions, *, melody: Any, recording: Any
    ) -> _Kit:
        from nitido.generation import continuation, longform
        from nitido.generation.melody import melody_features

        rate, frame_rate = checkpoint.sample_rate, checkpoint.frame_rate
        features = wav = None
        if melody is not None:
            tune = continuation.read_for_model(melody(rate), sample_rate=rate, channels=1)
            features = melody_features(tune, sample_rate=rate)
        if recording is not None:
            continuation.check_recording(recording)
            wav = continuation.read_for_model(
                recording, sample_rate=rate, channels=checkpoint.channels
            )
        window = round((options.window_seconds or longform.WINDOW_SECONDS) * frame_rate)
        context = round((options.context_seconds or longform.CONTEXT_SECONDS) * frame_rate)
        return _Kit(checkpoint, options, window, context, features, wav)

    def make(self, requests: Sequence[Request], progress: _Meter) -> Iterator[Generation]:
        """Yield the pieces of one batch, all of the same length."""
        from nitido.generation import longform
        from nitido.generation.continuation import take_over

        rate, seconds = self.checkpoint.sample_rate, requests[0].seconds
        heard = self._heard_samples()
        progress.begin(len(requests) * seconds)
        codes = self._sample(requests, math.ceil(seconds * self.checkpoint.frame_rate), progress)
        for request, own in zip(requests, codes, strict=True):
            wav = longform.decode(self.checkpoint, own)[:, : heard + round(seconds * rate)]
            if self.recording is not None:
                wav = take_over(self.recording, wav, heard=heard, sample_rate=rate)
            yield self._finish(request, wav)

    def _sample(self, requests: Sequence[Request], frames: int, progress: _Meter) -> Any:
        """Return the codes of one batch, `[B, K, F]`, those of the recording first."""
        from nitido.generation import longform, sampling

        checkpoint = self.checkpoint
        tokens = checkpoint.tokenizer(
            [request.prompt for request in requests], padding=True, return_tensors="pt"
        )
        inputs = {
            name: tokens[name].to(checkpoint.device) for name in ("input_ids", "attention_mask")
        }
        draw = sampling.Draw(
            self.options,
            seeds=[request.seed for request in requests],
            codebooks=checkpoint.codebooks,
            on_frame=lambda: progress.add(len(requests) / checkpoint.frame_rate),
        )
        known = self._known_codes(len(requests))
        offset = 0 if known is None else known.shape[-1]

        def sample(heard: Any | None, new: int, start: int) -> Any:
            extra = {}
            if checkpoint.takes_melody:
                tune = self._melody_at(start - offset)
                extra["input_features"] = tune.expand(len(requests), -1, -1)
            return sampling.sample_codes(
                checkpoint, {**inputs, **extra}, draw, frames=new, known=heard
            )

        return longform.sample_windows(
            sample, frames=frames, window=self.window, context=self.context, known=known
        )

    def _melody_at(self, frame: int) -> Any:
        """Return what is heard of the melody in a window that begins at this frame of codes."""
        from nitido.generation import melody

        checkpoint = self.checkpoint
        tune = melody.no_melody()
        if self.melody is not None:
            start = round(frame * checkpoint.frame_samples / melody.HOP_LENGTH)
            length = checkpoint.model.config.chroma_length
            tune = melody.melody_from(self.melody, start, length)
        return tune.to(checkpoint.device, checkpoint.model.decoder.dtype)

    def _heard_samples(self) -> int:
        """Return how much of the recording the model hears: its end, in whole frames."""
        if self.recording is None:
            return 0
        size = self.checkpoint.frame_samples
        return int(min(self.recording.shape[1] // size, self.context)) * size

    def _known_codes(self, pieces: int) -> Any | None:
        from nitido.generation.longform import encode

        if self.recording is None:
            return None
        heard = self.recording[:, -self._heard_samples() :]
        return encode(self.checkpoint, heard).expand(pieces, -1, -1)

    def _finish(self, request: Request, wav: Wav) -> Generation:
        options, home = self.options, self.checkpoint.home
        return Generation(
            wav,
            self.checkpoint.sample_rate,
            prompt=request.prompt,
            seed=request.seed,
            model=home.name,
            revision=home.revision,
            licence=home.licence,
            settings={
                "seconds": request.seconds,
                "guidance": options.guidance,
                "temperature": options.temperature,
                "top_k": options.top_k,
                "device": self.checkpoint.device,
                "dtype": self.checkpoint.dtype,
                "melody": None if options.melody is None else _name(options.melody),
                "continue_from": options.continue_from and _name(options.continue_from),
            },
        )


class _Meter:
    """Tells the callback how many seconds of music there are, of how many."""

    def __init__(self, total_seconds: float, tell: OnProgress | None) -> None:
        self._total, self._tell = total_seconds, tell
        self._finished = self._batch = self._now = 0.0

    def begin(self, seconds: float) -> None:
        """Begin a batch of so many seconds; the last one is finished."""
        self._finished += self._batch
        self._batch, self._now = seconds, 0.0

    def add(self, seconds: float) -> None:
        """Count what was made since the last call; the steps that only complete frames add none."""
        self._now = min(self._now + seconds, self._batch)
        if self._tell is not None:
            self._tell(min(self._finished + self._now, self._total), self._total)


def _token_counts(requests: Sequence[Request], checkpoint: Checkpoint) -> list[int]:
    """Return the length of each prompt, tokens; transformers would cut or misread longer ones.

    Raises:
        ConfigError: a prompt is longer than the text encoder was trained for.
    """
    counts = []
    for request in requests:
        count = len(checkpoint.tokenizer(request.prompt, verbose=False)["input_ids"])
        if count > checkpoint.prompt_tokens_max:
            raise ConfigError(
                f"The prompt {request.prompt[:40]!r}… has {count} tokens; {checkpoint.home.name} "
                f"understands {checkpoint.prompt_tokens_max}. Shorten it: a few words do."
            )
        counts.append(count)
    return counts


def _batches(
    requests: Sequence[Request], lengths: Sequence[int], checkpoint: Checkpoint, size: int
) -> Iterator[list[int]]:
    """Yield the indices of the requests of each batch: those of one length, in order.

    A melody checkpoint hears the padding of shorter prompts, so theirs have to be equal as well.
    """
    groups: dict[tuple[float, int], list[int]] = {}
    for index, request in enumerate(requests):
        key = (request.seconds, lengths[index] if checkpoint.takes_melody else 0)
        groups.setdefault(key, []).append(index)
    for group in groups.values():
        for start in range(0, len(group), size):
            yield group[start : start + size]


def _open_melody(melody: Any) -> Callable[[int], Any]:
    """Return what opens the melody; an array is taken to be at the checkpoint's rate."""
    if _is_path(melody):
        source = open_source(melody)
        return lambda _: source
    return lambda sample_rate: open_source(melody, sample_rate)


def _name(audio: Any) -> str:
    return Path(audio).name if _is_path(audio) else "array"


def _is_path(audio: Any) -> bool:
    return isinstance(audio, str | os.PathLike)
