"""What a caller lends to the stages beside the plan.

A plan is data that may come from anywhere, so it names no place in the file system. What it needs
from there comes from whoever carries it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nitido.restoration.stem_store import StemStore


@dataclass(frozen=True)
class Resources:
    """What the stages may use, and where they leave what is asked for beside the result.

    Attributes:
        demucs_repo: folder of Demucs models in the hub's layout; None: official ones, by name.
        device: where networks compute: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        stems: takes the stems of the piece; None if nobody wants them.
    """

    demucs_repo: Path | None = None
    device: str = "auto"
    stems: StemStore | None = None
