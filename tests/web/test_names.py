"""What a visitor calls a file is shown to them; on the disk it has a name of ours and one owner."""

import io
import re
from pathlib import Path

import pytest
from tests.web.test_visits import Clock

from nitido.errors import ConfigError
from nitido.web.limits import Limits
from nitido.web.uploads import AT_HAND, UNUSED_SECONDS, Uploads

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


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def uploads(tmp_path: Path, clock: Clock) -> Uploads:
    return Uploads(tmp_path / "uploads", Limits(pieces=2, gigabytes=2**-20), clock=clock)


def sent(uploads: Uploads, name: str = "song.wav", *, client: str = "") -> Path:
    return uploads.add(io.BytesIO(b"sound"), name, client=client)


@pytest.mark.parametrize("given", AWFUL)
def test_no_name_reaches_the_disk_as_it_was_given(uploads: Uploads, given: str) -> None:
    path = sent(uploads, given)
    assert path.read_bytes() == b"sound"
    assert re.fullmatch(r"[0-9a-f]{32}(\.[a-z0-9]+)?", path.name)
    assert path.suffix not in (".php", ".exe")


def test_the_visitor_sees_the_name_that_they_gave(uploads: Uploads) -> None:
    upload = uploads.take(sent(uploads, "C:\\Music\\été ♪.mp3"), "ann")
    assert upload.name == "été ♪.mp3"
    assert upload.path.suffix == ".mp3"
    assert uploads.take(sent(uploads, ""), "ann").name == "piece"


def test_a_file_that_does_not_come_to_its_end_is_not_kept(uploads: Uploads) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        uploads.add(Broken(), "song.wav")
    assert list(uploads.folder.iterdir()) == []


def test_who_uses_a_file_first_is_who_sent_it_and_nobody_else_may(
    uploads: Uploads, tmp_path: Path
) -> None:
    path = sent(uploads)
    assert uploads.take(path, "ann").path == uploads.take(path, "ann").path == path
    other = tmp_path / "uploads" / "other.wav"
    other.touch()
    for wrong, session in ((path, "bob"), (other, "ann"), (f"{path}/../{path.name}", "ann")):
        with pytest.raises(ConfigError, match="no such upload of yours"):
            uploads.take(wrong, session)


def test_a_file_that_is_not_used_goes_and_the_others_go_with_their_visitor(
    uploads: Uploads, clock: Clock
) -> None:
    unused, ann, bob = (sent(uploads) for _ in range(3))
    uploads.take(ann, "ann"), uploads.take(bob, "bob")
    clock.now = UNUSED_SECONDS + 1
    uploads.sweep()
    assert [path.exists() for path in (unused, ann, bob)] == [False, True, True]
    uploads.end("ann")
    assert [path.exists() for path in (ann, bob)] == [False, True]


def test_there_is_a_bound_to_the_files_of_a_client_and_of_a_visitor(uploads: Uploads) -> None:
    other, *paths = (sent(uploads, client=client) for client in ("other", *"aaaaaa"))
    assert [path.exists() for path in (other, *paths)] == [True, False, False, *4 * [True]]
    taken = [uploads.take(sent(uploads), "ann").path for _ in range(2 + AT_HAND + 1)]
    assert [path.exists() for path in taken] == [False, *(2 + AT_HAND) * [True]]


def test_one_client_cannot_keep_all_the_room_for_what_never_comes(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "uploads", Limits(megabytes=1, pieces=1))
    most = Limits(megabytes=1, pieces=1).upload_bytes
    with uploads.room(most, client="a"), uploads.room(most, client="a"):
        with pytest.raises(ConfigError, match="from your address"), uploads.room(1, client="a"):
            pass
        with uploads.room(most, client="b"):
            pass
    with uploads.room(most, client="a"):
        pass


def test_there_is_a_bound_to_all_files_with_those_on_their_way(uploads: Uploads) -> None:
    full = pytest.raises(ConfigError, match="full")
    with uploads.room(1000), full, uploads.room(100):  # of 1024 bytes
        pass
    with uploads.room(1000):
        sent(uploads)
    with pytest.raises(ConfigError, match="full"), uploads.room(1020):
        pass
