"""What was found, done and left is one list; nothing that a visitor sends becomes HTML."""

from collections.abc import Iterator
from html import unescape
from pathlib import Path
from shutil import copyfile
from types import SimpleNamespace

import pytest
from tests.signals import silence
from tests.web.conftest import Visitor

import nitido
from nitido.web import listing
from nitido.web.choices import Choices
from nitido.web.limits import Limits
from nitido.web.sessions import SessionPiece, Visit, Visits
from nitido.web.work import examine, restore

EVIL = "<img src=x onerror=alert(1)>\"'.wav"


@pytest.fixture(scope="module")
def restored(clip: Path) -> Iterator[SessionPiece]:
    """A restored piece."""
    visits = Visits(Limits())
    piece = visits.of(visits.new_token()).add(EVIL, limits=visits.limits)
    copyfile(clip, piece.source)
    restore(piece, lambda share: None)
    yield piece
    visits.close()


@pytest.fixture
def piece(restored: SessionPiece) -> Iterator[SessionPiece]:
    yield restored
    restored.choices = Choices()


def row(piece: SessionPiece, key: str) -> listing.Row:
    (found,) = [one for one in listing.rows(piece) if one.key == key]
    return found


def test_every_fault_stands_in_the_list_once_and_the_worst_comes_first(
    piece: SessionPiece,
) -> None:
    assert piece.diagnosis is not None
    rows = listing.rows(piece)
    faults = [finding for finding in piece.diagnosis.findings if finding.found]
    told = [text for one in rows for text in one.findings if text.found]
    assert len(told) == len(faults) > 2
    order = [listing.SEVERITIES.index(one.severity) for one in rows]  # type: ignore[arg-type]
    assert order == sorted(order, reverse=True)
    assert len({one.key for one in rows}) == len(rows)


def test_a_fault_that_is_gone_says_so_and_one_that_is_off_says_why(piece: SessionPiece) -> None:
    whine = row(piece, "decomb")
    assert whine.state == "done"
    assert whine.told.startswith("Repaired. The comb every 400 Hz is gone")
    piece.choices = Choices(settings={"decomb.mode": "off"})
    whine = row(piece, "decomb")
    assert (whine.state, whine.own, whine.told) == ("off", True, "Left: you switched it off.")


def test_what_was_changed_since_is_told_as_it_will_be(piece: SessionPiece) -> None:
    piece.choices = Choices(settings={"bandwidth.amount": 0.5})
    treble = row(piece, "bandwidth")
    assert treble.state == "will"
    assert treble.slider is not None
    assert treble.slider["shown"] == "50 %"
    assert listing.verdict(piece) == "changed since it was restored"


def test_a_repair_that_was_held_back_says_so(piece: SessionPiece) -> None:
    verdicts = piece.result["verdicts"]
    piece.made["result"]["verdicts"] = {
        **verdicts,
        "decomb": "bypassed",
        "bandwidth": "turned down",
    }
    assert row(piece, "decomb").told.startswith("Left as it was: mending it would have changed")
    assert "Softened: more would have changed" in row(piece, "bandwidth").told
    piece.made["result"]["verdicts"] = verdicts


def test_one_sentence_says_what_is_wrong_in_a_musician_s_words(piece: SessionPiece) -> None:
    assert piece.diagnosis is not None
    said = listing.sentence(piece.diagnosis)
    assert "etallic whine" in said
    assert "reble ends at 16.0 kHz" in said
    assert "mono" in said
    quiet = nitido.diagnose(silence(seconds=1.0), sample_rate=48_000)
    assert listing.sentence(quiet) == "There is no sound in it."


def test_no_name_becomes_html(clip: Path) -> None:
    pytest.importorskip("fastapi")
    from nitido.web.server import make_app

    ann = Visitor(make_app())
    number = ann.drop(clip, name=EVIL, restore=False)["id"]
    ann.drop(clip, name=f"2{EVIL}", kind="version")
    ann.wait(number)
    for page in ("/", "/compare"):
        html = ann.ask("GET", page)[1].decode()
        assert "<img" not in html
        assert EVIL in unescape(html)


def test_a_diagnosis_alone_gives_a_list(clip: Path, tmp_path: Path) -> None:
    piece = SessionPiece(Visit("ann", tmp_path), 1, "song.wav", tmp_path, suffix=".wav")
    assert listing.rows(piece) == []
    copyfile(clip, piece.source)
    examine(piece, lambda share: None)
    assert {one.state for one in listing.rows(piece)} <= {"will", "off", "none", "left"}
    assert SimpleNamespace(**vars(listing.rows(piece)[0])).picture.startswith("<figure")
