"""The page over HTTP, in this process: what can be asked, and what nobody can."""

import asyncio
import io
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from tests.web.conftest import ROOT, Visitor

import nitido
from nitido.web.limits import Limits

pytest.importorskip("fastapi")
pytest.importorskip("starlette.testclient")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def app(folder: Path) -> Any:
    from nitido.web.server import make_app

    return make_app(Limits(megabytes=1.0, minutes=0.5, pieces=3), folder=folder)


@pytest.fixture
def ann(app: Any) -> Visitor:
    return Visitor(app)


@pytest.fixture
def bob(app: Any) -> Visitor:
    return Visitor(app)


@pytest.fixture(scope="module")
def restored(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Visitor]:
    """A visitor with a restored piece, and the application."""
    from nitido.web.server import make_app

    app = make_app(folder=tmp_path_factory.mktemp("web"))
    ann = Visitor(app)
    assert ann.wait(ann.drop(clip)["id"])["restored"]
    return app, ann


ADDRESSES = (
    "/api/pieces/1", "/api/pieces/1/files/wav", "/api/pieces/1/files/report",
    "/api/pieces/1/files/plan", "/api/pieces/1/source", "/api/pieces/1/sets/result",
)  # fmt: skip


def test_a_piece_is_sent_examined_restored_and_had_in_any_form(
    restored: tuple[Any, Visitor], clip: Path
) -> None:
    ann = restored[1]
    piece = ann.ask("GET", "/api/pieces/1")[1]
    assert piece["sentence"].startswith("Metallic whine")
    assert nitido.Plan.from_dict(piece["plan"])["decomb"].on
    for address in ADDRESSES:
        assert ann.ask("GET", address)[0] == 200
    wav, rate = sf.read(io.BytesIO(ann.ask("GET", "/api/pieces/1/files/wav")[1]))
    assert len(wav) / rate == pytest.approx(sf.info(clip).duration)
    sounds = ann.ask("GET", "/api/pieces/1/sets/result")[1]["parts"][0]["tracks"]
    assert [ann.ask("GET", f"/{track['url']}")[0] for track in sounds] == [200, 200, 200]
    with zipfile.ZipFile(io.BytesIO(ann.ask("GET", "/api/zip?form=flac")[1])) as bundle:
        names = bundle.namelist()
    assert names == [f"my song_restored{end}" for end in (".flac", ".report.html", ".nitido.json")]


def test_what_is_taken_as_soon_as_it_can_be_had_has_its_report(ann: Visitor, clip: Path) -> None:
    ann.drop(clip)
    while (answer := ann.ask("GET", "/api/zip"))[0] == 404:
        assert ann.ask("GET", "/api/pieces/1")[1]["said"] == ""
    with zipfile.ZipFile(io.BytesIO(answer[1])) as bundle:
        assert "my song_restored.report.html" in bundle.namelist()
    visits = ann.http.app.app.state.site.visits
    assert not visits._coming.total()  # the room that it took is free again
    visits._most = 100
    assert ann.ask("GET", "/api/zip")[0] == 503


def test_nothing_of_a_visitor_can_be_had_or_touched_by_another(
    restored: tuple[Any, Visitor],
) -> None:
    app, ann = restored
    bob = Visitor(app)
    sounds = ann.ask("GET", "/api/pieces/1/sets/result")[1]["parts"][0]["tracks"]
    for address in (*ADDRESSES, *(f"/{track['url']}" for track in sounds), "/api/zip"):
        assert bob.ask("GET", address)[0] == 404
    assert bob.ask("GET", "/api/pieces") == (200, [])
    assert bob.ask("DELETE", "/api/pieces/1")[0] == 404
    assert bob.ask("POST", "/api/pieces/1/restore")[0] == 404
    assert bob.ask("PUT", "/api/pieces/1/choices", {"preset": "gentle"})[0] == 404
    compared = {"versions": [{"piece": 1}, {"piece": 1, "restored": True}]}
    assert bob.ask("POST", "/api/comparisons", compared)[0] == 400
    assert bob.ask("POST", "/api/generate", {"prompt": "x", "melody": 1})[0] == 400
    assert b"my song" not in bob.ask("GET", "/?piece=1")[1]
    assert bob.ask("GET", "/api/state")[1]["tasks"] == []
    assert ann.ask("GET", "/api/pieces/1")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/pieces/../../etc/passwd",
        "/api/pieces/..%2F..%2Fetc%2Fpasswd",
        "/api/pieces/1/files/..%2F..%2Fsource.wav",
        "/api/pieces/1/files/result.wav",
        "/api/pieces/1/files/plan.json",
        "/api/pieces/1/sets/..%2Fresult",
        "/api/pieces/1/sets/result/../../about.json",
        "/api/pieces/1/sets/result/x/0",
        "/api/pieces/1/sets/result/x/-1",
        "/api/pieces/-1",
        "/api/pieces/1e0",
        "/api/pieces/999999999999999999999999",
        "/assets/../server.py",
        "/assets/..%2Fserver.py",
        "/assets/%2Fetc%2Fpasswd",
        f"/assets/{ROOT}/pyproject.toml",
        "//etc/passwd",
        "/docs/oauth2-redirect",
        "/redoc",
        "/gradio_api/file=/etc/passwd",
        "/login",
    ],
)
def test_no_path_is_ever_a_path(restored: tuple[Any, Visitor], path: str) -> None:
    assert restored[1].ask("GET", path)[0] in (404, 422)


