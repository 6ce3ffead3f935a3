import importlib
from pathlib import Path

import pytest

from nitido.metrics.catalogue import CATALOGUE, Measure

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_no_two_measures_have_one_name():
    names = [measure.name for family in CATALOGUE.values() for measure in family]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("family", CATALOGUE)
def test_every_family_has_the_four_parts(family):
    module = importlib.import_module(f"nitido.metrics.{family}")
    assert "Conventions:" in module.__doc__
    assert callable(module.validate)
    assert callable(module.evaluate)


@pytest.mark.parametrize("family", CATALOGUE)
def test_every_measure_is_explained_in_the_document(family):
    text = DOCUMENT.read_text("utf-8")
    missing = [measure.name for measure in CATALOGUE[family] if f"`{measure.name}`" not in text]
    assert missing == []


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (-3.14159, "−3.1 dB"), (-0.01, "0.0 dB"), (12.0, "12.0 dB")]
)
def test_a_value_is_shown_with_its_unit(value, text):
    assert Measure("x_db", "x", "dB", "", 1).show(value) == text
