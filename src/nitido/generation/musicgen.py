"""A checkpoint, loaded: the network with its tokenizer, on its device."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from transformers.utils import logging as transformers_logging

from nitido.errors import ConfigError, WeightsError
from nitido.generation.device import at_work, find_device
from nitido.generation.hub import NO_LICENCE, Home, find_home

logger = logging.getLogger(__name__)

# The kinds of network that can be loaded, by what config.json calls them.
CLASSES = {
    "musicgen": "MusicgenForConditionalGeneration",
    "musicgen_melody": "MusicgenMelodyForConditionalGeneration",
}
DTYPES = ("auto", "float32", "float16", "bfloat16")
_PROMPT_TOKENS_MAX = 512  # of T5, where the tokenizer does not say
_SLACK = 1.1  # statistics of the training may be left out
_REPEATED = ("layers", "codebooks")
_COMPUTED = "embed_positions.weights"  # sines; some versions of transformers save them, some not
_LOADING = threading.Lock()
_kept: dict[tuple[str | None, ...], Checkpoint] = {}  # the one loaded last
_said: set[str] = set()  # whose licence was told


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A MusicGen that is ready to work.

    Attributes:
        home: where it came from.
        device: that it lies on.
        dtype: of the language model; text encoder and codec are always float32.
        model: the network.
        tokenizer: of the prompts.
    """

    home: Home
    device: str
    dtype: str
    model: Any
    tokenizer: Any

    @property
    def sample_rate(self) -> int:
        """Of what it makes, Hz."""
        return int(self.model.config.audio_encoder.sampling_rate)

    @property
    def channels(self) -> int:
        """Number of channels that it makes: 1, or 2 for a stereo checkpoint."""
        return int(self.model.config.decoder.audio_channels)

    @property
    def codebooks(self) -> int:
        """Number of codebooks, those of both channels together."""
        return int(self.model.config.decoder.num_codebooks)

    @cached_property
    def frame_samples(self) -> int:
        """Samples in a frame of codes: 640 for EnCodec at 32 kHz."""
        samples = 1
        for ratio in self.model.config.audio_encoder.upsampling_ratios:
            samples *= ratio
        return samples

    @property
    def frame_rate(self) -> float:
        """Frames of codes in a second."""
        return self.sample_rate / self.frame_samples

    @property
    def takes_melody(self) -> bool:
        """Whether it can follow a melody."""
        return bool(self.home.config["model_type"] == "musicgen_melody")

    @property
    def prompt_tokens_max(self) -> int:
        """Longest prompt that the text encoder was trained for, tokens."""
        stated = int(getattr(self.tokenizer, "model_max_length", 0) or 0)
        return stated if 0 < stated < 10**6 else _PROMPT_TOKENS_MAX

    def at_work(self) -> AbstractContextManager[None]:
        """Return the context in which its networks compute."""
        return at_work(self.device, dtype=self.dtype, model=self.home.name)


def load(
    name: str, *, revision: str | None = None, device: str = "auto", dtype: str = "auto"
) -> Checkpoint:
    """Return a checkpoint; the last one is kept, so asking again costs nothing.

    The licence of its weights is logged, as a warning, the first time.

    Args:
        name: of a repository on huggingface.co, or the path of a local folder.
        revision: of the repository; its newest commit if None.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        dtype: ``auto`` (float16 on CUDA, else float32), ``float32``, ``float16``, ``bfloat16``.

    Raises:
        ConfigError: there is no such checkpoint, device or dtype, or it is no MusicGen.
        WeightsError: the weights cannot be had, or are refused.
    """
    where = find_device(device)
    if dtype not in DTYPES:
        raise ConfigError(f"dtype is {dtype!r}; it can be {', '.join(DTYPES)}.")
    if dtype == "auto":
        dtype = "float16" if where.startswith("cuda") else "float32"
    key = (name, revision, where, dtype)
    with _LOADING:
        if key not in _kept:
            _kept.clear()  # first, for two may not fit into the memory
            _kept[key] = _load(name, revision, where, dtype)
        checkpoint = _kept[key]
    _tell_licence(checkpoint.home)
    return checkpoint


