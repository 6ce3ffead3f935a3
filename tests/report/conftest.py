"""A piece as MusicGen might have made it, restored: what the reports are of."""

import pytest

import nitido
from nitido.demo import DECODER_HZ, add_artifacts
from nitido.demo.render import render


@pytest.fixture(scope="session")
def restoration() -> nitido.Restoration:
    return nitido.restore(add_artifacts(render(seconds=6.0)[:, :96_000]), sample_rate=DECODER_HZ)