def test_a_cookie_is_not_for_scripts_nor_for_other_sites(ann: Visitor) -> None:
    sent = ann.http.get("/").headers["set-cookie"]
    assert "HttpOnly" in sent
    assert "samesite=lax" in sent.lower()
    assert "secure" not in sent.lower()
    assert "set-cookie" not in ann.http.get("/").headers  # it is kept
    proxied = Visitor(ann.http.app).http.get("/", headers={"x-forwarded-proto": "https"})
    assert "secure" in proxied.headers["set-cookie"].lower()


def test_a_cookie_that_was_made_up_is_nobody(app: Any, clip: Path, ann: Visitor) -> None:
    ann.drop(clip, restore=False)
    token = ann.http.cookies["nitido"]
    for wrong in ("", "x", token[:-1], token.upper(), f"{token}.x", "../../x"):
        eve = Visitor(app)
        eve.http.cookies.set("nitido", wrong)
        assert eve.ask("GET", "/api/pieces/1")[0] == 404


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=b", "Multipart/Form-Data", "multipart/x"]
)
def test_a_form_is_not_taken_whatever_stands_in_it(ann: Visitor, folder: Path, kind: str) -> None:
    head = 'Content-Disposition: form-data; name="files"; filename="nmistakable.php"'
    body = f"--b\r\n{head}\r\n\r\nsound\r\n--b--\r\n".encode()
    status, _ = ann.ask("POST", "/api/pieces", content=body, headers={"content-type": kind})
    assert status == 415
    assert files(folder) == ["secret"]


def files(folder: Path) -> list[str]:
    return sorted(name for _, _, names in os.walk(folder) for name in names)


@pytest.mark.parametrize(
    "name",
    [
        "../../nmistakable.php",
        "nmistakable\0.wav",
        "/etc/nmistakable",
        "a/" * 300 + "nmistakable.wav",
    ],
)
def test_no_name_of_a_visitor_comes_to_the_disk(
    ann: Visitor, clip: Path, folder: Path, name: str
) -> None:
    piece = ann.drop(clip, name=name, restore=False)
    assert "mistakable" in piece["name"]
    ann.wait(piece["id"])
    every = [part for _, folders, names in os.walk(folder) for part in folders + names]
    assert not [part for part in every if "mistakable" in part or part.endswith(".php")]


def test_what_is_too_large_or_no_music_is_refused_and_leaves_nothing(
    ann: Visitor, clip: Path, folder: Path
) -> None:
    large = (2**20 + 1) * b"x"

    def parts() -> Iterator[bytes]:  # without saying how long it is
        for _ in range(3):
            yield 2**19 * b"x"

    for content, status, said in (
        (large, 413, "large.wav is larger than 1 MB, which this page takes."),
        (parts(), 413, "large.wav is larger than 1 MB, which this page takes."),
        (b"", 400, "large.wav"),
        (b"This is no sound.", 400, "large.wav is not an audio file"),
        (clip.read_bytes()[:20_000], 400, "large.wav is cut short"),
    ):
        got = ann.ask("POST", "/api/pieces?name=large.wav", content=content)
        assert got[0] == status
        assert got[1]["detail"].startswith(said)
    assert [name for name in files(folder) if name not in ("secret", "about.json")] == []
    ann.drop(clip, restore=False)  # and then it goes on


