from pathlib import Path

import pytest

from nitido.errors import ConfigError
from nitido_lab.training.config import read_config

CONFIGS = Path(__file__).parents[2] / "configs"


def test_a_configuration_states_only_what_differs(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('name = "base"\nwidth = 64\nminutes = 5\n')
    (tmp_path / "own.toml").write_text('extends = "base.toml"\nname = "own"\n')
    config = read_config(tmp_path / "own.toml", minutes=9.0, seed=None)
    assert (config.name, config.width, config.minutes, config.seed) == ("own", 64, 9.0, 0)
    assert config.folder == Path("nitido-training/own")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("widht = 64", "did you mean 'width'"),
        ('width = "wide"', "width is 'wide'"),
        ("width = true", "width is True"),
        ("width =", "not valid TOML"),
    ],
)
def test_a_setting_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(path)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        read_config(Path("none.toml"))


def test_the_configurations_that_come_along_can_be_read() -> None:
    shipped = read_config(CONFIGS / "bandwidth.toml")
    quick = read_config(CONFIGS / "quick.toml")
    assert shipped.recipes == quick.recipes
    assert quick.width < shipped.width
    assert "clean/test" not in " ".join(shipped.audio)
