from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.signals import noise, silence, sine

from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.dsp.chunks import windows
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.restoration.stages.dc import Dc

RATE = 48_000


def diagnosis(
    *, offset: list[float] | None = None, steady: float = 100.0, rumble: bool = False
) -> Diagnosis:
    details = {"offset": offset or [0.0], "steady": steady}
    dc = Finding("dc", None, "dBFS", "moderate" if offset else "ok", "", details=details)
    low = Finding("rumble", -5.0, "dB", "moderate" if rumble else "ok", "")
    return Diagnosis(RATE, 1, RATE, (dc, low))


def restore(wav: Wav, *, size: int | None = None, **settings: Any) -> Wav:
    stage = Dc(
        {**Dc.defaults, **settings},
        sample_rate=RATE,
        channels=wav.shape[0],
        samples=wav.shape[1],
    )
    cut = windows([wav], size=size or wav.shape[1], context=stage.context_samples)
    return np.concatenate([stage.apply(window, start=start) for window, start in cut], axis=1)


def level_db(wav: Wav) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(wav**2)) + 1e-12))


def test_a_centred_piece_without_rumble_needs_nothing() -> None:
    assert not Dc.plan(diagnosis(), Dc.defaults).on


def test_a_measured_offset_becomes_the_setting() -> None:
    step = Dc.plan(diagnosis(offset=[0.1]), Dc.defaults)
    assert step.on
    assert step.settings == {"offset": [0.1], "high_pass_hz": 0.0}
    assert step.reason == "removes an offset of -20 dBFS"


def test_an_offset_that_follows_the_sound_is_not_given_to_the_silence() -> None:
    step = Dc.plan(diagnosis(offset=[0.02], steady=3.0), Dc.defaults)
    assert step.settings == {"offset": [], "high_pass_hz": 20.0}
    assert step.reason == "removes an offset that comes and goes, with all below 20 Hz"
    wav = np.concatenate([sine(200, seconds=2) + np.float32(0.02), silence(seconds=1)], axis=1)
    mended = restore(wav, **step.settings)
    assert abs(mended[:, RATE // 2 : 3 * RATE // 2].mean()) < 1e-4
    assert np.abs(mended[:, -RATE // 2 :]).max() < 1e-4


def test_rumble_asks_for_a_high_pass_at_20_hz() -> None:
    step = Dc.plan(diagnosis(rumble=True), Dc.defaults)
    assert step.on
    assert step.settings["high_pass_hz"] == 20.0


def test_settings_that_are_given_keep_precedence() -> None:
    step = Dc.plan(diagnosis(offset=[0.1], rumble=True), {"offset": [0.02], "high_pass_hz": 30.0})
    assert step.settings == {"offset": [0.02], "high_pass_hz": 30.0}


def test_each_channel_loses_its_own_offset_and_nothing_else() -> None:
    music = noise(channels=2)
    offset = np.array([[0.25], [-0.125]], np.float32)
    restored = restore(music + offset, offset=[0.25, -0.125])
    np.testing.assert_allclose(restored, music, atol=1e-7)


def test_no_click_appears_where_the_piece_begins() -> None:
    restored = restore(silence() + 0.25, offset=[0.25], high_pass_hz=20.0)
    assert np.abs(restored).max() < 1e-6


def test_rumble_goes_and_a_bass_note_stays_where_it_was() -> None:
    bass = sine(30, seconds=3, amplitude=0.3)
    restored = restore(bass + sine(6, seconds=3, amplitude=0.3), high_pass_hz=20.0)
    inside = slice(RATE // 2, -RATE // 2)
    assert level_db((restored - bass)[:, inside]) < -60


def test_an_offset_that_was_not_measured_is_also_removed_by_the_high_pass() -> None:
    restored = restore(silence(seconds=3) + 0.1, high_pass_hz=20.0)
    assert np.abs(restored[:, RATE : 2 * RATE]).max() < 1e-6


def test_cut_in_blocks_or_whole_the_result_is_the_same() -> None:
    wav = noise(seconds=3, channels=2) + 0.1
    settings = {"offset": [0.1, 0.1], "high_pass_hz": 20.0}
    whole = restore(wav, **settings)
    assert whole.shape == wav.shape
    for size in (RATE, 5_001):
        assert level_db(restore(wav, size=size, **settings) - whole) < -110


def test_one_sample_comes_back_as_one_sample() -> None:
    assert restore(np.full((1, 1), 0.5, np.float32), offset=[0.5], high_pass_hz=20.0) == 0


def test_offsets_must_match_the_channels() -> None:
    with pytest.raises(ConfigError, match="2 values for 1 channels"):
        restore(silence(), offset=[0.1, 0.1])


def test_a_high_pass_of_half_a_hertz_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 5"):
        restore(silence(), high_pass_hz=0.5)
