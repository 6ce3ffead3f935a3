"""The page over HTTP: what a program can ask, and what nobody can."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import soundfile as sf
from tests.web.conftest import ROOT, Server

import nitido

# Three calls at once, each by a client of its own; what they gave, and what was refused.
CALLS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from gradio_client import Client, handle_file

url, song = sys.argv[1:]
def restore(preset):
    client = Client(url, verbose=False)
    try:
        return client.predict(file=handle_file(song), preset=preset, api_name="/restore")
    except Exception as error:
        return str(error)
with ThreadPoolExecutor() as pool:
    print(json.dumps(list(pool.map(restore, ["musicgen", "gentle", "demucs"]))))
"""

MULTIPART = "multipart/form-data; boundary=b"
HEAD = 'Content-Disposition: form-data; name="files"; filename="nmistakable.php"'
FILE = {"_type": "gradio.FileData"}


def program(code: str, *arguments: str, cwd: Path) -> str:
    """What a program says; it gets no proxy and its temporary files go away."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)


def test_the_example_of_the_page_on_the_page_runs(
    server: Server, clip: Path, tmp_path: Path
) -> None:
    text = (ROOT / "docs" / "web.md").read_text("utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    shutil.copy(clip, tmp_path / "song.wav")
    said = program(example.replace("http://127.0.0.1:7860", server.url), cwd=tmp_path)
    assert "A metallic comb every 400 Hz" in said
    *_, path, stages = said.splitlines()
    assert "decomb" in stages
    assert sf.info(path).format == "FLAC"
    assert sf.info(path).duration == pytest.approx(sf.info(clip).duration)


def test_restorations_side_by_side_all_finish_and_a_wrong_one_says_why(
    server: Server, clip: Path, tmp_path: Path
) -> None:
    standard, gentle, refused = json.loads(program(CALLS, server.url, str(clip), cwd=tmp_path))
    assert standard[2]["preset"] == "musicgen"
    assert gentle[2]["preset"] == "gentle"
    assert Path(standard[0]).read_bytes() != Path(gentle[0]).read_bytes()
    assert nitido.diagnose(standard[0])["bandwidth"].value > 18_000
    assert refused == "There is no preset 'demucs' here; there are musicgen, gentle, master."


def test_no_file_on_the_disk_has_a_visitor_s_name(
    server: Server, clip: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "Ünmistakable name.wav"
    shutil.copy(clip, odd)
    upload = (
        "import pathlib, sys; from gradio_client import Client, handle_file\n"
        "client = Client(sys.argv[1], verbose=False)\n"
        "client.predict(file=handle_file(sys.argv[2]), api_name='/restore')\n"
        "print(*(path.name for path in pathlib.Path(sys.argv[3]).rglob('*')), sep='/')"
    )
    names = program(upload, server.url, str(odd), str(server.folder), cwd=tmp_path).split("/")
    assert "source.wav" in names
    assert not [name for name in names if "nmistakable" in name]


@pytest.mark.parametrize(
    "path",
    [
        "/pieces/x/1/y/result.wav",
        "/gradio_api/file=/etc/passwd",
        f"/gradio_api/file={ROOT}/pyproject.toml",
        "/gradio_api/file=../../etc/passwd",
        "/gradio_api/proxy=https://example.org/",
        "/gradio_api/file=http://example.org/",
        "/pieces/..%2F..%2Fetc/1/y/passwd",
    ],
)
def test_nobody_gets_a_file_that_is_not_theirs(server: Server, path: str) -> None:
    assert status(server.url + path) >= 400


def test_a_visitor_s_files_are_gone_when_they_have_left(
    server: Server, clip: Path, tmp_path: Path
) -> None:
    program(CALLS, server.url, str(clip), cwd=tmp_path)
    for _ in range(200):  # its connection is looked at every five seconds
        # os.walk, for a folder may vanish while it is looked through.
        names = [name for _, _, files in os.walk(server.folder) for name in files]
        kinds = ("source", "result", "report")
        if not (left := [name for name in names if name.startswith(kinds)]):
            break
        time.sleep(0.1)
    assert left == []


class Stranger:
    """Somebody who writes requests by hand."""

    def __init__(self, server: Server, session: str) -> None:
        self._address = urlsplit(server.url).netloc
        self._session = session

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        with closing(HTTPConnection(self._address, timeout=60)) as connection:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def upload(self, content: bytes, *, kind: str = MULTIPART, head: str = HEAD) -> tuple[int, Any]:
        """Upload a file, with any spelling of the headers."""
        body = f"--b\r\n{head}\r\n\r\n".encode() + content + b"\r\n--b--\r\n"
        status, said = self.ask("POST", "/gradio_api/upload", body, content_type=kind)
        return status, json.loads(said) if status == 200 else said.decode()

    def call(self, **asked: Any) -> tuple[int, str]:
        """Call `/diagnose`; return what the server says, whether it takes the call or refuses."""
        call = {"fn_index": self._number("diagnose"), "session_hash": self._session, **asked}
        body = json.dumps(call).encode()
        status, said = self.ask("POST", "/gradio_api/queue/join", body)
        if status == 200:
            said = self.ask("GET", f"/gradio_api/queue/data?session_hash={self._session}")[1]
        return status, said.decode()

    def _number(self, name: str) -> int:
        _, said = self.ask("GET", "/config")
        functions = json.loads(said)["dependencies"]
        return int(next(f["id"] for f in functions if f["api_name"] == name))


@pytest.fixture
def ann(server: Server) -> Stranger:
    return Stranger(server, "ann")


@pytest.fixture
def bob(server: Server) -> Stranger:
    return Stranger(server, "bob")


def test_a_file_is_its_visitor_s_alone(ann: Stranger, bob: Stranger, clip: Path) -> None:
    _, (path,) = ann.upload(clip.read_bytes())
    assert '"findings"' in ann.call(data=[{"path": path, "meta": FILE}])[1]
    _, (path,) = ann.upload(clip.read_bytes())
    ann.call(data=[None], event_data={"path": path})  # it is Ann's now
    status, said = bob.call(data=[{"path": path, "meta": FILE}])
    assert (status, said) == (
        400,
        "There is no such upload of yours any more; send the file again.",
    )


@pytest.mark.parametrize("meta", [FILE, {"_type": "x"}, None])
def test_no_file_of_the_server_and_no_other_host_can_be_named(
    ann: Stranger, clip: Path, meta: Any
) -> None:
    _, (own,) = ann.upload(clip.read_bytes())
    named = {"meta": meta} if meta else {}
    for path in (
        str(clip),
        f"{ROOT}/pyproject.toml",
        f"{own}/../../../..{clip}",
        f"file://{clip}",
        "http://127.0.0.1:9/song.wav",
        "https://example.org/song.wav",
        "",
        None,
        [own],
        {"path": own},
    ):
        for data in (
            [{"path": path, **named}],
            [[{"path": path, **named}]],
            [{"deep": [{"in": {"path": path, **named}}]}],
            [{"path": path, "url": own, "is_stream": True, **named}],
        ):
            assert ann.call(data=data)[0] == 400
        assert ann.call(data=[None], event_data={"path": path, **named})[0] == 400
    # What is no file as Gradio knows one is none for the page either.
    for data in ([str(clip)], [own], [[own]], [{"url": str(clip)}], [{"name": own}]):
        assert '"findings"' not in ann.call(data=data)[1]
    url = "http://127.0.0.1:9/song.wav"
    assert '"findings"' in ann.call(data=[{"path": own, "url": url, **named}])[1]  # it is not asked


def test_what_is_no_file_is_not_held_in_memory(ann: Stranger) -> None:
    form, kind = b"files=" + 3 * 2**20 * b"x", "application/x-www-form-urlencoded"
    assert ann.ask("POST", "/gradio_api/upload", form, content_type=kind)[0] == 415
    for head in (
        'Content-Disposition: form-data; name="files"',
        HEAD + "\r\nX-Long: " + "x" * 2**20,
    ):
        assert ann.upload(3 * 2**20 * b"x", head=head)[0] == 400


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("Multipart/Form-Data; Boundary=b", HEAD),
        ("multipart/form-data; boundary=x; boundary=b", HEAD),
        ("multipart/form-data; xboundary=x; boundary=b", HEAD),
        ('multipart/form-data; boundary="b"', HEAD),
        (MULTIPART, HEAD.replace("filename=", "filename =")),
        (MULTIPART, HEAD.replace("filename=", "FileName=")),
        (MULTIPART, HEAD.replace("filename=", "filename*=utf-8''")),
        (MULTIPART, HEAD.replace("filename=", "filename*0=")),
        (MULTIPART, HEAD.replace('"nmistakable.php"', "nmistakable.php")),
        (MULTIPART, HEAD.replace("; filename", ";\tfilename")),
        (MULTIPART, HEAD.replace("nmistakable", "../../nmistakable")),
        (MULTIPART, HEAD + "\r\n" + HEAD),
        ("application/x-www-form-urlencoded; boundary=b", HEAD),
    ],
)
def test_no_spelling_brings_a_visitor_s_name_to_the_disk(
    server: Server, ann: Stranger, kind: str, head: str
) -> None:
    status, _ = ann.upload(b"sound", kind=kind, head=head)
    assert status in (200, 400, 415)
    names = [name for _, folders, files in os.walk(server.folder) for name in folders + files]
    assert not [name for name in names if "mistakable" in name or name.endswith(".php")]
