"""The page as tests start it: `python -m tests.web.program PORT [auth] [full] [parts] …`.

A piece that is called "held…" is restored when there is a file "go" in the temporary folder.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import nitido
from nitido import api, optional
from nitido.audio import write
from nitido.demo import DECODER_HZ, add_artifacts
from nitido.demo.render import render
from nitido.web.limits import Limits

LIMITS = Limits(megabytes=4.0, minutes=2.0, waiting=60)


class Generation:
    """What `nitido.generate` returns, as far as the page can see."""

    def __init__(self) -> None:
        self.wav = add_artifacts(render(seconds=4.0))

    def write(self, path: Path) -> Path:
        channels, samples = self.wav.shape
        return write(
            path, [self.wav], sample_rate=DECODER_HZ, channels=channels, samples=samples
        )  # fmt: skip


def generate(prompt: str, *, seconds: float, on_progress: Any, **_: Any) -> Generation:
    """Take a moment, as a model does."""
    for step in range(5):
        time.sleep(0.05)
        on_progress(seconds * step / 5, seconds)
    if prompt == "nothing":
        raise nitido.ConfigError("The model said no.")
    return Generation()


def holding(restore_with: Any) -> Any:
    """Return `restore_with`, which waits where it is to be held, and can be cancelled there."""

    def restore(*asked: Any, name: str = "", on_progress: Any, **more: Any) -> Any:
        while name.startswith("held") and not Path(tempfile.gettempdir(), "go").exists():
            on_progress(0.1, 1.0)
            time.sleep(0.05)
        return restore_with(*asked, name=name or None, on_progress=on_progress, **more)

    return restore


def main() -> None:
    """Serve the page."""
    api.restore_with = holding(api.restore_with)
    nitido.generate = generate  # type: ignore[assignment]
    known = optional.available
    torch = "without-torch" not in sys.argv  # whether it is installed here or not
    optional.available = lambda name: torch if name in ("torch", "transformers") else known(name)
    from nitido.web import work
    from nitido.web.server import serve

    auth = ("ann", "secret") if "auth" in sys.argv else None
    folders = [Path(word.removeprefix("in=")) for word in sys.argv if word.startswith("in=")]
    folder = folders[0] if folders else None
    if "parts" in sys.argv:
        work.PART_SECONDS = 4.0
    limits = replace(LIMITS, gigabytes=1e-6) if "full" in sys.argv else LIMITS
    serve(port=int(sys.argv[1]), auth=auth, limits=limits, folder=folder)


if __name__ == "__main__":
    main()
