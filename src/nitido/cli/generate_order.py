"""What the user asked of `nitido generate`, read from its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nitido.errors import ConfigError
from nitido.generation.run import Order
from nitido.generation.settings import Request, Settings, read_requests

_SETTINGS = (
    "model", "revision", "guidance", "temperature", "top_k", "device", "dtype", "melody",
    "continue_from", "batch_size",
)  # fmt: skip
_FLAGS = ("candidates", "keep_all", "stems", "report", "overwrite")


def read_order(prompts: Sequence[str], options: Mapping[str, Any]) -> Order:
    """Return the order, checked as far as can be without the checkpoint.

    Raises:
        AudioReadError: the file with prompts cannot be read.
        ConfigError: no prompt, a value out of range, or options that contradict each other.
    """
    from nitido import api

    return Order(
        requests=_requests(prompts, options),
        settings=Settings(**{name: options[name] for name in _SETTINGS}),
        root=Path(options["output"]),
        diagnose=api.diagnose,
        restore=_restore(options),
        **{name: options[name] for name in _FLAGS},
    )


def _requests(prompts: Sequence[str], options: Mapping[str, Any]) -> list[Request]:
    seed, seconds = options["seed"], options["seconds"]
    requests = [Request(prompt, seed, seconds) for prompt in prompts]
    if options["prompt_file"] is not None:
        default = Request("any", seed, seconds)
        requests += read_requests(options["prompt_file"], default)
    return requests


def _restore(options: Mapping[str, Any]) -> Callable[..., Any] | None:
    """Return `nitido.restore` with what was chosen for it, None if it was not asked for."""
    from nitido import api
    from nitido.restoration.preset import load_preset

    if not options["restore"]:
        for name in ("preset", "demucs_model", "demucs_repo"):
            if options[name] is not None:
                flag = name.replace("_", "-")
                raise ConfigError(f"--{flag} belongs to a restoration; it needs --restore.")
        return None
    preset = options["preset"] or "musicgen"
    load_preset(preset)  # one that does not exist is said before anything is generated
    model = options["demucs_model"]
    return partial(
        api.restore,
        preset=preset,
        settings=None if model is None else {"stems.model": model},
        demucs_repo=options["demucs_repo"],
        device=options["device"],
    )
