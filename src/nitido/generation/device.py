"""Where a network computes: which device, exactly repeatable, and what to say when it is full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nitido.errors import ConfigError, DeviceMemoryError

_FULL = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def find_device(name: str) -> str:
    """Return the device of that name, after checking that this computer has it.

    Raises:
        ConfigError: torch does not know the name, or sees no such device.
    """
    found = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(kind for kind in ("cuda", "mps", "cpu") if found[kind])
    kind, _, index = name.partition(":")
    if kind not in found or not (index.isdecimal() or name == kind):
        raise ConfigError(f"device is {name!r}; it can be auto, cuda, cuda:N, mps or cpu.")
    if int(index or 0) >= found[kind]:
        raise ConfigError(
            f"This computer has no device {name!r} that torch {torch.__version__} can use; 'auto' "
            f"takes {find_device('auto')}."
        )
    return name


@contextmanager
def at_work(device: str, *, dtype: str, model: str) -> Iterator[None]:
    """Compute without gradients, the same every time, with one clear error for a full memory.

    Args:
        device: that computes.
        dtype: of the network, for the error.
        model: its name, for the error.

    Raises:
        DeviceMemoryError: the device has too little memory; it says which knob to turn.
    """
    try:
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(deterministic=True, benchmark=False),
        ):
            yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        text = str(error).lower()
        if not isinstance(error, MemoryError) and not any(sign in text for sign in _FULL):
            raise
        smaller = ", `dtype=float16`" if dtype == "float32" else ""
        raise DeviceMemoryError(
            f"The memory of {device} is full with {model} in {dtype}; fewer pieces at once "
            f"(`batch_size=1`){smaller}, a smaller `model=` or fewer `seconds=` take less."
        ) from error
