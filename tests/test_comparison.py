import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from tests.signals import noise, pink_noise

from nitido import diagnose, optional
from nitido.audio import write
from nitido.cli import main
from nitido.comparison import compare
from nitido.demo.comb import add_comb
from nitido.demo.render import render
from nitido.dsp.spectral import lower_ceiling
from nitido.errors import ConfigError, MissingExtraError

RATE = 48_000


@pytest.fixture(scope="module")
def clean():
    return render(seconds=6.0)


@pytest.fixture(scope="module")
def spoiled(clean):
    """Mono, dull, with a comb, quiet, at 32 kHz."""
    mono = clean.mean(axis=0, keepdims=True)
    dull = lower_ceiling(mono, sample_rate=RATE, ceiling_hz=14_000.0)
    return 0.25 * add_comb(dull, sample_rate=RATE, seed=3)


@pytest.fixture
def folder(tmp_path, monkeypatch, clean, spoiled):
    monkeypatch.chdir(tmp_path)
    for name, wav in (("clean", clean), ("before", spoiled), ("after", 0.5 * clean)):
        sf.write(f"{name}.wav", wav.T, RATE, subtype="FLOAT")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(main, ["compare", *arguments])


def test_a_repair_is_told_in_plain_words_first(spoiled, clean):
    said = compare(spoiled, clean, tables=["artefacts", "delivery"], sample_rate=RATE).sentences()
    assert said[0].startswith("The comb is gone")
    text = " ".join(said)
    assert "The whine at 8 kHz is" in text
    assert "before, at 13.9" in text
    assert "LUFS" in text


def test_damage_is_told_as_plainly_as_a_repair(spoiled, clean):
    said = " ".join(compare(clean, spoiled, tables=["artefacts"], sample_rate=RATE).sentences())
    assert "There is a comb now" in said
    assert "The treble ends at 13.9" in said


def test_silence_repairs_nothing(spoiled):
    said = compare(spoiled, np.zeros_like(spoiled), tables=["artefacts"], sample_rate=RATE)
    assert said.sentences()[0] == "No sound is left."
    assert "The comb is gone" not in " ".join(said.sentences())


def test_what_is_the_same_is_said_to_be_the_same(clean):
    pytest.importorskip("librosa", reason="needs librosa: pip install 'nitido[metrics]'")
    comparison = compare(clean, clean.copy(), sample_rate=RATE)
    said = comparison.sentences()
    assert "the music is untouched." in said[0]
    assert "Harmony and onsets are kept." in said
    assert set(comparison.scores) == {"content", "artefacts", "delivery"}


def test_lag_polarity_and_level_are_taken_out_and_told(clean):
    shifted = -0.5 * np.pad(clean, ((0, 0), (480, 0)))
    comparison = compare(clean, shifted, reference=clean, tables=["fidelity"], sample_rate=RATE)
    matching = next(m for m in comparison.matchings if m.estimate == "after")
    assert (matching.lag_samples, matching.polarity) == (480, -1)
    assert matching.gain_db == pytest.approx(6.02, abs=0.01)
    assert comparison.scores["fidelity"]["after"]["si_sdr_db"] > 100
    said = " ".join(comparison.sentences())
    assert "10.00 ms late" in said
    assert "upside down" in said


def test_the_tracks_to_listen_to_lie_over_each_other(clean):
    pytest.importorskip("librosa", reason="needs librosa: pip install 'nitido[metrics]'")
    for lag in (480, -480):
        late = np.pad(clean, ((0, 0), (480, 0))) if lag > 0 else clean[:, 480:]
        before, after = compare(clean, -late, tables=["content"], sample_rate=RATE).tracks()
        assert (before.role, after.role) == ("before", "after")
        common = slice(480, clean.shape[1] - 480)
        assert np.array_equal(before.sound[:, common], after.sound[:, common])


def test_pieces_with_nothing_in_common_are_compared_as_they_lie():
    one, other = pink_noise(seconds=2.0, seed=1), pink_noise(seconds=2.0, seed=2)
    comparison = compare(one, other, reference=one, tables=["fidelity"], sample_rate=RATE)
    matching = next(m for m in comparison.matchings if m.estimate == "after")
    assert (matching.aligned, matching.lag_samples) == (False, 0)
    assert "too little in common" in " ".join(comparison.sentences())


def test_other_rates_and_channels_are_brought_together(tmp_path, clean):
    from nitido.dsp.chunks import join
    from nitido.dsp.resample import resample

    mono = clean.mean(axis=0, keepdims=True)
    low = join(
        resample([mono], from_hz=RATE, to_hz=32_000, samples=mono.shape[1], channels=1), channels=1
    )
    sf.write(tmp_path / "low.wav", low.T, 32_000, subtype="FLOAT")
    sf.write(tmp_path / "high.wav", clean.T, RATE, subtype="FLOAT")
    comparison = compare(
        tmp_path / "low.wav", tmp_path / "high.wav", reference=tmp_path / "high.wav",
        tables=["fidelity", "artefacts"],
    )  # fmt: skip
    low_scores = comparison.scores["fidelity"]["low"]
    assert low_scores["lsd_below_8_khz_db"] < 0.5
    assert low_scores["lsd_above_16_khz_db"] > 10
    assert comparison.sample_rate == RATE
    assert comparison.matchings[0].downmixed
    assert comparison.scores["artefacts"]["low"]["bandwidth_hz"] < 16_000  # as it is


