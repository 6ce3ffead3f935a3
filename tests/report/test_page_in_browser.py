"""The report in a real browser: what a musician does with it, and what must never happen.

What is heard is taken down sample by sample: the player's AudioContext is replaced by an offline
one, which is stopped at exact times to press keys.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.signals import silence, sine

import nitido
from nitido.demo import DECODER_HZ, add_artifacts
from nitido.demo.render import render
from nitido.report.page import write_report
from nitido.report.tracks import Track

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
]
RATE = 48_000
HZ = 440.0
SECONDS = 3.0
BEFORE, AFTER, REMOVED = range(3)

# Each start of the player waits 30 ms, to be on time on every track.
LEAD_SECONDS = 0.03

TAPE = """
window.AudioContext = function () {
  const tape = new OfflineAudioContext(1, 48000 * (window.tapeSeconds ?? 2), 48000);
  const go = tape.resume.bind(tape);
  tape.resume = () => Promise.resolve();  // the player asks for it; the tape runs when told
  tape.go = go;
  return (window.tape = tape);
};
"""
RECORD = """
async (presses) => {
  const press = (key) => document.body.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true }));
  press(" ");
  const at = [];
  for (const [seconds, keys] of presses) {
    tape.suspend(seconds).then(() => {
      for (const key of keys) press(key);
      at.push(tape.currentTime);
      tape.go();
    });
  }
  const heard = await tape.startRendering();
  return [Array.from(heard.getChannelData(0)), at];
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a real restoration."""
    clip = add_artifacts(render(seconds=6.0)[:, :144_000])
    path = tmp_path_factory.mktemp("report") / "song.report.html"
    return nitido.restore(clip, sample_rate=DECODER_HZ).report(path)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page that plays the same tone as before (quiet) and after (loud), and removes nothing."""
    path = tmp_path_factory.mktemp("tones") / "tones.html"
    tone = sine(HZ, seconds=SECONDS, amplitude=0.4)
    tracks = [
        Track("Before", tone / 4, RATE, "before"),
        Track("After", tone, RATE, "after"),
        Track("Removed", silence(seconds=SECONDS), RATE, "removed"),
    ]
    return write_report(path, tracks=tracks, title="tones", sentences=["One."], tables={})


def opened(browser: Any, path: Path, *, script: str = "", **options: Any) -> Iterator[Any]:
    """The page, ready to play; afterwards: it said no word in the console, and asked no host."""
    context = browser.new_context(**options)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url))
    if script:
        page.add_init_script(script)
    page.goto(path.as_uri())
    page.wait_for_selector("#play:enabled")
    yield page
    assert [text for text in said if not text.startswith(("data:", path.as_uri()))] == []
    context.close()


@pytest.fixture
def page(browser: Any, report: Path) -> Iterator[Any]:
    yield from opened(browser, report)


@pytest.fixture
def tape(browser: Any, tones: Path) -> Iterator[Any]:
    yield from opened(browser, tones, script=TAPE)


def state(page: Any) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("nitido.state")
    return found


def record(tape: Any, *presses: tuple[float, list[str]]) -> tuple[np.ndarray, list[float]]:
    """What is heard from the first press of Space on, and when each key took effect."""
    heard, at = tape.evaluate(RECORD, presses)
    return np.array(heard, np.float64), at


def against_tone(heard: np.ndarray, first: int, last: int, *, shift: float = 0.0) -> np.ndarray:
    """The difference of a stretch to the tone as it runs from the start of the piece."""
    time = np.arange(first, last) / RATE - LEAD_SECONDS + shift
    return heard[first:last] - 0.4 * np.sin(2 * np.pi * HZ * time)


# ── Sample by sample ─────────────────────────────────────────────────────────────────────────────


