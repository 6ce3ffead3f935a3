import base64
import copy
import hashlib
import html
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from markupsafe import escape
from PIL import Image
from tests.signals import click, noise, pink_noise, silence, sine

import nitido
from nitido.cli import main
from nitido.demo import DECODER_HZ, add_artifacts
from nitido.demo.render import render
from nitido.dsp.loudness import integrated_lufs, true_peak_dbtp
from nitido.report import page, tracks
from nitido.report.figures import comb_lines_hz
from nitido.report.page import write_report
from nitido.report.tracks import BOOST_MAX_DB, CEILING_DBTP, Track, encode, make_excerpts

RATE = 48_000
HOSTILE = '"><img src=x onerror=alert(1)></script><script>alert(2)</script>&amp;'


@pytest.fixture(scope="module")
def text(restoration: nitido.Restoration, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = restoration.report(tmp_path_factory.mktemp("page") / "song.report.html")
    return path.read_text("utf-8")


class Outline(HTMLParser):
    """What a page is made of; fails on an element that is not closed."""

    VOID = frozenset({"meta", "link", "input", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.said: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID and not self.get_starttag_text().endswith("/>"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._open):
            self.said.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def write(path: Path, *tracks: Track, title: str = "song", **options) -> str:
    write_report(path / "page.html", tracks=tracks, title=title, sentences=[], tables={}, **options)
    return (path / "page.html").read_text("utf-8")


def sound(text: str) -> dict:
    (inside,) = re.findall(r'<script type="application/json" id="sound">(.*?)</script>', text)
    return json.loads(inside)


# ── The file ─────────────────────────────────────────────────────────────────────────────────────


def test_the_page_is_one_file_that_names_no_other(text: str) -> None:
    assert "://" not in text
    outline = Outline(text)
    linked = [
        value or ""
        for _, attributes in outline.tags
        for key, value in attributes.items()
        if key in {"src", "href", "srcset", "action", "data", "poster", "xlink:href"}
    ]
    assert [link[:30] for link in linked if not link.startswith("data:")] == []
    assert "@import" not in text
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon)\b", text)


def test_the_policy_lets_only_the_page_s_own_script_and_style_run(text: str) -> None:
    outline = Outline(text)
    (policy,) = (m["content"] for m in outline.of("meta") if "http-equiv" in m)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag, source in (("script", "script-src"), ("style", "style-src")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in policy
    assert not [a for _, a in outline.tags if "style" in a or any(k.startswith("on") for k in a)]


def test_the_same_restoration_gives_the_same_page(
    restoration: nitido.Restoration, text: str, tmp_path: Path
) -> None:
    assert restoration.report(tmp_path / "again.html").read_text("utf-8") == text


def test_a_page_is_not_replaced_unless_asked(
    restoration: nitido.Restoration, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text("mine")
    with pytest.raises(nitido.AudioWriteError, match="exists"):
        restoration.report(path)
    assert path.read_text() == "mine"
    restoration.report(path, overwrite=True)
    assert path.read_text("utf-8").startswith("<!doctype html>")


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    wav = noise(seconds=0.5)
    write_report(
        tmp_path / "page.html",
        tracks=[Track(HOSTILE, wav, RATE, "before"), Track(HOSTILE, wav, RATE, "after")],
        title=HOSTILE,
        sentences=[HOSTILE],
        tables={HOSTILE: [{HOSTILE: HOSTILE}]},
    )
    text = (tmp_path / "page.html").read_text("utf-8")
    outline = Outline(text)
    assert len(outline.of("script")) == 2
    assert all(image["src"].startswith("data:image/png") for image in outline.of("img"))
    assert outline.said.count(HOSTILE) == 11  # two headings, sentence, table, tracks, figures
    assert [track["name"] for track in sound(text)["tracks"]] == [HOSTILE] * 2


def test_thirty_seconds_of_stereo_take_at_most_three_megabytes(tmp_path: Path) -> None:
    # Noise is the worst case, for the sound as for the pictures.
    played = [
        Track(role, noise(seconds=30.0, channels=2, seed=seed), RATE, role)
        for seed, role in enumerate(("before", "after", "removed"))
    ]
    assert len(write(tmp_path, *played).encode()) <= 3_000_000


def test_of_a_long_piece_only_the_start_is_read_and_the_page_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "SECONDS_MAX", 1.5)

    def endless() -> Iterator[np.ndarray]:
        for seed in range(10_000):
            assert seed < 100, "it was read on and on"
            yield noise(seconds=0.1, seed=seed)

    text = write(tmp_path, Track("Before", endless, RATE, "before"))
    assert "Sound and pictures are of the first" in text
    assert sound(text)["seconds"] == 1.5
    short = Track("Before", noise(seconds=1.5), RATE, "before")
    assert "are of the first" not in write(tmp_path, short, overwrite=True)


@pytest.mark.parametrize("samples", [0, 1, 100, 4800])
def test_silence_and_next_to_nothing_have_a_page_as_well(samples: int, tmp_path: Path) -> None:
    wav = np.zeros((2, samples), np.float32)
    played = [Track(role, wav, RATE, role) for role in ("before", "after", "removed")]
    assert len(sound(write(tmp_path, *played))["tracks"]) == 3


# ── The sound ────────────────────────────────────────────────────────────────────────────────────


def test_the_tracks_are_equally_loud_and_none_is_clipped() -> None:
    quiet = pink_noise(seconds=2.0, rms=0.01, channels=2)
    peaky = quiet * 4 + click(24_000, samples=96_000, amplitude=0.9, channels=2)
    played = [Track("a", quiet, RATE, "before"), Track("b", peaky, RATE, "after")]
    excerpts, _ = make_excerpts(played)
    one, other = (integrated_lufs(e.wav, sample_rate=RATE) for e in excerpts)
    assert one == pytest.approx(other, abs=0.1)
    for excerpt in excerpts:
        assert true_peak_dbtp(excerpt.wav, sample_rate=RATE) <= CEILING_DBTP + 0.05


def test_one_channel_counts_as_loud_as_it_sounds_from_two_speakers() -> None:
    mono = pink_noise(seconds=2.0)
    stereo = np.repeat(mono, 2, axis=0) * np.array([[1.0], [0.999]], np.float32)
    played = [Track("a", mono, RATE, "before"), Track("b", stereo, RATE, "after")]
    (one, other), _ = make_excerpts(played)
    assert len(one.wav) == 1
    assert np.abs(other.wav - one.wav).max() < 0.005


def test_removed_sound_is_raised_to_be_heard_and_says_by_how_much() -> None:
    before = pink_noise(seconds=2.0, rms=0.1, channels=2)
    removed = pink_noise(seconds=2.0, rms=0.01, channels=2, seed=9)
    played = [
        Track("Before", before, RATE, "before"),
        Track("After", before - removed, RATE, "after"),
        Track("Removed", removed, RATE, "removed"),
    ]
    (_, after, raised), _ = make_excerpts(played)
    assert raised.boost_db == pytest.approx(20.0, abs=0.2)
    assert raised.gain_db - raised.boost_db == pytest.approx(after.gain_db)
    faint = [*played[:2], Track("Removed", removed / 1000, RATE, "removed")]
    assert make_excerpts(faint)[0][2].boost_db == BOOST_MAX_DB
    nothing = [*played[:2], Track("Removed", silence(seconds=2.0), RATE, "removed")]
    assert make_excerpts(nothing)[0][2].boost_db == 0.0


def test_all_tracks_end_together_whatever_their_length_rate_and_channels() -> None:
    excerpts, _ = make_excerpts(
        [
            Track("a", noise(seconds=0.7, sample_rate=32_000), 32_000, "before"),
            Track("b", noise(seconds=1.0, sample_rate=44_100, channels=2), 44_100, "after"),
            Track("c", noise(seconds=0.5, channels=6), RATE, "reference"),
        ]
    )
    assert [e.wav.shape for e in excerpts] == [(1, RATE), (2, RATE), (1, RATE)]


@pytest.mark.parametrize(("coding", "least_db"), [("FLAC", 60.0), ("Opus", 15.0)])
def test_the_sound_inside_is_the_track(
    coding: str, least_db: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if coding == "Opus":  # what is too long to be stored without loss
        monkeypatch.setattr(tracks, "LOSSLESS_BYTES_MAX", 10_000)
    wav = render(seconds=3.0)
    excerpts, _ = make_excerpts([Track("a", wav, RATE, "before")])
    name, files = encode(excerpts)
    assert name == coding
    heard, rate = sf.read(io.BytesIO(files[0]), dtype="float32")
    assert rate == RATE
    assert heard.T.shape == wav.shape
    error = heard.T - excerpts[0].wav
    assert 10 * np.log10((excerpts[0].wav ** 2).mean() / (error**2).mean()) > least_db


def test_the_wave_shows_where_it_is_loud() -> None:
    wav = np.concatenate([silence(), sine(440.0)], axis=1)
    ((excerpt,), _) = make_excerpts([Track("a", wav, RATE, "before")])
    wave = np.frombuffer(excerpt.wave, np.uint8)
    half = len(wave) // 2
    assert wave[: half - 2].max() == 0
    assert wave[half + 2 :].min() == pytest.approx(255 / 2, abs=1)  # the sine has half full scale


# ── What was found and done ──────────────────────────────────────────────────────────────────────


def test_what_did_less_than_planned_is_told_in_plain_words(
    restoration: nitido.Restoration, tmp_path: Path
) -> None:
    corrected = copy.copy(restoration)
    corrected.changes = tuple(
        replace(change, verdict="turned down") if change.stage == "decomb" else change
        for change in restoration.changes
    )
    said = "decomb was used at less strength: more of it would have changed too much of the music."
    assert said not in restoration.sentences()
    assert said in corrected.sentences()
    text = corrected.report(tmp_path / "page.html").read_text("utf-8")
    assert '<h3>decomb <span class="badge">used at less strength</span></h3>' in text


def test_the_lines_of_the_comb_are_marked(restoration: nitido.Restoration, text: str) -> None:
    lines = comb_lines_hz(restoration.diagnosis)
    assert len(lines) > 20
    assert all(hz % 400 == 0 for hz in lines)
    assert "lines of the comb" in text
    clean = nitido.restore(render(seconds=2.0), sample_rate=RATE, stages=[])
    assert comb_lines_hz(clean.diagnosis) == []


def test_every_finding_and_every_stage_is_on_the_page(
    restoration: nitido.Restoration, text: str
) -> None:
    for finding in restoration.diagnosis.findings:
        assert finding.kind in text
    for step in restoration.plan.steps:
        assert step.stage in text
    assert "raised by" in html.unescape(text).lower()


# ── The page itself ──────────────────────────────────────────────────────────────────────────────


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_all_text_stands_out_from_its_ground_in_light_and_in_dark(text: str) -> None:
    # Source: WCAG 2.2, success criterion 1.4.3: 4.5 to 1.
    blocks = re.findall(r"--paper: #[^}]*", text)
    assert len(blocks) == 4  # light, dark by the system, dark by hand, paper
    for block in blocks:
        colours = {
            name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:])
            for name, value in re.findall(r"--([\w-]+): (#\w+)", block)
        }
        for ground in ("paper", "card"):
            for name in set(colours) - {"paper", "card", "rule"}:
                pair = sorted((luminance(colours[name]), luminance(colours[ground])))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (name, ground)


def test_every_picture_and_control_has_a_name(text: str) -> None:
    outline = Outline(text)
    assert all(image["alt"] for image in outline.of("img"))
    labelled = {a.get("aria-labelledby") for _, a in outline.tags} - {None}
    ids = [a["id"] for _, a in outline.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert labelled <= set(ids)
    assert all("lang" in a for a in outline.of("html"))
    wanted = set(re.findall(r'byId\("([\w-]+)"\)', text))
    assert wanted <= set(ids)


def test_headings_go_down_one_step_at_a_time(text: str) -> None:
    levels = [int(tag[1]) for tag, _ in Outline(text).tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(new - old <= 1 for old, new in pairwise(levels))


# ── The command line ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def song(restoration: nitido.Restoration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    sf.write("song.wav", add_artifacts(render(seconds=6.0)[:, :72_000])[0], DECODER_HZ)
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(main, ["restore", *arguments])


def test_the_report_lies_beside_the_result(song: Path) -> None:
    result = run("song.wav", "--report", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["report"] == "song_restored.report.html"
    text = (song / "song_restored.report.html").read_text("utf-8")
    assert "<h1>song.wav</h1>" in text
    assert "song_restored.report.html" in run("song.wav", "--report", "--overwrite").stdout


def test_without_the_option_there_is_no_report(song: Path) -> None:
    assert run("song.wav").exit_code == 0
    assert run("song.wav", "--report", "--dry-run").exit_code == 0
    assert list(song.glob("*.html")) == []


def test_an_older_report_is_not_replaced_and_no_work_is_lost(song: Path) -> None:
    (song / "song_restored.report.html").write_text("mine")
    result = run("song.wav", "--report")
    assert result.exit_code == 1
    assert "song_restored.report.html exists already" in result.stderr
    assert not (song / "song_restored.wav").exists()


def test_a_report_of_what_goes_to_standard_output_needs_a_name(song: Path) -> None:
    result = run("song.wav", "-o", "-", "--report")
    assert result.exit_code != 0
    assert "--report needs -o FILE" in result.stderr


def test_a_notebook_plays_a_restoration_and_shows_it(restoration: nitido.Restoration) -> None:
    shown = restoration._repr_html_()
    for sentence in restoration.sentences():
        assert str(escape(sentence)) in shown
    sounds = re.findall(r"data:audio/(?:flac|ogg);base64,([^\"]+)", shown)
    lengths = {len(sf.read(io.BytesIO(base64.b64decode(sound)))[0]) for sound in sounds}
    assert (len(sounds), lengths) == (3, {restoration.samples})
    (picture,) = re.findall(r"data:image/png;base64,([^\"]+)", shown)
    assert Image.open(io.BytesIO(base64.b64decode(picture))).width == 960
    assert "<script" not in shown


def test_a_notebook_shows_no_markup_that_a_prompt_holds() -> None:
    piece = nitido.Generation(
        np.zeros((1, 100), np.float32), 32_000, "<b>jazz", 0, "model", None, "licence", {}
    )
    assert "&lt;b&gt;jazz" in piece._repr_html_()
