"""Every visitor has a place of their own, and it is gone when they are."""

import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nitido.errors import ConfigError
from nitido.web.limits import FullError, Limits
from nitido.web.sessions import FOLDER, Visit, Visits, remove_left_behind

AWFUL = [
    "../../etc/passwd",
    "..\\..\\windows\\system32\\song.wav",
    "song.wav\x00.exe",
    "a" * 400 + ".flac",
    "été ♪ – live.mp3",
    ".htaccess",
    "song.php",
    '\\"quoted\\".wav',
    "",
]


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def visits(clock: Clock) -> Iterator[Visits]:
    place = Visits(Limits(pieces=2, idle_minutes=10), clock=clock)
    yield place
    place.close()


@pytest.fixture
def visit(visits: Visits) -> Visit:
    return visits.of(visits.new_token())


def with_piece(visits: Visits) -> Visit:
    visit = visits.of(visits.new_token())
    visit.add("song.wav", limits=visits.limits).source.write_bytes(b"sound")
    return visit


@pytest.mark.parametrize("given", AWFUL)
def test_no_name_reaches_the_disk_as_it_was_given(visit: Visit, given: str) -> None:
    piece = visit.add(given, limits=Limits())
    assert re.fullmatch(r"1-[0-9a-f]{16}", piece.folder.name)
    assert re.fullmatch(r"source(\.[a-z0-9]+)?", piece.source.name)
    assert piece.source.suffix not in (".php", ".exe")
    assert piece.folder.parent == visit.folder


def test_the_visitor_sees_the_name_that_they_gave(visit: Visit) -> None:
    piece = visit.add("C:\\Music\\été ♪.mp3", limits=Limits())
    assert (piece.name, piece.suffix) == ("été ♪.mp3", ".mp3")
    assert visit.add("", limits=Limits()).name == "piece"


def test_nobody_is_known_by_a_token_that_this_server_did_not_give(visits: Visits) -> None:
    token = visits.new_token()
    visit = visits.of(token)
    assert visits.find(token) is visit
    other = visits.new_token()
    assert visits.find(other) is None
    word, signed = token.split(".")
    for wrong in ("", word, f"{word}.", f"{word}.{signed[:-1]}0", f"{other[:43]}.{signed}",
                  visit.name, "../x", "x" * 10_000):  # fmt: skip
        if wrong != token:
            assert visits.find(wrong) is None
            with pytest.raises(FullError):
                visits.of(wrong)
    assert token not in "".join(str(path) for path in visits.folder.rglob("*"))


def test_who_only_looks_leaves_nothing(visits: Visits) -> None:
    before = list(visits.folder.rglob("*"))
    for _ in range(100):
        assert visits.find(visits.new_token()) is None
    assert list(visits.folder.rglob("*")) == before


def test_a_new_result_replaces_the_old_one(visit: Visit) -> None:
    piece = visit.add("song.wav", limits=Limits())
    for _ in range(2):
        with piece.making("result") as (folder, _told):
            pass
    with pytest.raises(ZeroDivisionError), piece.making("result"):
        raise ZeroDivisionError  # leaves the one before
    assert [path.name for path in piece.folder.iterdir()] == [folder.name]
    assert piece.result_folder == folder


def test_when_a_visitor_leaves_their_work_stops_and_their_files_go(visits: Visits) -> None:
    visit = with_piece(visits)
    visits.end(visit.name)
    assert visit.gone.is_set()
    assert not visit.folder.exists()


def test_who_is_idle_for_long_is_forgotten_but_not_with_an_open_page(
    visits: Visits, clock: Clock
) -> None:
    idle, open_page, awake = (with_piece(visits) for _ in range(3))
    open_page.open = 1
    clock.now = 500.0
    awake.seen = clock.now
    clock.now = 700.0
    visits.sweep()
    assert [v.folder.exists() for v in (idle, open_page, awake)] == [False, True, True]


def test_who_sends_a_first_file_does_not_give_way_to_others() -> None:
    place = Visits(Limits(visitors=1))
    sending = place.of(place.new_token())
    with sending.here(), pytest.raises(FullError, match="Too many are here"):
        place.of(place.new_token())
    place.of(place.new_token())
    assert not sending.folder.exists()
    place.close()


def test_who_has_nothing_here_gives_way(clock: Clock) -> None:
    place = Visits(Limits(visitors=2), clock=clock)
    empty, full = place.of(place.new_token()), with_piece(place)
    full.open = 1
    another = with_piece(place)
    assert [v.folder.exists() for v in (empty, full, another)] == [False, True, True]
    with pytest.raises(FullError, match="Too many are here"):
        place.of(place.new_token())
    clock.now = 200.0  # the page of one is still open, and the other's is not
    place.of(place.new_token())
    assert [v.folder.exists() for v in (full, another)] == [True, False]
    place.close()