def test_an_upload_that_says_less_than_it_sends_is_bounded_all_the_same(ann: Visitor) -> None:
    for length in (b"-1", b"x", b"1e3", b"\xb2", b"9" * 5000):
        status, _ = ann.ask("POST", "/api/pieces", content=b"x", headers={"content-length": length})
        assert status in (400, 413)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/api/pieces/1/choices", b"{"),
        ("PUT", "/api/pieces/1/choices", b"\xff"),
        ("PUT", "/api/pieces/1/choices", b"[]"),
        ("PUT", "/api/pieces/1/choices", 50_000 * b"["),
        ("PUT", "/api/pieces/1/choices", b'{"settings": {"bandwidth.amount": 1e999}}'),
        ("PUT", "/api/pieces/1/choices", b'{"settings": {"bandwidth.amount": NaN}}'),
        ("PUT", "/api/pieces/1/choices", b'{"settings": {"stems.mode": "on"}}'),
        ("PUT", "/api/pieces/1/choices", b'{"preset": "../../etc/passwd"}'),
        ("POST", "/api/generate", b'{"prompt": ""}'),
        ("POST", "/api/generate", b'{"prompt": "x", "model": "/etc"}'),
        ("POST", "/api/generate", b'{"prompt": "x", "candidates": 1000}'),
        ("POST", "/api/comparisons", b'{"versions": []}'),
        ("POST", "/api/comparisons", b'{"versions": [{"piece": "/etc/passwd"}]}'),
        ("PUT", "/api/pieces/1/choices", b'{"preset": "' + 2**20 * b"x" + b'"}'),
    ],
)
def test_what_is_no_choice_is_refused_and_changes_nothing(
    restored: tuple[Any, Visitor], method: str, path: str, body: bytes
) -> None:
    ann = restored[1]
    before = ann.ask("GET", "/api/pieces/1")[1]["choices"]
    status, _ = ann.ask(method, path, content=body, headers={"content-type": "application/json"})
    assert status in (400, 413, 422)
    assert ann.ask("GET", "/api/pieces/1")[1]["choices"] == before


def test_there_is_a_bound_to_the_pieces_of_a_visitor(ann: Visitor, clip: Path) -> None:
    for _ in range(3):
        ann.drop(clip, restore=False)
    status, said = ann.ask("POST", "/api/pieces?name=a.wav", content=clip.read_bytes())
    assert (status, said["detail"][:10]) == (400, "You have 3")


def test_a_hundred_requests_leave_memory_and_disk_as_they_were(
    app: Any, ann: Visitor, folder: Path
) -> None:
    for number in range(100):
        someone = Visitor(app)
        for path in ("/", "/api/state", "/api/pieces", f"/api/pieces/{number}", "/api/zip"):
            someone.ask("GET", path)
        someone.ask("POST", "/api/pieces?name=x.wav", content=b"no sound") if number < 3 else None
    visits = ann.http.app.app.state.site.visits
    assert len(visits._visits) <= 3
    assert not [name for name in files(folder) if name not in ("secret", "about.json")]


def test_what_was_removed_is_gone_though_it_was_at_work(
    ann: Visitor, clip: Path, folder: Path
) -> None:
    piece = ann.drop(clip)["id"]
    assert ann.ask("DELETE", f"/api/pieces/{piece}")[0] == 200
    assert ann.ask("GET", f"/api/pieces/{piece}")[0] == 404
    assert not [name for name in files(folder) if name.startswith(("source", "result"))]


def test_a_result_of_earlier_choices_says_so_until_it_was_made_anew(
    restored: tuple[Any, Visitor],
) -> None:
    ann = restored[1]
    settings = {"bandwidth.amount": 0.5}
    _, piece = ann.ask("PUT", "/api/pieces/1/choices", {"settings": settings})
    assert piece["stale"]
    assert piece["choices"]["settings"] == settings
    assert b"You changed something since" in ann.ask("GET", "/?piece=1")[1]
    plan = ann.wait(1)["plan"]
    done = nitido.Plan.from_dict(ann.ask("GET", "/api/pieces/1/files/plan")[1]["plan"])
    assert done["bandwidth"] == nitido.Plan.from_dict(plan)["bandwidth"]
    assert done["bandwidth"].settings["amount"] == 0.5
    for _ in range(3):  # while the one before is still at work
        ann.ask("PUT", "/api/pieces/1/choices", {"preset": "gentle"})
        ann.ask("PUT", "/api/pieces/1/choices", {"preset": "auto"})
    piece = ann.wait(1)
    assert (piece["stale"], piece["said"]) == (False, "")


