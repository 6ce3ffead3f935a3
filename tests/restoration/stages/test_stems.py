"""Stems treated one by one, with stand-ins for the model: what is done to which, and no other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.signal
import soundfile as sf
from tests.signals import noise, pink_noise, silence, sine

import nitido
from nitido.dsp.chunks import reblock
from nitido.dsp.wav import Wav
from nitido.errors import AudioShapeError, AudioWriteError, ConfigError
from nitido.restoration.plan import Plan
from nitido.separation.separator import Stems

RATE = 48_000
STEMS = ("drums", "bass", "other", "vocals")
PARTS = [*STEMS, "residual"]


class Shares:
    """Gives each stem the same share of the mix, whatever is in it."""

    stems = STEMS
    channels = 2

    def __init__(self, *shares: float, sample_rate: int = 44_100) -> None:
        self.sample_rate = sample_rate
        self.shares = np.array(shares, np.float32)[:, None, None]

    def separate(self, blocks: Iterable[Wav], *, samples: int) -> Iterator[Stems]:
        for block in reblock(blocks, 10_007):
            yield self.shares * block


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call it with the share of each stem: that is the model from then on."""

    def use(*shares: float, sample_rate: int = RATE) -> list[tuple[Any, ...]]:
        asked: list[tuple[Any, ...]] = []

        def give(*given: Any) -> Shares:
            asked.append(given)
            return Shares(*shares, sample_rate=sample_rate)

        monkeypatch.setattr("nitido.restoration.stages.stems.open_separator", give)
        return asked

    return use


def restore(wav: Wav, **options: Any) -> nitido.Restoration:
    """Restore by these settings of the stage alone, which may change as much as it wants."""
    settings = {"residual": "keep", **options.pop("settings", {})}
    settings = {key if "." in key else f"stems.{key}": value for key, value in settings.items()}
    options = {"preset": "demucs", "stages": ["stems"], **options}
    return nitido.restore(wav, sample_rate=RATE, settings=settings, **options)


def level_db(error: Wav, reference: Wav) -> float:
    return float(20 * np.log10(np.abs(error).max() / np.abs(reference).max() + 1e-12))


def test_separating_alone_changes_not_a_bit(shares: Any) -> None:
    shares(0.3, 0.1, 0.4, 0.1, sample_rate=44_100)
    wav = noise(seconds=2, channels=2)
    result = restore(wav, stems=True)
    assert np.array_equal(result.wav, wav)
    assert list(result.stems) == PARTS
    assert np.abs(sum(result.stems.values()) - wav).max() < 1e-6


def test_stems_take_the_share_that_the_model_gives_them(shares: Any) -> None:
    shares(0.3, 0.1, 0.4, 0.1)
    wav = noise(seconds=1, channels=2)
    stems = restore(wav, stems=True).stems
    for name, share in zip(PARTS, (0.3, 0.1, 0.4, 0.1, 0.1), strict=True):
        assert np.abs(stems[name] - np.float32(share) * wav).max() < 1e-6, name


def test_the_stems_of_a_loop_are_as_long_as_it_and_add_up_to_it(shares: Any) -> None:
    shares(0.5, 0.2, 0.1, 0.1, sample_rate=44_100)
    result = restore(noise(), stems=True, settings={"attack_db": 3.0, "ending.loop": True})
    assert sum(result.stems.values()) == pytest.approx(result.wav, abs=1e-5)


def test_dropping_the_residual_leaves_the_sum_of_the_stems(shares: Any) -> None:
    shares(0.3, 0.1, 0.4, 0.1)
    wav = noise(seconds=1)
    result = restore(wav, stems=True, settings={"residual": "drop"})
    assert np.abs(result.wav - np.float32(0.9) * wav).max() < 1e-6
    assert not result.stems["residual"].any()
    half = restore(wav, settings={"residual": "drop", "amount": 0.5})
    assert np.abs(half.wav - np.float32(0.95) * wav).max() < 1e-6


def test_what_a_model_s_sample_rate_cannot_hold_is_kept(shares: Any) -> None:
    shares(1.0, 0.0, 0.0, 0.0, sample_rate=16_000)
    wav = sine(15_000, seconds=1) * np.hanning(RATE).astype(np.float32)
    assert np.array_equal(restore(wav, stems=True).wav, wav)
    assert level_db(restore(wav, settings={"residual": "drop"}).wav, wav) < -60


def test_only_the_band_is_widened_and_the_sum_stays_mono(shares: Any) -> None:
    shares(0.3, 0.2, 0.3, 0.1)
    wav = pink_noise(seconds=2)
    result = restore(wav, stems=True, settings={"widen": 1.0})
    assert result.wav.shape == (2, wav.shape[1])
    assert level_db(result.wav.mean(axis=0) - wav[0], wav) < -90
    sides = {name: stem[0] - stem[1] for name, stem in result.stems.items()}
    for name in ("drums", "bass", "residual"):
        assert not sides[name].any(), name
    for name in ("other", "vocals"):
        assert level_db(sides[name], wav) > -40, name
    assert np.abs(sum(result.stems.values()) - result.wav).max() < 1e-6


