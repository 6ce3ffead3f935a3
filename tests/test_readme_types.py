"""What the pages show in Python is what the types say."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.test_readme import PAGES, ROOT, blocks


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_python_of_the_pages_is_well_typed(page: str, tmp_path: Path) -> None:
    for number, program in enumerate(blocks(page, "python")):
        path = tmp_path / f"page_{number}.py"
        path.write_text(program, "utf-8")
        call = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(path)]
        done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
