"""The promise to the user, held against real clips: what is repaired, and that no harm is done."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import pyloudnorm
import pytest
import soundfile
import soxr
from scipy.signal import firwin, oaconvolve, resample_poly

import nitido
from nitido.dsp.wav import Wav
from nitido.metrics.fidelity import log_spectral_distance_db, protected_si_sdr_db, si_sdr_db

RATE = 48_000
SECONDS = 15  # of each clip: enough for every measure, and the suite stays short


class Case(NamedTuple):
    before: Wav  # at the result's rate
    after: nitido.Restoration


def read(path: Path, *, seconds: float = SECONDS) -> tuple[Wav, int]:
    rate = soundfile.info(path).samplerate
    wav, _ = soundfile.read(path, dtype="float32", always_2d=True, frames=round(seconds * rate))
    return np.ascontiguousarray(wav.T), rate


def clean_test(folder: Path, *, bandwidth: str, seconds: float) -> Iterator[tuple[str, Wav, int]]:
    """Yield the clean test pieces that reach 19 kHz by that column, from a third on."""
    index = (folder / "index.csv").read_text(encoding="utf-8").splitlines()
    for row in csv.DictReader(index):
        if row["path"].startswith("clean/test/") and float(row[bandwidth]) >= 19_000:
            wav, rate = read(folder / row["path"], seconds=3600)
            start = max(0, min(wav.shape[1] // 3, wav.shape[1] - round(seconds * rate)))
            yield row["path"], wav[:, start : start + round(seconds * rate)], rate


def at_result_rate(wav: Wav, rate: int) -> Wav:
    return np.ascontiguousarray(soxr.resample(wav.T, rate, RATE, quality="VHQ").T)


@lru_cache(maxsize=1)
def restored(folder: Path, preset: str = "musicgen", every: int = 1) -> dict[str, Case]:
    cases = {}
    for path in sorted(folder.glob("musicgen/*"))[::every]:
        wav, rate = read(path)
        result = nitido.restore(wav, sample_rate=rate, preset=preset)
        before = at_result_rate(wav, rate)
        short = result.samples - before.shape[1]
        cases[path.name] = Case(np.pad(before, ((0, 0), (0, max(short, 0)))), result)
    return cases


def downmix(wav: Wav) -> Wav:
    return wav.mean(axis=0, keepdims=True)


def protected_db(case: Case) -> float:
    """Up to the fade of an end that was cut: there to change is what it is for."""
    fade_seconds = case.after.plan["ending"].settings["fade_out_seconds"]
    end = case.after.samples - round(fade_seconds * RATE)
    before, after = downmix(case.before)[:, :end], downmix(case.after.wav)[:, :end]
    return protected_si_sdr_db(estimate=after, reference=before, sample_rate=RATE)


def test_the_protected_band_keeps_its_waveform(shared_audio: Path) -> None:
    ratios = [protected_db(case) for case in restored(shared_audio).values()]
    assert np.mean(ratios) >= 20
    assert min(ratios) >= 15


def test_chords_and_onsets_stay_where_they_were(shared_audio: Path) -> None:
    scores = []
    for case in restored(shared_audio).values():
        before, after = (downmix(wav)[0] for wav in (case.before, case.after.wav))
        before = before[: len(after)]
        chroma = [librosa.feature.chroma_stft(y=y, sr=RATE, tuning=0.0) for y in (before, after)]
        norms = np.prod([np.linalg.norm(c, axis=0) + 1e-9 for c in chroma], axis=0)
        assert np.mean((chroma[0] * chroma[1]).sum(axis=0) / norms) >= 0.98
        onsets = [
            librosa.onset.onset_detect(y=soxr.resample(y, RATE, 22_050), units="time")
            for y in (before, after)
        ]
        scores.append(f1(*onsets))
    assert np.mean(scores) >= 0.95


def f1(before: np.ndarray, after: np.ndarray, tolerance_seconds: float = 0.05) -> float:
    left = list(after)
    hits = 0
    for onset in before:
        near = [other for other in left if abs(other - onset) <= tolerance_seconds]
        if near:
            left.remove(near[0])
            hits += 1
    return 2 * hits / max(len(before) + len(after), 1)


def test_the_result_has_the_loudness_that_was_planned(shared_audio: Path) -> None:
    meter = pyloudnorm.Meter(RATE)
    for case in restored(shared_audio).values():
        result = case.after
        measured = meter.integrated_loudness(result.wav.T.astype(float))
        reason = result.plan["loudness"].reason
        if "would need" not in reason:
            assert measured == pytest.approx(-14, abs=0.2)
        else:
            assert measured < -14
        peak = max(np.abs(resample_poly(channel, 8, 1)).max() for channel in result.wav)
        assert 20 * np.log10(peak) <= -1.0


def test_left_plus_right_of_a_widened_file_is_the_mono_file(shared_audio: Path) -> None:
    path = sorted(shared_audio.glob("musicgen/azira18_*"))[0]
    wav, rate = read(path)
    result = nitido.restore(wav, sample_rate=rate, stages=["width"]).wav
    mono = at_result_rate(wav, rate)[:, : result.shape[1]]
    difference = result.sum(axis=0, keepdims=True) - 2 * mono
    assert 10 * np.log10(np.mean(difference**2) / np.mean(mono**2)) <= -80


def test_the_comb_of_lossless_clips_goes_and_the_music_stays(shared_audio: Path) -> None:
    left: dict[str, list[float]] = {"8000": [], "2000": [], "400": []}
    ratios = []
    for prefix in ("azira18_", "m2ugen_"):
        for path in sorted(shared_audio.glob(f"musicgen/{prefix}*")):
            wav, rate = read(path, seconds=60)
            result = nitido.restore(
                wav, sample_rate=rate, stages=["decomb"], output_sample_rate=rate
            )
            heights = result.after["comb"].details["by_spacing_db"]
            for spacing, values in left.items():
                values.append(heights[spacing])
            ratios.append(min(si_sdr_db(estimate=result.wav, reference=wav), 120))
    assert np.mean(left["8000"]) <= 2.0
    assert np.mean(left["2000"]) <= 1.6
    assert np.mean(left["400"]) <= 1.8
    assert np.mean(ratios) >= 45
    assert min(ratios) >= 27


def test_clean_music_has_no_comb(shared_audio: Path) -> None:
    for path in sorted(shared_audio.glob("clean/test/*")):
        wav, rate = read(path, seconds=40)
        diagnosis = nitido.diagnose(wav, sample_rate=rate)
        assert not diagnosis["comb"].found, path.name
        assert not nitido.plan(diagnosis)["decomb"].on


def test_clean_music_that_has_no_ceiling_gets_no_treble(shared_audio: Path) -> None:
    pieces = clean_test(shared_audio, bandwidth="bandwidth_max_hz", seconds=40)
    for name, wav, rate in pieces:
        diagnosis = nitido.diagnose(wav, sample_rate=rate)
        assert not nitido.plan(diagnosis)["bandwidth"].on, name


def test_a_lost_top_octave_comes_back_at_about_its_level(shared_audio: Path) -> None:
    low_pass = firwin(2047, 15_500, fs=RATE, window=("kaiser", 12))
    top = {"sample_rate": RATE, "low_hz": 16_000.0, "high_hz": 19_000.0}
    without, with_treble = [], []
    pieces = clean_test(shared_audio, bandwidth="bandwidth_hz", seconds=SECONDS)
    for _, wav, rate in pieces:
        clean = at_result_rate(wav, rate)
        dull = oaconvolve(clean, low_pass[None], axes=1)[:, 1023 : 1023 + clean.shape[1]]
        dull = dull.astype(np.float32)
        result = nitido.restore(dull, sample_rate=RATE, stages=["bandwidth"]).wav
        without.append(log_spectral_distance_db(estimate=dull, reference=clean, **top))
        with_treble.append(log_spectral_distance_db(estimate=result, reference=clean, **top))
    assert np.mean(with_treble) <= np.mean(without) / 2


def test_gentle_keeps_even_closer_to_the_input(shared_audio: Path) -> None:
    cases = restored(shared_audio, "gentle", every=3).values()
    assert np.mean([protected_db(case) for case in cases]) >= 30


def test_no_piece_that_was_cut_ends_in_a_cut_or_begins_with_a_click(shared_audio: Path) -> None:
    for case in restored(shared_audio).values():
        assert not case.after.after["start"].found
        assert not case.after.after["end"].found