def test_only_the_drums_get_more_attack(shares: Any) -> None:
    strokes = noise(seconds=2, rms=0.001)
    burst = np.exp(-np.arange(4_000) / 300).astype(np.float32) * noise(seconds=4_000 / RATE, seed=1)
    for at in range(10_000, 90_000, 20_000):
        strokes[:, at : at + 4_000] += 3 * burst
    for drums, rises in ((1.0, True), (0.0, False)):
        shares(drums, 0.0, 1 - drums, 0.0)
        lifted = restore(strokes, settings={"attack_db": 6.0}).wav
        assert bool(np.abs(lifted).max() > 1.2 * np.abs(strokes).max()) is rises


def test_bass_comes_to_the_middle_and_nothing_else(shares: Any) -> None:
    shares(0.3, 0.2, 0.3, 0.1)
    wav = noise(seconds=1, channels=2)
    stems = restore(wav, stems=True, settings={"centre_bass": True}).stems
    assert not (stems["bass"][0] - stems["bass"][1]).any()
    assert np.abs(stems["bass"].mean(axis=0) - 0.2 * wav.mean(axis=0)).max() < 1e-6
    assert np.abs(stems["drums"] - np.float32(0.3) * wav).max() < 1e-6


def test_the_low_end_is_mono_and_the_rest_is_as_wide_as_before(shares: Any) -> None:
    shares(0.3, 0.2, 0.3, 0.1)
    low, high = sine(60, seconds=2), sine(1_000, seconds=2, phase=1.0)
    wav = np.concatenate([low + high, -low - high]) / 2
    after = restore(wav.astype(np.float32), settings={"mono_below_hz": 120.0}).wav
    side = (after[0] - after[1])[RATE // 2 : -RATE // 2] / 2
    hz, power = scipy.signal.periodogram(side, RATE, scaling="spectrum")
    found_db = {at: 10 * np.log10(power[np.abs(hz - at) < 5].max() + 1e-20) for at in (60, 1_000)}
    assert found_db[60] < found_db[1_000] - 55
    assert found_db[1_000] == pytest.approx(20 * np.log10(0.25 / np.sqrt(2)), abs=0.1)
    assert np.abs(after.sum(axis=0)).max() < 1e-6  # what both had in common


@pytest.mark.parametrize("channels", [1, 2])
def test_blocks_of_any_length_give_the_same_result(channels: int, shares: Any) -> None:
    shares(0.3, 0.2, 0.3, 0.1, sample_rate=44_100)
    wav = pink_noise(seconds=9, channels=channels)
    treat = {"widen": 1.0, "attack_db": 6.0, "centre_bass": True, "mono_below_hz": 100.0}
    whole = restore(wav, settings=treat, block_seconds=100.0).wav
    assert level_db(whole - wav, wav) > -60
    for seconds in (1.0, 7.0):
        cut = restore(wav, settings=treat, block_seconds=seconds).wav
        assert level_db(cut - whole, whole) < -90


def test_mono_and_stereo_are_treated_each_in_its_way(shares: Any) -> None:
    shares(0.3, 0.2, 0.3, 0.1)
    for channels, widened, said in ((1, 1.0, "widened"), (2, 0.0, "bass centred")):
        diagnosis = nitido.diagnose(pink_noise(channels=channels), sample_rate=RATE)
        step = nitido.plan(diagnosis, preset="stems")["stems"]
        assert step.on
        assert step.settings["widen"] == widened
        assert said in step.reason
    for channels, said in ((6, "cannot be separated"), (2, "silence")):
        wav = silence(channels=channels) if channels == 2 else noise(channels=6)
        step = nitido.plan(nitido.diagnose(wav, sample_rate=RATE), preset="stems")["stems"]
        assert not step.on
        assert said in step.reason


def test_no_other_preset_separates() -> None:
    diagnosis = nitido.diagnose(noise(), sample_rate=RATE)
    for preset in ("musicgen", "gentle", "master"):
        assert not nitido.plan(diagnosis, preset=preset)["stems"].on


def test_surround_is_refused_before_any_work(shares: Any) -> None:
    def fail(done: float, total: float) -> None:
        raise AssertionError("work had begun")

    shares(1.0, 0.0, 0.0, 0.0)
    with pytest.raises(AudioShapeError, match="6 channels cannot be separated"):
        restore(noise(channels=6), stems=True, on_progress=fail)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "../htdemucs"),
        ("model", "hf://someone/model"),
        ("model", "/tmp/model"),
        ("model", ""),
        ("model", 3),
        ("model", None),
        ("residual", "lose"),
        ("residual", True),
    ],
)
def test_a_plan_names_a_model_and_never_a_place(key: str, value: Any) -> None:
    step = {"stage": "stems", "settings": {key: value}}
    with pytest.raises(ConfigError, match=f"stems.{key}"):
        Plan.from_dict({"steps": [step]})


