"""The page as a musician uses it, in a real browser."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from tests.web.conftest import Server

import nitido

DROP = "#drop input[type=file]"
READY = "iframe.report.ready"
TYPE_SCALE = {"14px", "16px", "20px", "28px"}
# The sizes of all text that is to be seen.
SIZES = """
() => [...document.querySelectorAll(".gradio-container *")].filter((e) =>
  e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length &&
  [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())
).map((e) => getComputedStyle(e).fontSize)
"""


class Visitor:
    """A visitor: a page, and what their browser asked for."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, **options}
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.asked: list[str] = []
        self.broken: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.broken.append(str(error)))
        self.page.goto(url)
        self.page.wait_for_selector(DROP, state="attached")
        self.page.wait_for_function("document.querySelector('#theme')?.ariaLabel")

    def drop(self, *files: Path) -> None:
        """Drop pieces and wait for what is found."""
        self.page.set_input_files(DROP, [str(file) for file in files])
        self.page.wait_for_selector(f".pieces li:nth-child({len(files)})")
        self.page.wait_for_selector(".plan")
        self.page.wait_for_selector("#restore:enabled")

    def restore(self) -> Any:
        """Restore; return the report's frame."""
        self.page.click("#restore")
        return self.report("#result")

    def report(self, place: str) -> Any:
        """Wait for the report at a place of the page; return its frame."""
        frame = self.page.wait_for_selector(f"{place} {READY}").content_frame()
        frame.wait_for_selector("#play:enabled")
        return frame


@pytest.fixture
def visitor(browser: Any, server: Server) -> Iterator[Visitor]:
    someone = Visitor(browser, server.url)
    yield someone
    assert someone.broken == []
    strange = [url for url in someone.asked if not url.startswith((server.url, "data:", "blob:"))]
    assert strange == []  # no other host was asked, whatever was done
    someone.context.close()


def state(report: Any) -> dict[str, Any]:
    found: dict[str, Any] = report.evaluate("nitido.state")
    return found


def test_a_loop_is_said_to_be_one_until_a_hand_says_no(visitor: Visitor, tmp_path: Path) -> None:
    time = np.arange(3 * 44_100) / 44_100
    wav = 0.3 * np.sin(2 * np.pi * 441 * time, dtype=np.float32)[None]
    piece = nitido.audio.ArraySource(wav, 44_100, tags={"loopstart": ["0"]})
    visitor.drop(nitido.restore(piece, stages=["ending"]).write(tmp_path / "loop.wav"))
    page = visitor.page
    row = page.locator("[data-stage=ending]")
    assert row.locator("[name=loop]").is_checked()
    assert "A loop: its end runs on into its start" in row.inner_text()
    row.locator("[name=loop]").uncheck()
    page.wait_for_selector("[data-stage=ending]:not(.off)")
    row.locator("[name=loop]").check()
    page.wait_for_selector("[data-stage=ending].off")


def test_a_piece_is_checked_for_where_it_goes(visitor: Visitor, clip: Path) -> None:
    visitor.drop(clip)
    visitor.page.click("#check")
    visitor.page.wait_for_selector("#verdict [role=status]")
    told = visitor.page.inner_text("#verdict")
    assert nitido.check(clip).sentence in told
    visitor.page.click("#target input")
    visitor.page.get_by_role("option", name="broadcast (EBU R 128)").click()
    visitor.page.click("#check")
    visitor.page.wait_for_selector("#verdict :text('fit for broadcast (EBU R 128)')")


def test_a_real_clip_is_examined_restored_listened_to_and_downloaded(
    visitor: Visitor, shared_audio: Path
) -> None:
    page = visitor.page
    visitor.drop(shared_audio / "musicgen" / "azira18_rock-90s.wav")
    assert "A metallic comb every 400 Hz stands" in page.inner_text("#found")
    assert page.locator("#found svg").count() == page.locator("#found article").count() == 4
    assert "Comb every 400 Hz" in page.inner_text("[data-stage=decomb]")

    page.locator("[data-stage=bandwidth] [type=range]").fill("0.5")
    page.wait_for_selector("[data-stage=bandwidth].own")
    assert page.inner_text("[data-stage=bandwidth] output") == "50 %"

    report = visitor.restore()
    assert "comb every 400 Hz is gone" in report.inner_text("body")
    report.click("[data-track='1']")
    report.click("#play")
    page.wait_for_timeout(600)
    assert state(report)["position"] > 0.2
    assert state(report)["track"] == 1
    report.click("#play")
    report.click("#wave", position={"x": 300, "y": 40})
    assert state(report)["position"] > 1
    # All of it is to be seen: the frame is as tall as what is in it.
    assert report.evaluate("document.documentElement.scrollHeight - innerHeight") <= 1

    for name, container in (("WAV", "WAV"), ("FLAC", "FLAC"), ("MP3", "MP3"), ("Opus", "OGG")):
        with page.expect_download() as waiting:
            page.click(f"a.download:has-text('{name}')")
        assert waiting.value.suggested_filename == f"azira18_rock-90s_restored.{name.lower()}"
        got = sf.info(waiting.value.path())
        assert got.format == container
        assert got.duration == pytest.approx(9.94, abs=0.1)
    with page.expect_download() as waiting:
        page.click("a.download:has-text('Plan')")
    done = nitido.Plan.from_json(Path(waiting.value.path()).read_text("utf-8"))
    assert done["bandwidth"].settings["amount"] == 0.5
    with page.expect_download() as waiting:
        page.click("a.download:has-text('Report')")
    assert waiting.value.suggested_filename == "azira18_rock-90s_restored.report.html"


