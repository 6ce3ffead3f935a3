"""Fixtures for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_audio() -> Path:
    """Return the folder of real clips that lies beside the repository; skip the test without it."""
    folder = Path(__file__).parents[2] / "shared" / "audio"
    if not folder.is_dir():
        pytest.skip("the real clips (shared/audio beside the repository) are not here")
    return folder