def test_the_folder_of_models_does_not_travel_in_the_plan(shares: Any, tmp_path: Path) -> None:
    asked = shares(0.3, 0.2, 0.3, 0.1)
    result = restore(noise(), stems=True, demucs_repo=tmp_path, device="cpu")
    assert set(asked) == {("htdemucs", tmp_path, "cpu")}
    assert str(tmp_path) not in result.plan.to_json()
    assert result.plan["stems"].settings["model"] == "htdemucs"


def test_a_model_that_is_not_there_is_missed_before_any_work(tmp_path: Path) -> None:
    pytest.importorskip("demucs", reason="needs Demucs: pip install 'nitido[demucs]'")

    def fail(done: float, total: float) -> None:
        raise AssertionError("work had begun")

    lent: dict[str, Any] = {"demucs_repo": tmp_path, "on_progress": fail}
    for options in ({"preset": "demucs"}, {"stems": True}, {"preset": "stems"}):
        with pytest.raises(ConfigError, match="There is no model 'htdemucs'"):
            nitido.restore(noise(), sample_rate=RATE, **lent, **options)


def test_stems_are_written_beside_the_result_and_add_up(shares: Any, tmp_path: Path) -> None:
    shares(0.3, 0.2, 0.3, 0.1)
    wav = noise(seconds=1, channels=2)
    result = restore(wav, stems=True)
    result.write(tmp_path / "song.wav", stems=True)
    written = sorted(path.name for path in (tmp_path / "song.stems").iterdir())
    assert written == sorted(f"{name}.wav" for name in PARTS)
    total = np.zeros_like(wav)
    for name in written:
        stem, rate = sf.read(tmp_path / "song.stems" / name, dtype="float32", always_2d=True)
        assert rate == RATE
        total += stem.T
    assert np.abs(total - wav).max() < 1e-6
    result.write(tmp_path / "again.wav", stems=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "drums.wav").stat().st_size > wav.nbytes


def test_nothing_is_written_where_stems_lie_already_or_were_not_kept(
    shares: Any, tmp_path: Path
) -> None:
    shares(0.3, 0.2, 0.3, 0.1)
    (tmp_path / "song.stems").mkdir()
    (tmp_path / "song.stems" / "bass.wav").write_bytes(b"mine")
    with pytest.raises(AudioWriteError, match=r"song\.stems exists already"):
        restore(noise(), stems=True).write(tmp_path / "song.wav", stems=True)
    with pytest.raises(ConfigError, match="no stems to write"):
        restore(noise(), stages=["dc"]).write(tmp_path / "song.wav", stems=True)
    assert [path.name for path in tmp_path.iterdir()] == ["song.stems"]


def test_stems_of_a_plan_that_has_none_are_kept_where_they_are_asked_for(shares: Any) -> None:
    shares(0.3, 0.2, 0.3, 0.1)
    plan = Plan.from_dict({"steps": []})
    result = nitido.restore(noise(), sample_rate=RATE, plan=plan, stems=True)
    assert list(result.stems) == PARTS


def test_over_its_budget_the_stage_is_turned_down(shares: Any) -> None:
    shares(0.0, 0.5, 0.5, 0.0)
    wav = noise(seconds=1, channels=2)
    result = restore(wav, preset="stems", settings={"centre_bass": True})
    (change,) = (change for change in result.changes if change.stage == "stems")
    assert change.verdict == "turned down"
    assert result.plan["stems"].settings["amount"] < 1
    assert change.si_sdr_db >= 15


def test_stems_that_may_not_be_treated_at_all_are_kept_as_they_are(shares: Any) -> None:
    shares(0.0, 1.0, 0.0, 0.0)
    wav = noise(seconds=1, channels=2)
    plan = nitido.plan(
        nitido.diagnose(wav, sample_rate=RATE),
        preset="stems",
        stages=["stems"],
        settings={"stems.mono_below_hz": 500.0},
    )
    strict = Plan(plan.preset, plan.sample_rate, plan.steps, 0.0, {"stems": 119.0})
    result = nitido.restore(wav, sample_rate=RATE, plan=strict, stems=True)
    assert np.array_equal(result.wav, wav)
    assert np.abs(result.stems["bass"] - wav).max() < 1e-6
    assert "119.0 is the least" in result.plan["stems"].reason