def test_a_switch_leaves_no_gap_no_shift_and_no_step_in_loudness(tape: Any) -> None:
    heard, _ = record(tape, (0.5, ["2"]), (0.9, ["1"]), (0.93, ["2"]))
    error = against_tone(heard, round(0.05 * RATE), round(1.9 * RATE))
    assert np.abs(error).max() < 2e-3  # 16 bit, dithered, and loudness matched to 0.1 %


def test_nothing_is_heard_where_nothing_was_removed(tape: Any) -> None:
    heard, _ = record(tape, (0.5, ["3"]))
    assert np.abs(heard[: round(0.49 * RATE)]).max() > 0.39
    assert np.abs(heard[round(0.52 * RATE) :]).max() < 1e-3


def test_a_loop_comes_round_to_the_sample(tape: Any) -> None:
    # The first 2 s are 880 whole periods: looped aright, they are the tone without a seam.
    tape.keyboard.press("ArrowRight")
    tape.keyboard.press("]")
    assert state(tape)["region"] == [0, 2]
    tape.evaluate("window.tapeSeconds = 4.5")
    heard, _ = record(tape, (4.0, ["2"]))
    error = against_tone(heard, round(0.05 * RATE), round(4.4 * RATE))
    assert np.abs(error).max() < 2e-3


def test_a_seek_lands_where_it_says(tape: Any) -> None:
    heard, (at,) = record(tape, (0.5, ["ArrowRight"]))
    from_here = round((at + LEAD_SECONDS + 0.02) * RATE)
    # 2 s on is 880 whole periods; the way to the start, 30 ms, is not played again.
    error = against_tone(heard, from_here, round(0.9 * RATE), shift=-LEAD_SECONDS)
    assert np.abs(error).max() < 2e-3


def test_playing_on_past_the_end_is_silence(tape: Any) -> None:
    heard, _ = record(tape, (0.1, ["ArrowRight"]))
    end = round((0.1 + LEAD_SECONDS + SECONDS - 2.1 + 0.1) * RATE)
    assert np.abs(heard[end:]).max() < 1e-6


# ── By hand ──────────────────────────────────────────────────────────────────────────────────────


def test_it_plays_and_something_is_heard(page: Any) -> None:
    page.click("#play")
    assert state(page)["playing"]
    peak = page.evaluate(
        """async () => {
          const meter = nitido.context.createAnalyser();
          nitido.output.connect(meter);
          const values = new Float32Array(meter.fftSize);
          let peak = 0;
          const until = performance.now() + 400;
          while (performance.now() < until) {
            await new Promise((ready) => setTimeout(ready, 20));
            meter.getFloatTimeDomainData(values);
            peak = Math.max(peak, ...values.map(Math.abs));
          }
          return peak;
        }"""
    )
    assert peak > 0.02
    assert state(page)["position"] > 0.2
    assert page.inner_text("#play") == "Stop"
    page.click("#play")
    resting = state(page)
    assert not resting["playing"]
    page.wait_for_timeout(100)
    assert state(page)["position"] == resting["position"]


def test_keys_do_what_the_page_says(page: Any) -> None:
    page.keyboard.press("Space")
    assert state(page)["playing"]
    page.keyboard.press("Space")
    assert not state(page)["playing"]
    for key, track in (("3", REMOVED), ("2", AFTER), ("1", BEFORE), ("9", BEFORE)):
        page.keyboard.press(key)
        assert state(page)["track"] == track
    page.keyboard.press("ArrowLeft")
    assert state(page)["position"] == 0
    page.keyboard.press("ArrowRight")
    assert state(page)["position"] == pytest.approx(2.0, abs=0.3)
    page.keyboard.press("Shift+ArrowRight")
    assert state(page)["position"] == pytest.approx(3.0, abs=0.01)
    page.keyboard.press("l")
    assert state(page)["loop"]
    page.keyboard.press("Control+l")
    assert state(page)["loop"]


