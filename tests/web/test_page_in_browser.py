"""The page as a musician uses it, in a real browser."""

import io
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import soundfile as sf
from tests.web.conftest import Server

import nitido

TYPE_SCALE = {"14px", "16px", "20px", "28px"}
# The sizes of all text that is to be seen.
SIZES = """
() => [...document.querySelectorAll("body *")].filter((e) =>
  e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length &&
  [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())
).map((e) => getComputedStyle(e).fontSize)
"""
PATIENCE_SECONDS = 180  # on a slow machine; nothing here waits for a time to pass
AXE = Path(os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js"))
VIOLATIONS = """
() => axe.run(document).then(({ violations }) =>
  violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`))
"""


class Musician:
    """Somebody with a browser, and what it asked for."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, **options}
        )
        self.url = url
        self.asked: list[str] = []
        self.broken: list[str] = []
        self.page = self.open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def open(self, path: str = "") -> Any:
        """Open a page in another tab."""
        page = self.context.new_page()
        page.set_default_timeout(1000 * PATIENCE_SECONDS)
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.broken.append(str(error)))
        page.goto(f"{self.url}/{path}")
        return page

    def go(self, to: str) -> None:
        """Follow a link of the navigation; the page is there when its script runs."""
        self.page.click(f"nav >> text={to}")
        self.page.wait_for_url(f"**/{to.lower()}")

    def drop(self, *files: Path) -> None:
        """Drop pieces."""
        self.page.set_input_files("#files", [str(file) for file in files])

    def restored(self) -> None:
        """Wait until the piece that is shown is restored, and can be heard from start to end."""
        self.page.wait_for_selector("#downloads a.download")
        self.page.wait_for_selector("[data-track='2']:enabled")
        self.page.wait_for_selector("#status:empty", state="attached")  # it is no preview

    @property
    def state(self) -> dict[str, Any]:
        """How the player stands."""
        found: dict[str, Any] = self.page.evaluate("nitido.state")
        return found

    def until(self, true: Callable[[], bool]) -> None:
        """Wait until something is so; the policy of the page lets no test look from inside."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not true():
            assert time.monotonic() < end, "it did not come to that"
            time.sleep(0.1)


@pytest.fixture
def musician(browser: Any, server: Server) -> Iterator[Musician]:
    with Musician(browser, server.url) as someone:
        yield someone
    assert someone.broken == []
    strange = [url for url in someone.asked if not url.startswith((server.url, "data:", "blob:"))]
    assert strange == []  # no other host was asked, whatever was done


def test_a_song_plays_at_once_and_before_and_after_switch_while_it_plays(
    musician: Musician, shared_audio: Path
) -> None:
    page = musician.page
    musician.drop(shared_audio / "musicgen" / "azira18_rock-90s.wav")
    page.wait_for_selector("#player:not([hidden])")
    musician.until(lambda: bool(musician.state["playing"]))
    begun = time.monotonic()
    page.wait_for_selector("text=Metallic whine, moderate; treble ends at 14")
    musician.restored()
    on = musician.state["playing"]
    assert on or time.monotonic() - begun > 9  # it went on, or the ten seconds are over
    for place in ("#theme", "#volume", "#more summary", "[data-track='0']"):
        page.focus(place)
        for key in "321":
            page.keyboard.press(key)
            assert musician.state["track"] == int(key) - 1
    assert page.locator("#list svg").count() == 4
    assert "Repaired. The comb every 400 Hz is gone" in page.inner_text("[data-row=decomb]")
    page.click("[data-row=ending] [data-hear]")
    musician.until(lambda: musician.state["loop"] and musician.state["region"][1] > 9)
    page.focus("#bandwidth-amount")
    playing = musician.state["playing"]
    page.keyboard.press("Space")
    assert musician.state["playing"] is not playing
    for form, end in (("wav", ".wav"), ("flac", ".flac"), ("mp3", ".mp3"), ("report", ".html")):
        with page.expect_download() as waiting:
            page.click(f"a.download[href$='/{form}']")
        assert waiting.value.suggested_filename.startswith("azira18_rock-90s_restored")
        assert waiting.value.suggested_filename.endswith(end)
    with page.expect_download() as waiting:
        page.click("a.download[href$='/plan']")
    plan = nitido.Plan.from_json(Path(waiting.value.path()).read_text("utf-8"))
    assert plan["bandwidth"].on
    with musician.context.expect_page() as opened:
        page.click("text=Read the report in a new tab")
    opened.value.wait_for_selector("#play:enabled")
    assert "comb every 400 Hz is gone" in opened.value.inner_text("body")


def test_a_slider_is_heard_in_a_preview_and_then_in_the_whole_piece(
    musician: Musician, clip: Path
) -> None:
    page = musician.page
    musician.drop(clip)
    musician.restored()
    slider = page.locator("#bandwidth-amount")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    page.wait_for_selector("[data-row=bandwidth].own")
    assert page.evaluate("document.activeElement.id") == "bandwidth-amount"  # the focus stays
    assert page.inner_text("#bandwidth-shown") == "80 %"
    page.wait_for_selector("#news:has-text('The preview is ready')", state="attached")
    page.wait_for_selector("[data-row=bandwidth].own:is(.done, .left)")  # nothing was pressed
    page.wait_for_selector("#downloads h2:not(:has(small))")
    assert page.evaluate("document.activeElement.id") == "bandwidth-amount"
    page.locator("#decomb-on").uncheck()
    page.wait_for_selector("#more [data-row=decomb].off")  # unfolded, as the focus goes with it
    assert page.evaluate("document.activeElement.id") == "decomb-on"
    assert "you switched it off" in page.inner_text("[data-row=decomb]")
    page.click("#reset")
    page.wait_for_selector("[data-row=decomb]:not(.off)")
    assert page.evaluate("document.activeElement.id") == "repairs"
    page.check("#preset-gentle")
    page.wait_for_selector("#list:not(:has(.own))")
    page.wait_for_selector("[data-row=width].left")


def test_several_pieces_are_restored_and_come_as_one_file(
    musician: Musician, clip: Path, tmp_path: Path
) -> None:
    page = musician.page
    second, text, big = (tmp_path / f"{name}.wav" for name in ("second", "text", "big"))
    second.write_bytes(clip.read_bytes())
    text.write_text("This is no sound.")
    big.write_bytes(b"RIFF" + bytes(5 * 2**20))
    musician.drop(clip, text, big, second)  # two good ones, two that cannot be taken
    page.wait_for_selector("table.pieces tr:nth-child(2) .verdict:has-text('repaired')")
    page.wait_for_selector("table.pieces tr:nth-child(1) .verdict:has-text('repaired')")
    said = page.inner_text("#notices")
    assert "text.wav is not an audio file that nitido can read" in said
    assert "big.wav is larger than 4 MB" in said
    with page.expect_download() as waiting:
        page.click("text=All results as ZIP")
    names = nitido_names(Path(waiting.value.path()))
    assert [name for name in names if name.endswith(".wav")] == [
        "my song_restored.wav", "second_restored.wav",
    ]  # fmt: skip
    page.click("table.pieces tr:nth-child(2) a")
    page.wait_for_selector("#name:has-text('second.wav')")
    musician.until(lambda: page.evaluate("document.activeElement.id") == "name")
    page.go_back()
    page.wait_for_selector("#name:has-text('my song.wav')")
    page.click("[aria-label='Remove second.wav']")
    page.wait_for_selector("table.pieces", state="detached")
    musician.until(lambda: page.evaluate("document.activeElement !== document.body"))


def nitido_names(path: Path) -> list[str]:
    import zipfile

    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as bundle:
        return bundle.namelist()


def test_a_long_piece_is_heard_part_by_part_and_a_place_is_found_in_its_part(
    browser: Any, clip: Path, long_clip: Path
) -> None:
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Server(Path(folder), "parts") as server,
        Musician(browser, server.url) as someone,
    ):
        page = someone.page
        cut = Path(folder) / "cut.wav"
        wav, rate = sf.read(long_clip)
        sf.write(cut, wav[: int(9.9 * rate)], rate)
        someone.drop(cut)
        someone.restored()
        page.wait_for_selector("#part option:nth-child(3)", state="attached")
        assert page.locator("#part option").all_inner_texts()[0] == "0:00 to 0:04"
        page.click("[data-row=ending] [data-hear]")
        someone.until(lambda: someone.state["offset"] == 8)
        someone.until(lambda: page.input_value("#part") == "2")
        page.select_option("#part", "1")
        someone.until(lambda: someone.state["offset"] == 4)
        someone.until(lambda: page.inner_text("#time").endswith("/ 0:08.0"))
        assert someone.broken == []


