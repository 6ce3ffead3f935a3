"""The start scripts of a release: a double-click, and the page is there."""

import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
WHEEL = "nitido-0.1.0-py3-none-any.whl"
STARTS = f"tool run --python 3.13 --from ./{WHEEL}[web] nitido serve --open"


@pytest.fixture(scope="module")
def zips() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_zips", ROOT / "release" / "make_zips.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(zips: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The ZIPs, with a uv that only says what it is asked."""
    folder = tmp_path_factory.mktemp("dist")
    (folder / WHEEL).write_bytes(b"a wheel")
    with zipfile.ZipFile(folder / "uv.whl", "w") as uv:
        uv.writestr("uv-1.data/scripts/uv", '#!/bin/sh\necho "$(basename "$PWD"): $@"\n')
        uv.writestr("uv-1.data/scripts/uvx", "not needed")
        uv.writestr("uv-1.dist-info/licenses/LICENSE-MIT", "MIT")
    return {
        system: zips.make_zip(system, folder / WHEEL, folder / "uv.whl", folder)
        for system in zips.SYSTEMS
    }


def unpack(path: Path, folder: Path) -> Path:
    """Unpack as a file manager does: what is a program stays one."""
    with zipfile.ZipFile(path) as bundle:
        bundle.extractall(folder)
        for entry in bundle.infolist():
            (folder / entry.filename).chmod(entry.external_attr >> 16 & 0o777)
    return folder / "nitido"


@pytest.mark.skipif(sys.platform == "win32", reason="scripts for a shell")
@pytest.mark.parametrize("system", ["linux", "macos", "macos-intel"])
def test_a_double_click_starts_the_page_from_wherever_it_was_unpacked(
    made: dict[str, Path], zips: ModuleType, system: str, tmp_path: Path
) -> None:
    folder = unpack(made[system], tmp_path / "my downloads")
    done = subprocess.run(
        [folder / zips.SYSTEMS[system][0]], cwd="/", capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == f"nitido: {STARTS}"
    assert (folder / "uv-LICENSE-MIT").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="scripts for a shell")
def test_a_start_script_that_is_alone_says_to_unpack_the_zip(
    made: dict[str, Path], tmp_path: Path
) -> None:
    folder = unpack(made["linux"], tmp_path)
    (folder / "uv").unlink()
    done = subprocess.run(
        [folder / "start-nitido.sh"], input="\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout.startswith("Unpack the whole ZIP first")
    assert done.stderr == ""


def test_on_windows_the_same_is_started(made: dict[str, Path]) -> None:
    with zipfile.ZipFile(made["windows"]) as bundle:
        script = bundle.read("nitido/start-nitido.bat").decode("ascii")
    assert script.count("\n") == script.count("\r\n")  # or cmd loses its labels
    assert STARTS.replace(WHEEL, "%WHEEL%") in script.replace('"', "")
    assert 'cd /d "%~dp0"' in script
    assert "Unpack the whole ZIP first" in script  # Explorer starts it alone from inside a ZIP


def test_every_action_is_a_commit_that_names_its_version() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    used = re.findall(r"uses: (.+)", text)
    assert used
    assert [one for one in used if not re.fullmatch(r"\S+@[0-9a-f]{40} # v[0-9.]+", one)] == []


def test_only_a_tag_that_was_tried_everywhere_is_published_and_no_secret_is_kept() -> None:
    yaml = pytest.importorskip("yaml")
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    workflow = yaml.safe_load(text)
    jobs = workflow["jobs"]
    assert "secrets." not in text
    assert workflow["permissions"] == {}
    assert jobs["publish"]["if"] == "github.ref_type == 'tag'"
    assert (jobs["publish"]["needs"], jobs["try"]["needs"]) == ("try", "build")
    with (ROOT / "pyproject.toml").open("rb") as file:
        classifiers = tomllib.load(file)["project"]["classifiers"]
    for python in jobs["try"]["strategy"]["matrix"]["python"]:
        assert f"Programming Language :: Python :: {python}" in classifiers
