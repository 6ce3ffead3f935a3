"""The image: small, as a user without rights, with a health check."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from nitido.cli import main
from nitido.web.security import HEALTH

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lines() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    found = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0] != "#"]
    return [(word, rest) for word, rest in found]


def every(lines: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for word, rest in lines if word == name]


def test_hadolint_has_nothing_to_say() -> None:
    program = shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([program, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.stdout == ""


def test_it_runs_as_a_user_without_rights(lines: list[tuple[str, str]]) -> None:
    (user,) = every(lines, "USER")
    assert int(user) >= 10_000
    words = [word for word, _ in lines]
    last = len(words) - words[::-1].index("FROM")
    assert "RUN" not in words[words.index("USER") :]
    assert "USER" in words[last:]


def test_every_base_has_a_version_and_nothing_is_fetched_unseen(
    lines: list[tuple[str, str]],
) -> None:
    assert all(re.match(r"python:3\.\d+-slim-\w+", base) for base in every(lines, "FROM"))
    assert not every(lines, "ADD")
    assert not [run for run in every(lines, "RUN") if re.search(r"curl|wget|sudo", run)]
    assert all("--no-cache-dir" in run for run in every(lines, "RUN") if "pip install" in run)


def test_it_reads_and_writes_m4a(lines: list[tuple[str, str]]) -> None:
    (install,) = [run for run in every(lines, "RUN") if "pip install" in run]
    assert {"web", "m4a"} <= set(re.findall(r"\w+", install.partition("[")[2]))


def test_its_health_check_asks_the_page(lines: list[tuple[str, str]]) -> None:
    (check,) = every(lines, "HEALTHCHECK")
    assert f"http://127.0.0.1:7860{HEALTH}" in check


def test_its_command_is_one_that_nitido_has(lines: list[tuple[str, str]]) -> None:
    (entry,), (more,) = every(lines, "ENTRYPOINT"), every(lines, "CMD")
    program, name, *options = json.loads(entry) + json.loads(more)
    assert program == "nitido"
    command = main.commands[name]
    assert isinstance(command, click.Command)
    command.make_context(name, options)


def test_what_is_copied_is_there_and_let_through(lines: list[tuple[str, str]]) -> None:
    let_through = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    for copy in every(lines, "COPY"):
        if copy.startswith("--from"):
            continue
        for source in copy.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert source in let_through
