"""What holds for every finding."""

from __future__ import annotations

import pytest
from tests.signals import pink_noise

import nitido

ALWAYS = {"bandwidth", "end", "loudness", "start", "tone", "width"}  # noise is no finished piece


@pytest.mark.parametrize(("sample_rate", "channels"), [(8_000, 1), (48_000, 64), (192_000, 2)])
def test_noise_has_no_fault_at_any_rate_and_width(sample_rate: int, channels: int) -> None:
    wav = pink_noise(seconds=1, sample_rate=sample_rate, channels=channels)
    diagnosis = nitido.diagnose(wav, sample_rate=sample_rate)
    assert {one.kind for one in diagnosis.findings if one.found} <= ALWAYS
