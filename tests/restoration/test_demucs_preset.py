"""The founding pipeline, step by step, with a small random model: the preset is the same steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr
from tests.demucs_checkpoint import make_model, save_model
from tests.signals import pink_noise

import nitido
from nitido.dsp.wav import Wav

torch = pytest.importorskip("torch", reason="needs torch: pip install 'nitido[demucs]'")
pytest.importorskip("demucs", reason="needs Demucs: pip install 'nitido[demucs]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("demucs"), make_model())


@pytest.fixture(scope="module")
def clip() -> Wav:
    return pink_noise(seconds=4.0, sample_rate=32_000, rms=0.05)


def resampled(wav: Wav, from_hz: int, to_hz: int) -> Wav:
    return np.ascontiguousarray(soxr.resample(wav.T, from_hz, to_hz, quality="VHQ").T)


def test_the_preset_seed_is_the_founding_pipeline(clip: Wav, folder: Path) -> None:
    from demucs.apply import apply_model

    sixteen = (clip / np.abs(clip).max() * 32_767).astype(np.int16)
    processed = resampled(sixteen.astype(np.float32) / 32_768, 32_000, 48_000)
    mix = np.repeat(resampled(processed, 48_000, 44_100), 2, axis=0)
    scale = np.float32(0.05)  # Demucs is fed about unit level, and its stems are brought back
    stems = apply_model(make_model(), torch.from_numpy(mix / scale)[None], shifts=0)[0].numpy()
    wanted = resampled(stems.sum(axis=0).mean(axis=0, keepdims=True) * scale, 44_100, 48_000)

    result = nitido.restore(clip, sample_rate=32_000, preset="demucs", demucs_repo=folder)
    assert result.wav.shape == processed.shape
    error = result.wav - wanted[:, : result.wav.shape[1]]
    assert np.abs(error).max() < 1e-4 * np.abs(wanted).max()
    assert [step.stage for step in result.plan.steps if step.on] == ["peak", "stems"]
    assert {change.verdict for change in result.changes} == {"kept"}


def test_its_result_is_the_sum_of_its_stems(clip: Wav, folder: Path) -> None:
    options = {"preset": "demucs", "demucs_repo": folder, "stems": True}
    result = nitido.restore(clip, sample_rate=32_000, **options)
    assert np.abs(sum(result.stems.values()) - result.wav).max() < 1e-6
    assert not result.stems["residual"].any()


@pytest.mark.parametrize("preset", ["demucs", "stems"])
def test_blocks_of_any_length_give_the_same_result(preset: str, clip: Wav, folder: Path) -> None:
    def restored(seconds: float) -> Wav:
        options = {"preset": preset, "demucs_repo": folder, "block_seconds": seconds}
        return nitido.restore(clip, sample_rate=32_000, **options).wav

    whole = restored(100.0)
    for seconds in (1.0, 2.7):
        difference = np.abs(restored(seconds) - whole).max()
        assert difference <= 10 ** (-90 / 20) * np.abs(whole).max()


def test_twice_the_same_input_gives_the_same_bytes(clip: Wav, folder: Path) -> None:
    options = {"preset": "stems", "demucs_repo": folder}
    first, second = (nitido.restore(clip, sample_rate=32_000, **options).wav for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_stems_on_top_of_the_default_preset_do_not_change_its_result(
    clip: Wav, folder: Path
) -> None:
    plain = nitido.restore(clip, sample_rate=32_000)
    with_stems = nitido.restore(clip, sample_rate=32_000, stems=True, demucs_repo=folder)
    assert np.array_equal(plain.wav, with_stems.wav)
    assert list(with_stems.stems) == ["drums", "bass", "other", "vocals", "residual"]