def test_brackets_set_the_ends_of_the_loop_and_escape_frees_it(page: Any) -> None:
    page.click("#wave", position={"x": 0, "y": 40})
    page.keyboard.press("ArrowRight")
    page.keyboard.press("]")
    assert state(page)["region"] == [0, pytest.approx(2.0, abs=0.1)]
    page.keyboard.press("Escape")
    assert state(page)["region"] is None
    page.keyboard.press("[")
    assert state(page)["region"] == [pytest.approx(2.0, abs=0.1), pytest.approx(3.0, abs=0.1)]


def test_a_click_on_the_wave_seeks_and_a_drag_makes_a_loop(page: Any) -> None:
    box = page.locator("#wave").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.click(box["x"] + box["width"] / 2, middle)
    assert state(page)["position"] == pytest.approx(1.5, abs=0.02)
    page.mouse.move(box["x"] + 0.2 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.4 * box["width"], middle, steps=4)
    page.mouse.up()
    assert state(page)["region"] == [pytest.approx(0.6, abs=0.02), pytest.approx(1.2, abs=0.02)]
    page.click("#play")
    for _ in range(6):
        page.wait_for_timeout(150)
        assert 0.55 <= state(page)["position"] <= 1.25


def test_a_click_on_a_spectrogram_plays_from_there(page: Any) -> None:
    plot = page.locator(".plot.seek").first
    box = plot.bounding_box()
    plot.click(position={"x": box["width"] * 2 / 3, "y": 20})
    assert state(page)["position"] == pytest.approx(2.0, abs=0.02)
    assert page.locator(".cursor").first.evaluate("line => line.style.opacity") == "1"


def test_after_a_click_on_a_track_the_space_key_still_plays(page: Any) -> None:
    page.click("[data-track='1']")
    assert state(page)["track"] == AFTER
    page.keyboard.press("Space")
    assert state(page)["playing"]
    assert state(page)["track"] == AFTER


def test_everything_can_be_reached_with_the_tab_key_and_is_seen_there(page: Any) -> None:
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                """() => {
                  const here = document.activeElement;
                  const name = here.id || here.dataset.track || here.tagName;
                  return [name, getComputedStyle(here).outlineStyle];
                }"""
            )
        )
    reached = {name for name, _ in seen}
    assert {"theme", "0", "1", "2", "wave", "play", "loop", "volume", "SUMMARY"} <= reached
    assert all(outline == "solid" for name, outline in seen if name != "BODY")
    page.focus("[data-track='2']")
    page.keyboard.press("Enter")
    assert state(page)["track"] == REMOVED


def test_the_slider_tells_where_it_is(page: Any) -> None:
    page.click("#wave", position={"x": 0, "y": 40})
    page.keyboard.press("ArrowRight")
    wave = page.locator("#wave")
    assert wave.get_attribute("aria-valuetext") == "0:02.0 of 0:03.0"
    assert page.inner_text("#time") == "0:02.0 / 0:03.0"


def test_the_theme_follows_the_system_until_a_hand_turns_it(browser: Any, report: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    for page in opened(browser, report, color_scheme="dark"):
        dark = page.evaluate(paper)
        page.click("#theme")
        light = page.evaluate(paper)
        assert dark != light
        page.emulate_media(color_scheme="light")
        assert page.evaluate(paper) == light
        page.click("#theme")
        assert page.evaluate(paper) == dark


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_no_screen_has_to_be_scrolled_sideways(browser: Any, report: Path, width: int) -> None:
    for page in opened(browser, report, viewport={"width": width, "height": 800}):
        page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_paper_the_numbers_are_unfolded_and_the_player_is_gone(page: Any) -> None:
    page.emulate_media(media="print")
    assert not page.is_visible("#play")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.is_visible("text=What each stage changed")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.is_visible("text=What each stage changed")


def test_without_scripts_the_page_can_still_be_read(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    said = page.inner_text("body")
    assert "The player needs JavaScript" in said
    assert "The comb every 400 Hz" in said
    assert "Unpacking" not in said
    context.close()
