"""The command `nitido-lab` as a whole."""

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.test_architecture import commands

import nitido
from nitido_lab.cli import main


@pytest.mark.parametrize("path", commands(main), ids=" ".join)
def test_every_help_teaches_with_an_example(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0
    _, _, examples = result.stdout.partition("Examples:")
    assert f"nitido-lab {' '.join(path)}".strip() in examples


def test_its_version_is_that_of_the_nitido_that_it_is_for() -> None:
    assert CliRunner().invoke(main, ["--version"]).stdout.split()[-1] == nitido.__version__
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["version"] == nitido.__version__
    assert f"nitido[plots]=={nitido.__version__}" in project["project"]["dependencies"]