def test_presets_switches_and_sliders_say_what_they_would_do(visitor: Visitor, clip: Path) -> None:
    page = visitor.page
    visitor.drop(clip)
    assert page.is_checked("[data-stage=width] [role=switch]")
    page.click(".presets label:has-text('Gentle')")
    page.wait_for_selector("[data-stage=width].off")
    assert page.inner_text("[data-stage=width] p") == "Off in this preset."
    page.click("[data-stage=width] .switch")
    page.wait_for_selector("[data-stage=width].own:not(.off)")
    assert page.is_checked("[data-stage=width] [role=switch]")
    page.click("[data-stage=decomb] .switch")
    page.wait_for_selector("[data-stage=decomb].own.off")
    page.locator("[data-stage=loudness] [type=range]").fill("-18")
    page.wait_for_selector("[data-stage=loudness].own")
    assert "−18 LUFS" in page.inner_text("[data-stage=loudness]")
    page.click("[data-reset]")
    page.wait_for_selector(".plan:not(.changed)")
    assert page.is_checked("[data-stage=decomb] [role=switch]")
    assert not page.is_checked("[data-stage=width] [role=switch]")
    assert page.locator("[data-stage=loudness] [type=range]").input_value() == "-14"


def test_several_pieces_are_restored_each_by_its_own_plan(
    visitor: Visitor, clip: Path, tmp_path: Path
) -> None:
    page = visitor.page
    second = tmp_path / "second.wav"
    second.write_bytes(clip.read_bytes())
    visitor.drop(clip, second)
    assert page.inner_text("#found h2 small").endswith("second.wav")
    page.click("[data-stage=width] .switch")
    page.wait_for_selector("[data-stage=width].own")
    page.click("#restore-all")
    page.wait_for_selector(".pieces li:nth-child(2):has-text('restored')")
    assert page.locator(".pieces li:has-text('restored')").count() == 2
    assert "mono and is stereo now" not in visitor.report("#result").inner_text("body")
    page.click(".pieces li:nth-child(1) [data-choose]")
    page.wait_for_selector("#result h2:has-text('my song.wav')")
    assert "mono and is stereo now" in visitor.report("#result").inner_text("body")
    page.click(".pieces li:nth-child(1) [data-remove]")
    page.wait_for_selector("#result h2:has-text('second.wav')")
    assert page.locator(".pieces li").count() == 1


def test_nothing_moves_while_it_works_and_cancel_stops_it(
    visitor: Visitor, long_clip: Path
) -> None:
    page = visitor.page
    visitor.drop(long_clip)
    page.evaluate("document.querySelector('#restore-bar').scrollIntoView()")

    def places() -> list[Any]:
        wanted = ["#drop", "#found", "#plan", "#restore", "#restore-cancel", "#bottom"]
        return [page.locator(name).bounding_box() for name in wanted]

    before = places()
    page.click("#restore")
    page.wait_for_selector("#restore-progress [aria-valuenow]:not([aria-valuenow='0'])")
    assert places() == before
    assert page.is_disabled("#restore")
    share = page.get_attribute("#restore-progress [aria-valuenow]", "aria-valuenow")
    assert 0 < int(share) < 100
    page.click("#restore-cancel")
    page.wait_for_selector("text=Cancelled. Nothing was changed.")
    page.wait_for_timeout(500)
    assert places() == before
    assert page.is_enabled("#restore")
    assert page.locator(READY).count() == 0


def test_what_cannot_be_taken_is_refused_in_plain_words(
    visitor: Visitor, clip: Path, tmp_path: Path
) -> None:
    page = visitor.page
    text, cut, long, big = (tmp_path / f"{n}.wav" for n in ("text", "cut", "long", "big"))
    text.write_text("This is no sound.")
    cut.write_bytes(clip.read_bytes()[:20_000])
    sf.write(long, np.zeros(8000 * 130), 8000)
    page.set_input_files(DROP, [str(path) for path in (text, cut, long)])
    page.wait_for_selector("#news .notice p:nth-child(3)")
    said = page.inner_text("#news")
    assert "text.wav is not an audio file that nitido can read" in said
    assert "cut.wav is cut short" in said
    assert "long.wav is 2.2 minutes long; this page takes 2 minutes at most" in said
    assert page.locator(".pieces").count() == 0
    big.write_bytes(b"RIFF" + bytes(5 * 2**20))
    page.set_input_files(DROP, str(big))
    page.wait_for_selector("text=exceed the maximum allowed size of 4.0 M")
    visitor.drop(clip)  # and then it goes on
    assert page.inner_text("#news") == ""


