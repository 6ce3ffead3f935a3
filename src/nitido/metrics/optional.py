"""Libraries that measuring may use and restoring never does: loaded only when asked for."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from nitido.errors import MissingExtraError


def available(module: str) -> bool:
    """Return whether a library is installed; it is not imported for that."""
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def load(module: str, *, remedy: str = "pip install 'nitido[bench]'") -> Any:
    """Return a library, imported now.

    Args:
        module: its name, as in ``import``.
        remedy: the command that installs it.

    Raises:
        MissingExtraError: it is not installed.
    """
    if not available(module):
        name = module.partition(".")[0]
        raise MissingExtraError(f"This measure needs {name}, which is not installed: {remedy}.")
    return importlib.import_module(module)
