"""The pictures of the founding table: what is in them, and that they are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from tests.signals import noise, pink_noise, sine

import nitido
from nitido.cli import main
from nitido.report.seed_figures import bar_figure, mel_db, mel_figure, percent

librosa = pytest.importorskip("librosa", reason="needs librosa: pip install 'nitido[metrics]'")


def test_spectrograms_lie_one_above_the_other_on_one_scale() -> None:
    low, high = noise(seconds=1.0, sample_rate=32_000), noise(seconds=1.5, sample_rate=48_000)
    figure = mel_figure([("raw", low, 32_000), ("48 kHz", high, 48_000), ("done", high, 48_000)])
    raw, *others = (axes for axes in figure.axes if axes.get_title(loc="left"))
    assert [axes.get_title(loc="left") for axes in (raw, *others)] == ["raw", "48 kHz", "done"]
    assert {axes.get_ylim() for axes in (raw, *others)} == {(0.0, librosa.hz_to_mel(24_000))}
    assert {axes.get_xlim() for axes in (raw, *others)} == {(0.0, 1.5)}
    assert raw.images[0].get_extent()[3] == librosa.hz_to_mel(16_000)  # nothing is drawn above


def test_a_tone_is_seen_at_its_pitch() -> None:
    found = mel_db(sine(1_000, seconds=1.0), 48_000)
    loudest = librosa.mel_frequencies(128, fmax=24_000)[found.mean(axis=1).argmax()]
    assert loudest == pytest.approx(1_000, rel=0.05)
    assert found.max() == 0


def test_bars_stand_against_100_percent() -> None:
    scores = {"raw": {"rms": 0.2, "flat": 0.0}, "done": {"rms": 0.1, "flat": 0.3}}
    axes = bar_figure(scores, {"rms": "RMS", "flat": "flatness"}).axes[0]
    assert [text.get_text() for text in axes.texts] == ["100.0 %", "–", "50.0 %", "–"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["RMS", "flatness"]
    assert percent(2789.3240, 2773.4412) == pytest.approx(99.43, abs=0.005)


def test_the_table_is_what_librosa_says_of_the_files_and_shows_the_change(tmp_path: Path) -> None:
    raw = pink_noise(seconds=3.0, sample_rate=32_000)
    sf.write(tmp_path / "raw.wav", raw.T, 32_000, subtype="PCM_16")
    louder = pink_noise(seconds=3.0, sample_rate=48_000, channels=2, rms=0.15)
    sf.write(tmp_path / "done.wav", louder.T, 48_000, subtype="PCM_24")
    comparison = nitido.compare(tmp_path / "raw.wav", tmp_path / "done.wav", tables=["seed"])
    direct = {}
    for name in ("raw", "done"):
        wav, rate = librosa.load(tmp_path / f"{name}.wav")
        direct[name] = {
            "spectral_centroid": librosa.feature.spectral_centroid(y=wav, sr=rate).mean(),
            "spectral_flatness": librosa.feature.spectral_flatness(y=wav).mean(),
            "rms_energy": librosa.feature.rms(y=wav).mean(),
        }
        assert comparison.scores["seed"][name] == pytest.approx(direct[name], rel=1e-6)
    change = 100 * (direct["done"]["rms_energy"] / direct["raw"]["rms_energy"] - 1)
    assert comparison.changes_percent("done")["rms_energy"] == pytest.approx(change, rel=1e-4)
    (rows,) = comparison.tables.values()
    assert rows[2]["change"] == f"{change:+.2f} %"
    changes = comparison.to_dict()["changes_percent"]["done"]
    assert changes["rms_energy"] == pytest.approx(change, rel=1e-4)


def test_the_command_draws_them(tmp_path: Path) -> None:
    for name, seed in (("raw", 0), ("done", 1)):
        sf.write(tmp_path / f"{name}.wav", noise(seconds=1.0, seed=seed).T, 48_000)
    call = ["compare", str(tmp_path / "raw.wav"), str(tmp_path / "done.wav"), "--table", "seed"]
    result = CliRunner().invoke(main, [*call, "--png", str(tmp_path / "png")])
    assert result.exit_code == 0, result.output
    assert "change" in result.output
    names = sorted(path.name for path in (tmp_path / "png").iterdir())
    assert names == ["raw_done.png", "raw_done_mel.png", "raw_seed.png"]
    for path in (tmp_path / "png").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 10_000
    again = CliRunner().invoke(main, [*call, "--png", str(tmp_path / "png")])
    assert again.exit_code == 1
    assert "exists already" in again.stderr


def test_a_piece_without_sound_has_no_change() -> None:
    silent = np.zeros((1, 22_050), np.float32)
    comparison = nitido.compare(silent, silent, tables=["seed"], sample_rate=22_050)
    assert comparison.changes_percent("after")["rms_energy"] is None