def test_pieces_and_results_are_there_again_after_a_restart(restored: tuple[Any, Visitor]) -> None:
    from nitido.web.server import make_app

    app, ann = restored
    again = Visitor(make_app(folder=app.app.state.site.visits.folder))
    again.http.cookies.set("nitido", ann.http.cookies["nitido"])
    piece = again.ask("GET", "/api/pieces/1")[1]
    assert (piece["restored"], piece["stale"]) == (True, False)
    assert again.ask("GET", "/api/pieces/1/files/mp3")[0] == 200


def test_downloads_that_wait_for_their_format_keep_nobody_else_waiting(
    restored: tuple[Any, Visitor], clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpx = pytest.importorskip("httpx")
    app, ann = restored
    done = threading.Event()

    def slow(piece: Any, form: str) -> Path:
        done.wait()
        return Path(piece.result_folder / "result.wav")

    monkeypatch.setattr("nitido.web.work.download", slow)

    async def ask() -> tuple[int, bool, set[int]]:
        transport = httpx.ASGITransport(app)
        cookies = {"nitido": ann.http.cookies["nitido"]}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", cookies=cookies
        ) as client:
            downloads = [
                asyncio.create_task(client.get("/api/pieces/1/files/mp3")) for _ in range(50)
            ]
            await asyncio.sleep(0.2)
            sound = {"params": {"kind": "version"}, "content": clip.read_bytes()}
            other = (await client.post("/api/pieces", **sound)).status_code
            late = done.is_set()
            done.set()
            return other, late, {(await one).status_code for one in downloads}

    end = threading.Timer(60, done.set)  # if it waits after all
    end.start()
    assert asyncio.run(ask()) == (201, False, {200})
    end.cancel()


def test_versions_are_compared(ann: Visitor, clip: Path) -> None:
    numbers = [ann.drop(clip, kind="version", name=f"{name}.wav")["id"] for name in "ab"]
    asked = {"versions": [{"piece": number} for number in numbers]}
    _, said = ann.ask("POST", "/api/comparisons", asked)
    assert ann.wait(said["id"])["sentences"]
    page = ann.ask("GET", "/compare")[1].decode()
    assert "a and b" in page
    piece = ann.ask("GET", f"/api/pieces/{said['id']}")[1]
    assert piece["files"] == [f"/api/pieces/{said['id']}/files/report"]
    assert ann.ask("GET", piece["files"][0])[0] == 200
    assert ann.ask("GET", f"/api/pieces/{said['id']}/files/wav")[0] == 400


