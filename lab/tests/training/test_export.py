from pathlib import Path

import numpy as np
import pytest
import torch

from nitido.errors import WeightsError
from nitido.restoration.treble.levels import BANDS, INPUTS
from nitido_lab.training import export
from nitido_lab.training.network import GATE_DB, TrebleNet

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def network() -> TrebleNet:
    torch.manual_seed(1)
    made = TrebleNet(24, 3)
    torch.nn.init.normal_(made.leave.weight, std=0.2)
    return made.eval()


def seen(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(-1, 1, (2, INPUTS, frames)).astype(np.float32)


def test_the_exported_network_says_what_the_trained_one_says(
    network: TrebleNet, tmp_path: Path
) -> None:
    digest = export.export(network, tmp_path / "n.onnx")
    assert len(digest) == 64
    session = onnxruntime.InferenceSession(tmp_path / "n.onnx", providers=["CPUExecutionProvider"])
    for frames in (1, 7, 200):
        given = seen(frames)
        with torch.inference_mode():
            own = network(torch.from_numpy(given)).numpy()
        assert np.abs(session.run(None, {"seen": given})[0] - own).max() < 1e-4
    meta = session.get_modelmeta().custom_metadata_map
    assert int(meta["context_frames"]) == network.context_frames == 14


def test_an_export_that_is_not_equal_is_refused(
    network: TrebleNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_difference", lambda *_: float("nan"))
    with pytest.raises(WeightsError, match="differs by"):
        export.export(network, tmp_path / "n.onnx")
    assert not (tmp_path / "n.onnx").exists()


def test_the_network_hears_no_further_than_it_says(network: TrebleNet) -> None:
    given = torch.from_numpy(seen(80))
    changed = given.clone()
    changed[:, :, 40] += 5
    with torch.inference_mode():
        difference = (network(given) - network(changed)).abs().amax(dim=(0, 1))
    reach = torch.nonzero(difference).flatten()
    assert int(reach.min()) == 40 - network.context_frames
    assert int(reach.max()) == 40 + network.context_frames


def test_an_untrained_network_says_what_the_rule_says() -> None:
    network = TrebleNet(16, 2).eval()
    given = torch.from_numpy(seen(10))
    with torch.inference_mode():
        level, presence, _ = network(given).split(64, dim=1)
    assert torch.equal(level, given[:, 2 * BANDS :])
    assert torch.equal(presence > 0, level > GATE_DB / 20)
