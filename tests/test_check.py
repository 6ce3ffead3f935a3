"""`check`: one verdict on a piece, and reasons that are true of the file."""

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from tests.signals import noise, pink_noise, silence, sine

import nitido
from nitido.audio import ffmpeg
from nitido.cli import main
from nitido.delivery_check import Verdict, targets
from nitido.dsp.loudness import true_peak_dbtp
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError

RATE = 48_000
needs_ffmpeg = pytest.mark.skipif(ffmpeg.program() is None, reason="no ffmpeg program")


def tone(lufs: float, *, seconds: float = 4.0) -> Wav:
    """A tone in both channels of this loudness: BS.1770 has full scale at 997 Hz read 0 LUFS."""
    return sine(997, seconds=seconds, amplitude=float(10 ** (lufs / 20)), channels=2)


def check(wav: Wav, target: str = "spotify", *, sample_rate: int = RATE) -> Verdict:
    return nitido.check(wav, sample_rate=sample_rate, target=target)


def hot() -> Wav:
    """Clipped noise at −0.1 dBFS: every codec takes its peaks beyond full scale."""
    wav = np.clip(pink_noise(seconds=3.0, channels=2, rms=0.3), -0.5, 0.5)
    return np.asarray(wav * (10 ** (-0.1 / 20) / 0.5), np.float32)


@pytest.mark.parametrize(
    ("lufs", "target", "change_db", "says"),
    [
        (-6.0, "spotify", -8.0, "turned down by 8.0 dB"),
        (-26.0, "spotify", 12.0, "turned up by 12.0 dB"),
        (-26.0, "youtube", 0.0, "left so"),
        (-9.0, "apple", -7.0, "turned down by 7.0 dB"),
        (-14.0, "tidal", 0.0, "plays as it is"),
        (-9.0, "game", -(14.0), "lower it by 14.0 dB"),
        (-20.0, "broadcast", -3.0, "lower it by 3.0 dB"),
        (-28.0, "broadcast-us", 4.0, "raise it by 4.0 dB"),
    ],
)
def test_the_loudness_says_what_the_place_will_do_about_it(
    lufs: float, target: str, change_db: float, says: str
) -> None:
    reason = check(tone(lufs), target)["loudness"]
    assert reason.value == pytest.approx(lufs, abs=0.05)
    assert reason.details["change_db"] == pytest.approx(change_db, abs=0.05)
    assert says in reason.summary


def test_a_soft_piece_is_turned_up_only_as_far_as_its_peaks_allow() -> None:
    """Spotify's own example: −20 LUFS with peaks at −5 dBTP is lifted to −16, by 4 dB."""
    wav = tone(-20.0, seconds=10.0)
    wav[:, RATE : RATE + 48] = sine(1000, seconds=0.001, amplitude=10 ** (-5 / 20), channels=2)
    assert check(wav)["loudness"].details["change_db"] == pytest.approx(4.0, abs=0.3)


def test_a_standard_with_a_tolerance_fails_beyond_it_and_a_service_does_not() -> None:
    assert check(tone(-23.4), "broadcast").passed
    assert not check(tone(-22.4), "broadcast").passed
    assert check(tone(-9.0), "spotify").passed


@pytest.mark.parametrize(
    ("lufs", "peak_dbtp", "passed"),
    [(-20.0, -1.1, True), (-20.0, -0.9, False), (-12.0, -1.5, False), (-12.0, -2.1, True)],
)
def test_louder_pieces_need_lower_peaks_where_the_place_says_so(
    lufs: float, peak_dbtp: float, passed: bool
) -> None:
    wav = tone(lufs)
    wav[:, 3 * RATE :] *= 10 ** ((peak_dbtp - lufs) / 20) * np.hanning(RATE) ** 30
    loud = check(wav)["loudness"].value
    assert loud is not None
    assert (loud > -13.5) == (lufs > -13.0)
    assert (check(wav)["true_peak"].severity == "ok") == passed


