"""The notebook runs from top to bottom, with small random checkpoints in the real formats."""

import os
import sys
from pathlib import Path

import pytest
from tests.checkpoints import save_musicgen
from tests.demucs_checkpoint import make_model, save_model

NOTEBOOK = Path(__file__).parents[1] / "examples" / "musicgen_restoration.ipynb"


def test_the_notebook_tells_its_story_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    save_musicgen(tmp_path / "musicgen", licence="cc-by-nc-4.0")
    save_model(tmp_path / "demucs", make_model())
    monkeypatch.setenv("NITIDO_MODEL", str(tmp_path / "musicgen"))
    monkeypatch.setenv("NITIDO_DEMUCS_REPO", str(tmp_path / "demucs"))
    monkeypatch.setenv("NITIDO_SECONDS", "2")
    commands = str(Path(sys.executable).parent)  # where `nitido` is that belongs to this Python
    monkeypatch.setenv("PATH", commands + os.pathsep + os.environ["PATH"])
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=110, kernel_name="python3").execute()
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"raw.wav", "restored.wav", "founding.wav", "report.html", "pictures"} <= written
    said = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )
    assert "CC-BY-NC" in said
    assert "on  decomb" in said
