"""What is installed, what of it works, and the command that mends what does not."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from nitido.version import __version__

State = Literal["ok", "absent", "warning", "broken"]

PYTHON_MIN = (3, 11)
# Distribution → module, of what restoring needs.
CORE = {
    "click": "click",
    "jinja2": "jinja2",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "rich": "rich",
    "scipy": "scipy",
    "soundfile": "soundfile",
    "soxr": "soxr",
    "tinytag": "tinytag",
}
# Extra → modules that it brings.
EXTRAS = {
    "generate": ("torch", "transformers"),
    "demucs": ("torch", "demucs"),
    "metrics": ("librosa", "visqol"),
    "web": ("fastapi", "uvicorn"),
    "ray": ("ray",),
    "plots": ("matplotlib",),
    "m4a": ("imageio_ffmpeg",),
    "c2pa": ("c2pa",),
    "mcp": ("mcp",),
}
# Their wheels break importing beside CPU torch, and make transformers fail on MusicGen.
HARMFUL = ("torchaudio", "torchcodec")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: of the thing.
        state: ``ok``, ``absent`` (not needed for restoring), ``warning`` or ``broken``.
        found: version, or what is wrong.
        remedy: the command that mends it; empty if nothing needs mending.
    """

    name: str
    state: State
    found: str
    remedy: str = ""


def checks() -> list[Check]:
    """Return the state of everything that nitido uses; optional parts are not imported."""
    return [
        _python(),
        Check("nitido", "ok", __version__),
        *(_core(distribution, module) for distribution, module in CORE.items()),
        *_libsndfile(),
        *_ffmpeg(),
        _temporary_folder(),
        *(_extra(extra, modules) for extra, modules in EXTRAS.items()),
        _musicgen(),
        _device(),
        *_harmful(),
    ]


def _python() -> Check:
    version = platform.python_version()
    if sys.version_info < PYTHON_MIN:
        return Check("python", "broken", version, "install Python 3.11 or newer")
    return Check("python", "ok", f"{version}, {os.cpu_count()} cores")


def _core(distribution: str, module: str) -> Check:
    remedy = f"pip install --force-reinstall {distribution}"
    try:
        importlib.import_module(module)
        return Check(distribution, "ok", metadata.version(distribution))
    except Exception as error:
        return Check(distribution, "broken", f"{type(error).__name__}: {error}", remedy)


def _libsndfile() -> Iterator[Check]:
    try:
        import soundfile
    except Exception:
        return  # reported above
    missing = [
        name
        for name, known in (
            ("mp3", "MP3" in soundfile.available_formats()),
            ("opus", "OPUS" in soundfile.available_subtypes("OGG")),
        )
        if not known
    ]
    found = soundfile.__libsndfile_version__
    if missing:
        remedy = "pip install --force-reinstall soundfile"
        yield Check("libsndfile", "warning", f"{found}, without {' and '.join(missing)}", remedy)
    else:
        yield Check("libsndfile", "ok", f"{found}, with mp3 and opus")


def _ffmpeg() -> Iterator[Check]:
    try:
        from nitido.audio.ffmpeg import program
    except Exception:
        return  # what it needs itself is reported above
    path = program()
    if path:
        yield Check("ffmpeg", "ok", path)
    else:
        remedy = "pip install 'nitido[m4a]'"
        yield Check("ffmpeg", "absent", "needed only for AAC, M4A, WMA and films", remedy)


def _temporary_folder() -> Check:
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"\0")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        remedy = "set TMPDIR to a folder that can be written to"
        return Check("temporary folder", "broken", f"{folder}: {error.strerror}", remedy)
    return Check("temporary folder", "ok", f"{folder}, {free / 2**30:.1f} GiB free")


def _extra(extra: str, modules: tuple[str, ...]) -> Check:
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        remedy = f"pip install 'nitido[{extra}]'"
        return Check(f"extra {extra}", "absent", f"without {', '.join(missing)}", remedy)
    return Check(f"extra {extra}", "ok", ", ".join(modules))


def _musicgen() -> Check:
    """Which MusicGen checkpoints are in the cache; nothing is fetched."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    files = hub.glob("models--facebook--musicgen-*/snapshots/*/*.safetensors")
    names = sorted({file.parents[2].name.removeprefix("models--facebook--") for file in files})
    if names:
        return Check("MusicGen weights", "ok", ", ".join(names))
    found = f"none in {hub}; the first use of a checkpoint fetches it"
    return Check("MusicGen weights", "absent", found, "hf download facebook/musicgen-small")


def _device() -> Check:
    if find_spec("torch") is None:
        return Check("device", "ok", "cpu; restoring needs no other")
    try:
        torch = importlib.import_module("torch")
        if torch.cuda.is_available():
            return Check("device", "ok", f"cuda: {torch.cuda.get_device_name(0)}")
        if torch.backends.mps.is_available():
            return Check("device", "ok", "mps")
    except Exception as error:
        remedy = "pip install --force-reinstall torch"
        return Check("device", "warning", f"torch: {type(error).__name__}: {error}", remedy)
    return Check("device", "ok", "cpu")


def _harmful() -> Iterator[Check]:
    for module in HARMFUL:
        if find_spec(module) is not None:
            found = "breaks importing beside CPU torch, and MusicGen in transformers"
            yield Check(module, "warning", found, f"pip uninstall {module}")