def test_with_a_reference_it_is_said_who_is_nearer(spoiled, clean):
    better = clean + noise(seconds=6.0, rms=1e-4, channels=2)[:, : clean.shape[1]]
    for pair, word in (((spoiled, better), "Nearer to"), ((better, spoiled), "Further from")):
        said = compare(*pair, reference=clean, tables=["fidelity"], sample_rate=RATE).sentences()
        assert any(text.startswith(f"{word} reference") for text in said)


def test_several_versions_each_have_a_column_and_their_own_sentences(spoiled, clean):
    comparison = compare(
        spoiled, clean, 0.5 * clean, tables=["artefacts"], names=["raw", "one", "two"],
        sample_rate=RATE,
    )  # fmt: skip
    (rows,) = comparison.tables.values()
    assert list(rows[0]) == ["measure", "raw", "one", "two", "better"]
    said = comparison.sentences()
    assert {text.split(":")[0] for text in said} == {"one", "two"}


def test_files_of_one_name_are_told_apart(tmp_path):
    paths = [tmp_path / name / "song.wav" for name in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        sf.write(path, noise(seconds=0.5).T, RATE)
    comparison = compare(*paths, tables=["delivery"])
    assert [piece.name for piece in comparison.pieces] == ["song", "song (2)"]


def test_everything_is_plain_json(spoiled, clean):
    comparison = compare(spoiled, clean, reference=clean, tables=["fidelity"], sample_rate=RATE)
    found = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert set(found) == {"pieces", "sentences", "matchings", "tables", "left_out"}
    assert [piece["role"] for piece in found["pieces"]] == ["before", "after", "reference"]
    assert set(found["tables"]["fidelity"]) == {"before", "after"}


def test_wrong_questions_are_refused(clean):
    for wrong in (
        {"tables": ["fidelty"]},
        {"tables": ["fidelity"]},  # against what?
        {"names": ["one"]},
    ):
        with pytest.raises(ConfigError):
            compare(clean, clean, sample_rate=RATE, **wrong)
    with pytest.raises(ConfigError):
        compare(clean, sample_rate=RATE)
    with pytest.raises(ConfigError):
        compare(clean, clean)  # at which rate?


def test_without_librosa_a_table_is_left_out_unless_it_was_asked_for(monkeypatch, clean):
    monkeypatch.setattr(optional, "available", lambda module: False)
    comparison = compare(clean, clean.copy(), sample_rate=RATE)
    assert set(comparison.scores) == {"artefacts", "delivery"}
    assert "pip install 'nitido[metrics]'" in " ".join(comparison.sentences())
    with pytest.raises(MissingExtraError):
        compare(clean, clean.copy(), tables=["content"], sample_rate=RATE)


def test_clips_too_short_for_a_table_leave_it_out():
    clip = noise(seconds=0.1)
    comparison = compare(clip, clip.copy(), sample_rate=RATE)
    assert "content" in comparison.left_out
    assert "artefacts" in comparison.scores


def test_the_command_prints_words_and_tables(folder):
    result = run("before.wav", "after.wav", "--table", "artefacts", "--table", "delivery")
    assert result.exit_code == 0, result.output
    assert result.stdout.index("The comb is gone") < result.stdout.index("lines every 400 Hz")


def test_the_command_gives_json_and_nothing_else(folder):
    result = run(
        "before.wav", "after.wav", "--reference", "clean.wav", "--table", "fidelity", "--json"
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["tables"]["fidelity"]
    assert found["after"]["si_sdr_db"] > found["before"]["si_sdr_db"]


def test_the_command_writes_a_page_and_pictures_and_replaces_none(folder):
    pytest.importorskip("nitido.report.page", reason="the page is not here yet")
    options = ["--table", "delivery", "--html", "page.html", "--png", "pictures"]
    result = run("before.wav", "after.wav", *options)
    assert result.exit_code == 0, result.output
    page = Path("page.html").read_text("utf-8")
    assert "before, at" in page
    assert Path("pictures/before_after.png").read_bytes().startswith(b"\x89PNG")
    for only in (options[:4], [*options[:2], *options[4:]]):
        again = run("before.wav", "after.wav", *only)
        assert again.exit_code == 1
        assert "--overwrite" in again.stderr
    assert run("before.wav", "after.wav", *options, "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["before.wav"], 2, "Missing argument"),
        (["before.wav", "gone.wav"], 1, "does not exist"),
        (["before.wav", "after.wav", "--table", "fidelity"], 2, "--reference"),
        (["before.wav", "after.wav", "--table", "fidelty"], 2, "fidelty"),
    ],
)
def test_wrong_usage_is_one_line(folder, arguments, status, says):
    result = run(*arguments)
    assert result.exit_code == status
    (line,) = result.stderr.splitlines()
    assert says in line


@pytest.mark.parametrize("mask", [0x3F, 0])
def test_surround_is_as_loud_in_a_comparison_as_in_a_diagnosis(tmp_path, mask):
    wav = noise(seconds=2, channels=6, rms=0.05)
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for path in paths:
        write(path, [wav], sample_rate=48_000, channels=6, samples=wav.shape[1], mask=mask)
    found = compare(*paths, tables=["delivery"])
    lufs = found.scores["delivery"]["a"]["integrated_lufs"]
    assert lufs == pytest.approx(diagnose(paths[0])["loudness"].value, abs=1e-3)
