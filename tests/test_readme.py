"""The README is true: its Python runs, its commands exist, and CI runs its test command."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import soundfile as sf
from click.testing import CliRunner

from nitido.cli import main
from nitido.demo import DECODER_HZ, add_artifacts
from nitido.demo.render import render
from nitido_lab.cli import main as lab

ROOT = Path(__file__).parents[1]
PAGES = [
    *("README.md", "docs/how-it-works.md", "docs/loops.md", "docs/web.md"),
    *("docs/agents.md", "docs/conformance.md", "integrations/comfyui/README.md"),
    *(
        "docs/install.md",
        "docs/recipes.md",
        "docs/report.md",
        "docs/many-files.md",
        "docs/generate.md",
        "docs/scale.md",
        "docs/listening.md",
        "docs/generators.md",
        "docs/stages.md",
        "docs/findings.md",
    ),
    *("CONTRIBUTING.md", "lab/README.md"),
]
PROGRAMS = {"nitido": main, "nitido-lab": lab}


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in line.split("#")[0].split("&&")]
    return sorted({part for part in parts if part.split(" ")[0] in PROGRAMS})


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    sf.write(tmp_path / "song.wav", add_artifacts(render(seconds=6.0)[:, :96_000])[0], DECODER_HZ)
    (program,) = blocks("README.md", "python")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "faults repaired" in done.stdout
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {
        "song.wav", "song.png", "song_restored.wav", "song_restored.removed.wav",
        "song_restored.wav.nitido.json",
    }  # fmt: skip


@pytest.mark.parametrize("line", commands())
def test_the_commands_of_the_pages_exist(line: str) -> None:
    program, name, *arguments = line.split()
    command = PROGRAMS[program].commands[name]
    if isinstance(command, click.Group):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    command.make_context(name, arguments)


def test_loops_restored_by_the_recipe_for_a_game_are_fit_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loops").mkdir()
    sf.write("loops/march.wav", add_artifacts(render(seconds=5.0))[0], DECODER_HZ)
    lines = blocks("docs/recipes.md", "sh")[0].splitlines()
    assert [line.split()[1] for line in lines] == ["restore", "check"]
    for line in lines:
        result = CliRunner().invoke(main, line.split()[1:])
        assert result.exit_code == 0, result.output


def test_ci_runs_the_readme_s_test_command_as_it_stands_there() -> None:
    found = [block for block in blocks("README.md", "sh") if "pytest" in block]
    assert found == ["pip install -c constraints.txt -e '.[dev]' -e 'lab[bench,train]' && pytest\n"]
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    pattern = re.search(r"grep -m 1 -E '(.*?)' README\.md", script)
    assert pattern
    assert re.search(pattern[1], (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", [*PAGES, "docs/glossary.md", "CHANGELOG.md"])
def test_the_links_of_the_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text)]
    local = [target for target in targets if target and "://" not in target]
    assert not [target for target in local if not ((ROOT / page).parent / target).exists()]
