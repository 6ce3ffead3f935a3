"""The networks that ship with nitido, and the check that they are what was shipped.

Each lies here as NAME.onnx with a model card NAME.md; SHA256SUMS lists their hashes.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import resources
from typing import Any

from nitido.errors import WeightsError

SUMS = "SHA256SUMS"


@lru_cache(maxsize=4)
def network(name: str) -> Any:
    """Return the network of that name, ready to run: an ``onnxruntime.InferenceSession``.

    It works on one thread, so that its figures do not depend on the number of cores.

    Raises:
        WeightsError: no such network, or the file is not the one that was shipped.
    """
    content = checked(name)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def checked(name: str) -> bytes:
    """Return the file of a network, if its SHA-256 is the one in the list.

    Raises:
        WeightsError: as `network`.
    """
    known = sums()
    file = f"{name}.onnx"
    if file not in known:
        raise WeightsError(f"There is no network {name!r}; there are {', '.join(known) or 'none'}.")
    place = resources.files("nitido.weights").joinpath(file)
    content = place.read_bytes() if place.is_file() else b""
    found = hashlib.sha256(content).hexdigest()
    if found != known[file]:
        raise WeightsError(
            f"The network {file} has the SHA-256 {found[:12]}…, not {known[file][:12]}… as it was "
            "shipped; install nitido anew: pip install --force-reinstall nitido."
        )
    return content


def sums() -> dict[str, str]:
    """Return the SHA-256 of every network that ships, by file name."""
    text = resources.files("nitido.weights").joinpath(SUMS).read_text("utf-8")
    pairs = (line.split() for line in text.splitlines() if line.strip())
    return {name: digest for digest, name in pairs}