@needs_ffmpeg
def test_the_peak_after_aac_is_that_of_a_real_encoder_and_decoder(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", hot().T, RATE, subtype="FLOAT")
    tools = ("-aac_coder", "fast", "-aac_pns", "0", "-aac_is", "0", "-bitexact")
    coder = ("-c:a", "aac", "-b:a", "192k", *tools, tmp_path / "a.m4a")
    decoder = ("-i", tmp_path / "a.m4a", "-c:a", "pcm_f32le", tmp_path / "b.wav")
    for run in (("-i", tmp_path / "a.wav", *coder), decoder):
        subprocess.run([ffmpeg.program(), "-v", "error", *run], check=True)
    decoded, _ = sf.read(tmp_path / "b.wav", dtype="float32")
    reason = nitido.check(tmp_path / "a.wav", target="streaming")["aac"]
    assert reason.value == pytest.approx(true_peak_dbtp(decoded.T, sample_rate=RATE), abs=0.05)
    assert reason.severity == "moderate"


def test_the_peaks_after_mp3_and_opus_are_those_of_real_encoders(tmp_path: Path) -> None:
    verdict, wav = check(hot(), "streaming"), hot()
    forms: dict[str, Any] = {
        "mp3": {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": 128 / 288},
        "opus": {"format": "OGG", "subtype": "OPUS", "compression_level": 192 / 250},
    }
    for codec, form in forms.items():
        with sf.SoundFile(tmp_path / codec, "w", RATE, 2, **form) as file:
            for start in range(0, wav.shape[1], 4096):
                file.write(wav[:, start : start + 4096].T)
        decoded, _ = sf.read(tmp_path / codec, dtype="float32")
        peak = true_peak_dbtp(decoded.T, sample_rate=RATE)
        assert verdict[codec].value == pytest.approx(peak, abs=0.1)
        assert verdict[codec].severity == "moderate"


def test_what_no_encoder_here_can_do_is_said_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ffmpeg, "program", lambda: None)
    verdict = check(tone(-14.0))
    assert verdict["aac"].value is None
    assert "pip install 'nitido[m4a]'" in verdict["aac"].summary
    assert verdict.passed
    surround = check(np.tile(tone(-20.0)[:1], (6, 1)))
    assert "Not measured after MP3" in surround["mp3"].summary


def test_each_fault_is_a_reason_by_itself() -> None:
    good = tone(-14.0)
    assert check(good).clean
    dead = good.copy()
    dead[1] = 0
    faults = {
        "channels": dead,
        "dc": good + np.float32(0.1),
        "clipping": np.clip(6 * good, -0.5, 0.5),
        "silence": silence(seconds=2.0, channels=2),
    }
    for kind, wav in faults.items():
        verdict = check(wav)
        assert not verdict.passed, kind
        assert verdict[kind].severity in ("moderate", "severe"), kind
    surround = np.tile(pink_noise(seconds=2.0, rms=0.05), (6, 1))
    surround[3] = 0  # a subwoofer may rest
    assert check(surround)["channels"].severity == "ok"
    surround[4] = 0
    assert check(surround)["channels"].details["silent"] == ["low-frequency", "back left"]


def test_long_silence_at_an_edge_is_minded() -> None:
    wav = np.concatenate([tone(-14.0), silence(seconds=3.0, channels=2)], axis=1)
    reason = check(wav)["silence"]
    assert reason.details["after_seconds"] == pytest.approx(3.0, abs=0.01)
    assert reason.severity == "slight"


def test_the_fold_to_mono_is_told_per_band() -> None:
    low, high = sine(60, seconds=3.0, amplitude=0.1), noise(seconds=3.0, channels=2, rms=0.03)
    wide = high + np.concatenate([low, -low])
    reason = check(wide)["mono"]
    bands = {row["low_hz"]: row["fold_db"] for row in reason.details["bands"]}
    assert bands[20.0] < -20
    assert bands[2000.0] == pytest.approx(-3.0, abs=0.3)
    assert reason.severity == "moderate"
    assert "20 Hz–120 Hz" in reason.summary
    assert check(tone(-14.0))["mono"].value == pytest.approx(0.0, abs=1e-6)
    quiet = high + 0.001 * np.concatenate([low, -low])  # 20 dB and more under the piece
    assert check(quiet)["mono"].severity == "ok"


@pytest.mark.parametrize(
    ("name", "form", "target", "severity", "says"),
    [
        ("a.wav", {"subtype": "PCM_16"}, "apple", "slight", "24 bit are asked"),
        ("a.flac", {"subtype": "PCM_24"}, "apple", "ok", "48 kHz, 24 bit, stereo"),
        ("a.mp3", {}, "spotify", "slight", "lossy"),
        ("a.mp3", {}, "podcast", "ok", "MP3"),
        ("a.wav", {"subtype": "ULAW"}, "spotify", "slight", "ULAW, stereo; it is lossy"),
        ("a.wav", {"rate": 44_100}, "broadcast", "moderate", "asked is 48 kHz"),
    ],
)
def test_the_format_is_held_against_what_is_asked(
    name: str, form: dict[str, Any], target: str, severity: str, says: str, tmp_path: Path
) -> None:
    rate = form.pop("rate", RATE)
    sf.write(tmp_path / name, tone(-23.0, seconds=1.0).T, rate, **form)
    reason = nitido.check(tmp_path / name, target=target)["format"]
    assert reason.severity == severity
    assert says in reason.summary


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "severity", "says"),
    [("a.m4a", "slight", "AAC, stereo; it is lossy"), ("a.wv", "ok", "48 kHz, stereo.")],
)
def test_what_ffmpeg_reads_is_called_lossy_where_it_is(
    name: str, severity: str, says: str, tmp_path: Path
) -> None:
    sf.write(tmp_path / "a.wav", tone(-14.0, seconds=1.0).T, RATE)
    coding = [ffmpeg.required(), "-v", "error", "-i", tmp_path / "a.wav", tmp_path / name]
    subprocess.run(coding, check=True)
    reason = nitido.check(tmp_path / name)["format"]
    assert reason.severity == severity
    assert says in reason.summary