def test_a_result_made_anew_is_compared_and_what_is_gone_is_named(
    ann: Visitor, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nitido.web import work

    compare_pieces = work.compare_pieces

    def made_anew(piece: Any, sides: Any, *more: Any) -> None:
        own = sides[1].piece
        with own.making("result") as (folder, told):
            shutil.copytree(own.result_folder, folder, dirs_exist_ok=True)
            told |= {**own.result, "folder": folder.name}
        compare_pieces(piece, sides, *more)

    def gone(piece: Any, sides: Any, *more: Any) -> None:
        (sides[1].piece.result_folder / work.SOUND).unlink()
        compare_pieces(piece, sides, *more)

    number = ann.wait(ann.drop(clip)["id"])["id"]
    versions = [{"piece": number}, {"piece": number, "restored": True}]
    for meanwhile, said in ((made_anew, ""), (gone, f"{clip.stem}, restored is not here any more")):
        monkeypatch.setattr(work, "compare_pieces", meanwhile)
        _, comparison = ann.ask("POST", "/api/comparisons", {"versions": versions})
        made = ann.wait(comparison["id"])
        assert bool(made["sentences"]) == (not said)
        assert made["said"].startswith(said)


def test_nobody_waits_for_a_comparison_to_have_what_it_compares(
    ann: Visitor, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nitido.web import work

    compare, given, in_time = work.compare, threading.Event(), []
    number = ann.wait(ann.drop(clip)["id"])["id"]

    def slow(*files: Path, **more: Any) -> Any:
        in_time.append(given.wait(timeout=30))
        return compare(*files, **more)

    monkeypatch.setattr(work, "compare", slow)
    versions = [{"piece": number}, {"piece": number, "restored": True}]
    _, comparison = ann.ask("POST", "/api/comparisons", {"versions": versions})
    while ann.ask("GET", "/api/state")[1]["tasks"][-1]["state"] == "waiting":
        pass
    assert ann.ask("GET", f"/api/pieces/{number}/files/plan")[0] == 200
    given.set()
    assert ann.wait(comparison["id"])["sentences"]
    assert in_time == [True]


def test_what_is_not_made_says_why_by_its_name_and_leaves_nothing(
    ann: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(piece: Any, *_: Any) -> None:
        raise nitido.ConfigError(f"{piece.source} cannot be written.")

    monkeypatch.setattr("nitido.web.work.generate", fail)
    ann.ask("POST", "/api/generate", {"prompt": "a calm song", "seed": 1, "candidates": 1})
    while (task := ann.ask("GET", "/api/state")[1]["tasks"][0])["state"] != "failed":
        assert task["state"] in ("waiting", "working")
    assert task["said"] == "a calm song, seed 1.wav cannot be written."
    assert ann.ask("GET", "/api/pieces") == (200, [])


def test_a_full_server_says_when_to_come_again(ann: Visitor, bob: Visitor, clip: Path) -> None:
    ann.http.app.app.state.site.visits._most = 100
    answer = ann.http.post("/api/pieces?name=a.wav", content=clip.read_bytes())
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "60"
    assert "full" in answer.json()["detail"]


def test_the_api_is_described_without_asking_another_host(ann: Visitor) -> None:
    page = ann.ask("GET", "/docs")[1].decode()
    assert "/api/pieces/{piece}/restore" in page
    assert "//" not in page.replace("://www.w3.org", "")
    schema = ann.ask("GET", "/openapi.json")[1]
    assert "Choices" in schema["components"]["schemas"]


def test_an_album_is_restored_at_one_gain_with_its_edges_untouched(
    ann: Visitor, clip: Path, tmp_path: Path
) -> None:
    wav, rate = sf.read(clip)
    soft = tmp_path / "soft.wav"
    sf.write(soft, 0.25 * wav, rate, subtype="FLOAT")
    numbers = [ann.drop(path, restore=False)["id"] for path in (clip, soft)]
    for number in numbers:
        ann.wait(number)
    ann.ask("POST", "/api/restore", params={"album": True})
    pieces = [ann.wait(number) for number in numbers]
    assert [(one["restored"], one["stale"], one["said"]) for one in pieces] == [
        (True, False, ""),
        (True, False, ""),
    ]
    plans = [ann.ask("GET", f"/api/pieces/{number}/files/plan")[1] for number in numbers]
    loudness, other = (nitido.Plan.from_dict(told["plan"])["loudness"] for told in plans)
    assert loudness.settings["gain_db"] == other.settings["gain_db"]
    assert "album of 2" in loudness.reason
    assert not pieces[0]["plan"]["steps"][-2]["on"]
    assert b"its edges are left alone" in ann.ask("GET", f"/?piece={numbers[0]}")[1]
    _, told = ann.ask("POST", "/api/restore", params={"album": False})
    assert len([task for task in told["tasks"] if task["state"] in ("waiting", "working")]) == 2
    assert not ann.wait(numbers[1])["choices"]["album"]


def test_the_tone_of_a_reference_is_what_a_piece_comes_nearer_to(
    ann: Visitor, bob: Visitor, clip: Path, tmp_path: Path
) -> None:
    wav, rate = sf.read(clip)
    dark = tmp_path / "dark.wav"
    sf.write(dark, np.convolve(wav, np.full(8, 1 / 8), "same"), rate, subtype="FLOAT")
    number = ann.drop(clip, restore=False)["id"]
    reference = ann.drop(dark, kind="reference")["id"]
    ann.wait(number)
    assert ann.wait(reference)["sentence"]
    asked = f"/api/pieces/{number}/choices"
    assert ann.ask("PUT", asked, {"reference": 99})[0] == 400
    _, piece = ann.ask("PUT", asked, {"settings": {"width.amount": 0.5}, "reference": reference})
    plan = nitido.Plan.from_dict(piece["plan"])
    assert plan["match"].on
    assert "the reference" in plan["match"].reason
    assert plan["width"].settings["amount"] == 0.5
    _, piece = ann.ask("PUT", asked, {**piece["choices"], "reference": None})
    assert piece["choices"]["settings"] == {"width.amount": 0.5}
    other = bob.drop(clip, restore=False)["id"]
    bob.wait(other)
    theirs = {"reference": reference}
    assert bob.ask("PUT", f"/api/pieces/{other}/choices", theirs)[0] == 400


def test_no_path_of_the_server_is_told(ann: Visitor, clip: Path) -> None:
    number = ann.drop(clip, restore=False)["id"]
    ann.wait(number)
    (visit,) = ann.http.app.app.state.site.visits._visits.values()
    piece = visit.pieces[number]
    for path in (piece.source, piece.folder / "0123" / "result.wav", piece.folder):
        assert piece.named(f"{path} was moved.") == "my song.wav was moved."
