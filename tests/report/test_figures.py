"""The pictures: what is in them, on which scale, and that they are written."""

import html
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from matplotlib.image import imread
from tests.signals import noise, pink_noise, silence, sine

import nitido
from nitido.cli import main
from nitido.demo.render import render
from nitido.errors import MissingExtraError
from nitido.report.figures import (
    CHANGE,
    COLUMNS,
    ROWS,
    SECONDS_MAX,
    Spectrogram,
    bar_figure,
    comparison_figure,
    difference_png,
    mel_db,
    mel_figure,
    restoration_figure,
    spectrogram_png,
)
from nitido.report.tracks import Track

RATE = 48_000
NO_LIBROSA = "needs librosa: pip install 'nitido[bench]'"


def images(figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


# ── Spectrograms in a page ─────────────────────────────────────────────────────────────────────


def view(wav: np.ndarray, *, high_hz: float = 24_000.0) -> Spectrogram:
    return Spectrogram.of(wav, sample_rate=RATE, high_hz=high_hz)


def test_a_tone_is_a_line_at_its_height_in_the_picture() -> None:
    shown = view(sine(6000.0, seconds=4.0))
    picture = imread(io.BytesIO(spectrogram_png(shown, top_db=float(shown.spec_db.max()))))
    assert picture.shape[0] == ROWS
    brightness = picture[:, :, :3].sum(axis=2).mean(axis=1)
    assert np.argmax(brightness[::-1]) == pytest.approx(ROWS * 6 / 24, abs=1)


def test_a_long_picture_has_no_more_columns_than_a_screen() -> None:
    shown = view(noise(seconds=40.0))
    assert shown.spec_db.shape == (ROWS, COLUMNS)


def test_what_is_equal_is_black_and_what_is_added_is_warm() -> None:
    wav = pink_noise(seconds=2.0)
    before = view(wav)
    top_db = float(before.spec_db.max())
    same = imread(io.BytesIO(difference_png(before, before, top_db=top_db)))
    neutral = np.array(CHANGE[len(CHANGE) // 2]) / 255
    assert np.allclose(same[:, :, :3], neutral, atol=1e-6)
    more = view(wav + sine(12_000.0, seconds=2.0, amplitude=0.1))
    change = imread(io.BytesIO(difference_png(before, more, top_db=top_db)))
    row = change[ROWS // 2 - 1, :, :3].mean(axis=0)
    assert row[0] > row[2] + 0.3


def test_a_pause_does_not_lower_the_average_spectrum() -> None:
    wav = sine(1000.0, seconds=4.0)
    paused = np.concatenate([wav, silence(seconds=4.0)], axis=1)
    assert view(paused).curve_db.max() == pytest.approx(view(wav).curve_db.max(), abs=3.0)


# ── A restoration ──────────────────────────────────────────────────────────────────────────────


def test_the_picture_is_1600_by_1000_and_needs_no_screen(
    restoration: nitido.Restoration, tmp_path: Path
) -> None:
    figure = restoration.plot(tmp_path / "song.png")
    assert tuple(figure.get_size_inches() * figure.dpi) == (1600, 1000)
    assert (tmp_path / "song.png").stat().st_size > 50_000


def test_it_says_what_was_found_and_what_was_done(restoration: nitido.Restoration) -> None:
    figure = restoration_figure(restoration)
    said = {text.get_text() for axes in figure.axes for text in axes.texts}
    done = {step.stage for step in restoration.plan.steps if step.on}
    found = {finding.kind for finding in restoration.diagnosis.findings if finding.found}
    assert done | found <= said
    assert not any(re.search(r"(?<!\w)-\d", text) for text in said)  # a true minus everywhere


def test_the_difference_shows_the_new_octave_as_added(restoration: nitido.Restoration) -> None:
    before, after, change = images(restoration_figure(restoration))
    assert before.shape == after.shape == change.shape
    octave = slice(int(0.7 * len(change)), int(0.85 * len(change)))  # 17 to 20 kHz
    assert change[octave].mean() > 3
    body = slice(int(0.02 * len(change)), int(0.2 * len(change)))
    assert abs(change[body].mean()) < 1


def test_of_a_long_piece_only_the_first_minute_is_read() -> None:
    minutes = np.tile(render(seconds=10.0, sample_rate=16_000), (1, 12))
    restoration = nitido.restore(minutes, sample_rate=16_000, stages=[], output_sample_rate=16_000)
    assert restoration.after.samples == minutes.shape[1]  # the diagnosis hears it all, once
    read: list[int] = []
    blocks = restoration.blocks

    def counted():
        for block in blocks():
            read.append(block.shape[1])
            yield block

    restoration.blocks = counted
    restoration_figure(restoration)
    assert sum(read) < (SECONDS_MAX + 40) * 16_000  # a block or two more


@pytest.mark.parametrize("samples", [1, 100, 32_000])
def test_silence_and_next_to_nothing_are_drawn_as_well(samples: int) -> None:
    wav = np.zeros((1, samples), np.float32)
    restoration_figure(nitido.restore(wav, sample_rate=32_000)).canvas.draw()


# ── A comparison ───────────────────────────────────────────────────────────────────────────────


def compared(before, after, **more):
    tracks = [
        Track(name, wav, 48_000, name) for name, wav in (("before", before), ("after", after))
    ]
    return comparison_figure(*tracks, **more)


def test_a_mere_gain_makes_no_difference_in_the_picture():
    music = pink_noise(seconds=3.0, channels=2)
    *_, difference = images(compared(music, 0.1 * music))
    assert np.abs(difference).max() < 0.1


def test_what_was_added_is_above_zero_in_the_picture():
    music = pink_noise(seconds=3.0)
    *_, difference = images(compared(music, music + noise(seconds=3.0, rms=0.02)))
    assert difference[-20:].mean() > 1
    assert difference[:20].mean() < 0  # at the same loudness, the rest is less


def test_both_are_on_one_scale():
    drawn = compared(pink_noise(), noise(rms=0.01))
    scales = [axes.images[0].get_clim() for axes in drawn.axes if axes.images]
    assert scales[0] == scales[1]


@pytest.mark.parametrize("samples", [1, 100, 48_000])
def test_two_sounds_of_next_to_nothing_are_drawn_as_well(samples):
    wav = silence()[:, :samples]
    compared(wav, wav, sentences=["Nothing."]).canvas.draw()


def test_of_long_sounds_the_first_minute_is_shown():
    wav = np.zeros((1, 48_000 * 61), np.float32)
    left = compared(wav, wav).axes[0].get_xlim()
    assert left == (0, SECONDS_MAX)


# ── The founding table ─────────────────────────────────────────────────────────────────────────


def test_spectrograms_lie_one_above_the_other_on_one_scale() -> None:
    librosa = pytest.importorskip("librosa", reason=NO_LIBROSA)
    low, high = noise(seconds=1.0, sample_rate=32_000), noise(seconds=1.5, sample_rate=48_000)
    figure = mel_figure([("raw", low, 32_000), ("48 kHz", high, 48_000), ("done", high, 48_000)])
    raw, *others = (axes for axes in figure.axes if axes.get_title(loc="left"))
    assert [axes.get_title(loc="left") for axes in (raw, *others)] == ["raw", "48 kHz", "done"]
    assert {axes.get_ylim() for axes in (raw, *others)} == {(0.0, librosa.hz_to_mel(24_000))}
    assert {axes.get_xlim() for axes in (raw, *others)} == {(0.0, 1.5)}
    assert raw.images[0].get_extent()[3] == librosa.hz_to_mel(16_000)  # nothing is drawn above


def test_a_tone_is_seen_at_its_pitch() -> None:
    librosa = pytest.importorskip("librosa", reason=NO_LIBROSA)
    found = mel_db(sine(1_000, seconds=1.0), 48_000)
    loudest = librosa.mel_frequencies(128, fmax=24_000)[found.mean(axis=1).argmax()]
    assert loudest == pytest.approx(1_000, rel=0.05)
    assert found.max() == 0


def test_bars_stand_against_100_percent() -> None:
    scores = {"raw": {"rms": 2789.3240, "flat": 0.0}, "done": {"rms": 2773.4412, "flat": 0.3}}
    axes = bar_figure(scores, {"rms": "RMS", "flat": "flatness"}).axes[0]
    assert [text.get_text() for text in axes.texts] == ["100.0 %", "–", "99.4 %", "–"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["RMS", "flatness"]


def test_the_table_is_what_librosa_says_of_the_files_and_shows_the_change(tmp_path: Path) -> None:
    librosa = pytest.importorskip("librosa", reason=NO_LIBROSA)
    raw = pink_noise(seconds=3.0, sample_rate=32_000)
    sf.write(tmp_path / "raw.wav", raw.T, 32_000, subtype="PCM_16")
    louder = pink_noise(seconds=3.0, sample_rate=48_000, channels=2, rms=0.15)
    sf.write(tmp_path / "done.wav", louder.T, 48_000, subtype="PCM_24")
    comparison = nitido.compare(tmp_path / "raw.wav", tmp_path / "done.wav", tables=["features"])
    direct = {}
    for name in ("raw", "done"):
        wav, rate = librosa.load(tmp_path / f"{name}.wav")
        direct[name] = {
            "spectral_centroid": librosa.feature.spectral_centroid(y=wav, sr=rate).mean(),
            "spectral_flatness": librosa.feature.spectral_flatness(y=wav).mean(),
            "rms_energy": librosa.feature.rms(y=wav).mean(),
        }
        assert comparison.scores["features"][name] == pytest.approx(direct[name], rel=1e-6)
    change = 100 * (direct["done"]["rms_energy"] / direct["raw"]["rms_energy"] - 1)
    assert comparison.changes_percent("done")["rms_energy"] == pytest.approx(change, rel=1e-4)
    (rows,) = comparison.tables.values()
    assert rows[2]["change"] == f"{change:+.2f} %"
    changes = comparison.to_dict()["changes_percent"]["done"]
    assert changes["rms_energy"] == pytest.approx(change, rel=1e-4)


def test_the_command_draws_them(tmp_path: Path) -> None:
    pytest.importorskip("librosa", reason=NO_LIBROSA)
    for name, seed in (("raw", 0), ("done", 1)):
        sf.write(tmp_path / f"{name}.wav", noise(seconds=1.0, seed=seed).T, 48_000)
    call = ["compare", str(tmp_path / "raw.wav"), str(tmp_path / "done.wav"), "--table", "features"]
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
    pytest.importorskip("librosa", reason=NO_LIBROSA)
    silent = np.zeros((1, 22_050), np.float32)
    comparison = nitido.compare(silent, silent, tables=["features"], sample_rate=22_050)
    assert comparison.changes_percent("after")["rms_energy"] is None


def test_without_matplotlib_a_picture_says_how_to_get_it_and_a_notebook_goes_on(
    restoration: nitido.Restoration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nitido.optional.available", lambda module: module != "matplotlib")
    remedy = r"A picture needs matplotlib, which is not installed: pip install 'nitido\[plots\]'\."
    with pytest.raises(MissingExtraError, match=remedy):
        restoration.plot(tmp_path / "song.png")
    shown = html.unescape(restoration._repr_html_())
    assert "<audio" in shown
    assert re.search(remedy, shown)
    piece = tmp_path / "song.wav"
    restoration.write(piece)
    asked = ["compare", str(piece), str(piece), "--png", str(tmp_path / "pictures")]
    result = CliRunner().invoke(main, asked)
    assert (result.exit_code, "nitido[plots]" in result.stderr) == (1, True)
    assert not (tmp_path / "pictures").exists()
