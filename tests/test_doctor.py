import json
import subprocess
import sys
import tomllib
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from click.testing import CliRunner

from nitido import doctor
from nitido.cli import main


def check(name: str) -> doctor.Check:
    return next(check for check in doctor.checks() if check.name == name)


def without(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command where a module cannot be imported."""
    code = f"import sys; sys.modules[{module!r}] = None; from nitido.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_working_installation_is_well() -> None:
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "Restoring works." in result.stdout
    states = {
        entry["name"]: entry["state"]
        for entry in json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)
    }
    assert {states[name] for name in doctor.CORE} == {"ok"}


def test_whatever_is_not_well_comes_with_a_remedy() -> None:
    assert not [check.name for check in doctor.checks() if check.state != "ok" and not check.remedy]


def test_a_broken_core_part_is_named_with_the_command_that_mends_it() -> None:
    done = without("soxr", "doctor", "--json")
    assert done.returncode == 1, done.stderr
    (broken,) = [entry for entry in json.loads(done.stdout) if entry["state"] == "broken"]
    assert (broken["name"], broken["remedy"]) == ("soxr", "pip install --force-reinstall soxr")


def test_it_is_told_even_where_what_draws_the_table_is_broken() -> None:
    done = without("rich", "doctor")
    assert done.returncode == 1, done.stderr
    assert "rich: broken, " in done.stdout
    assert done.stdout.endswith("Broken: rich.\n")


def test_torchaudio_is_warned_of_without_being_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> ModuleSpec | None:
        return ModuleSpec(name, None) if name == "torchaudio" else None

    monkeypatch.setattr(doctor, "find_spec", find)
    warning = check("torchaudio")
    assert (warning.state, warning.remedy) == ("warning", "pip uninstall torchaudio")


def test_a_missing_extra_is_absent_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda _: None)
    extra = check("extra generate")
    assert (extra.state, extra.remedy) == ("absent", "pip install 'nitido[generate]'")


def test_the_extras_are_those_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    offered = set(project["project"]["optional-dependencies"])
    assert set(doctor.EXTRAS) | {"dev"} == offered


def test_a_temporary_folder_that_is_read_only_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert check("temporary folder").state == "broken"
