"""Stems of a stream: the same as Demucs's own of the whole, however long the piece."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.demucs_checkpoint import SIGNATURE, make_model, save_model, save_weights
from tests.signals import cut, pink_noise, silence, sine

import nitido
from nitido.dsp.wav import Wav
from nitido.errors import AudioShapeError, ConfigError, DeviceMemoryError
from nitido.separation.separator import (
    Demucs,
    Stems,
    find_device,
    open_separator,
    triangle,
)
from nitido.separation.stems import separate_stream

torch = pytest.importorskip("torch", reason="needs torch: pip install 'nitido[demucs]'")
pytest.importorskip("demucs", reason="needs Demucs: pip install 'nitido[demucs]'")

RATE = 44_100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_model(tmp_path_factory.mktemp("demucs"), make_model())
    save_weights(folder / "other.safetensors", make_model(seed=21))
    bag = f"models: ['{SIGNATURE}', other]\nweights: [[1, 0, 2, 1], [0, 1, 1, 1]]\nsegment: 1.2\n"
    (folder / "two.yaml").write_text(bag)
    return folder


def separated(name: str, folder: Path, wav: Wav, *sizes: int) -> Stems:
    separator = open_separator(name, folder, "cpu")
    blocks = cut(wav, *(sizes or (wav.shape[1],)))
    return np.concatenate(list(separator.separate(blocks, samples=wav.shape[1])), axis=2)


@pytest.mark.parametrize("name", ["htdemucs", "two"])
@pytest.mark.parametrize("seconds", [0.3, 1.5, 3.7])
def test_the_stems_of_a_stream_are_those_of_demucs_itself(
    name: str, seconds: float, folder: Path
) -> None:
    from demucs.apply import apply_model

    from nitido.separation.demucs_model import load_model

    wav = pink_noise(seconds=seconds, sample_rate=RATE, channels=2)
    mix = torch.from_numpy(wav)[None]
    whole = apply_model(load_model(name, folder), mix, shifts=0, split=True, overlap=0.25)[0]
    assert np.abs(separated(name, folder, wav, 10_000, 333) - whole.numpy()).max() < 1e-6
    assert float(whole.std()) > 1e-3


@pytest.mark.parametrize("kind", ["hdemucs", "demucs"])
def test_older_models_are_cut_and_joined_as_demucs_does_too(kind: str, tmp_path: Path) -> None:
    """Theirs need more sound than a segment, or another length of it."""
    from demucs.apply import apply_model
    from demucs.demucs import Demucs as Second
    from demucs.hdemucs import HDemucs

    torch.manual_seed(1)
    sources = ["drums", "bass", "other", "vocals"]
    model = (
        HDemucs(sources, channels=8, segment=1.0)
        if kind == "hdemucs"
        else Second(sources, channels=4, depth=5, lstm_layers=1, segment=1.0)
    ).eval()
    folder = save_model(tmp_path, model)
    wav = pink_noise(seconds=2.3, sample_rate=RATE, channels=2)
    whole = apply_model(model, torch.from_numpy(wav)[None], shifts=0, overlap=0.25)[0].numpy()
    assert (
        np.abs(separated("htdemucs", folder, wav, 7_000) - whole).max() < 1e-5 * whole.std() + 1e-6
    )


def test_the_same_piece_gives_the_same_bytes(folder: Path) -> None:
    wav = pink_noise(seconds=2.0, sample_rate=RATE, channels=2)
    first, second = (separated("htdemucs", folder, wav, size) for size in (5_000, 88_200))
    assert first.tobytes() == second.tobytes()


def test_segments_fade_into_each_other_evenly() -> None:
    weight = triangle(9)
    assert weight.max() == 1
    assert weight.tolist() == weight[::-1].tolist()
    assert np.all(np.diff(weight[:5]) > 0)


class Quarters(Demucs):
    """Four equal stems that add up to the mix, of segments of 0.1 s; needs no network."""

    def __init__(self) -> None:
        self.stems = ("drums", "bass", "other", "vocals")
        self.sample_rate, self.channels = RATE, 2
        self._segment = RATE // 10

    def _apply(self, window: Wav, start: int, length: int) -> Stems:
        return np.stack([window[:, start : start + length] / 4] * 4)


@pytest.mark.parametrize("minutes", [1, 10])
def test_memory_does_not_grow_with_the_length_of_the_piece(minutes: int) -> None:
    samples, block = minutes * 60 * 8_000, np.ones((1, 4_000), np.float32)
    read = 0

    def blocks() -> Iterator[Wav]:
        nonlocal read
        while read < samples:
            read += block.shape[1]
            yield block

    given = waiting = 0
    for mix, stems in separate_stream(
        Quarters(), blocks(), sample_rate=8_000, channels=1, samples=samples
    ):
        waiting = max(waiting, read - given)  # samples that were read and are still held
        given += mix.shape[1]
        assert stems.shape == (4, 1, mix.shape[1])
    assert given == samples
    assert waiting < 8_000 * 12


@pytest.mark.parametrize(("sample_rate", "channels"), [(8_000, 1), (44_100, 2), (48_000, 1)])
def test_stems_lie_on_the_piece_sample_by_sample(sample_rate: int, channels: int) -> None:
    wav = sine(1_000, seconds=0.7, sample_rate=sample_rate, channels=channels)
    wav *= np.hanning(wav.shape[1]).astype(np.float32)
    stream = separate_stream(
        Quarters(),
        cut(wav, 999),
        sample_rate=sample_rate,
        channels=channels,
        samples=wav.shape[1],
        level_db=-9.0,
    )
    pairs = list(stream)
    mix, stems = (np.concatenate([pair[i] for pair in pairs], axis=-1) for i in (0, 1))
    assert np.array_equal(mix, wav)
    assert np.abs(stems.sum(axis=0) - wav).max() < 1e-4


@pytest.mark.parametrize(("rate", "channels"), [(32_000, 1), (48_000, 2)])
def test_the_stems_of_a_piece_add_up_to_it(rate: int, channels: int, folder: Path) -> None:
    wav = pink_noise(seconds=2.0, sample_rate=rate, channels=channels)
    stems = nitido.separate(wav, sample_rate=rate, demucs_repo=folder, device="cpu")
    assert list(stems) == ["drums", "bass", "other", "vocals", "residual"]
    assert {stem.shape for stem in stems.values()} == {wav.shape}
    assert np.abs(sum(stems.values()) - wav).max() < 1e-6


def test_mono_is_separated_as_two_equal_channels(folder: Path) -> None:
    mono = pink_noise(seconds=1.5, sample_rate=RATE)
    both = nitido.separate(np.repeat(mono, 2, axis=0), sample_rate=RATE, demucs_repo=folder)
    one = nitido.separate(mono, sample_rate=RATE, demucs_repo=folder)
    for name, stem in one.items():
        assert np.abs(stem - both[name].mean(axis=0)).max() < 1e-6


def test_a_quiet_piece_is_separated_as_a_loud_one(folder: Path) -> None:
    wav = pink_noise(seconds=1.5, sample_rate=RATE, channels=2)
    loud = nitido.separate(wav, sample_rate=RATE, demucs_repo=folder)
    quiet = nitido.separate(wav * np.float32(1e-3), sample_rate=RATE, demucs_repo=folder)
    for name, stem in loud.items():
        assert np.abs(1e3 * quiet[name] - stem).max() < 1e-4 * np.abs(stem).max(), name


def test_silence_has_silent_stems(folder: Path) -> None:
    stems = nitido.separate(silence(seconds=0.5), sample_rate=48_000, demucs_repo=folder)
    assert max(float(np.abs(stem).max()) for stem in stems.values()) < 1e-6


def test_surround_is_refused(folder: Path) -> None:
    with pytest.raises(AudioShapeError, match="6 channels cannot be separated"):
        nitido.separate(np.zeros((6, 4_800), np.float32), sample_rate=48_000, demucs_repo=folder)


def test_a_device_that_is_not_here_is_refused() -> None:
    for wanted in ("tpu", "cuda:x", "cuda" if not torch.cuda.is_available() else "mps"):
        with pytest.raises(ConfigError, match="no device"):
            find_device(wanted)
    assert find_device("auto") in {"cpu", "cuda", "mps"}


def test_too_little_memory_is_one_sentence_that_says_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import demucs.apply

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(demucs.apply, "apply_model", full)
    with pytest.raises(DeviceMemoryError, match="does not fit into the memory"):
        separated("htdemucs", folder, silence(seconds=0.1, sample_rate=RATE, channels=2))
