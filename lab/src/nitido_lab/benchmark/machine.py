"""What a figure was measured with and on: versions, processor, system."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from nitido.cores import usable_cores
from nitido.version import __version__

LIBRARIES = (
    "numpy",
    "scipy",
    "soxr",
    "soundfile",
    "librosa",
    "visqol-python",
    "noisereduce",
    "demucs",
    "torch",
    "transformers",
)


def versions() -> dict[str, str]:
    """Return the versions of everything that a figure can depend on; what is absent is left out."""
    import soundfile

    from nitido_lab.benchmark.runner import SOURCES

    own = commit(SOURCES[0].parents[1])
    found = {
        "nitido": f"{__version__}, commit {own}" if own else __version__,
        "Python": platform.python_version(),
    }
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found["libsndfile"] = soundfile.__libsndfile_version__
    if program := shutil.which("ffmpeg"):
        said = subprocess.run([program, "-version"], capture_output=True, text=True).stdout
        found["ffmpeg"] = said.split()[2] if len(said.split()) > 2 else "?"
    return found


def commit(root: Path) -> str | None:
    """Return the commit that lies in a checkout, ``abc1234+`` if its code was changed since.

    None where `root` is no checkout, such as beside an installed wheel.
    """
    if not (root / ".git").exists():
        return None
    said = [
        subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
        for words in (["rev-parse", "--short=7", "HEAD"], ["status", "--porcelain", "src", "lab"])
    ]
    name, changed = (done.stdout.strip() for done in said)
    return f"{name}+" if name and changed else name or None


def machine() -> str:
    """Return processor and system in words."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {usable_cores()} cores, {platform.system()}"
