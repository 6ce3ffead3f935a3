"""What the page says is what was found, and nothing that a visitor sends becomes a part of it."""

from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from tests.signals import silence

import nitido
from nitido.restoration.restore_options import RestoreOptions
from nitido.web import panels
from nitido.web.choices import choose
from nitido.web.limits import Limits
from nitido.web.sessions import SessionPiece, Visit, Visits
from nitido.web.work import judge, restore

EVIL = "<img src=x onerror=alert(1)>\"'.wav"


@pytest.fixture(scope="module")
def visit(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """A visitor with a restored piece of an evil name."""
    visits = Visits(Limits())
    upload = tmp_path_factory.mktemp("upload") / "0123.wav"
    upload.write_bytes(clip.read_bytes())
    visit = visits.of("one")
    restore(visit.add(EVIL, upload, limits=visits.limits), lambda share: None)
    yield visit
    visits.close()


@pytest.fixture
def piece(visit: Visit) -> Iterator[SessionPiece]:
    assert visit.piece is not None
    yield visit.piece
    visit.piece.choices = RestoreOptions()


def test_no_name_becomes_html(visit: Visit, piece: SessionPiece) -> None:
    shown = [
        panels.pieces(visit),
        panels.found(piece),
        panels.plan(piece),
        panels.result(visit, piece),
        panels.clips(visit, [piece.number]),
        panels.progress(f"Restoring {EVIL}", 0.5),
        panels.notice([f"{EVIL} is no audio"]),
    ]
    assert not [html for html in shown if "<img" in html]
    assert EVIL in unescape(shown[0])


def test_every_fault_is_told_in_words_with_a_picture_and_the_rest_in_one_line(
    piece: SessionPiece,
) -> None:
    assert piece.diagnosis is not None
    html = panels.found(piece)
    faults = [finding for finding in piece.diagnosis.findings if finding.found]
    assert html.count("<article") == html.count("<svg") == len(faults) > 2
    fine = len(piece.diagnosis.findings) - len(faults)
    assert f"{fine} more were looked at and are ok" in html


def test_a_verdict_is_told_in_words_of_the_result_once_there_is_one(piece: SessionPiece) -> None:
    shares: list[float] = []
    judged = judge(piece, "spotify", shares.append)
    assert (judged.piece, shares[-1]) == (EVIL, 1.0)
    result = nitido.check(piece.folder / piece.result / "result.wav", target="spotify")
    assert [one.value for one in judged.reasons] == [one.value for one in result.reasons]
    html = panels.verdict(judged)
    assert "it for Spotify" in html
    assert "<img" not in html
    strict = panels.verdict(judge(piece, "broadcast", shares.append))
    assert "Not fit for broadcast (EBU R 128): loudness" in strict
    assert "LU louder than −23.0 LUFS" in strict


def test_every_kind_of_finding_has_a_name() -> None:
    diagnosis = nitido.diagnose(silence(seconds=1.0), sample_rate=48_000)
    assert {finding.kind for finding in diagnosis.findings} == set(panels.FINDINGS)


def test_the_plan_shows_why_and_marks_what_is_ours(piece: SessionPiece) -> None:
    html = unescape(panels.plan(piece))
    assert "Comb every 400 Hz" in html
    assert "own" not in html
    piece.choices = choose(amounts={"bandwidth": 0.5})
    html = panels.plan(piece)
    assert 'class="stage own" data-stage="bandwidth"' in html
    assert "50 %" in html
    assert html.count(" own") == 1


def test_a_bar_without_words_takes_the_same_place() -> None:
    for words, share in (("", None), ("Restoring", 0.3), ("Writing", 1.0)):
        html = panels.progress(words, share)
        assert html.count("<p") == 1
        assert html.count("<i>") == 2 or share is not None
    assert 'aria-valuenow="30"' in panels.progress("Restoring", 0.3)


def test_a_result_is_offered_in_every_format_that_can_hold_it(
    visit: Visit, piece: SessionPiece
) -> None:
    html = panels.result(visit, piece)
    for name in (
        "result.wav",
        "result.flac",
        "result.mp3",
        "result.opus",
        "report.html",
        "plan.json",
    ):
        assert f'/{name}" download' in html
    assert html.count(visit.token) == 7  # and the report in its frame


def test_credentials_that_came_in_can_be_taken_along(visit: Visit, piece: SessionPiece) -> None:
    assert "c2pa" not in panels.result(visit, piece)
    (piece.folder / piece.result).mkdir(parents=True, exist_ok=True)
    (piece.folder / piece.result / "result.wav.ingredient.c2pa").write_bytes(b"store")
    assert '/result.wav.ingredient.c2pa" download' in panels.result(visit, piece)
