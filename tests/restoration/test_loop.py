"""A loop has no ends: tiled, a restored one is heard to begin nowhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from scipy.signal import butter, sosfiltfilt
from tests.signals import cut, noise, pink_noise, sine

import nitido
from nitido.audio import ArraySource, FileSource, Tags
from nitido.demo.comb import add_comb
from nitido.demo.render import render
from nitido.dsp.chunks import join
from nitido.dsp.loop import Loop, Unrolled
from nitido.dsp.wav import Wav

RATE = 44_100
MORE = {  # stages that are on beside what a spoiled piece needs
    "ending.loop": True,
    "dc.mode": "on",
    "dc.high_pass_hz": 30.0,
    "match.mode": "on",
    "match.target_db": [-float(k) for k in range(26)],
    "transients.mode": "on",
    "loudness.target_lufs": -10.0,
}


@pytest.fixture(scope="module")
def spoiled() -> Wav:
    """A loop as MusicGen might have made it: comb, ceiling, mono, 32 kHz; 5 s of music."""
    clean = render(seconds=6, sample_rate=32_000).mean(axis=0, keepdims=True)
    looped = clean[:, 16_000 : 16_000 + 160_002].copy()
    looped[:, -8000:] *= np.linspace(1, 0, 8000, dtype=np.float32)
    looped[:, -8000:] += clean[:, 8000:16_000] * np.linspace(0, 1, 8000, dtype=np.float32)
    return add_comb(looped, sample_rate=32_000) * np.float32(0.2)


def tones(samples: int) -> Wav:
    """Return low tones, stereo, of which whole periods fit into `samples`."""
    at = np.arange(samples)
    partials = [k * np.pi * at * 2 / samples for k in (294, 441, 588, 882, 1176, 2352)]
    wav = sum(np.sin(angle + k) / (k + 1) for k, angle in enumerate(partials))
    return np.tile(0.2 * wav, (2, 1)).astype(np.float32)


def high_dbfs(wav: Wav, sample_rate: int) -> tuple[float, float]:
    """Return the peak above 5 kHz around the seam of a tiled waveform, and elsewhere, dBFS."""
    samples, near = wav.shape[1], sample_rate // 200
    sections = butter(6, 5000, "high", fs=sample_rate, output="sos")
    high = np.abs(sosfiltfilt(sections, np.tile(wav, 3), axis=1)).max(axis=0)
    seam = high[2 * samples - near : 2 * samples + near].max()
    inside = high[samples + 20 * near : 2 * samples - 20 * near].max()
    return 20 * np.log10(seam + 1e-9), 20 * np.log10(inside + 1e-9)


@pytest.mark.parametrize("samples", [132_300, 132_337])  # the second is no whole number at 48 kHz
@pytest.mark.parametrize("intro", [0, 7001])
@pytest.mark.parametrize("rest", [0, 9001])
def test_a_tiled_loop_does_not_click_at_its_seam(samples: int, intro: int, rest: int) -> None:
    tags = {"LoopStart": [str(intro)], "LOOP_LENGTH": [str(samples)]}
    wav = tones(samples)[:, np.arange(-intro, samples + rest) % samples]
    result = nitido.restore(ArraySource(wav, RATE, tags=tags), stages=["loudness"])
    loop = result.loop
    assert loop is not None
    assert result.samples == -(-wav.shape[1] * 160 // 147)
    assert loop.end == result.samples or rest
    seam, elsewhere = high_dbfs(result.wav[:, loop.start : loop.end], 48_000)
    assert seam < max(elsewhere + 1, -120)


@pytest.mark.parametrize(
    ("without", "error_db"),
    [(["decomb", "bandwidth", "transients"], -100), ([], -28)],  # these have frames, and noise
)
def test_no_stage_hears_where_a_loop_begins(
    spoiled: Wav, without: list[str], error_db: float
) -> None:
    settings = MORE | {f"{stage}.mode": "off" for stage in without}
    plan = nitido.restore(spoiled, sample_rate=32_000, settings=settings).plan
    assert len([step for step in plan.steps if step.on]) == 7 - len(without)
    whole, turned = (
        nitido.restore(np.roll(spoiled, shift, axis=1), sample_rate=32_000, plan=plan).wav
        for shift in (0, 80_000)
    )
    error = np.roll(turned, -120_000, axis=1) - whole
    seam = np.r_[0:2400, whole.shape[1] - 2400 : whole.shape[1]]
    assert (error[:, seam] ** 2).mean() < 10 ** (error_db / 10) * (whole**2).mean()


def test_the_limiter_turns_down_before_a_peak_that_comes_after_the_seam() -> None:
    wav = noise(seconds=1, rms=0.1, channels=2)
    wav[:, 30:40] = 0.9
    settings = {"ending.loop": True, "loudness.gain_db": 3.0}
    shift = 24_000  # whole control intervals
    whole, turned = (
        nitido.restore(piece, sample_rate=48_000, stages=["loudness"], settings=settings).wav
        for piece in (wav, np.roll(wav, shift, axis=1))
    )
    assert np.abs(whole).max() < 10 ** (-1 / 20)
    np.testing.assert_allclose(np.roll(turned, -shift, axis=1), whole, atol=1e-5)
    assert (np.abs(whole[:, -100:]) < 0.9 * 10 ** (3 / 20) * np.abs(wav[:, -100:])).all()


@pytest.mark.parametrize("tags", [{}, {"loopstart": ["9001"]}])
def test_a_loop_in_chunks_is_the_loop_at_once(spoiled: Wav, tags: Tags) -> None:
    piece = ArraySource(spoiled, 32_000, tags=tags)
    first, second = (
        nitido.restore(piece, settings=MORE, block_seconds=seconds).wav for seconds in (0.7, 100.0)
    )
    assert np.abs(first - second).max() < 10 ** (-90 / 20)


@pytest.mark.parametrize("loop", [Loop(0, 5000), Loop(1234, 5000), Loop(0, 4999), None])
@pytest.mark.parametrize("reach", [700, 12_000])  # less, and more, than the piece
def test_what_was_laid_around_a_piece_is_taken_off_again(loop: Loop | None, reach: int) -> None:
    wav = noise(seconds=5000 / 48_000, channels=2)
    layout = Unrolled.of(loop, 5000, reach=reach)
    laid = join(layout.blocks(lambda: cut(wav, 997)), channels=2)
    assert laid.shape[1] == layout.total
    back = join(layout.piece(cut(laid, 1009), sample_rate=48_000), channels=2)
    np.testing.assert_array_equal(back, wav)
    if loop is not None and layout.tail:
        tail = np.resize(np.arange(loop.start, loop.end), layout.tail)
        np.testing.assert_array_equal(laid[:, layout.lead + 5000 :], wav[:, tail])


@pytest.mark.parametrize("tags", [{"looplength": ["1"]}, {"loopstart": ["399999"]}])
def test_a_loop_of_one_sample_is_read_a_few_times_only(tags: Tags) -> None:
    class Counted(ArraySource):
        times = 0

        def blocks(self, block_samples: int | None = None) -> Iterator[Wav]:
            self.times += 1
            return super().blocks(block_samples)

    piece = Counted(noise(seconds=400_000 / RATE, sample_rate=RATE), RATE, tags=tags)
    assert nitido.restore(piece, stages=["loudness"]).plan.loop
    assert piece.times < 12


def test_a_file_that_says_that_it_is_a_loop_is_treated_as_one(tmp_path: Path) -> None:
    piece = ArraySource(tones(RATE), RATE, tags={"loopstart": ["0"]})
    said = nitido.restore(piece)
    asked = nitido.restore(tones(RATE), sample_rate=RATE, settings={"ending.loop": True})
    np.testing.assert_array_equal(said.wav, asked.wav)
    assert any("As the file says, it is a loop" in text for text in said.sentences())
    assert any("As asked, it is treated as a loop" in text for text in asked.sentences())
    assert said.new_faults == asked.new_faults == []
    for name in ("a.wav", "a.flac", "a.ogg"):
        written = said.write(tmp_path / name)
        assert said.after == nitido.diagnose(written)
        assert said.after.loop == Loop(0, 48_000)


def test_a_loop_that_is_not_to_be_one_is_faded() -> None:
    piece = ArraySource(tones(4 * RATE), RATE, tags={"loopstart": ["0"]})
    result = nitido.restore(piece, settings={"ending.loop": False})
    assert result.plan["ending"].on
    assert not result.plan.loop
    assert any("not treated as one" in text for text in result.sentences())


def test_a_plan_keeps_that_it_is_a_loop_also_without_the_stage_that_fades() -> None:
    piece = ArraySource(tones(RATE), RATE, tags={"loopstart": ["0"]})
    first = nitido.restore(piece, without=["ending"])
    assert first.plan.loop
    plan = nitido.Plan.from_json(first.plan.to_json())
    again = nitido.restore(tones(RATE), sample_rate=RATE, plan=plan)
    np.testing.assert_array_equal(again.wav, first.wav)


def test_a_budget_is_about_the_loop_and_not_what_is_laid_around_it() -> None:
    wav = noise(seconds=0.4, channels=2)
    settings: dict[str, Any] = {"match.mode": "on", "match.target_db": [0.0] * 26}
    changes = [
        nitido.restore(
            wav, sample_rate=48_000, stages=["match"], settings={**settings, "ending.loop": loop}
        ).changes
        for loop in (True, False)
    ]
    for looped, plain in zip(*changes, strict=True):
        assert looped.si_sdr_db == pytest.approx(plain.si_sdr_db, abs=0.5)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_a_format_that_opens_the_seam_again_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    with caplog.at_level(logging.WARNING):
        settings = {"ending.loop": True}
        nitido.restore(tones(RATE), sample_rate=RATE, settings=settings).write(tmp_path / name)
    assert "seam" in caplog.text


def test_loop_points_and_marks_of_a_file_keep_their_moments(tmp_path: Path) -> None:
    piece = ArraySource(
        tones(6 * RATE), RATE, tags={"loopstart": ["44100"], "looplength": ["220500"]}
    )
    written = nitido.restore(piece).write(tmp_path / "a.ogg")
    source = FileSource(written)
    assert source.tags["loopstart"] == ["48000"]
    assert source.tags["looplength"] == ["240000"]
    assert sf.info(written).frames == 288_000


@pytest.mark.parametrize("place", [200, 3 * 48_000 - 200])
def test_a_click_at_the_seam_is_mended_where_a_loop_is_merely_asked_for(place: int) -> None:
    wav = sine(220, seconds=3.0, amplitude=0.1) + 0.05 * np.tile(pink_noise(seconds=1.0), 3)
    clicked = wav.copy()
    clicked[:, place] += np.float32(0.3)
    chosen = {"stages": ["declick"], "preset": "song", "sample_rate": 48_000}
    found = {}
    for loop in (False, True):
        result = nitido.restore(clicked, settings={"ending.loop": loop}, **chosen)
        found[loop] = result.diagnosis["clicks"].found, result.after["clicks"].found
    assert found == {False: (False, False), True: (True, False)}
    assert np.abs(result.wav - wav).max() < 0.03
    planned = nitido.restore(clicked, plan=result.plan, sample_rate=48_000)
    assert np.array_equal(planned.wav, result.wav)
