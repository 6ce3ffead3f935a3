"""From prompts to codes: the language model, with draws that belong to each piece alone.

transformers draws from one stream of random numbers for the whole batch, so a piece would depend on
its neighbours. Here each piece has its own generator, on the CPU: the same seed gives the same
piece alone or in a batch, as far as the arithmetic of a larger batch rounds alike.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
import transformers

from nitido.generation.musicgen import Checkpoint
from nitido.generation.settings import GenerateOptions

_OUT = -1e9  # a score that is never drawn; finite, for infinity minus infinity is no number
_ONE_AT_A_TIME = threading.Lock()


class Draw:
    """Decides the next token of every codebook; called by `generate` once for each frame."""

    def __init__(
        self,
        options: GenerateOptions,
        *,
        seeds: Sequence[int],
        codebooks: int,
        on_frame: Callable[[], None] | None = None,
    ) -> None:
        """Make a generator of random numbers for each piece.

        Args:
            options: how tokens are drawn: guidance, temperature, top_k.
            seeds: one for each piece of the batch.
            codebooks: of the checkpoint.
            on_frame: called at each frame; what it raises stops the work.
        """
        self.options = options
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._codebooks = codebooks
        self._on_frame = on_frame

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return scores whose largest is the token drawn, with the prompt's pull in them.

        Adding Gumbel noise to log-probabilities and taking the largest is the same as drawing. The
        scores come as a half with the prompt and a half without; two equal halves go back, which
        the guidance of transformers, applied next, leaves as they are.

        Args:
            input_ids: tokens so far `[B·K, n]`.
            scores: logits `[2·B·K, V]`, or `[B·K, V]` without guidance.
        """
        if self._on_frame is not None:
            self._on_frame()
        guided = len(scores) == 2 * len(input_ids)
        if guided:
            prompted, free = scores.chunk(2)
            scores = free + (prompted - free) * self.options.guidance
        likely = scores / self.options.temperature
        if 0 < self.options.top_k < likely.shape[1]:
            least = likely.topk(self.options.top_k).values[:, -1:]
            likely = likely.masked_fill(likely < least, _OUT)
        size = (self._codebooks, likely.shape[1])
        noise = torch.cat(
            [-torch.empty(size).exponential_(generator=own).log() for own in self._generators]
        )
        drawn = likely + noise.to(likely)
        return drawn.repeat(2, 1) if guided else drawn


def sample_codes(
    checkpoint: Checkpoint,
    inputs: Mapping[str, Any],
    draw: Draw,
    *,
    frames: int,
    known: Any | None = None,
) -> Any:
    """Return the codes of a batch of pieces, `[B, K, known + frames]`, those known first.

    Args:
        checkpoint: to generate with.
        inputs: tokens of the prompts and what else conditions the model, on its device.
        draw: the sampler; its generators go on from call to call.
        frames: how many to add.
        known: codes `[B, K, F]` to go on from.

    Raises:
        DeviceMemoryError: the device has too little memory.
    """
    model = checkpoint.model
    # A frame is complete when its last codebook is, which lags behind by one step for each other.
    lag = checkpoint.codebooks // checkpoint.channels - 1
    config = transformers.GenerationConfig(
        do_sample=False,  # `draw` has drawn: what is left is to take the largest
        guidance_scale=draw.options.guidance,
        max_new_tokens=frames + lag,
        pad_token_id=model.generation_config.pad_token_id,
        bos_token_id=model.generation_config.bos_token_id,
        decoder_start_token_id=model.generation_config.decoder_start_token_id,
    )
    inputs = dict(inputs)
    if known is not None:
        inputs["decoder_input_ids"] = known.reshape(-1, known.shape[-1])
    with (
        _ONE_AT_A_TIME,
        checkpoint.at_work(),
        _codes_instead_of_sound(model) as codes,
    ):
        model.generate(
            **inputs,
            generation_config=config,
            logits_processor=transformers.LogitsProcessorList([draw]),
        )
    return torch.stack(codes, dim=2).flatten(1, 2)  # those of two channels alternate


@contextmanager
def _codes_instead_of_sound(model: Any) -> Iterator[list[Any]]:
    """Yield a list that takes the codes `[B, K, F]` which `generate` would decode, per channel.

    A long piece goes on from codes, and is decoded in one go at its end: a seam in the codes is no
    seam in the sound.
    """
    found: list[Any] = []

    def keep(codes: Any, **_: Any) -> SimpleNamespace:
        found.append(codes[0])
        return SimpleNamespace(audio_values=torch.zeros(1, 1, 0))

    model.audio_encoder.decode = keep  # on the object: it hides the method of the class
    try:
        yield found
    finally:
        del model.audio_encoder.decode
