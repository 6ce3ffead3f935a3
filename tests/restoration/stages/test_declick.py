from __future__ import annotations

import numpy as np
import pytest
import soxr
from tests.signals import pink_noise, silence, sine

from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.dsp.chunks import windows
from nitido.dsp.wav import Wav
from nitido.metrics.fidelity import si_sdr_db
from nitido.restoration.stages.declick import Declick

RATE = 48_000
PLACES = (0.4, 0.77777, 1.0, 1.5)


def diagnosis(count: int) -> Diagnosis:
    severity = "moderate" if count else "ok"
    finding = Finding("clicks", count, "clicks", severity, "", details={"count": count})
    return Diagnosis(RATE, 1, RATE, (finding,))


def mend(wav: Wav, *, size: int | None = None, amount: float = 1.0, sample_rate: int = RATE) -> Wav:
    piece = {"sample_rate": sample_rate, "channels": wav.shape[0], "samples": wav.shape[1]}
    stage = Declick({"amount": amount}, **piece)
    cut = windows([wav], size=size or wav.shape[1], context=stage.context_samples)
    return np.concatenate([stage.apply(window, start=start) for window, start in cut], axis=1)


def music(channels: int = 1) -> Wav:
    piece = {"seconds": 2.0, "channels": channels}
    return 0.1 * pink_noise(**piece) + sine(220, **piece, amplitude=0.1)


def spiked(wav: Wav, samples: int = 6) -> Wav:
    out = wav.copy()
    for place in PLACES:
        start = round(place * RATE)
        out[0, start : start + samples] += np.hanning(samples + 2)[1:-1].astype(np.float32) * 0.4
    return out


def test_it_runs_where_it_clicks_and_nowhere_else() -> None:
    assert not Declick.plan(diagnosis(0), Declick.defaults).on
    assert Declick.plan(diagnosis(1), Declick.defaults).reason == "rebuilds what a click covers"
    assert Declick.plan(diagnosis(3), Declick.defaults).reason == "rebuilds what 3 clicks cover"


@pytest.mark.parametrize("samples", [1, 4, 10, 14])
def test_clicks_go_and_every_other_sample_stays_the_same_bits(samples: int) -> None:
    clean = music(channels=2)
    clicked = spiked(clean, samples)
    mended = mend(clicked)
    before, after = (si_sdr_db(estimate=wav, reference=clean) for wav in (clicked, mended))
    assert after > before + 15
    moved = np.flatnonzero((mended != clicked).any(axis=0))
    assert len(moved) <= len(PLACES) * (samples + 6)
    assert np.array_equal(mended[1], clicked[1])


@pytest.mark.parametrize("to_hz", [32_000, 44_100, 96_000])
def test_clicks_go_with_the_ringing_that_a_resampler_left_of_them(to_hz: int) -> None:
    clean, clicked = (
        soxr.resample(wav[0], RATE, to_hz)[None] for wav in (music(), spiked(music()))
    )
    mended = mend(clicked, sample_rate=to_hz)
    before, after = (si_sdr_db(estimate=wav, reference=clean) for wav in (clicked, mended))
    assert after > before + 12
    for size in (4_000, round(PLACES[2] * to_hz) + 2):
        assert np.array_equal(mend(clicked, size=size, sample_rate=to_hz), mended)


def test_music_without_clicks_and_silence_stay_the_same_bits() -> None:
    for wav in (music(), silence(seconds=1, channels=2)):
        assert np.array_equal(mend(wav), wav)


def test_blocks_give_what_the_whole_gives_also_where_a_click_lies_across_two() -> None:
    clicked = spiked(music())
    whole = mend(clicked)
    for size in (4_000, round(PLACES[2] * RATE) + 2):
        assert np.array_equal(mend(clicked, size=size), whole)


def test_half_the_amount_leaves_half_of_the_click() -> None:
    clean = music()
    clicked = spiked(clean)
    half = mend(clicked, amount=0.5)
    assert np.abs(half - clean).max() == pytest.approx(0.5 * np.abs(clicked - clean).max(), rel=0.1)