@pytest.mark.parametrize(
    "wav", [np.full((2, RATE), 0.3, np.float32), sine(997, seconds=1.0, channels=2)[:, 20:21]]
)
def test_a_piece_with_next_to_no_sound_gets_its_verdict(wav: Wav) -> None:
    verdict = check(wav)
    assert verdict["mono"].severity == "ok"
    assert verdict["format"].severity == "ok"


def test_an_offset_hides_no_band_from_the_fold_to_mono() -> None:
    wide = sine(997, seconds=1.0, amplitude=0.05)
    assert check(np.concatenate([0.5 + wide, 0.5 - wide]))["mono"].severity == "moderate"


def test_whatever_is_a_piece_of_audio_is_checked_alike(tmp_path: Path) -> None:
    wav, path = tone(-14.0, seconds=1.0), tmp_path / "a.wav"
    sf.write(path, wav.T, RATE, subtype="FLOAT")
    restored = nitido.restore((wav, RATE), stages=["loudness"])
    with path.open("rb") as file:
        verdicts = [nitido.check(given) for given in (path, str(path), file, (wav, RATE), restored)]
    values = [verdict["loudness"].value for verdict in verdicts]
    assert values == pytest.approx([values[0]] * len(values), abs=0.02)


def test_what_nitido_delivers_is_fit_to_be_delivered(tmp_path: Path) -> None:
    piece = nitido.restore(
        (pink_noise(seconds=4.0, channels=2, rms=0.02), RATE), stages=["loudness"]
    )
    for name in ("song.wav", "song.flac", "song.mp3", "song.opus"):
        assert nitido.check(piece.write(tmp_path / name), target="spotify").passed


def test_a_verdict_is_a_value_that_says_itself() -> None:
    verdict = check(hot())
    assert repr(verdict).startswith("Verdict on 'array': Not fit for Spotify: true peak")
    assert json.loads(json.dumps(verdict.to_dict()))["passed"] is False
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(verdict, "piece", "other")  # noqa: B010


def test_every_target_is_complete_named_in_the_help_and_has_a_source() -> None:
    told = CliRunner().invoke(main, ["check", "--help"]).stdout
    for name, target in targets().items():
        assert {"mp3", "aac", "opus"} <= set(target.encodes), name
        assert any(source.startswith("https://") for source in target.sources), name
        assert target.levels in ("both", "down", "no"), name
        assert name in told
        assert name in (nitido.check.__doc__ or "")


def test_a_target_that_does_not_exist_is_refused_before_the_file_is_read() -> None:
    with pytest.raises(ConfigError, match=r"'spotfy'; did you mean 'spotify'\?"):
        nitido.check("missing.wav", target="spotfy")


def test_the_exit_status_is_0_for_fit_3_for_not_fit_1_for_unread_2_for_wrong_usage(
    tmp_path: Path,
) -> None:
    good, loud, bad = (tmp_path / name for name in ("good.wav", "loud.wav", "bad.wav"))
    sf.write(good, tone(-14.0, seconds=1.0).T, RATE, subtype="PCM_24")
    sf.write(loud, tone(-8.0, seconds=1.0).T, RATE, subtype="PCM_24")
    bad.write_bytes(b"no sound")

    def status(*arguments: Any) -> int:
        return CliRunner().invoke(main, ["check", *map(str, arguments)]).exit_code

    assert status(good) == 0
    assert status(good, loud) == 0  # it is turned down, which is to be minded
    assert status(good, loud, "--strict") == 3
    assert status(good, "--for", "broadcast") == 3
    assert status(good, bad) == 1
    assert status(good, "--for", "mars") == 2


def test_json_gives_an_object_for_one_file_and_a_list_for_several(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    sf.write(path, tone(-23.0, seconds=1.0).T, RATE, subtype="PCM_24")
    one = CliRunner().invoke(main, ["check", str(path), "--for", "broadcast", "--json"])
    content = json.loads(one.stdout)
    assert (content["file"], content["passed"]) == (str(path), True)
    assert content["target"]["loudness_lufs"] == -23.0
    path.with_name("b.wav").write_bytes(path.read_bytes())
    several = CliRunner().invoke(main, ["check", str(tmp_path), "--json"])
    assert len(json.loads(several.stdout)) == 2
    lines = CliRunner().invoke(main, ["check", str(tmp_path / "*.wav")]).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [str(path), str(path.with_name("b.wav"))]
