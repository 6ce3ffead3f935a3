"""Libraries that come with an extra: loaded only when asked for, with a remedy where absent."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from nitido.errors import MissingExtraError


def available(module: str) -> bool:
    """Return whether a library is installed; it is not imported for that."""
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def load(
    module: str, *, need: str = "This measure", remedy: str = "pip install 'nitido[metrics]'"
) -> Any:
    """Return a library, imported now.

    Args:
        module: its name, as in ``import``.
        need: what needs it, for the message.
        remedy: the command that installs it.

    Raises:
        MissingExtraError: it is not installed.
    """
    if not available(module):
        name = module.partition(".")[0]
        raise MissingExtraError(f"{need} needs {name}, which is not installed: {remedy}.")
    return importlib.import_module(module)
