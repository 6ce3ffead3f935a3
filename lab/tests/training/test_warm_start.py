"""A training may start from a network that is there already."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from nitido.errors import WeightsError  # noqa: E402
from nitido.restoration.treble.levels import INPUTS  # noqa: E402
from nitido_lab.training.export import export  # noqa: E402
from nitido_lab.training.network import TrebleNet  # noqa: E402
from nitido_lab.training.warm_start import inherit, keep  # noqa: E402


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrebleNet, Path]:
    """A network that says something of its own, and its export."""
    torch.manual_seed(1)
    network = TrebleNet(16, 2)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.1 * torch.randn_like(value))
    path = tmp_path_factory.mktemp("exported") / "network.onnx"
    export(network, path)
    return network.eval(), path


@pytest.mark.parametrize("blocks", [2, 4])
def test_it_says_what_the_other_one_said_also_when_it_is_deeper(
    trained: tuple[TrebleNet, Path], blocks: int
) -> None:
    network, path = trained
    heir = TrebleNet(16, blocks).eval()
    inherit(heir, path)
    seen = torch.randn(2, INPUTS, 60)
    assert torch.allclose(heir(seen), network(seen), atol=1e-4)


def test_the_blocks_that_are_new_can_learn(trained: tuple[TrebleNet, Path]) -> None:
    heir = TrebleNet(16, 3)
    inherit(heir, trained[1])
    heir(torch.randn(1, INPUTS, 30)).square().sum().backward()
    assert heir.blocks[2].narrow.weight.grad.abs().max() > 0


def test_halfway_back_to_the_start_lies_between_the_two(trained: tuple[TrebleNet, Path]) -> None:
    network, path = trained
    torch.manual_seed(2)
    seen = torch.randn(1, INPUTS, 40)
    heir = TrebleNet(16, 3).eval()
    inherit(heir, path)
    with torch.no_grad():
        for value in heir.parameters():
            value.add_(0.02 * torch.randn_like(value))
        last = heir(seen)
        first = network(seen)
        keep(heir, path, 0.5)
        between = heir(seen)
        keep(heir, path, 1.0)
    assert torch.allclose(heir(seen), first, atol=1e-4)
    for end in (first, last):
        assert (between - end).abs().mean() < 0.8 * (last - first).abs().mean()


@pytest.mark.parametrize(("width", "blocks"), [(24, 2), (16, 1)])
def test_a_network_of_another_size_is_refused(
    trained: tuple[TrebleNet, Path], width: int, blocks: int
) -> None:
    with pytest.raises(WeightsError, match="does not fit a network of width"):
        inherit(TrebleNet(width, blocks), trained[1])


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        inherit(TrebleNet(16, 2), tmp_path / "none.onnx")
    (tmp_path / "words.onnx").write_bytes(b"words")
    with pytest.raises(WeightsError, match="no ONNX network"):
        inherit(TrebleNet(16, 2), tmp_path / "words.onnx")
