"""Start from a network that was exported before, and end at a mean of networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nitido.errors import WeightsError
from nitido.optional import load
from nitido_lab.training.network import TrebleNet


def inherit(network: TrebleNet, path: Path) -> None:
    """Fill a network with the weights of an exported one; blocks beyond its own change nothing yet.

    Raises:
        WeightsError: no such file, or it is not a network of this kind and width.
    """
    known = _weights(path)
    own = network.state_dict()
    strange = sorted(
        name for name, value in known.items() if name not in own or own[name].shape != value.shape
    )
    if strange or not known:
        names = ", ".join(strange[:3]) or "nothing"
        raise WeightsError(
            f"{path} does not fit a network of width {network.enter.out_channels} with "
            f"{len(network.blocks)} blocks ({names}); set width and blocks as it has them."
        )
    network.load_state_dict({**own, **known})
    for number, block in enumerate(network.blocks):
        if f"blocks.{number}.narrow.weight" not in known:
            nn.init.zeros_(block.narrow.weight)
            nn.init.zeros_(block.narrow.bias)


def mean(networks: Sequence[TrebleNet]) -> TrebleNet:
    """Return a network with the mean weights of networks that started from the same one.

    Steadier than each of them, at the price of one; those of other starts have no such mean.

    Source: Wortsman et al., Model soups, ICML 2022.
    """
    states = [network.state_dict() for network in networks]
    network = TrebleNet(networks[0].enter.out_channels, len(networks[0].blocks))
    network.load_state_dict(
        {name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[0]}
    )
    return network


def keep(network: TrebleNet, path: Path, share: float) -> None:
    """Mix the weights of the network that a training started from into the trained one.

    What was learned last is learned from fewer steps and suits its own music best; halfway between
    the two is as good on the new and keeps what the old one knew. Blocks that are new add less.

    Args:
        network: trained from `path` on.
        path: of the network it started from.
        share: 0 to 1, of the old one.

    Source: Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022.

    Raises:
        WeightsError: as `inherit`.
    """
    before = TrebleNet(network.enter.out_channels, len(network.blocks))
    inherit(before, path)
    old, own = before.state_dict(), network.state_dict()
    known = _weights(path)
    for name, value in own.items():
        if name in known or ".narrow." in name:
            own[name] = torch.lerp(value, old[name].to(value.device), share)
    network.load_state_dict(own)


def _weights(path: Path) -> dict[str, Tensor]:
    """Return the parameters of an exported network by their names in `TrebleNet`."""
    onnx = load("onnx", need="Starting from a network", remedy="pip install -e 'lab[train]'")
    try:
        graph: Any = onnx.load_from_string(path.read_bytes()).graph
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from None
    except Exception:  # the parser's own, of no public kind
        raise WeightsError(f"{path} is no ONNX network.") from None
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    weights = {name: torch.tensor(array) for name, array in arrays.items() if "::" not in name}
    for node in graph.node:  # linear layers come out turned around, under the name of their place
        if node.op_type == "MatMul" and node.input[1] in arrays:
            name = node.name.strip("/").removesuffix("/MatMul").replace("/", ".")
            weights[f"{name}.weight"] = torch.tensor(arrays[node.input[1]].T.copy())
    return weights
