"""Following a melody: what is heard of it, and that it matters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from tests.signals import sine

import nitido
from nitido.dsp.wav import Wav
from nitido.errors import AudioTooShortError, ConfigError
from nitido.generation.generate import generate_all
from nitido.generation.melody import melody_features, melody_from
from nitido.generation.settings import GenerateOptions, Request

RATE = 32_000
C4, E4, A4 = 261.63, 329.63, 440.0
C, E, A = 0, 4, 9


def tune(*notes_hz: float, seconds_each: float = 1.0) -> Wav:
    notes = [sine(hz, seconds=seconds_each, sample_rate=RATE) for hz in notes_hz]
    return np.concatenate(notes, axis=1)


def make(model: str, melody: Any, **options: Any) -> Wav:
    return nitido.generate("a pop song", model=model, seconds=1.0, melody=melody, **options).wav


@pytest.mark.parametrize(("hz", "pitch"), [(C4, C), (E4, E), (A4, A), (2 * A4, A)])
def test_a_note_is_heard_as_its_pitch_class_in_any_octave(hz: float, pitch: int) -> None:
    features = melody_features(tune(hz), sample_rate=RATE)
    assert features.shape == (RATE // 4096 + 1, 12)
    assert torch.equal(features.sum(dim=1), torch.ones(len(features)))
    assert set(features.argmax(dim=1).tolist()) == {pitch}


def test_the_order_of_notes_is_heard() -> None:
    features = melody_features(tune(C4, A4, E4), sample_rate=RATE)
    heard = features.argmax(dim=1).tolist()
    assert [heard[3], heard[len(heard) // 2], heard[-4]] == [C, A, E]


def test_loudness_and_channels_do_not_matter() -> None:
    one = melody_features(tune(C4, E4), sample_rate=RATE)
    quiet = melody_features(np.repeat(0.01 * tune(C4, E4), 2, axis=0), sample_rate=RATE)
    assert torch.equal(one, quiet)


def test_a_short_melody_begins_anew() -> None:
    features = torch.eye(12)[:3]
    assert melody_from(features, 0, 7).argmax(dim=1).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert melody_from(features, -1, 3).argmax(dim=1).tolist() == [2, 0, 1]


def test_two_melodies_give_two_pieces_and_none_a_third(melody_musicgen: str) -> None:
    pieces = [make(melody_musicgen, melody) for melody in (tune(C4, E4), tune(A4, C4), None)]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(pieces[one] - pieces[other]).max() > 0.01


def test_a_file_at_another_rate_is_the_same_melody(melody_musicgen: str, tmp_path: Path) -> None:
    path = tmp_path / "tune.wav"
    at_48 = np.concatenate([sine(hz, seconds=1.0) for hz in (C4, E4)], axis=1)
    sf.write(path, at_48.T, 48_000)
    assert np.array_equal(make(melody_musicgen, path), make(melody_musicgen, tune(C4, E4)))


def test_a_later_window_hears_what_comes_later_in_the_melody(melody_musicgen: str) -> None:
    def long(last_hz: float) -> Wav:
        melody = np.concatenate([tune(C4, seconds_each=30.5), tune(last_hz)], axis=1)
        settings = GenerateOptions(
            model=melody_musicgen, melody=melody, window_seconds=2.0, context_seconds=0.5
        )
        return next(generate_all([Request("a pop song", 0, 4.0)], settings))[1].wav

    first, second = long(E4), long(A4)  # the first window hears 30 s, the next one 1.5 s more
    begin, end = slice(0, round(1.5 * RATE)), slice(3 * RATE, None)
    assert first[:, begin] == pytest.approx(second[:, begin], abs=1e-3)
    assert np.abs(first[:, end] - second[:, end]).max() > 0.01


def test_a_checkpoint_without_melody_refuses_one(musicgen: str) -> None:
    with pytest.raises(ConfigError, match=r"takes no melody; facebook/musicgen-melody does"):
        make(musicgen, tune(C4))


def test_a_melody_shorter_than_a_second_is_refused(melody_musicgen: str) -> None:
    with pytest.raises(AudioTooShortError, match=r"melody lasts 0\.50 s"):
        make(melody_musicgen, tune(C4, seconds_each=0.5))
