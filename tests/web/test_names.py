"""What a visitor calls a file is shown to them, and never becomes the name of a file."""

import asyncio
import re

import pytest

from nitido.web.names import Names, Rename

BOUNDARY = b"----b0undary"
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


def body(*files: tuple[str, bytes]) -> bytes:
    parts = b""
    for name, content in files:
        head = f'Content-Disposition: form-data; name="files"; filename="{name}"'
        parts += b"--" + BOUNDARY + b"\r\n" + head.encode()
        parts += b"\r\nContent-Type: audio/wav\r\n\r\n" + content + b"\r\n"
    return parts + b"--" + BOUNDARY + b"--\r\n"


def passed(sent: bytes, *, size: int, names: Names, path: str = "/gradio_api/upload") -> bytes:
    """What the application gets of a body that comes in pieces of that size."""
    got: list[bytes] = []

    async def app(scope, receive, send):
        more = True
        while more:
            message = await receive()
            got.append(message["body"])
            more = message["more_body"]

    pieces = [sent[i : i + size] for i in range(0, len(sent), size)]

    async def receive():
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    kind = b"multipart/form-data; boundary=" + BOUNDARY
    headers = [(b"content-type", kind), (b"content-length", str(len(sent)).encode())]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    asyncio.run(Rename(app, names=names)(scope, receive, None))
    return b"".join(got)


def disk_names(got: bytes) -> list[str]:
    return [name.decode() for name in re.findall(rb'filename="(.*?)"\r\n', got)]


@pytest.mark.parametrize("given", AWFUL)
def test_no_name_reaches_the_disk_as_it_was_given(given: str) -> None:
    names = Names()
    (name,) = disk_names(passed(body((given, b"sound")), size=10_000, names=names))
    assert re.fullmatch(r"[0-9a-f]{32}(\.[a-z0-9]+)?", name)
    assert not name.endswith((".php", ".exe"))


def test_the_visitor_sees_the_name_that_they_gave() -> None:
    names = Names()
    (name,) = disk_names(passed(body(("C:\\Music\\été ♪.mp3", b"x")), size=99, names=names))
    assert name.endswith(".mp3")
    assert names.given(name) == "été ♪.mp3"
    assert names.given("unknown") == "piece"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100_000])
def test_the_sound_passes_untouched_in_pieces_of_any_size(size: int) -> None:
    # Sound that looks like a boundary, like headers, and like a file name.
    tricky = b"\r\n--" + BOUNDARY[:-1] + b'\r\n\r\nfilename="a.wav"\r\n--' + bytes(range(256))
    sent = body(("one.wav", tricky), ("two.flac", b""))
    got = passed(sent, size=size, names=Names())
    assert got.count(tricky) == 1
    one, two = disk_names(got.replace(tricky, b""))
    plain = got.replace(one.encode(), b"one.wav").replace(two.encode(), b"two.flac")
    assert plain == sent


def test_what_is_no_upload_is_left_alone() -> None:
    sent = body(("one.wav", b"x"))
    assert passed(sent, size=50, names=Names(), path="/gradio_api/run") == sent


def test_names_are_forgotten_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nitido.web.names.REMEMBERED", 2)
    names = Names()
    first, *_ = [names.replace(f"{i}.wav") for i in range(3)]
    assert names.given(first) == "piece"
