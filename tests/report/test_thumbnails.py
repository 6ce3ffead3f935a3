"""The small pictures point at what was found."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile as sf
from tests.signals import noise, sine

import nitido
from nitido.demo import DECODER_HZ, add_artifacts
from nitido.demo.render import render
from nitido.dsp.wav import Wav
from nitido.report.thumbnails import WIDTH, thumbnails

RATE = 48_000


def drawn(wav: Wav, path: Path, *, rate: int = RATE) -> tuple[dict[str, str], nitido.Diagnosis]:
    sf.write(path, wav.T, rate, subtype="FLOAT")
    diagnosis = nitido.diagnose(path)
    return thumbnails(path, diagnosis), diagnosis


@pytest.fixture(scope="module")
def spoiled() -> Wav:
    """A piece as a neural decoder leaves it, at its rate."""
    return add_artifacts(render(seconds=4.0))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "piece.wav"


def test_every_fault_of_a_generated_clip_has_a_picture(path: Path, spoiled: Wav) -> None:
    pictures, diagnosis = drawn(spoiled, path, rate=DECODER_HZ)
    assert set(pictures) == {f.kind for f in diagnosis.findings if f.found}
    assert {"comb", "bandwidth", "width"} <= set(pictures)
    for html in pictures.values():
        svg = ElementTree.fromstring(html).find("svg")
        assert len(svg) > 0


def test_there_is_a_line_for_each_line_of_the_comb(path: Path, spoiled: Wav) -> None:
    pictures, diagnosis = drawn(spoiled, path, rate=DECODER_HZ)
    lines = re.search('class="lines" d="(.*?)"', pictures["comb"])
    assert lines[1].count("M") == len(diagnosis["comb"].details["lines_hz"])


def test_the_missing_treble_is_marked_where_it_begins(path: Path) -> None:
    wav = noise(seconds=3.0, sample_rate=32_000)
    pictures, _ = drawn(wav, path, rate=32_000)
    box = re.search('class="fault" x="(.*?)" y=".*?" width="(.*?)"', pictures["bandwidth"])
    assert float(box[1]) == pytest.approx(WIDTH * 16 / 24, abs=1)
    assert float(box[1]) + float(box[2]) == pytest.approx(WIDTH, abs=1)


def test_a_dropout_is_drawn_where_it_is(path: Path) -> None:
    wav = 0.5 * noise(seconds=3.0)
    wav[:, 70_000:75_000] = 0.0
    pictures, diagnosis = drawn(wav, path)
    assert diagnosis["gaps"].found
    box = re.search('class="fault" x="(.*?)" y=".*?" width="(.*?)"', pictures["gaps"])
    assert float(box[1]) + float(box[2]) / 2 == pytest.approx(WIDTH / 2, abs=1)
    assert float(box[2]) == pytest.approx(WIDTH * 5000 / RATE / 0.3, rel=0.1)


def test_cut_off_peaks_are_drawn_with_the_level_at_which_they_are_cut(path: Path) -> None:
    tone = np.clip(sine(220.0, seconds=3.0, amplitude=0.9), -0.5, 0.5)
    pictures, diagnosis = drawn(tone + 0.0 * noise(seconds=3.0), path)
    assert diagnosis["clipping"].found
    assert pictures["clipping"].count('class="mark"') == 2
    assert 'class="curve"' in pictures["clipping"]


def test_an_offset_is_drawn_off_the_middle(path: Path) -> None:
    pictures, diagnosis = drawn(sine(220.0, seconds=3.0, amplitude=0.2) + np.float32(0.1), path)
    assert diagnosis["dc"].found
    zero = re.search('class="zero" d="M0 (.*?)H', pictures["dc"])
    mark = re.search('class="mark" d="M0 (.*?)H', pictures["dc"])
    assert float(mark[1]) < float(zero[1])  # higher up


@pytest.mark.parametrize("samples", [1, 7, 400])
def test_the_shortest_pieces_can_be_drawn(path: Path, samples: int) -> None:
    drawn(np.full((2, samples), 0.9, np.float32), path)


def test_music_without_a_fault_has_no_pictures(path: Path) -> None:
    clean = noise(seconds=4.0, channels=2, rms=0.08)
    fade = np.minimum(1, np.minimum(np.arange(4 * RATE), np.arange(4 * RATE)[::-1]) / RATE)
    pictures, diagnosis = drawn((clean * fade).astype(np.float32), path)
    assert not diagnosis["comb"].found
    assert set(pictures) <= {"loudness"}
