"""Lossy results: what is decoded from the file stays under the ceiling that was asked for."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from tests.signals import pink_noise, silence

import nitido
from nitido.audio import ArraySource, ffmpeg, write
from nitido.dsp.chunks import join
from nitido.dsp.loudness import integrated_lufs
from nitido.dsp.wav import Wav
from nitido.restoration.headroom import file_true_peak_dbtp, write_under_ceiling
from nitido.restoration.stage import Step
from nitido.restored import Restoration

RATE = 48_000
AAC = pytest.mark.skipif(ffmpeg.program() is None, reason="no ffmpeg program")
LOSSY = ("mp3", "ogg", "opus", pytest.param("m4a", marks=AAC))


def loud(**options: Any) -> Restoration:
    """Clipped noise at −5 LUFS, peaks limited to −1.1 dBTP, which every encoder lifts over −1."""
    wav = np.clip(pink_noise(seconds=3.0, channels=2, rms=0.3), -0.5, 0.5)
    settings = {"loudness.target_lufs": -5.0, **options.pop("settings", {})}
    choice = {"preset": "master", "stages": ["loudness"], "settings": settings}
    return nitido.restore((wav, RATE), **{**choice, **options})


def encoded_once(piece: Restoration, path: Path) -> Path:
    shape = {"sample_rate": RATE, "channels": piece.channels, "samples": piece.samples}
    return write(path, piece.blocks(), **shape)


@pytest.mark.parametrize("suffix", LOSSY)
def test_a_lossy_result_holds_the_ceiling_when_it_is_decoded(suffix: str, tmp_path: Path) -> None:
    piece = loud()
    over = file_true_peak_dbtp(encoded_once(piece, tmp_path / f"once.{suffix}"))
    held = file_true_peak_dbtp(piece.write(tmp_path / f"held.{suffix}"))
    assert over is not None
    assert held is not None
    assert held <= -1.0 < over


def test_the_sidecar_and_the_summary_tell_the_peak_of_the_file_and_the_ceiling(
    tmp_path: Path,
) -> None:
    piece = loud()
    file = piece.write(tmp_path / "song.opus")
    told = json.loads((tmp_path / "song.opus.nitido.json").read_text("utf-8"))["result"]
    assert told["true_peak_dbtp"] == pytest.approx(file_true_peak_dbtp(file), abs=1e-6)
    assert -3.0 < told["ceiling_dbtp"] < -1.0
    said = (
        f"made under −{-told['ceiling_dbtp']:.1f} dBTP, they reach −{-told['true_peak_dbtp']:.2f}"
    )
    assert said in " ".join(piece.sentences())


def test_a_held_result_is_as_loud_as_it_was_and_the_sound_in_hand_stays(tmp_path: Path) -> None:
    noise = pink_noise(seconds=3.0, channels=2, rms=0.2)
    piece = nitido.restore(
        (noise, RATE), stages=["loudness"], settings={"loudness.target_lufs": -9.0}
    )
    before = piece.wav.copy()
    once, held = encoded_once(piece, tmp_path / "once.ogg"), piece.write(tmp_path / "held.ogg")
    assert -3.0 < (piece.ceiling_dbtp or 0.0) < -1.0
    loudness = [
        integrated_lufs(sf.read(file)[0].T.astype(np.float32), sample_rate=RATE)
        for file in (once, held)
    ]
    assert loudness[1] == pytest.approx(loudness[0], abs=0.05)
    piece.write(tmp_path / "song.wav", bit_depth=32)
    assert np.array_equal(sf.read(tmp_path / "song.wav", dtype="float32")[0].T, before)
    assert piece.ceiling_dbtp == -1.0


def test_a_held_result_is_the_same_every_time(tmp_path: Path) -> None:
    first, second = (loud().write(tmp_path / f"{n}.ogg").read_bytes() for n in "ab")
    assert first == second


def capture(piece: Any, loudness: Step, path: Path, *, lift: float) -> tuple[list[Wav], Any]:
    """Write with an encoder that plays all `lift` times as high; return what it was given."""
    given: list[Wav] = []

    def put(blocks: Iterable[Wav], *, overwrite: bool = False) -> Path:
        assert overwrite == bool(given)
        given.append(join(blocks, channels=piece.channels))
        sf.write(path, lift * given[-1].T, RATE, subtype="FLOAT")
        return path

    return given, write_under_ceiling(put, piece, loudness)


def test_an_encoder_that_cannot_be_held_is_tried_three_times(tmp_path: Path) -> None:
    piece = loud()
    rising = iter((1.2, 2.0, 4.0))
    path, given = tmp_path / "x.wav", []

    def put(blocks: Iterable[Wav], *, overwrite: bool = False) -> Path:
        given.append(join(blocks, channels=2))
        sf.write(path, next(rising) * given[-1].T, RATE, subtype="FLOAT")
        return path

    ceiling = write_under_ceiling(put, piece, piece.plan["loudness"])
    assert len(given) == 3
    assert ceiling is not None
    assert ceiling < -6.0


def test_where_no_peak_may_be_limited_the_level_gives_way(tmp_path: Path) -> None:
    piece = loud(preset="gentle")
    given, _ = capture(piece, piece.plan["loudness"], tmp_path / "x.wav", lift=1.3)
    ratio = given[-1] / given[0]
    assert ratio.max() == pytest.approx(ratio.min(), rel=1e-5)
    assert ratio.max() < 0.8


def test_where_the_level_is_kept_nothing_is_held(tmp_path: Path) -> None:
    piece = loud(settings={"loudness.target_lufs": None})
    given, ceiling = capture(piece, piece.plan["loudness"], tmp_path / "x.wav", lift=3.0)
    assert ceiling is None
    assert len(given) == 1


def test_silence_is_written_once(tmp_path: Path) -> None:
    piece = ArraySource(silence(channels=2), RATE)
    on = Step("loudness", True, "", loud().plan["loudness"].settings)
    given, ceiling = capture(piece, on, tmp_path / "x.wav", lift=1.0)
    assert (len(given), ceiling) == (1, -1.0)


@pytest.mark.parametrize("bit_depth", [16, 24])
@pytest.mark.parametrize("ceiling_dbtp", [-1.0, 0.0])
def test_rounding_and_dither_never_pass_the_ceiling(
    bit_depth: int, ceiling_dbtp: float, tmp_path: Path
) -> None:
    piece = loud(settings={"loudness.ceiling_dbtp": ceiling_dbtp})
    peak = file_true_peak_dbtp(piece.write(tmp_path / "song.wav", bit_depth=bit_depth))
    assert peak is not None
    assert ceiling_dbtp - 0.6 < peak <= ceiling_dbtp
