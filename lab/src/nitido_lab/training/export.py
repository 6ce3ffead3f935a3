"""From the training to the wheel: the running mean of the weights as ONNX, proven equal."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path

import numpy as np
import torch

from nitido.errors import WeightsError
from nitido.optional import load
from nitido.restoration.treble.levels import INPUTS
from nitido_lab.training.network import TrebleNet

OPSET = 17
DIFFERENCE_MAX = 1e-4  # of outputs in units of 20 dB: 0.002 dB
PROOF_FRAMES = 150


def export(network: TrebleNet, path: Path) -> str:
    """Write a network as ONNX and return the SHA-256 of the file.

    Raises:
        WeightsError: what was written does not give the same figures.
    """
    network = network.cpu().eval()
    content = _with_reach(_exported(network), network.context_frames)
    difference = _difference(network, content)
    if not difference <= DIFFERENCE_MAX:
        raise WeightsError(
            f"The exported network differs by {difference:.2g}, at most {DIFFERENCE_MAX} is right; "
            "try another version of torch."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _exported(network: TrebleNet) -> bytes:
    file = io.BytesIO()
    dynamic = {"seen": {0: "channels", 2: "frames"}, "out": {0: "channels", 2: "frames"}}
    with warnings.catch_warnings():
        # The newer exporter needs another library, and writes the same graph.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (torch.zeros(1, INPUTS, 8),),
            file,
            input_names=["seen"],
            output_names=["out"],
            dynamic_axes=dynamic,
            opset_version=OPSET,
            dynamo=False,
        )
    return file.getvalue()


def _with_reach(content: bytes, context_frames: int) -> bytes:
    onnx = load("onnx", need="Exporting", remedy="pip install -e 'lab[train]'")
    model = onnx.load_from_string(content)
    onnx.helper.set_model_props(model, {"context_frames": str(context_frames)})
    return bytes(model.SerializeToString())


def _difference(network: TrebleNet, content: bytes) -> float:
    """Return the largest difference of the two networks on random input."""
    onnxruntime = load("onnxruntime", need="Exporting", remedy="pip install onnxruntime")
    seen = np.random.default_rng(0).normal(-1, 1.5, (2, INPUTS, PROOF_FRAMES)).astype(np.float32)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    exported = session.run(None, {"seen": seen})[0]
    with torch.inference_mode():
        own = network(torch.from_numpy(seen)).numpy()
    return float(np.abs(exported - own).max())
