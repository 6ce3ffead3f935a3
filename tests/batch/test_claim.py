import os
from pathlib import Path

import pytest
from tests.batch.cases import contents

import nitido.batch.claim as claims
from nitido.batch.claim import Claim, claim
from nitido.errors import AudioWriteError
from nitido.lock import try_lock
from nitido.restoration.result import SIDECAR_SUFFIX


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "song.wav"


def claimed(target: Path) -> Claim:
    found = claim(target)
    assert isinstance(found, Claim)
    return found


def make(held: Claim, content: bytes = b"new") -> None:
    """Write a result, its sidecar, and stems."""
    held.path.write_bytes(content)
    (held.folder / "song.wav.nitido.json").write_bytes(content)
    (held.folder / "song.stems").mkdir()
    (held.folder / "song.stems" / "drums.wav").write_bytes(content)


ALL = {"song.wav", "song.wav.nitido.json", "song.stems/drums.wav"}


def die(held: Claim) -> None:
    """Let go as a killed process does: the system closes its files, and that is all."""
    os.close(held._lock)


def test_only_one_at_a_time_has_the_right_to_make_a_result(target: Path) -> None:
    with claimed(target):
        assert claim(target) is None
    with claimed(target):
        pass
    assert contents(target.parent) == {}


def test_all_files_of_a_result_appear_at_the_end_and_nothing_else(target: Path) -> None:
    with claimed(target) as held:
        make(held)
        assert not target.exists()
        held.publish(overwrite=False)
    assert contents(target.parent) == dict.fromkeys(ALL, b"new")


def test_what_is_not_published_leaves_nothing(target: Path) -> None:
    def interrupted() -> None:
        with claimed(target) as held:
            make(held)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert contents(target.parent) == {}


@pytest.mark.parametrize("name", sorted(ALL))
def test_an_existing_file_is_only_replaced_when_asked(target: Path, name: str) -> None:
    other = target.parent / name
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(b"mine")
    with claimed(target) as held:
        make(held)
        with pytest.raises(AudioWriteError, match="exists already"):
            held.publish(overwrite=False)
    assert contents(target.parent) == {name: b"mine"}
    with claimed(target) as held:
        make(held)
        held.publish(overwrite=True)
    assert contents(target.parent) == dict.fromkeys(ALL, b"new")


def test_what_a_killed_run_has_left_is_cleared_away(target: Path) -> None:
    held = claimed(target)
    make(held)
    die(held)
    with claimed(target) as after:
        assert [path.name for path in after.folder.iterdir()] == ["lock"]
    assert contents(target.parent) == {}


@pytest.mark.parametrize("moves", range(4))
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_killed_while_it_publishes_is_finished_by_the_next(
    target: Path, moves: int, overwrite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if overwrite:
        target.write_bytes(b"old")
    held = claimed(target)
    make(held)
    put, done = claims._put, []

    def put_some(file: Path, place: Path, *, overwrite: bool) -> None:
        if len(done) == moves:
            raise KeyboardInterrupt
        done.append(file)
        put(file, place, overwrite=overwrite)

    with monkeypatch.context() as patched:
        patched.setattr(claims, "_put", put_some)
        try:
            held.publish(overwrite=overwrite)
        except KeyboardInterrupt:
            assert not (target.parent / "song.wav.nitido.json").exists()
    die(held)
    with claimed(target):
        pass
    assert contents(target.parent) == dict.fromkeys(ALL, b"new")


def test_finishing_for_a_killed_run_replaces_nothing_that_appeared_since(target: Path) -> None:
    held = claimed(target)
    make(held)
    held._say("move")  # it was killed here
    die(held)
    target.write_bytes(b"mine")
    with claimed(target):
        pass
    assert target.read_bytes() == b"mine"
    assert not (target.parent / "song.wav.nitido.json").exists()


def test_a_file_that_was_linked_when_the_run_was_killed_counts_as_moved(target: Path) -> None:
    held = claimed(target)
    make(held)
    held._say("move")
    target.hardlink_to(held.path)
    die(held)
    with claimed(target):
        pass
    assert contents(target.parent) == dict.fromkeys(ALL, b"new")


def test_the_holder_s_clearing_does_not_take_the_next_one_s_right(target: Path) -> None:
    first = claimed(target)
    old = os.open(first.folder / "lock", os.O_RDWR)  # a second run has opened it, and waits
    first.__exit__()
    assert try_lock(old)
    assert not claims._is_still(old, first.folder / "lock")
    os.close(old)
    with claimed(target):
        assert claim(target) is None


def test_a_claim_s_sidecar_is_that_of_the_result() -> None:
    assert claims.SIDECAR == SIDECAR_SUFFIX


def test_long_names_that_begin_alike_do_not_share_a_claim(tmp_path: Path) -> None:
    names = [f"{'long ' * 45}{n}.wav" for n in range(2)]
    with claimed(tmp_path / names[0]), claimed(tmp_path / names[1]):
        pass


def test_a_link_in_the_place_of_the_hidden_folder_is_not_followed(target: Path) -> None:
    with claimed(target) as held:
        hidden = held.folder
    treasure = target.parent / "treasure"
    treasure.mkdir()
    (treasure / "gold.wav").write_bytes(b"gold")
    hidden.symlink_to(treasure)
    with pytest.raises(AudioWriteError, match="cannot be written"):
        claim(target)
    assert contents(treasure) == {"gold.wav": b"gold"}


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(AudioWriteError, match="is gone"):
        claim(tmp_path / "gone" / "song.wav")
