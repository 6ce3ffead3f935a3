"""Match: towards a range or a reference, gently, nowhere else, and nothing moves."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click import ClickException
from tests.signals import click, noise, pink_noise, silence, sine

import nitido
from nitido.cli import main
from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.dsp.wav import Wav
from nitido.errors import AudioWriteError, ConfigError
from nitido.restoration.stages.match import BANDS_HZ, Match, levelled, masters, reference_settings

RATE = 48_000
COUNT = 26
LOW_DB, HIGH_DB = masters()
MIDDLE_DB = (LOW_DB + HIGH_DB) / 2


def matched(wav: Wav, gains_db, *, amount: float = 1.0, sample_rate: int = RATE) -> Wav:
    settings = {**Match.defaults, "gains_db": list(gains_db), "amount": amount}
    stage = Match(settings, sample_rate=sample_rate, channels=len(wav), samples=wav.shape[1])
    context = stage.context_samples
    return stage.apply(np.pad(wav, ((0, 0), (context, context))), start=0)


def gain_db(hz: float, gains_db, **given) -> float:
    tone = sine(hz, seconds=1)
    middle = slice(RATE // 4, -RATE // 4)
    before, after = (w[:, middle] for w in (tone, matched(tone, gains_db, **given)))
    return float(10 * np.log10(np.mean(after**2) / np.mean(before**2)))


def diagnosis(bands_db, *, ceiling_hz: float = 20_000) -> Diagnosis:
    details = {"bands_hz": list(BANDS_HZ[: len(bands_db)]), "bands_db": list(bands_db)}
    return Diagnosis(
        RATE,
        1,
        RATE,
        (
            Finding("tone", 0.0, "dB", "ok", "", details=details),
            Finding("bandwidth", 0.0, "Hz", "ok", "", details={"ceiling_hz": ceiling_hz}),
        ),
    )


def planned(bands_db, *, target_db=(), ceiling_hz: float = 20_000):
    settings = {**Match.defaults, "target_db": list(target_db)}
    return Match.plan(diagnosis(bands_db, ceiling_hz=ceiling_hz), settings)


def test_a_band_is_moved_by_its_gain_and_half_of_it_at_half_the_amount():
    gains_db = [0.0] * 10 + [3.0] * 8 + [0.0] * 8
    assert gain_db(1_500, gains_db) == pytest.approx(3.0, abs=0.05)
    assert gain_db(1_500, gains_db, amount=0.5) == pytest.approx(1.5, abs=0.05)
    assert gain_db(100, gains_db) == pytest.approx(0.0, abs=0.05)
    assert gain_db(12_000, gains_db) == pytest.approx(0.0, abs=0.05)


def test_what_lies_within_the_range_of_masters_stays_as_it_is():
    step = planned(MIDDLE_DB - 20)
    assert not step.on
    assert step.reason == "its tone is that of other music"


def test_what_lies_outside_is_moved_towards_its_edge_by_4_db_at_most():
    dull = MIDDLE_DB.copy()
    dull[20:] = LOW_DB[20:] - 3
    step = planned(dull)
    assert step.on
    assert step.settings["gains_db"][22] == pytest.approx(3.0, abs=0.8)
    assert not any(step.settings["gains_db"][:18])
    far = MIDDLE_DB.copy()
    far[20:] -= 30
    assert max(planned(far).settings["gains_db"]) == 4.0


def test_nothing_is_lifted_where_the_sound_has_ended():
    dull = MIDDLE_DB.copy()
    dull[18:] -= 12
    gains_db = planned(dull, ceiling_hz=8_000).settings["gains_db"]
    assert all(gains_db[at] == 0 for at in range(COUNT) if BANDS_HZ[at] > 7_200)
    silent_bass = MIDDLE_DB.copy()
    silent_bass[:3] -= 90
    assert planned(silent_bass).settings["gains_db"][:3] == [0, 0, 0]


def test_the_level_of_the_piece_does_not_count():
    dull = MIDDLE_DB.copy()
    dull[20:] -= 20
    assert planned(dull).settings == planned(dull - 30).settings


def test_a_reference_is_approached_band_by_band():
    target = MIDDLE_DB + np.where(np.arange(COUNT) < 10, 2.0, 0.0)
    step = planned(MIDDLE_DB, target_db=target)
    assert step.reason.startswith("towards the reference: +2.0 dB at 50 Hz")
    assert step.settings["gains_db"][5] == pytest.approx(2.0, abs=0.01)


def test_a_piece_is_nearer_to_its_reference_after_and_the_plan_needs_it_no_more():
    piece = pink_noise(seconds=6)
    bright = matched(piece, [0.0] * 12 + list(np.linspace(0, 4, 14)))
    given = {
        "sample_rate": RATE,
        "without": ["ending", "width"],
        "settings": {"loudness.mode": "off"},
    }
    result = nitido.restore(piece, reference=nitido.diagnose(bright, sample_rate=RATE), **given)
    assert any("nearer to that of the reference, by up to" in said for said in result.sentences())

    def apart(wav: Wav) -> float:
        tones = [
            levelled(np.array(nitido.diagnose(w, sample_rate=RATE)["tone"].details["bands_db"]))
            for w in (wav, bright)
        ]
        return float(np.abs(tones[0] - tones[1]).max())

    assert apart(result.wav) < apart(piece) / 2
    again = nitido.restore(piece, sample_rate=RATE, plan=result.plan)
    np.testing.assert_array_equal(again.wav, result.wav)


def test_a_silent_reference_is_refused():
    with pytest.raises(ConfigError, match="reference is silent"):
        reference_settings(nitido.diagnose(silence(seconds=1), sample_rate=RATE))


def test_a_reference_too_short_to_have_a_tone_is_refused():
    with pytest.raises(ConfigError, match=r"lasts 0\.002 s"):
        reference_settings(nitido.diagnose(noise(seconds=0.002), sample_rate=RATE))


def test_a_piece_that_is_its_own_reference_is_left_alone():
    piece = pink_noise(seconds=2)
    step = nitido.restore(piece, sample_rate=RATE, reference=(RATE, piece)).plan["match"]
    assert (step.on, step.reason) == (False, "its tone is that of the reference")


def test_nothing_shifts_by_a_sample():
    result = matched(click(5_000, samples=10_001), np.linspace(-4, 4, COUNT))[0]
    assert result.argmax() == 5_000
    np.testing.assert_allclose(result, result[::-1], atol=1e-6)


def test_no_gain_changes_nothing_and_silence_stays_silent():
    wav = noise(seconds=1, channels=2)
    np.testing.assert_array_equal(matched(wav, []), wav)
    assert not matched(silence(seconds=1), [4.0] * COUNT).any()


@pytest.mark.parametrize("settings", [{"target_db": [0.0] * 28}, {"gains_db": [0.0, None]}])
def test_numbers_that_fit_no_bands_are_refused(settings):
    with pytest.raises(ConfigError, match=r"match\."):
        Match.check({**Match.defaults, **settings})


def test_a_reference_on_the_command_line_travels_in_the_plan_as_numbers(tmp_path, capsys):
    for name, wav in (("piece", pink_noise(seconds=2)), ("reference", noise(seconds=2))):
        soundfile.write(tmp_path / f"{name}.wav", wav.T, RATE)
    piece, reference = (str(tmp_path / f"{name}.wav") for name in ("piece", "reference"))
    main(["restore", piece, "--reference", reference, "--dry-run", "--json"], standalone_mode=False)
    steps = json.loads(capsys.readouterr().out)["plan"]["steps"]
    (step,) = (step for step in steps if step["stage"] == "match")
    assert step["on"]
    assert step["settings"]["target_db"][20] > step["settings"]["target_db"][5]
    assert reference not in json.dumps(steps)


def test_a_reference_is_no_longer_than_pieces_may_be(tmp_path):
    for name, seconds in (("piece", 1), ("reference", 3)):
        soundfile.write(tmp_path / f"{name}.wav", noise(seconds=seconds).T, RATE)
    piece, reference = (str(tmp_path / f"{name}.wav") for name in ("piece", "reference"))
    with pytest.raises(ClickException, match=r"reference\.wav"):
        main(
            ["restore", piece, "--reference", reference, "--max-seconds", "2", "--dry-run"],
            standalone_mode=False,
        )


@pytest.mark.parametrize("source", ["piece.wav", "-"])
def test_a_reference_is_never_written_to(tmp_path, monkeypatch, source):
    for name, wav in (("piece", pink_noise(seconds=2)), ("reference", noise(seconds=2))):
        soundfile.write(tmp_path / f"{name}.wav", wav.T, RATE)
    monkeypatch.chdir(tmp_path)
    before = Path("reference.wav").read_bytes()
    given = ["--reference", "./reference.wav", "-o", "reference.wav", "--overwrite"]
    with pytest.raises(ClickException, match="would replace the input"):
        main(["restore", source, *given], standalone_mode=False)
    assert Path("reference.wav").read_bytes() == before


def test_neither_a_result_nor_its_page_is_written_over_the_reference(tmp_path):
    reference = tmp_path / "reference.wav"
    soundfile.write(reference, noise(seconds=2)[0], RATE)
    before = reference.read_bytes()
    with nitido.restore(pink_noise(seconds=2), sample_rate=RATE, reference=reference) as result:
        for write in (result.write, result.report):
            with pytest.raises(AudioWriteError):
                write(reference, overwrite=True)
    assert reference.read_bytes() == before


def test_a_reference_beside_a_plan_and_a_stream_for_a_reference_are_refused_by_name():
    piece = {"audio": noise(seconds=2), "sample_rate": RATE}
    plan = nitido.plan(nitido.diagnose(**piece))
    with pytest.raises(ConfigError, match="`plan=` and `reference=` exclude each other"):
        nitido.restore(**piece, plan=plan, reference=noise(seconds=2))
    for name in ("", "-"):
        with pytest.raises(ConfigError, match=f"The reference is '{name}'; give the path"):
            nitido.restore(**piece, reference=name)


def test_what_is_there_of_a_damaged_reference_is_taken_where_that_is_asked_for(tmp_path):
    whole, cut = tmp_path / "whole.wav", tmp_path / "cut.wav"
    soundfile.write(whole, noise(seconds=3)[0], RATE)
    cut.write_bytes(whole.read_bytes()[: 2 * 2 * RATE])
    soundfile.write(piece := tmp_path / "piece.wav", pink_noise(seconds=2)[0], RATE)
    given = ["restore", str(piece), "--reference", str(cut), "--dry-run"]
    with pytest.raises(ClickException, match=r"cut\.wav"):
        main(given, standalone_mode=False)
    main([*given, "--damaged", "take"], standalone_mode=False)
    nitido.restore(piece, reference=cut, damaged="take")