def test_a_full_server_keeps_the_file_that_was_dropped_and_says_so(
    browser: Any, clip: Path
) -> None:
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Server(Path(folder), "full") as server,
        Musician(browser, server.url) as someone,
    ):
        someone.drop(clip)
        someone.page.wait_for_selector("#sending:has-text('The server is full')")
        assert "sent again by itself" in someone.page.inner_text("#sending")
        someone.page.wait_for_selector("#player:not([hidden])")  # it can be heard as it came


def test_reloading_another_tab_and_going_back_lose_nothing(musician: Musician, clip: Path) -> None:
    page = musician.page
    musician.drop(clip)
    musician.restored()
    page.reload()
    musician.restored()
    other = musician.open()
    other.wait_for_selector("#downloads a.download")
    other.locator("#width-on").uncheck()
    page.wait_for_selector("#width-on:not(:checked)", state="attached")  # in the first one, too
    musician.go("Compare")
    page.wait_for_selector("text=my song.wav, restored")
    page.go_back()
    page.wait_for_selector("#name:has-text('my song.wav')")


def test_the_bar_stays_in_sight_and_cancel_stops_the_work(
    musician: Musician, held_clip: Path
) -> None:
    page = musician.page
    musician.drop(held_clip)
    page.wait_for_selector("#doing:has-text('Restoring')")
    for top in (0, 10_000):
        page.evaluate(f"scrollTo(0, {top})")
        box = page.locator("#restore").bounding_box()
        assert 0 < box["y"] < 900
    page.click("#cancel")
    told = "Restoring held.wav: cancelled. Nothing was changed."
    page.wait_for_selector(f"#news:has-text('{told}')", state="attached")
    page.wait_for_selector("#cancel:disabled")
    assert page.locator("#downloads a").count() == 0


