"""nitido makes AI-generated music sound finished.

    import nitido

    result = nitido.restore("song.wav")
    result.write("song_restored.wav")

Importing nitido loads no heavy library; the first call does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nitido.errors import (
    AudioReadError,
    AudioShapeError,
    AudioTooShortError,
    AudioWriteError,
    CancelledError,
    ConfigError,
    MissingExtraError,
    NitidoError,
    SampleRateError,
)
from nitido.version import __version__

if TYPE_CHECKING:
    from nitido.api import diagnose, plan, restore
    from nitido.comparison import Comparison, compare
    from nitido.diagnosis.finding import Diagnosis, Finding
    from nitido.restoration.plan import Plan
    from nitido.restoration.result import Restoration

__all__ = [
    "AudioReadError",
    "AudioShapeError",
    "AudioTooShortError",
    "AudioWriteError",
    "CancelledError",
    "Comparison",
    "ConfigError",
    "Diagnosis",
    "Finding",
    "MissingExtraError",
    "NitidoError",
    "Plan",
    "Restoration",
    "SampleRateError",
    "__version__",
    "compare",
    "diagnose",
    "plan",
    "restore",
]

_LAZY = {
    "Comparison": "nitido.comparison",
    "Diagnosis": "nitido.diagnosis.finding",
    "Finding": "nitido.diagnosis.finding",
    "Plan": "nitido.restoration.plan",
    "Restoration": "nitido.restoration.result",
    "compare": "nitido.comparison",
    "diagnose": "nitido.api",
    "plan": "nitido.api",
    "restore": "nitido.api",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'nitido' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
