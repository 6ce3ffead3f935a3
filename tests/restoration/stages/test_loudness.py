from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyloudnorm
import pytest
import scipy.signal
import soundfile
from tests.signals import click, cut, noise, pink_noise, silence, sine

from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.dsp.chunks import windows
from nitido.dsp.loudness import integrated_lufs
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.restoration.stages.loudness import LevelProfile, Loudness

RATE = 48_000


def profile_of(wav: Wav, *, sample_rate: int = RATE, sizes: tuple[int, ...] = (50_000,)) -> Any:
    profile = LevelProfile(sample_rate, wav.shape[0])
    for block in cut(wav, *sizes):
        profile.update(block)
    return profile


def apply(
    wav: Wav, settings: dict[str, Any], *, sample_rate: int = RATE, size: int | None = None
) -> Wav:
    stage = Loudness(settings, sample_rate=sample_rate, channels=wav.shape[0], samples=wav.shape[1])
    parts = windows([wav], size=size or wav.shape[1], context=stage.context_samples)
    return np.concatenate([stage.apply(window, start=start) for window, start in parts], axis=1)


def restore(wav: Wav, *, sample_rate: int = RATE, **settings: Any) -> tuple[Wav, float, str]:
    """Return the piece at its loudness, the gain in dB and the reason."""
    profile = profile_of(wav, sample_rate=sample_rate)
    resolved, reason = profile.resolve({**Loudness.defaults, **settings})
    return apply(wav, resolved, sample_rate=sample_rate), resolved["gain_db"], reason


def lufs(wav: Wav, sample_rate: int = RATE) -> float:
    return float(pyloudnorm.Meter(sample_rate).integrated_loudness(wav.T))


def true_peak_dbtp(wav: Wav) -> float:
    return float(20 * np.log10(np.abs(scipy.signal.resample_poly(wav, 8, 1, axis=1)).max()))