def test_a_recording_is_a_piece_like_any_other(musician: Musician) -> None:
    page = musician.page
    page.click("#record")
    page.wait_for_selector("#record[aria-pressed=true]")
    page.wait_for_timeout(2000)
    page.click("#record")
    page.wait_for_selector("#name:has-text('Recording')")
    page.wait_for_selector("#head .lead:not(.soft)")


def test_words_become_candidates_and_one_goes_on_to_be_restored(musician: Musician) -> None:
    page = musician.page
    musician.go("Generate")
    page.click("[data-prompt] >> nth=1")
    page.fill("[name=seed]", "7")
    page.click("#generate")
    page.wait_for_selector(".clip:nth-child(2)")
    names = {f"Epic strings and brass, seed {seed}" for seed in (7, 8)}
    assert set(page.locator(".clip h3").all_inner_texts()) == names  # made side by side
    page.click("#generate")
    page.wait_for_selector(".clip:nth-child(4)")  # the earlier ones stay
    page.fill("#prompt", "nothing")
    page.click("#generate")
    page.wait_for_selector("#notices:has-text('The model said no.')")
    page.click(".clip:has-text('seed 8') [data-take] >> nth=0")
    page.wait_for_selector("#name:has-text('Epic strings and brass, seed 8')")
    musician.restored()


def test_two_files_are_compared(musician: Musician, clip: Path, tmp_path: Path) -> None:
    page = musician.page
    other = tmp_path / "other.wav"
    wav, rate = sf.read(clip)
    sf.write(other, 0.5 * wav, rate)
    musician.go("Compare")
    page.set_input_files("#versions", [str(clip), str(other)])
    page.wait_for_selector("[data-version] >> nth=1")
    page.click("#compare")
    page.wait_for_selector("#notices:has-text('Two are needed')")
    page.select_option("[data-version] >> nth=0", "before")
    page.select_option("[data-version] >> nth=1", "after")
    page.click("#compare")
    page.wait_for_selector("#player:not([hidden])")
    page.wait_for_selector("#head:has-text('It plays at')")
    page.wait_for_selector("[data-track='1']:has-text('other')")


