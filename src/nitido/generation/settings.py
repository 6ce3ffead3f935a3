"""What is asked of the generator: a `Request` for each piece, `GenerateOptions` for all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from nitido.errors import ConfigError, shown

OFFICIAL = tuple(
    f"facebook/musicgen-{name}"
    for name in (
        "small", "medium", "large", "melody", "melody-large", "stereo-small", "stereo-medium",
        "stereo-large", "stereo-melody", "stereo-melody-large",
    )
)  # fmt: skip
SECONDS_MIN, SECONDS_MAX = 0.5, 3600.0
SEED_MAX = 2**63 - 1
_RANGES: Mapping[str, tuple[float, float]] = {
    "guidance": (1.0, 30.0),
    "temperature": (0.01, 10.0),
    "top_k": (0, 10**6),
    "batch_size": (1, 1024),
}
_WHOLE = ("top_k", "batch_size")
_FIELDS = ("prompt", "seed", "seconds")


@dataclass(frozen=True)
class Request:
    """One piece to make.

    Attributes:
        prompt: what it is to sound like.
        seed: of its random numbers.
        seconds: how much is to be made, s.
    """

    prompt: str
    seed: int = 0
    seconds: float = 10.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: an empty prompt, or a value of the wrong type or out of range.
        """
        if not isinstance(self.prompt, str) or not self.prompt.strip():
            raise ConfigError(
                f"The prompt is {shown(self.prompt)}; it says in words what the music is to sound "
                "like."
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise ConfigError(f"seed is {shown(self.seed)}; it is a whole number.")
        if not 0 <= self.seed <= SEED_MAX:
            raise ConfigError(f"seed is {self.seed}; it lies between 0 and {SEED_MAX}.")
        _check_number("seconds", self.seconds, SECONDS_MIN, SECONDS_MAX)


@dataclass(frozen=True)
class GenerateOptions:
    """How pieces are made; the default of each choice is stated here and nowhere else.

    Attributes:
        model: checkpoint on huggingface.co, or a local folder.
        revision: of the checkpoint; its newest commit if None.
        guidance: how hard the prompt pulls; 1 leaves the model to itself.
        temperature: above 1 bolder, below 1 safer.
        top_k: draw among so many likeliest tokens; 0 for all.
        device: ``auto``, ``cuda``, ``cuda:N``, ``mps`` or ``cpu``.
        dtype: ``auto``, ``float32``, ``float16`` or ``bfloat16``.
        melody: path of a file or waveform to follow; only for melody checkpoints.
        continue_from: path of a recording to go on from.
        batch_size: most pieces at once on the device.
        window_seconds: longest stretch that the model makes at once, s; 30 if None.
        context_seconds: what the next stretch goes on from, s; 10 if None.
    """

    model: str = "facebook/musicgen-small"
    revision: str | None = None
    guidance: float = 3.0
    temperature: float = 1.0
    top_k: int = 250
    device: str = "auto"
    dtype: str = "auto"
    melody: Any = None
    continue_from: str | Path | None = None
    batch_size: int = 8
    window_seconds: float | None = None
    context_seconds: float | None = None

    def __post_init__(self) -> None:
        """Check what can be checked before anything is loaded.

        Raises:
            ConfigError: a value of the wrong type or out of range, or a melody for a checkpoint
                that is known to take none.
        """
        for name, (low, high) in _RANGES.items():
            _check_number(name, getattr(self, name), low, high)
        for name in ("model", "device", "dtype", *([] if self.revision is None else ["revision"])):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"{name} is {shown(getattr(self, name))}; it is a name.")
        for name in _WHOLE:
            if not isinstance(getattr(self, name), int):
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it is a whole number.")
        if self.melody is not None and self.model in OFFICIAL and "melody" not in self.model:
            raise no_melody(self.model)


class GenerateArguments(TypedDict, total=False):
    """The keyword arguments of `nitido.generate`."""

    model: str
    revision: str | None
    seconds: float
    seed: int
    guidance: float
    temperature: float
    top_k: int
    device: str
    dtype: str
    melody: Any
    continue_from: str | Path | None
    batch_size: int
    on_progress: Callable[[float, float], None] | None


def no_melody(model: str) -> ConfigError:
    """Return the error for a melody that the checkpoint cannot follow."""
    return ConfigError(
        f"The checkpoint {model} takes no melody; facebook/musicgen-melody does, or leave the "
        "melody out."
    )


def read_requests(path: str | Path, default: Request) -> list[Request]:
    """Return the requests in a text file: a prompt a line, or a JSON object a line.

    Blank lines are passed over. An object names `prompt`, and `seed` and `seconds` where they are
    not those of `default`.

    Args:
        path: of the file, UTF-8.
        default: for what a line leaves open.

    Raises:
        AudioReadError: the file cannot be read.
        ConfigError: no prompt in it, or a line that is wrong; it is named.
    """
    from nitido.audio import read_text  # the command line needs no numpy for its --help

    lines = read_text(path).splitlines()
    requests = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            requests.append(_read_line(line.strip(), default))
        except (ConfigError, RecursionError) as error:
            raise ConfigError(f"{path}, line {number}: {error}") from None
    if not requests:
        raise ConfigError(f"There is no prompt in {path}; write one a line.")
    return requests


def _read_line(line: str, default: Request) -> Request:
    if not line.startswith("{"):
        return replace(default, prompt=line)
    try:
        content = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"This is no JSON object: {error}.") from None
    unknown = sorted(set(content) - set(_FIELDS))
    if unknown:
        raise ConfigError(f"{unknown[0]!r} is not known; there are {', '.join(_FIELDS)}.")
    if "prompt" not in content:
        raise ConfigError('There is no "prompt".')
    return replace(default, **content)


def same_request_twice(requests: Iterable[Request]) -> Request | None:
    """Return a request that is there twice, if one is: both would be the same piece."""
    seen: set[Request] = set()
    for request in requests:
        if request in seen:
            return request
        seen.add(request)
    return None


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise ConfigError(f"{name} is {shown(value)}; it is a number.")
    if not low <= value <= high:
        raise ConfigError(f"{name} is {shown(value)}; it lies between {low:g} and {high:g}.")
