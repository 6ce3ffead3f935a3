import re
import subprocess
from pathlib import Path

import pytest

from nitido.errors import AudioWriteError, ConfigError
from nitido.version import __version__
from nitido_lab.benchmark.document import CHAPTER, load_chapters, save_chapter, write_page
from nitido_lab.benchmark.machine import commit
from nitido_lab.benchmark.tables import Table


def measure(out: Path, task: str = "comb") -> None:
    save_chapter(
        out,
        task=task,
        what="Is it any good?",
        call=f"nitido-lab benchmark {task} --limit 2",
        tables=[Table("a|b", ("system", "dB ↑"), (("nitido", "1.0\n0.5…1.5"), ("x_y", "2.0")))],
        sentences=["nitido loses to x_y in dB."],
        systems={"x_y": "another"},
    )


def test_the_page_says_what_was_measured_how_and_with_what(tmp_path: Path) -> None:
    measure(tmp_path)
    page = write_page(tmp_path / "benchmark.md", tmp_path).read_text("utf-8")
    assert "## comb\n\nIs it any good?" in page
    assert "| nitido | 1.0<br>0.5…1.5 |\n| x\\_y | 2.0 |" in page
    assert "- nitido loses to x\\_y in dB." in page
    assert "```sh\nnitido-lab benchmark comb --limit 2\n```" in page
    assert re.search(
        rf"nitido {re.escape(__version__)}(, commit [0-9a-f]{{7}}\+?)?, Python 3\.", page
    )
    assert re.search(r"Measured \d{4}-\d\d-\d\d on .+ cores", page)


def test_every_row_of_a_table_is_as_long_as_its_head(tmp_path: Path) -> None:
    measure(tmp_path)
    lines = write_page(tmp_path / "benchmark.md", tmp_path).read_text("utf-8").splitlines()
    rows = [line.replace("\\|", "") for line in lines if line.startswith("|")]
    assert len(rows) == 4
    assert {row.count("|") for row in rows} == {3}


def test_tasks_stand_in_their_order_and_are_replaced_one_by_one(tmp_path: Path) -> None:
    for task in ("speed", "comb", "clean", "comb"):
        measure(tmp_path, task)
    assert [chapter.task for chapter in load_chapters(tmp_path)] == ["comb", "clean", "speed"]


def test_what_was_not_measured_again_stays_as_it_was_on_the_page(tmp_path: Path) -> None:
    for task in ("speed", "clean", "comb"):
        measure(tmp_path / "old", task)
    page = write_page(tmp_path / "page.md", tmp_path / "old")
    before = page.read_text("utf-8")
    page.write_text(before.replace("Is it any good?", "Was it?"), "utf-8")
    measure(tmp_path / "new", "clean")
    after = write_page(page, tmp_path / "new").read_text("utf-8")
    speed = before[before.index("## speed") :]
    assert after == before.replace("Is it any good?", "Was it?", 1).replace(
        speed, speed.replace("Is it any good?", "Was it?")
    )


def test_which_generator_has_which_faults_is_a_page_of_its_own(tmp_path: Path) -> None:
    for task in ("clean", "generators"):
        measure(tmp_path, task)
    page = write_page(tmp_path / "benchmark.md", tmp_path).read_text("utf-8")
    own = (tmp_path / "generators.md").read_text("utf-8")
    assert own.startswith("# Which generator has which faults\n\nIs it any good?")
    assert "nitido-lab benchmark generators --limit 2" in own
    assert page.endswith("## generators\n\n[Which generator has which faults](generators.md).\n")
    assert page.count("| nitido |") == 1


def test_a_figure_names_the_commit_and_whether_the_code_was_changed_since(tmp_path: Path) -> None:
    assert commit(tmp_path) is None
    (tmp_path / "src").mkdir()
    code = tmp_path / "src" / "code.py"
    code.write_text("1")
    for words in ("init -q", "add .", "-c user.name=a -c user.email=a@b.c commit -qm a"):
        subprocess.run(["git", "-C", str(tmp_path), *words.split()], check=True)
    clean = commit(tmp_path)
    (tmp_path / "page.md").write_text("no code")
    assert commit(tmp_path) == clean
    assert len(clean or "") == 7
    code.write_text("2")
    assert commit(tmp_path) == f"{clean}+"


def test_nothing_measured_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Nothing was measured"):
        write_page(tmp_path / "benchmark.md", tmp_path)
    (tmp_path / "comb").mkdir()
    (tmp_path / "comb" / CHAPTER).write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read"):
        write_page(tmp_path / "benchmark.md", tmp_path)


def test_a_file_that_is_no_such_page_is_not_replaced(tmp_path: Path) -> None:
    measure(tmp_path, "comb")
    (tmp_path / "notes.md").write_text("# Mine")
    with pytest.raises(AudioWriteError, match="no benchmark page"):
        write_page(tmp_path / "notes.md", tmp_path)
    assert (tmp_path / "notes.md").read_text() == "# Mine"
    page = write_page(tmp_path / "page.md", tmp_path).read_bytes()
    assert write_page(tmp_path / "page.md", tmp_path).read_bytes() == page
