"""The table of what comes through from format to format."""

from pathlib import Path

from nitido_lab.docs import begin
from nitido_lab.formats import FORMATS, PROPERTIES, Passage, as_table, write_docs


def passages(source: str, **lost: bool) -> list[Passage]:
    """Return what came from one format: all tags, but for the results named, said or not."""
    return [
        Passage(source, result, "tags", result not in lost, lost.get(result, False))
        for result in FORMATS
    ]


def cells(found: list[Passage]) -> dict[str, str]:
    column = 1 + list(PROPERTIES).index("tags")
    return {row[0]: row[column] for row in as_table(found).rows}


def test_what_is_lost_is_named_and_whether_nitido_said_so() -> None:
    assert cells(passages("FLAC", MP3=True, Ogg=False))["FLAC"] == "not MP3 (said), Ogg"


def test_a_format_from_which_all_comes_through_says_so_and_an_untried_one_has_a_dash() -> None:
    found = cells(passages("FLAC"))
    assert found["FLAC"] == "into all"
    assert found["MP3"] == "–"


def test_the_table_replaces_only_itself_in_the_page(tmp_path: Path) -> None:
    page = tmp_path / "formats.md"
    page.write_text("# Formats\n\nWritten by hand.\n", "utf-8")
    write_docs(page, as_table(passages("FLAC")))
    text = page.read_text("utf-8") + "\nMore by hand.\n"
    page.write_text(text, "utf-8")
    write_docs(page, as_table(passages("FLAC", Opus=False)))
    assert page.read_text("utf-8") == text.replace("| into all |", "| not Opus |")
    assert text.count(begin("formats")) == 1
