import hashlib
import tomllib
from pathlib import Path

import numpy as np
import pytest

import nitido
from nitido import weights
from nitido.errors import WeightsError
from nitido.restoration.treble.levels import ENVELOPES, INPUTS

FOLDER = Path(nitido.__file__).parent / "weights"
BYTES_MAX = 8_000_000


def test_every_network_that_ships_is_the_one_in_the_list() -> None:
    assert {path.name for path in FOLDER.glob("*.onnx")} == set(weights.sums())
    for name, digest in weights.sums().items():
        content = (FOLDER / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
        assert len(content) <= BYTES_MAX


def test_every_network_has_a_card_that_tells_licence_data_and_command() -> None:
    for name in weights.sums():
        card = (FOLDER / name).with_suffix(".md").read_text("utf-8")
        for part in ("## Data", "## Licence", "## Figures", "## Rebuild", "## Failures"):
            assert part in card, part
        assert "CC-BY-4.0" in card
        assert weights.sums()[name] in card


def test_onnxruntime_is_among_what_restoring_needs() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert any(need.startswith("onnxruntime") for need in project["project"]["dependencies"])


def test_a_network_that_was_tampered_with_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "treble.onnx").write_bytes(b"something else")
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(b'it').hexdigest()}  treble.onnx\n")
    monkeypatch.setattr(weights.resources, "files", lambda _: tmp_path)
    with pytest.raises(WeightsError, match="as it was shipped"):
        weights.network("treble")


def test_a_network_that_does_not_exist_is_named() -> None:
    with pytest.raises(WeightsError, match="no network 'vocal'"):
        weights.network("vocal")


def test_the_shipped_network_takes_any_number_of_channels_and_frames() -> None:
    session = weights.network("bandwidth")
    for channels, frames in ((1, 1), (2, 50), (5, 3)):
        seen = np.zeros((channels, INPUTS, frames), np.float32)
        (out,) = session.run(None, {"seen": seen})
        assert out.shape == (channels, 3 * ENVELOPES, frames)
        assert np.isfinite(out).all()