def drums(*, seconds: float = 6.0, channels: int = 2, hit: float = 0.9) -> Wav:
    """Return pink noise with a drum hit every half second that stands far above it."""
    wav = pink_noise(seconds=seconds, channels=channels, rms=0.08)
    time = np.arange(4_000) / RATE
    stroke = hit * np.exp(-time * 60) * np.sin(2 * np.pi * 180 * time + 0.5)
    for start in range(3_000, wav.shape[1] - 4_000, RATE // 2):
        wav[:, start : start + 4_000] += stroke.astype(np.float32)
    return wav


def clips(folder: Path) -> list[tuple[Wav, int]]:
    names = [
        "azira18_piano-melancholic.wav",
        "m2ugen_electronic-dance.flac",
        "rsxdalv_complextro-30s.ogg",
        "rsxdalv_drums-140bpm.ogg",
    ]
    pieces = []
    for name in names:
        audio, rate = soundfile.read(folder / "musicgen" / name, dtype="float32", always_2d=True)
        pieces.append((np.ascontiguousarray(audio.T[:, : 10 * rate]), rate))
    return pieces


def diagnosis(integrated_lufs: float | None, true_peak_dbtp: float | None) -> Diagnosis:
    details = {"integrated_lufs": integrated_lufs, "true_peak_dbtp": true_peak_dbtp}
    finding = Finding("loudness", integrated_lufs, "LUFS", "ok", "", details=details)
    return Diagnosis(RATE, 2, RATE, (finding,))


def test_the_plan_says_what_the_target_needs_and_where_the_piece_lands() -> None:
    step = Loudness.plan(diagnosis(-23.1, -3.9), Loudness.defaults)
    assert step.on
    assert step.reason == (
        "from −23.1 to −14 LUFS needs +9.1 dB, peaks would need 6.2 dB of limiting, "
        "at most 4 are allowed: lands near −16.2 LUFS"
    )


def test_the_plan_leaves_silence_and_a_level_that_is_to_be_kept() -> None:
    assert not Loudness.plan(diagnosis(None, None), Loudness.defaults).on
    kept = Loudness.plan(diagnosis(-23.0, 2.0), {**Loudness.defaults, "target_lufs": None})
    assert not kept.on
    assert kept.reason == "the level is kept"


def test_surround_reaches_the_loudness_that_a_meter_reads_for_its_speakers() -> None:
    wav = pink_noise(seconds=5, channels=6, rms=0.05)
    wav[3] *= 4  # low frequencies count nothing
    wav[4:] *= 2
    restored, _, _ = restore(wav, target_lufs=-23.0)
    assert integrated_lufs(restored, sample_rate=RATE) == pytest.approx(-23, abs=0.02)


@pytest.mark.parametrize("target_lufs", [-14.0, -18.0, -30.0])
def test_the_result_has_the_target_loudness_by_another_meter(target_lufs: float) -> None:
    restored, _, _ = restore(drums(), target_lufs=target_lufs, max_limiting_db=12.0)
    assert lufs(restored) == pytest.approx(target_lufs, abs=0.1)


def test_without_need_the_limiter_does_nothing_at_all() -> None:
    wav = drums()
    restored, gain_db, reason = restore(wav, target_lufs=-24.0)
    np.testing.assert_array_equal(restored, wav * np.float32(10 ** (gain_db / 20)))
    assert "no peak needs limiting" in reason


def test_where_the_limit_is_not_enough_the_result_is_as_loud_as_it_allows() -> None:
    wav = drums()
    restored, gain_db, reason = restore(wav, max_limiting_db=2.0)
    assert -20.0 < lufs(restored) < -14.5
    assert true_peak_dbtp(wav) + gain_db == pytest.approx(-1.1 + 2.0, abs=0.05)
    assert "by up to 2.0 dB; −14 LUFS would need" in reason
    assert "at most 2 are allowed" in reason


def test_where_no_limiting_is_allowed_the_gain_stops_at_the_ceiling() -> None:
    wav = drums()
    for settings in ({"max_limiting_db": 0.0}, {"limit": False}):
        restored, gain_db, _ = restore(wav, **settings)
        np.testing.assert_array_equal(restored, wav * np.float32(10 ** (gain_db / 20)))
        assert true_peak_dbtp(restored) == pytest.approx(-1.1, abs=0.05)


def test_more_limiting_is_never_quieter() -> None:
    loudness = [lufs(restore(drums(), max_limiting_db=limit)[0]) for limit in (0.0, 1.0, 2.0, 4.0)]
    assert loudness == sorted(loudness)


@pytest.mark.parametrize("sample_rate", [8_000, 32_000, 44_100, 48_000, 192_000])
@pytest.mark.parametrize(
    "wav",
    [
        noise(channels=2, rms=0.3),
        np.sign(noise(rms=0.3)),
        drums(seconds=1.0),
        noise(rms=0.02) + click(24_000) - click(24_001) + click(40_000),
        sine(0.45 * RATE, phase=0.3) * (1 + sine(5)),
    ],
    ids=["noise", "random full-scale bits", "drums", "clicks", "beating treble"],
)
def test_no_true_peak_exceeds_the_ceiling_by_another_meter(wav: Wav, sample_rate: int) -> None:
    for ceiling_dbtp in (-1.0, -3.0):
        restored, _, _ = restore(
            wav,
            sample_rate=sample_rate,
            target_lufs=-5.0,
            max_limiting_db=12.0,
            ceiling_dbtp=ceiling_dbtp,
        )
        assert true_peak_dbtp(restored) <= ceiling_dbtp


def test_a_bass_note_is_turned_down_without_distortion() -> None:
    bass = sine(100, seconds=4, amplitude=0.9)
    settings = {**Loudness.defaults, "gain_db": 3.8}
    limited = apply(bass, settings)[0, RATE : 3 * RATE].astype(np.float64)
    power = np.abs(np.fft.rfft(limited * np.blackman(len(limited)))) ** 2
    note = slice(200 - 4, 200 + 5)
    harmonics = power.sum() - power[note].sum()
    assert 10 * np.log10(harmonics / power[note].sum()) < -100


def test_the_gain_is_down_before_the_peak_and_back_soon_after() -> None:
    still = np.full((1, RATE), 0.1, np.float32)  # in the other channel, shows the gain
    wav = np.concatenate([click(24_000), still])
    gain = apply(wav, {**Loudness.defaults, "gain_db": 3.0})[1] / 0.1 / 10 ** (3 / 20)
    needed = 10 ** (-4.1 / 20)
    assert gain[24_000] == pytest.approx(needed, abs=1e-3)
    assert gain.min() >= needed - 1e-3
    np.testing.assert_allclose(gain[: 24_000 - 600], 1.0, atol=1e-6)  # 12 ms before
    np.testing.assert_allclose(gain[24_000 + 4_320 :], 1.0, atol=1e-6)  # 90 ms after
    assert np.abs(np.diff(gain)).max() < 0.004


def test_all_channels_are_turned_down_together() -> None:
    loud = drums(channels=1)
    wav = np.concatenate([loud, 0.1 * loud])
    restored, _, _ = restore(wav)
    np.testing.assert_allclose(restored[1], 0.1 * restored[0], atol=1e-6)


def test_cut_in_blocks_or_whole_the_result_is_the_same() -> None:
    wav = drums(seconds=15.0)
    settings, _ = profile_of(wav).resolve(Loudness.defaults)
    whole = apply(wav, settings)
    assert whole.shape == wav.shape
    for size in (RATE, 7 * RATE, 10_007):
        assert np.abs(apply(wav, settings, size=size) - whole).max() < 10 ** (-90 / 20)


def test_the_gain_does_not_depend_on_the_blocks_that_the_profile_saw() -> None:
    wav = drums()
    whole = profile_of(wav, sizes=(wav.shape[1],)).resolve(Loudness.defaults)
    for sizes in ((RATE,), (1, 999, 70_001)):
        assert profile_of(wav, sizes=sizes).resolve(Loudness.defaults) == whole


def test_a_profile_can_be_resolved_again_with_less_limiting() -> None:
    profile = profile_of(drums())
    gains = [
        profile.resolve({**Loudness.defaults, "max_limiting_db": limit})[0]["gain_db"]
        for limit in (4.0, 2.0, 4.0)
    ]
    assert gains[0] == gains[2]
    assert gains[0] - gains[1] == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("samples", [0, 1, RATE])
def test_silence_stays_silent(samples: int) -> None:
    wav = np.zeros((2, samples), np.float32)
    settings, reason = profile_of(wav).resolve(Loudness.defaults)
    assert settings["gain_db"] == 0.0
    assert reason == "silence stays silent"
    if samples:
        np.testing.assert_array_equal(apply(wav, settings), wav)


def test_a_level_that_is_to_be_kept_is_kept_even_over_the_ceiling() -> None:
    wav = 2 * drums()
    restored, gain_db, _ = restore(wav, target_lufs=None)
    assert gain_db == 0.0
    np.testing.assert_array_equal(restored, wav)


def test_a_sound_shorter_than_a_loudness_block_is_brought_to_the_target_too() -> None:
    blip = sine(997, seconds=0.2, amplitude=0.05)
    _, gain_db, _ = restore(blip)
    # A full-scale 997 Hz sine reads −3.01 LUFS (BS.1770).
    assert gain_db == pytest.approx(-14 + 3.01 - 20 * np.log10(0.05), abs=0.1)


def test_long_rests_do_not_make_the_music_louder() -> None:
    music = pink_noise(seconds=3.0, rms=0.05)
    rested = np.concatenate([music, silence(seconds=6.0)], axis=1)
    assert restore(rested)[1] == pytest.approx(restore(music)[1], abs=0.3)


def test_sixty_four_channels_are_brought_to_the_target() -> None:
    _, gain_db, _ = restore(np.tile(sine(997, amplitude=0.01), (64, 1)))
    # Channels add up: 64 are 18.06 dB louder than one.
    assert gain_db == pytest.approx(-14 + 3.01 + 40 - 18.06, abs=0.05)


def test_the_stage_refuses_to_run_before_its_gain_is_known() -> None:
    with pytest.raises(ConfigError, match="gain_db is null"):
        apply(silence(), dict(Loudness.defaults))


def test_real_clips_reach_their_loudness_under_the_ceiling(shared_audio: Path) -> None:
    reached = []
    for wav, rate in clips(shared_audio):
        restored, _, reason = restore(wav, sample_rate=rate)
        loudness = lufs(restored, rate)
        reached.append(abs(loudness + 14.0) <= 0.2)
        assert reached[-1] != ("at most 4 are allowed" in reason)
        assert loudness <= -13.8
        assert true_peak_dbtp(restored) <= -1.0
    assert sum(reached) >= 2


def test_a_limited_real_clip_is_the_same_in_blocks(shared_audio: Path) -> None:
    for wav, rate in clips(shared_audio)[1:3]:
        settings, _ = profile_of(wav, sample_rate=rate).resolve(Loudness.defaults)
        whole = apply(wav, settings, sample_rate=rate)
        for seconds in (1, 7):
            blocks = apply(wav, settings, sample_rate=rate, size=seconds * rate)
            assert np.abs(blocks - whole).max() < 10 ** (-90 / 20)
