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
    DeviceMemoryError,
    MissingExtraError,
    NitidoError,
    SampleRateError,
    WeightsError,
)
from nitido.version import __version__

if TYPE_CHECKING:
    from nitido.api import diagnose, generate, plan, restore, restore_album, separate
    from nitido.comparison import Comparison, compare
    from nitido.delivery_check import Verdict, check
    from nitido.diagnosis.finding import Diagnosis, Finding
    from nitido.generation.result import Generation
    from nitido.restoration.plan import Plan
    from nitido.restored import Restoration

__all__ = [
    "AudioReadError",
    "AudioShapeError",
    "AudioTooShortError",
    "AudioWriteError",
    "CancelledError",
    "Comparison",
    "ConfigError",
    "DeviceMemoryError",
    "Diagnosis",
    "Finding",
    "Generation",
    "MissingExtraError",
    "NitidoError",
    "Plan",
    "Restoration",
    "SampleRateError",
    "Verdict",
    "WeightsError",
    "__version__",
    "check",
    "compare",
    "diagnose",
    "generate",
    "plan",
    "restore",
    "restore_album",
    "separate",
]

_LAZY = {
    "Comparison": "nitido.comparison",
    "Diagnosis": "nitido.diagnosis.finding",
    "Finding": "nitido.diagnosis.finding",
    "Generation": "nitido.generation.result",
    "Plan": "nitido.restoration.plan",
    "Restoration": "nitido.restored",
    "Verdict": "nitido.delivery_check",
    "check": "nitido.delivery_check",
    "compare": "nitido.comparison",
    "diagnose": "nitido.api",
    "generate": "nitido.api",
    "plan": "nitido.api",
    "restore": "nitido.api",
    "restore_album": "nitido.api",
    "separate": "nitido.api",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'nitido' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