def test_every_screen_is_wide_enough_and_has_one_scale_of_type(
    musician: Musician, clip: Path
) -> None:
    page = musician.page
    musician.drop(clip)
    musician.restored()
    sizes: set[str] = set()
    for path in ("", "generate", "compare", "docs"):
        page.goto(f"{musician.url}/{path}")
        for width in (320, 390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            sizes |= set(page.evaluate(SIZES))
    assert sizes - {"0px"} <= TYPE_SCALE


def violations(page: Any) -> Any:
    page.add_script_tag(content=AXE.read_text("utf-8"))
    return page.evaluate(VIOLATIONS)


def test_axe_finds_nothing_wrong(browser: Any, server: Server, clip: Path, tmp_path: Path) -> None:
    second, text = tmp_path / "second.wav", tmp_path / "text.wav"
    second.write_bytes(clip.read_bytes())
    text.write_text("This is no sound.")
    if not AXE.is_file():
        pytest.skip("axe-core is not there: npm install axe-core, or AXE_CORE=…/axe.min.js")
    for scheme in ("light", "dark"):
        with Musician(browser, server.url, color_scheme=scheme, bypass_csp=True) as someone:
            look_at(someone, clip, text, second)


def look_at(someone: Musician, *files: Path) -> None:
    page = someone.page
    assert violations(page) == []  # nothing here yet
    someone.drop(*files)
    page.wait_for_selector("#notices p")
    page.wait_for_selector("table.pieces tr:nth-child(2) .verdict:has-text('repaired')")
    someone.restored()
    page.click("#more summary")
    page.locator(".what summary").first.click()
    page.locator("#decomb-on").uncheck()
    page.wait_for_selector("#decomb-on:not(:checked)")
    assert violations(page) == []  # a table, a notice, all unfolded, changed
    for path in ("generate", "compare", "docs"):
        page.goto(f"{someone.url}/{path}")
        assert violations(page) == []


def test_it_is_dark_where_the_system_is_until_a_hand_turns_it(browser: Any, server: Server) -> None:
    with Musician(browser, server.url, color_scheme="dark") as someone:

        def light() -> float:
            paper = someone.page.evaluate("getComputedStyle(document.body).backgroundColor")
            return sum(map(int, re.findall(r"\d+", paper)[:3])) / (3 * 255)

        assert light() < 0.2
        someone.page.click("#theme")
        assert light() > 0.9
        someone.page.reload()
        assert light() > 0.9  # it is remembered
        assert someone.page.inner_text("#theme") == "Dark"


def test_a_loop_is_said_to_be_one_until_a_hand_says_no(musician: Musician, tmp_path: Path) -> None:
    moments = np.arange(3 * 44_100) / 44_100
    wav = 0.3 * np.sin(2 * np.pi * 441 * moments, dtype=np.float32)[None]
    piece = nitido.audio.ArraySource(wav, 44_100, tags={"loopstart": ["0"]})
    musician.drop(nitido.restore(piece, stages=["ending"]).write(tmp_path / "loop.wav"))
    page = musician.page
    page.wait_for_selector("#more")
    page.click("#more summary")
    assert page.is_checked("#is-loop")
    assert "loop: its end runs on into its start" in page.inner_text("[data-row=ending]")
    page.uncheck("#is-loop")
    page.wait_for_selector("[data-row=ending]:not(.none)")
    page.check("#is-loop")
    page.wait_for_selector("[data-row=ending].none", state="attached")


def test_a_piece_is_checked_for_where_it_goes(musician: Musician, clip: Path) -> None:
    page = musician.page
    musician.drop(clip)
    musician.restored()
    page.select_option("#target", "broadcast")
    page.click("#check")
    page.wait_for_selector("#fit .told:has-text('Not fit for broadcast (EBU R 128): loudness')")
    page.wait_for_selector("#fit li:has-text('LU louder than −23.0 LUFS')")


def test_a_server_that_is_started_again_is_noticed_and_nothing_is_lost(
    browser: Any, clip: Path
) -> None:
    known = {"username": "ann", "password": "secret"}
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Server(Path(folder), "without-torch", "auth", f"in={folder}/files") as server,
        Musician(browser, server.url, http_credentials=known) as someone,
    ):
        page = someone.page
        someone.drop(clip)
        someone.restored()
        server.kill()
        page.wait_for_selector("#lost:not([hidden])")
        server.start()
        page.wait_for_selector("#lost", state="hidden")
        page.reload()
        someone.restored()
        someone.go("Generate")
        assert page.inner_text(".absent code") == "pip install 'nitido[generate]'"
