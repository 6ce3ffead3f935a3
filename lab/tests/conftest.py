"""What the tests of nitido have: one core for each worker, and the real clips."""

from tests.conftest import shared_audio

__all__ = ["shared_audio"]
