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
from pathlib import Path

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
    print(json.dumps(list(pool.map(restore, ["musicgen", "gentle", "seed"]))))
"""


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
    assert refused == "There is no preset 'seed' here; there are musicgen, gentle, master."


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
        if not (left := [name for name in names if name.startswith("source")]):
            break
        time.sleep(0.1)
    assert left == []
