"""Every visitor has a place of their own, and it is gone when they are."""

import io
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nitido.errors import ConfigError
from nitido.web.limits import Limits
from nitido.web.sessions import FOLDER, Visit, Visits, remove_left_behind


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
def upload(tmp_path: Path) -> Path:
    path = tmp_path / "abc.wav"
    path.write_bytes(b"sound")
    return path


def with_result(visit: Visit, upload: Path) -> tuple[str, int, str, str]:
    """A visit with a result; the parts of its address."""
    piece = visit.add("../my song.wav", upload, limits=Limits())
    folder = piece.new_result()
    (folder / "result.wav").write_bytes(b"restored")
    piece.keep(folder, formats=("wav", "mp3"))
    return visit.token, piece.number, piece.result, "result.wav"


def test_a_file_is_moved_into_a_folder_that_nobody_can_guess(visits: Visits, upload: Path) -> None:
    one, other = visits.of("one"), visits.of("other")
    piece = one.add("../my song.wav", upload, limits=visits.limits)
    assert not upload.exists()
    assert piece.source.read_bytes() == b"sound"
    assert piece.source.is_relative_to(one.folder)
    assert "song" not in str(piece.source.relative_to(one.folder))
    assert len(one.token) >= 43
    assert not {one.token, one.folder} & {other.token, other.folder}


def test_a_result_is_had_with_the_token_of_its_visitor_only(visits: Visits, upload: Path) -> None:
    visit = visits.of("one")
    token, number, result, name = with_result(visit, upload)
    found = visits.file(token, number, result, name)
    assert found is not None
    assert found[1].read_bytes() == b"restored"
    stranger = visits.of("other").token
    for wrong in (
        (stranger, number, result, name),
        ("", number, result, name),
        (token, number + 1, result, name),
        (token, number, "..", name),
        (token, number, result, "../source.wav"),
        (token, number, result, "result.exe"),
        (token, number, "source", "result.wav"),
    ):
        assert visits.file(*wrong) is None


def test_a_new_result_replaces_the_old_one(visits: Visits, upload: Path) -> None:
    visit = visits.of("one")
    address = with_result(visit, upload)
    piece = visit.pieces[1]
    folder = piece.new_result()
    piece.keep(folder)
    assert visits.file(*address) is None
    assert [path.name for path in piece.folder.iterdir() if path.is_dir()] == [folder.name]


def test_when_a_visitor_leaves_their_work_stops_and_their_files_go(
    visits: Visits, upload: Path
) -> None:
    visit = visits.of("one")
    address = with_result(visit, upload)
    visits.end("one")
    assert visit.cancelled.is_set()
    assert visit.gone.is_set()
    assert not visit.folder.exists()
    assert visits.file(*address) is None


def test_who_is_idle_for_long_is_forgotten_but_not_at_work(visits: Visits, clock: Clock) -> None:
    idle, busy, awake = (visits.of(name) for name in ("idle", "busy", "awake"))
    for visit in (idle, busy, awake):
        visit.hold("a piece")
    clock.now = 500.0
    visits.of("awake")
    clock.now = 700.0
    with busy.working():
        visits.sweep()
    assert not idle.folder.exists()
    assert busy.folder.exists()
    assert awake.folder.exists()


def test_who_has_nothing_here_gives_way_and_is_forgotten_soon(
    clock: Clock, upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nitido.web.sessions.BRIEF_SECONDS", 60.0)
    place = Visits(Limits(visitors=3, idle_minutes=10), clock=clock)
    made_up, uploaded, pieced = (place.of(name) for name in ("made up", "uploaded", "pieced"))
    place.uploads.take(place.uploads.add(io.BytesIO(b"sound"), "a.wav"), "uploaded")
    pieced.add("a.wav", upload, limits=place.limits)
    clock.now = 10.0
    another = place.of("another")
    assert not made_up.folder.exists()
    clock.now = 80.0
    place.sweep()
    left = [visit.folder.exists() for visit in (another, uploaded, pieced)]
    assert left == [False, True, True]
    another = place.of("another")
    path = place.uploads.add(io.BytesIO(b"sound"), "a.wav")
    place.uploads.take(path, "another")
    for name in ("uploaded", "pieced"):
        place.of(name)
    with pytest.raises(ConfigError, match="Too many are here"):
        place.of("one more")
    place.end("another")
    clock.now = 81.0
    assert not path.exists()
    place.of("one more").hold("a piece")
    clock.now = 145.0  # the page of one is still open, and the others' are not
    with place.here("pieced"):
        place.of("the last")
    assert [visit.folder.exists() for visit in (uploaded, pieced)] == [False, True]
    place.close()


def test_there_is_a_bound_to_the_pieces_of_a_visitor(visits: Visits, tmp_path: Path) -> None:
    visit = visits.of("one")
    for name in "abc":
        path = tmp_path / name
        path.touch()
        if name < "c":
            visit.add(name, path, limits=visits.limits)
    with pytest.raises(ConfigError, match="2 pieces already"):
        visit.add("c", tmp_path / "c", limits=visits.limits)
    visit.remove(1)
    assert visit.add("c", tmp_path / "c", limits=visits.limits).number == 3
    with pytest.raises(ConfigError, match="2 pieces already"):
        visit.choose(visit.hold("generated"), limits=visits.limits)


def test_pieces_that_come_at_the_same_time_are_all_counted(
    visits: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    guess = secrets.token_hex
    monkeypatch.setattr(secrets, "token_hex", lambda length: time.sleep(0.01) or guess(length))
    visit = visits.of("one")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit.hold, "abcdefgh"))
    assert len(list(visit.folder.iterdir())) == len(visit.pieces) == 8


def test_what_work_writes_after_its_visitor_left_goes_too(visits: Visits) -> None:
    visit, other = visits.of("one"), visits.of("other")
    piece = visit.hold("a piece")
    visits.end("one")
    piece.new_result().joinpath("result.wav").touch()
    (visits.folder / "tmp1").touch()
    visits.sweep()
    assert set(visits.folder.iterdir()) == {other.folder, visits.uploads.folder}


def test_two_works_of_one_visitor_do_not_run_at_once(
    visits: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nitido.web.sessions.STOPPING_SECONDS", 0.01)
    visit = visits.of("one")
    with visit.working():
        assert visit.busy
        with pytest.raises(ConfigError, match="at work already"), visit.working():
            pass
    assert not visit.busy


def test_what_a_killed_server_left_is_deleted_when_it_is_old(tmp_path: Path) -> None:
    import os

    for name, age in ((f"{FOLDER}old", 7200), (f"{FOLDER}new", 10), ("other", 7200)):
        (tmp_path / name).mkdir()
        then = time.time() - age
        os.utime(tmp_path / name, (then, then))
    remove_left_behind(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{FOLDER}new", "other"]
