"""Checkpoints for the tests of this folder, built once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.checkpoints import save_musicgen

pytest.importorskip("torch", reason="the extra generate is not installed")
pytest.importorskip("transformers", reason="the extra generate is not installed")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Keep torch on one thread: the nets are tiny, and threads only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def musicgen(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_musicgen(tmp_path_factory.mktemp("musicgen"), licence="cc-by-nc-4.0"))


@pytest.fixture(scope="session")
def stereo_musicgen(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_musicgen(tmp_path_factory.mktemp("stereo"), stereo=True))


@pytest.fixture(scope="session")
def melody_musicgen(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_musicgen(tmp_path_factory.mktemp("melody"), melody=True))


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of huggingface.co, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"
