"""Scores that were written down: a changed metric shows as a difference of data.

`python -m tests.golden` writes them anew.
"""

import importlib.util
import json

import pytest
from tests.golden.measure import SCORES, scores

needs_bench = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("librosa", "visqol")),
    reason="needs librosa and visqol-python: pip install 'nitido[metrics]'",
)


@needs_bench
def test_every_score_is_as_it_was_written_down():
    written = json.loads(SCORES.read_text("utf-8"))
    found = scores()
    assert set(found) == set(written)
    for piece, families in written.items():
        assert set(found[piece]) == set(families)
        for family, values in families.items():
            assert _numbers(found[piece][family]) == pytest.approx(
                _numbers(values), rel=5e-3, abs=0.02, nan_ok=True
            ), f"{piece}, {family}"


def _numbers(values):
    """Scores with nan for what was not measured: pytest compares no None."""
    return {name: float("nan") if value is None else value for name, value in values.items()}
