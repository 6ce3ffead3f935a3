"""Pieces beyond the model's window, and those that go on from a recording: no seam is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from tests.signals import noise, pink_noise, sine

import nitido
from nitido.audio import open_source
from nitido.demo.render import render
from nitido.dsp.wav import Wav
from nitido.errors import AudioReadError, AudioTooShortError
from nitido.generation import longform
from nitido.generation.continuation import read_for_model, take_over
from nitido.generation.generate import generate_all
from nitido.generation.longform import decode, sample_windows
from nitido.generation.musicgen import load
from nitido.generation.settings import GenerateOptions, Request

RATE = 32_000
PROMPT = "a happy pop song"


def make(model: str, seconds: float, **options: Any) -> Wav:
    settings = GenerateOptions(
        model=model, **{"window_seconds": 2.0, "context_seconds": 0.5, **options}
    )
    return next(iter(generate_all([Request(PROMPT, 0, seconds)], settings)))[1].wav


def onset_strength(wav: Wav) -> Wav:
    """Rise of the log spectrum from one 16 ms frame to the next, mean over bins, `[N]`."""
    size, hop = 512, 128
    frames = np.lib.stride_tricks.sliding_window_view(wav.mean(axis=0), size)[::hop]
    spec = np.log(np.abs(np.fft.rfft(frames * np.hanning(size))) + 1e-3)
    return np.maximum(spec[4:] - spec[:-4], 0).mean(axis=1)


def level_step_db(wav: Wav, at: int, *, seconds: float = 0.1) -> float:
    """How far the level after `at` is from that before it, dB."""
    span = round(seconds * RATE)
    before, after = (np.sqrt(np.mean(wav[:, part] ** 2)) for part in (
        slice(at - span, at), slice(at, at + span)
    ))  # fmt: skip
    return float(abs(20 * np.log10(after / before)))


def rarity(wav: Wav, seams: list[int]) -> tuple[float, float]:
    """Share of other places that stand out less than the seams: in onset and in level, 0 to 1.

    About 0.5 if the seams are places like any other, near 1 if a detector finds them.
    """
    strength = onset_strength(wav)

    def onset(at: int) -> float:
        frame = at // 128 - 4
        return float(strength[max(0, frame - 4) : frame + 5].max())

    places = np.random.default_rng(0).integers(RATE // 4, wav.shape[1] - RATE // 4, 300)
    places = [int(p) for p in places if min(abs(p - seam) for seam in seams) > RATE // 5]
    shares = []
    for measure in (onset, lambda at: level_step_db(wav, at)):
        elsewhere = np.array([measure(place) for place in places])
        shares.append(float(np.mean([np.mean(elsewhere < measure(seam)) for seam in seams])))
    return shares[0], shares[1]


def test_windows_go_on_from_the_end_of_what_is_there() -> None:
    asked: list[tuple[int, int, int]] = []

    def sample(heard: Any, new: int, start: int) -> Any:
        first = 0 if heard is None else int(heard[0, 0, -1]) + 1
        known = 0 if heard is None else heard.shape[-1]
        asked.append((known, new, start))
        numbers = torch.arange(first, first + new).expand(2, 4, -1)
        return numbers if heard is None else torch.cat([heard, numbers], dim=-1)

    codes = sample_windows(sample, frames=75, window=30, context=10)
    assert torch.equal(codes, torch.arange(75).expand(2, 4, -1))
    assert asked == [(0, 30, 0), (10, 20, 20), (10, 20, 40), (10, 5, 60)]


def test_a_recording_is_heard_in_the_first_window() -> None:
    starts: list[tuple[int, int]] = []

    def sample(heard: Any, new: int, start: int) -> Any:
        starts.append((heard.shape[-1], start))
        return torch.cat([heard, torch.zeros(1, 4, new)], dim=-1)

    codes = sample_windows(sample, frames=40, window=30, context=10, known=torch.ones(1, 4, 8))
    assert codes.shape[-1] == 48
    assert starts == [(8, 0), (10, 20)]


@pytest.mark.parametrize("kind", ["musicgen", "stereo_musicgen"])
def test_a_long_piece_has_its_length(kind: str, request: pytest.FixtureRequest) -> None:
    wav = make(request.getfixturevalue(kind), 2.7)
    assert wav.shape[1] == round(2.7 * RATE)
    assert np.sqrt(np.mean(wav[:, -RATE:] ** 2)) > 0.01


def test_a_long_piece_begins_as_the_short_one(musicgen: str) -> None:
    short, long = make(musicgen, 2.0), make(musicgen, 3.0)
    same = slice(0, round(1.5 * RATE))  # what the decoder looks ahead is less
    assert long[:, same] == pytest.approx(short[:, same], abs=1e-3)


def test_no_detector_finds_the_seams_of_a_long_piece(musicgen: str) -> None:
    wav = make(musicgen, 9.5)
    seams = [round((2.0 + 1.5 * k) * RATE) for k in range(5)]
    onset, level = rarity(wav, seams)
    assert onset < 0.75
    assert level < 0.75


def test_the_detector_finds_seams_that_are_there(musicgen: str) -> None:
    pieces = [
        nitido.generate(PROMPT, model=musicgen, seconds=1.5, seed=seed).wav * gain
        for seed, gain in enumerate([1.0, 0.4] * 3)
    ]
    wav = np.concatenate(pieces, axis=1)
    onset, level = rarity(wav, [round(1.5 * k * RATE) for k in range(1, 6)])
    assert max(onset, level) > 0.9


def test_sound_decoded_in_parts_is_that_decoded_whole(
    musicgen: str, stereo_musicgen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in (musicgen, stereo_musicgen):
        checkpoint = load(model)
        codes = torch.randint(2048, (checkpoint.codebooks, 331))
        whole = decode(checkpoint, codes)
        monkeypatch.setattr(longform, "DECODE_SECONDS", 2.0)
        parts = decode(checkpoint, codes)
        monkeypatch.undo()
        assert parts.shape == whole.shape == (checkpoint.channels, 331 * 640)
        assert np.sqrt(np.mean((parts - whole) ** 2)) < 1e-3 * whole.std()


def test_going_on_from_a_recording_leaves_it_as_it_is(musicgen: str, tmp_path: Path) -> None:
    recording = render(seconds=3.0, sample_rate=RATE).mean(axis=0, keepdims=True)
    sf.write(tmp_path / "sketch.wav", recording.T, RATE, subtype="FLOAT")
    piece = nitido.generate(
        PROMPT, model=musicgen, seconds=1.0, continue_from=tmp_path / "sketch.wav"
    )
    kept = 3 * RATE - round(0.3 * RATE)
    assert piece.seconds == pytest.approx(4.0)
    assert np.array_equal(piece.wav[:, :kept], recording[:, :kept])
    assert piece.provenance()["settings"]["continue_from"] == "sketch.wav"


def test_what_follows_depends_on_the_recording(musicgen: str, tmp_path: Path) -> None:
    results = []
    for name, wav in (("a", sine(300, seconds=2.0)), ("b", noise(seconds=2.0))):
        path = tmp_path / f"{name}.wav"
        sf.write(path, wav.T, 48_000, subtype="FLOAT")
        piece = nitido.generate(PROMPT, model=musicgen, seconds=1.0, continue_from=path)
        results.append(piece.wav[:, -RATE // 2 :])
    assert np.abs(results[0] - results[1]).max() > 0.01


def test_the_new_sound_takes_over_at_the_level_of_the_recording(
    musicgen: str, tmp_path: Path
) -> None:
    sf.write(tmp_path / "quiet.wav", pink_noise(seconds=4.0, rms=0.05).T, 48_000, subtype="FLOAT")
    piece = nitido.generate(
        PROMPT, model=musicgen, seconds=2.0, continue_from=tmp_path / "quiet.wav"
    )
    assert level_step_db(piece.wav, 4 * RATE, seconds=1.0) < 4.5  # of itself it is 7 dB louder


def test_stereo_models_go_on_from_mono_and_mono_models_from_stereo() -> None:
    mono, stereo = noise(seconds=1.0), noise(seconds=1.0, channels=2)
    for wav, channels in ((mono, 2), (stereo, 1), (stereo, 2)):
        read = read_for_model(open_source(wav, 48_000), sample_rate=RATE, channels=channels)
        assert read.shape == (channels, RATE)


def test_a_recording_that_is_too_short_or_missing_is_refused(musicgen: str, tmp_path: Path) -> None:
    sf.write(tmp_path / "blip.wav", np.zeros(4800), 48_000)
    with pytest.raises(AudioTooShortError, match=r"0\.10 s.*0\.5 s"):
        nitido.generate(PROMPT, model=musicgen, continue_from=tmp_path / "blip.wav")
    with pytest.raises(AudioReadError):
        nitido.generate(PROMPT, model=musicgen, continue_from=tmp_path / "missing.wav")


def test_no_detector_finds_where_the_codec_s_copy_takes_over() -> None:
    music = render(seconds=8.0, sample_rate=RATE)
    seams = [round(at * RATE) for at in (2.1, 3.3, 4.7, 5.9)]
    joined = music
    for seam in seams:  # a codec gives back the same music, quieter, with some noise
        copy = 0.7 * music[:, seam - RATE :] + 0.002 * noise(
            seconds=8.0 - seam / RATE + 1.0, sample_rate=RATE, channels=2, rms=1.0
        )
        joined = take_over(joined[:, :seam], copy, heard=RATE, sample_rate=RATE)
        assert joined.shape == music.shape
    onset, level = rarity(joined, seams)
    reference = rarity(music, seams)
    assert onset < max(0.75, reference[0] + 0.1)
    assert level < max(0.75, reference[1] + 0.1)
    assert joined.std() == pytest.approx(music.std(), rel=0.05)


@pytest.mark.parametrize("alike", [True, False])
def test_the_power_is_kept_in_the_middle_of_the_fade(alike: bool) -> None:
    old = noise(seconds=2.0, sample_rate=RATE, seed=1)
    new = old.copy() if alike else noise(seconds=2.0, sample_rate=RATE, seed=2)
    joined = take_over(old, new, heard=2 * RATE, sample_rate=RATE)
    middle = joined[:, -round(0.15 * RATE) : -round(0.1 * RATE)]
    assert 20 * np.log10(middle.std() / old.std()) == pytest.approx(0, abs=0.5)


def test_silence_takes_over_from_silence() -> None:
    silent = np.zeros((1, RATE), np.float32)
    assert not take_over(silent, silent, heard=RATE // 2, sample_rate=RATE).any()