def test_there_is_a_bound_to_the_pieces_of_a_visitor(visit: Visit) -> None:
    limits = Limits(pieces=2)
    for name in "ab":
        visit.add(name, limits=limits)
    with pytest.raises(ConfigError, match="2 here already"):
        visit.add("c", limits=limits)
    with visit.adding("a", kind="clip", limits=limits):  # what is not there yet counts, too
        visit.add("b", kind="clip", limits=limits)
        with pytest.raises(ConfigError, match="2 here already"):
            visit.add("c", kind="clip", limits=limits)
    visit.add("tune", kind="melody", limits=limits)
    visit.remove(1)
    assert visit.add("c", limits=limits).id == 6  # no number is used again


def test_pieces_that_come_at_the_same_time_are_all_counted(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    guess = secrets.token_hex
    monkeypatch.setattr(secrets, "token_hex", lambda length: time.sleep(0.01) or guess(length))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: visit.add(name, limits=Limits()), "abcdefgh"))
    assert len(list(visit.folder.iterdir())) == len(visit.pieces) == 8


def test_one_client_cannot_keep_all_the_room_for_what_never_comes() -> None:
    visits = Visits(Limits(megabytes=1, pieces=1))
    most = visits.limits.file_bytes
    with visits.room(most, client="a"), visits.room(most, client="a"):
        with pytest.raises(FullError, match="from your address"), visits.room(1, client="a"):
            pass
        with visits.room(most, client="b"):
            pass
    with visits.room(most, client="a"):
        pass
    visits.close()


def test_there_is_a_bound_to_all_files_with_those_on_their_way() -> None:
    visits = Visits(Limits(gigabytes=2**-20))
    full = pytest.raises(FullError, match="full")
    with visits.room(900), full, visits.room(100):  # of 1024 bytes
        pass
    with visits.room(900):
        with_piece(visits)
    with pytest.raises(FullError, match="full"), visits.room(1020):
        pass
    visits.close()


def test_what_work_writes_after_its_visitor_or_its_piece_left_goes_too(visits: Visits) -> None:
    visit, other = with_piece(visits), with_piece(visits)
    visits.end(visit.name)
    (visit.folder / "1-late").mkdir(parents=True)
    (other.folder / "9-late").mkdir()
    with other.adding("coming.wav", limits=visits.limits) as coming:
        visits.sweep()
        assert coming.folder.exists()
    assert not visit.folder.exists()
    assert not (other.folder / "9-late").exists()
    assert other.pieces[1].source.exists()


def test_a_server_that_ends_takes_the_files_with_it_unless_they_have_a_folder(
    tmp_path: Path,
) -> None:
    passing, lasting = Visits(Limits()), Visits(Limits(), folder=tmp_path / "files")
    for place in (passing, lasting):
        with_piece(place)
        place.close()
    assert not passing.folder.exists()
    assert list((tmp_path / "files").rglob("source.wav"))


def test_a_server_that_is_started_again_finds_its_visitors(tmp_path: Path) -> None:
    first = Visits(Limits(), folder=tmp_path / "files")
    token = first.new_token()
    visit = first.of(token)
    piece = visit.add("my song.wav", limits=Limits())
    piece.source.write_bytes(b"sound")
    with visit.adding("a clip", limits=Limits()):  # is on its way when the power is cut
        visit.changed()
    broken = with_piece(first)
    (broken.folder / "about.json").write_text("{")
    again = Visits(Limits(), folder=tmp_path / "files").find(token)
    assert again is not None
    assert (again.pieces[1].name, again.pieces[1].source) == ("my song.wav", piece.source)
    assert list(again.pieces) == [1]
    assert again.add("another", limits=Limits()).id == 3
    assert not broken.folder.exists()
    assert json.loads((again.folder / "about.json").read_text())["last"] == 2


def test_nobody_s_own_files_are_deleted_because_their_folder_was_named(tmp_path: Path) -> None:
    (tmp_path / "my songs").mkdir()
    with pytest.raises(ConfigError, match="name a new folder"):
        Visits(Limits(), folder=tmp_path)
    place = Visits(Limits(), folder=tmp_path / "files")
    (tmp_path / "files" / "my songs").mkdir()
    place.sweep()
    assert (tmp_path / "files" / "my songs").exists()
    assert (tmp_path / "my songs").exists()


def test_what_a_killed_server_left_is_deleted_when_it_is_old(tmp_path: Path) -> None:
    for name, age in ((f"{FOLDER}old", 7200), (f"{FOLDER}new", 10), ("other", 7200)):
        (tmp_path / name).mkdir()
        then = time.time() - age
        os.utime(tmp_path / name, (then, then))
    remove_left_behind(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{FOLDER}new", "other"]
