"""The page of a listening test, taken in a real browser; skipped where there is none."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.signals import sine

from nitido.demo.render import render
from nitido.dsp.wav import Wav
from nitido.report.listening import write_listening_test
from nitido_lab.listening import analyse_listening_results

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
]
RATE = 48_000
TRIALS = 2


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield launched
        launched.close()


def tones() -> dict[str, Wav]:
    """Two tones, so that the page's meter can tell what is heard."""
    return {
        "before": sine(500.0, seconds=3.0, channels=2),
        "after": sine(2000.0, seconds=3.0, channels=2),
    }


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """The page, opened from disk; afterwards: no error, and nothing asked of any host."""
    path = write_listening_test(tmp_path, tracks=tones(), sample_rate=RATE, trials=TRIALS, seed=4)
    context = browser.new_context(accept_downloads=True)
    opened = context.new_page()
    errors: list[str] = []
    asked: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(path.as_uri())
    yield opened
    assert errors == []
    assert {url.split(":")[0] for url in asked} <= {"file", "blob"}
    context.close()


def begin(page: Any, listener: str = "one") -> None:
    page.fill("#listener", listener)
    page.click("text=Start")
    page.wait_for_selector("#trial:not([hidden])")


def heard_hz(page: Any) -> float:
    """The frequency that comes out of the player now."""
    page.wait_for_timeout(150)
    levels = page.evaluate(
        """() => { const levels = new Float32Array(player.meter.frequencyBinCount);
                   player.meter.smoothingTimeConstant = 0;
                   player.meter.getFloatFrequencyData(levels);
                   return [...levels].map((level) => isFinite(level) ? level : -300); }"""
    )
    loudest = int(np.argmax(levels))
    assert levels[loudest] > -60, "nothing is heard"
    return loudest * RATE / 2048


def meant_hz(page: Any, place: int) -> float:
    name = page.evaluate("(place) => task.names[place]", place)
    return {"before": 500.0, "after": 2000.0, "anchor": 500.0}[name]


def test_it_plays_and_switches_in_step(page: Any) -> None:
    begin(page)
    for place, key in enumerate("abx"):
        page.keyboard.press(key)
        assert heard_hz(page) == pytest.approx(meant_hz(page, place), abs=30)
        assert page.get_attribute(f"#versions button:nth-child({place + 1})", "aria-pressed")
    before, clock = page.evaluate("[player.position, player.context.currentTime]")
    page.keyboard.press("a")
    after, later = page.evaluate("[player.position, player.context.currentTime]")
    # the position goes on with the clock: switching neither stops nor restarts anything
    assert (after - before) % 3.0 == pytest.approx(later - clock, abs=1e-3)


def test_pause_seek_and_loop(page: Any) -> None:
    begin(page)
    page.keyboard.press(" ")
    while not page.evaluate("player.playing && player.context.currentTime > player.began"):
        page.wait_for_timeout(20)
    page.keyboard.press(" ")
    page.evaluate("player.seek(1.0)")
    page.keyboard.press("[")
    page.evaluate("player.offset = 1.5")
    page.keyboard.press("]")
    assert page.evaluate("player.region") == [1.0, 1.5]
    assert page.inner_text("#loop") == "1.0 s – 1.5 s"
    page.keyboard.press(" ")
    for _ in range(8):
        page.wait_for_timeout(100)
        assert 1.0 <= page.evaluate("player.position") <= 1.5
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("\\")
    assert page.evaluate("player.region") == [0, 3]


def take(page: Any, *, right: bool) -> dict[str, Any]:
    """Go through the whole test by keys, and save."""
    for _ in range(TRIALS):
        page.wait_for_selector("#versions.abx")
        assert page.is_disabled("#next")
        is_a = page.evaluate("task.x === task.pair[0]")
        page.keyboard.press("x")
        page.keyboard.press("1" if is_a == right else "2")
        page.keyboard.press("Enter")
    page.wait_for_selector("#versions .rated")
    for place, points in enumerate((3, 5, -2)):
        assert page.is_disabled("#next")
        page.keyboard.press(str(place + 1))
        for _ in range(abs(points)):
            page.keyboard.press("ArrowUp" if points > 0 else "ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#end:not([hidden])")
    with page.expect_download() as saving:
        page.click("#save")
    read: dict[str, Any] = json.loads(Path(saving.value.path()).read_text("utf-8"))
    assert page.is_visible("#summary")
    return read


def test_the_saved_results_are_what_was_answered(page: Any, tmp_path: Path) -> None:
    begin(page, "näme & co")
    saved = take(page, right=True)
    assert [trial["correct"] for trial in saved["abx"]] == [True] * TRIALS
    order = saved["ratings"][0]["order"]
    assert saved["ratings"][0]["scores"] == dict(zip(order, (53, 55, 48), strict=True))
    path = tmp_path / "results.json"
    path.write_text(json.dumps(saved))
    results = analyse_listening_results([path])
    assert results.listeners == ("näme & co",)
    assert (results.abx[0].correct, results.abx[0].trials) == (TRIALS, TRIALS)
    assert results.means[order[1]] == 55


def test_wrong_answers_are_saved_as_wrong(page: Any) -> None:
    begin(page)
    assert [trial["correct"] for trial in take(page, right=False)["abx"]] == [False] * TRIALS


def test_the_order_follows_from_seed_and_listener(page: Any) -> None:
    drawn = [page.evaluate("(name) => drawSession(name)", name) for name in ("one", "one", "two")]
    assert drawn[0] == drawn[1]
    many = page.evaluate(
        """() => Array.from({length: 400}, (_, listener) => drawSession(`listener ${listener}`))"""
    )
    assert len({json.dumps(session) for session in many}) > 30  # of 2 * 2**2 * 3! = 48
    is_a = [trial["x"] == trial["pair"][0] for session in many for trial in session[:TRIALS]]
    assert np.mean(is_a) == pytest.approx(0.5, abs=0.07)


def test_nothing_tells_which_version_is_which(page: Any) -> None:
    begin(page)
    assert not {"before", "after", "anchor"} & set(page.inner_text("main").split())


def test_it_fits_a_phone(browser: Any, tmp_path: Path) -> None:
    music = render(seconds=3.0)
    path = write_listening_test(
        tmp_path, tracks={"before": music, "after": music}, reference=music, sample_rate=RATE
    )
    context = browser.new_context(viewport={"width": 360, "height": 740})
    opened = context.new_page()
    opened.goto(path.as_uri())
    for ready in (lambda: None, lambda: begin(opened)):
        ready()
        assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    opened.evaluate("number = tasks.length - 2; next()")
    opened.wait_for_selector("#versions .rated")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()