def _load(name: str, revision: str | None, device: str, dtype: str) -> Checkpoint:
    home = find_home(name, revision=revision)
    kind = home.config.get("model_type")
    if kind not in CLASSES:
        raise ConfigError(
            f"The checkpoint {name} is of the kind {kind!r}, not a MusicGen "
            f"({' or '.join(CLASSES)}), such as facebook/musicgen-small."
        )
    # Weights are drawn before they are overwritten: the caller's random numbers are none of ours.
    with _quiet(), torch.random.fork_rng(devices=[]):
        try:
            made = getattr(transformers, CLASSES[kind])
            _check_size(name, home, made)
            model, loading = made.from_pretrained(
                home.folder,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                home.folder, local_files_only=True
            )
        except (MemoryError, WeightsError):
            raise
        except Exception as error:  # a damaged file fails in any of a dozen libraries
            reason = " ".join(str(error).split())[:300]
            if "ignore_mismatched_sizes" in reason:  # of no use to anybody else
                reason = "its tensors do not have the shapes that its config.json describes."
            raise WeightsError(f"The checkpoint {name} cannot be loaded: {reason}") from error
    _check_complete(name, loading)
    with at_work(device, dtype=dtype, model=name):
        _set_dtype(model, getattr(torch, dtype))
        model = model.eval().to(device)
    return Checkpoint(home, device, dtype, model, tokenizer)


def _check_complete(name: str, loading: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of which a part is missing: transformers fills it with random numbers."""
    missing = sorted(key for key in loading["missing_keys"] if not key.endswith(_COMPUTED))
    if missing:
        raise WeightsError(
            f"The checkpoint {name} is not complete: {len(missing)} of its weights are missing, "
            f"such as {missing[0]}; get it again from where it came from."
        )


def _check_size(name: str, home: Home, made: Any) -> None:
    """Hold the network of config.json against the tensors, before it takes memory.

    Raises:
        WeightsError: the tensors are too few for it.
    """
    tensors = [tensor for path in home.folder.glob("*.safetensors") for tensor in _shapes(path)]
    most = max(_counts(home.config), default=0)
    if most <= len(tensors):
        with torch.device("meta"):
            network = made(made.config_class.from_dict(home.config))
        each = {id(tensor): tensor for tensor in network.state_dict(keep_vars=True).values()}
        described = sum(tensor.numel() for tensor in each.values())
        if described <= _SLACK * sum(map(math.prod, tensors)):
            return
    raise WeightsError(
        f"The checkpoint {name} is not complete: its config.json describes a larger network than "
        f"its {len(tensors)} tensors hold; get it again from where it came from."
    )


def _shapes(path: Path) -> list[tuple[int, ...]]:
    with safe_open(path, framework="pt") as file:
        return [tuple(file.get_slice(key).get_shape()) for key in file.keys()]  # noqa: SIM118


def _counts(config: Mapping[str, Any]) -> Iterator[int]:
    """Yield how many layers and codebooks each part of the network has."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _counts(value)
        elif isinstance(value, int) and key.startswith("num_") and key.endswith(_REPEATED):
            yield value


def _set_dtype(model: Any, dtype: Any) -> None:
    """Bring the language model to its dtype, text encoder and codec to float32.

    The codec's rounding would be heard, and T5 overflows in float16. What T5 says is rounded when
    it is handed over.
    """
    for name, part in model.named_children():
        part.to(torch.float32 if name in ("audio_encoder", "text_encoder") else dtype)

    def hand_over(_module: Any, _arguments: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state.to(dtype)
        return output

    model.text_encoder.register_forward_hook(hand_over)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from drawing progress bars and from remarks on its own defaults."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def _tell_licence(home: Home) -> None:
    """Log the licence of the weights, once for each checkpoint in the life of the process."""
    if home.name in _said:
        return
    _said.add(home.name)
    terms = "no licence is stated" if home.licence == NO_LICENCE else f"licence {home.licence}"
    commercial = "; not for commercial use" if "-NC" in home.licence else ""
    logger.warning("Weights of %s: %s%s.", home.name, terms, commercial)
