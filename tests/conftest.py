"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nitido.cores import use_one_core

# Two workers that compile librosa's functions at once spoil each other's cache, which then crashes
# whoever loads it: each keeps its own. Set before anything imports numba.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / "numba" / _WORKER)
# Each worker has a core: threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    use_one_core()


@pytest.fixture(scope="session")
def shared_audio() -> Path:
    """Return the folder of real clips that lies beside the repository; skip the test without it."""
    folder = Path(__file__).parents[2] / "shared" / "audio"
    if not folder.is_dir():
        pytest.skip("the real clips (shared/audio beside the repository) are not here")
    return folder