def test_a_recording_is_a_piece_like_any_other(visitor: Visitor) -> None:
    page = visitor.page
    page.click("#recorder")
    page.click("#record button:has-text('Record')")
    page.wait_for_timeout(1200)
    page.click("#record button:has-text('Stop')")
    page.wait_for_selector(".plan")
    assert page.inner_text("#pieces").startswith("Recording 1.wav")
    assert "recording 1.wav" in page.inner_text("#found h2").lower()


def test_words_become_candidates_and_one_goes_on_to_be_restored(visitor: Visitor) -> None:
    page = visitor.page
    page.click("role=tab[name=Generate]")
    page.click(".examples button >> nth=1")
    page.click("#generate")
    page.wait_for_selector("#clips .clip:nth-child(2)")
    assert page.inner_text("#clips .clip:nth-child(2) h3") == "Epic strings and brass, seed 1"
    page.wait_for_function("document.querySelector('#clips audio').duration > 3")
    page.click("#clips .clip:nth-child(2) button")
    page.wait_for_selector(".plan")
    assert page.inner_text("#pieces").startswith("Epic strings and brass, seed 1.wav")
    assert page.is_visible("#restore")
    page.click("role=tab[name=Generate]")
    page.fill("#prompt textarea", "nothing")
    page.click("#generate")
    page.wait_for_selector("text=The model said no.")
    assert page.is_enabled("#generate")


def test_two_files_are_compared(
    visitor: Visitor, server: Server, clip: Path, tmp_path: Path
) -> None:
    page = visitor.page
    page.click("role=tab[name=Compare]")
    page.click("#compare")
    page.wait_for_selector("text=Two files are needed")
    other = tmp_path / "other.wav"
    wav, rate = sf.read(clip)
    sf.write(other, 0.5 * wav, rate)
    for name, file in (("before", clip), ("after", other)):
        page.set_input_files(f"#file-{name} input[type=file]", str(file))
        page.wait_for_selector(f"#file-{name} .file-preview")
    page.click("#compare")
    said = visitor.report("#compare-result").inner_text("body")
    reports = len(list(server.folder.rglob("report.html")))
    first = page.get_attribute("#compare-result iframe", "src")
    page.click("#compare")
    page.wait_for_selector(f"#compare-result iframe:not([src='{first}'])")
    assert len(list(server.folder.rglob("report.html"))) == reports  # the one before is gone
    assert "It plays at" in said
    assert "Harmony and onsets are kept." in said


def test_every_screen_is_wide_enough_has_one_scale_of_type_and_its_own_colours(
    visitor: Visitor, clip: Path
) -> None:
    page = visitor.page
    visitor.drop(clip)
    sizes: set[str] = set()
    for width in (320, 390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        for name in ("Restore", "Generate", "Compare"):
            page.click(f"role=tab[name={name}]")
            page.wait_for_timeout(50)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            sizes |= set(page.evaluate(SIZES))
    assert sizes - {"0px"} <= TYPE_SCALE


def test_it_is_dark_where_the_system_is_until_a_hand_turns_it(browser: Any, server: Server) -> None:
    someone = Visitor(browser, server.url, color_scheme="dark")

    def light() -> float:
        paper = someone.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", paper)[:3])) / (3 * 255)

    assert light() < 0.2
    someone.page.click("#theme")
    assert light() > 0.9
    assert someone.page.inner_text("#theme") == "Dark"
    someone.context.close()


def test_when_the_server_is_started_anew_the_page_says_so_and_goes_on(
    browser: Any, clip: Path, long_clip: Path
) -> None:
    known = {"username": "ann", "password": "secret"}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = Server(Path(folder), "without-torch", "auth")
        someone = Visitor(browser, server.url, http_credentials=known)
        page = someone.page
        someone.drop(long_clip)
        page.click("#restore")
        page.wait_for_selector("#restore-progress [aria-valuenow]:not([aria-valuenow='0'])")
        server.kill()
        page.wait_for_selector("text=Connection to the server was lost")
        server.start()
        page.wait_for_selector("text=What was on it is gone; drop your music once more.")
        someone.drop(clip)
        assert not page.is_visible(".lost")
        page.click("role=tab[name=Generate]")
        assert page.inner_text("#absent code") == "pip install 'nitido[generate]'"
        server.stop()
        assert len(list(Path(folder).glob("nitido-web-*"))) == 1  # of the one that was killed
        someone.context.close()
