"""What a machine left in the sound, measured without a reference.

Conventions: one waveform `[C, T]` at its own sample rate, as it is: nothing is resampled, matched
or aligned first. The comb is measured on the mean of the channels, the rest on each channel. None
where there is nothing to measure: no sound, no attack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.signal import butter, sosfilt

from nitido.diagnosis.bandwidth import BandwidthAnalyser, ceiling_hz
from nitido.diagnosis.clipping import ClippingAnalyser
from nitido.diagnosis.comb import CombAnalyser
from nitido.diagnosis.edges import EndAnalyser
from nitido.diagnosis.finding import Finding
from nitido.dsp.spectral import Frames, fft_size
from nitido.dsp.wav import Wav
from nitido.errors import AudioShapeError

Array = NDArray[np.float64]

# Holes: cells of 10 ms and about 190 Hz that fall out of the sound around them.
HOLE_FRAME_SECONDS = 0.0213
HOLE_BINS = 4  # together: the level of one bin of noise falls deep by chance, that of four hardly
HOLE_SIDE_FRAMES = 2  # 21 ms before and after have to be loud; a longer gap may be meant
HOLE_DB = 25.0  # under both; noise falls so deep once in 10⁵ cells
REST_DB = 10.0  # where half of the sound falls by so much at once, the music rests
HOLE_RANGE_DB = 60.0  # under the loudest cell, what is around a hole is not heard
# Attacks: sudden rises above 1 kHz, in steps of 1 ms.
ATTACK_LOW_HZ = 1000.0
ATTACK_RISE_DB = 12.0
ATTACK_RANGE_DB = 40.0  # under the loudest
ATTACK_APART_MS = 50
ATTACKS_MIN = 3  # fewer say nothing about a piece
PRE_ECHO_FLOOR_DB = -60.0  # re the attack: what is quieter is hidden by it


def validate(*, estimate: Wav) -> None:
    """Check that there is something to measure.

    Raises:
        AudioShapeError: no samples.
    """
    if not estimate.size:
        raise AudioShapeError(f"Shape {list(estimate.shape)} holds no samples to measure.")


def comb(*, estimate: Wav, sample_rate: int) -> dict[str, float | None]:
    """Return the heights of the decoder's lines, dB: over their surroundings, by spacing.

    `comb_db` is what counts: mean height over control lines off the grid; within 1 dB of 0 in
    clean music.
    The others stand over the local median: compare them with `comb_control_db`, not with 0.
    """
    found = _found(CombAnalyser, estimate, sample_rate)
    heights = found.details.get("by_spacing_db", {})
    return {
        "comb_db": found.value,
        "comb_control_db": found.details.get("control_db"),
        **{f"comb_{hz}_hz_db": heights.get(f"{hz}") for hz in (8000, 2000, 400, 50)},
    }


def bandwidth(*, estimate: Wav, sample_rate: int) -> dict[str, float | None]:
    """Return up to which frequency there is sound most of the time, and the ceiling if any, Hz."""
    found = _found(BandwidthAnalyser, estimate, sample_rate)
    return {"bandwidth_hz": found.value, "ceiling_hz": ceiling_hz(found)}


def clipped_samples_per_second(*, estimate: Wav, sample_rate: int) -> float | None:
    """Return how many samples lie in cut-off peaks, per second, all channels together."""
    return _found(ClippingAnalyser, estimate, sample_rate).value


def end_level_dbfs(*, estimate: Wav, sample_rate: int) -> float | None:
    """Return the level of the last 20 ms, dBFS; a cut is heard above −40."""
    return _found(EndAnalyser, estimate, sample_rate).value


def end_cut(*, estimate: Wav, sample_rate: int) -> float:
    """Return 1 if the piece ends in a cut, 0 if it fades or has ended before."""
    return float(bool(_found(EndAnalyser, estimate, sample_rate).details.get("cut", False)))


def holes_percent(*, estimate: Wav, sample_rate: int) -> float | None:
    """Return the share of audible cells of time and frequency that are missing for a moment, %.

    Coders at low rates and noise gates switch bands off and on again: it bubbles. A cell counts if
    it lies 25 dB under what is right before and right after it; a rest of the whole music does not.
    Clean music reads 0.05 and less, the same as MP3 at a low rate 0.06 to 0.5. What a coder drops
    for good is no hole: see `bandwidth`.
    """
    validate(estimate=estimate)
    n_fft = fft_size(HOLE_FRAME_SECONDS, sample_rate=sample_rate)
    missing = audible = 0
    for channel in estimate:
        counts = _holes(channel[None], Frames(n_fft, n_fft // 2))
        missing, audible = missing + counts[0], audible + counts[1]
    return 100 * missing / audible if audible else None


def pre_echo_db(*, estimate: Wav, sample_rate: int) -> float | None:
    """Return how far the sound just before attacks stands over that earlier, dB; median.

    From 3 to 13 ms before an attack, over 25 to 60 ms before; −60 dB re the attack at least. About
    0 in music with sharp attacks; a coder that spreads an attack over its block lifts it. None
    with fewer than three attacks.
    """
    return _median([attack.pre_echo_db for attack in _attacks(estimate, sample_rate)])


def attack_ms(*, estimate: Wav, sample_rate: int) -> float | None:
    """Return how long attacks take from 10 to 90 % of their amplitude, ms, to 1 ms; median.

    None with fewer than three attacks.
    """
    return _median([attack.length_ms for attack in _attacks(estimate, sample_rate)])


def evaluate(*, estimate: Wav, sample_rate: int) -> dict[str, float | None]:
    """Return every measure of this family by name."""
    wav: dict[str, Any] = {"estimate": estimate, "sample_rate": sample_rate}
    attacks = _attacks(**wav)
    return {
        **comb(**wav),
        **bandwidth(**wav),
        "holes_percent": holes_percent(**wav),
        "clipped_samples_per_second": clipped_samples_per_second(**wav),
        "pre_echo_db": _median([attack.pre_echo_db for attack in attacks]),
        "attack_ms": _median([attack.length_ms for attack in attacks]),
        "end_level_dbfs": end_level_dbfs(**wav),
        "end_cut": end_cut(**wav),
    }


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if len(values) >= ATTACKS_MIN else None


def _found(analyser: Any, estimate: Wav, sample_rate: int) -> Finding:
    validate(estimate=estimate)
    listening = analyser(sample_rate=sample_rate, channels=estimate.shape[0])
    for start in range(0, estimate.shape[1], 2**18):
        listening.update(estimate[:, start : start + 2**18])
    finding: Finding = listening.finish()
    return finding


def _holes(wav: Wav, frames: Frames) -> tuple[int, int]:
    """Return how many cells of a waveform `[1, T]` are holes, and how many are audible."""
    spec = frames.analyse(wav, first=0)[0]
    bands = spec.shape[1] // HOLE_BINS
    power = (spec.real**2 + spec.imag**2)[:, : bands * HOLE_BINS]
    power = power.reshape(len(power), bands, HOLE_BINS).mean(axis=2)
    side = HOLE_SIDE_FRAMES
    if len(power) <= 2 * side or not power.any():
        return 0, 0
    loudest = maximum_filter1d(power, side, axis=0, mode="constant", origin=0)
    middle = np.arange(side, len(power) - side)
    # `loudest` at i spans i − side // 2 … i + (side − 1) // 2.
    before, after = loudest[middle - (side + 1) // 2], loudest[middle + side // 2 + 1]
    around = np.minimum(before, after)
    audible = around > power.max() * 10 ** (-HOLE_RANGE_DB / 10)
    hole = audible & (power[middle] < around * 10 ** (-HOLE_DB / 10))
    fallen = audible & (power[middle] < around * 10 ** (-REST_DB / 10))
    rest = 2 * fallen.sum(axis=1) > audible.sum(axis=1)
    return int(hole[~rest].sum()), int(audible.sum())


@dataclass(frozen=True)
class _Attack:
    length_ms: float
    pre_echo_db: float


def _attacks(estimate: Wav, sample_rate: int) -> list[_Attack]:
    """Return the attacks of all channels together."""
    validate(estimate=estimate)
    power = _power_per_ms(estimate, sample_rate)
    if len(power) < 100 or not power.any():
        return []
    power = power + 1e-9 * power.max()
    sums = np.concatenate([[0.0], np.cumsum(power)])
    at = np.arange(61, len(power) - 30)
    level = (sums[at + 8] - sums[at]) / 8
    rise = level / ((sums[at - 20] - sums[at - 40]) / 20)
    strong = rise > 10 ** (ATTACK_RISE_DB / 10)
    strong &= level > level.max(initial=0.0) * 10 ** (-ATTACK_RANGE_DB / 10)
    strong &= level == maximum_filter1d(level, 2 * ATTACK_APART_MS + 1)
    return [_attack(power, int(start)) for start in at[strong]]


def _attack(power: Array, start: int) -> _Attack:
    """Return the attack whose loudest 8 ms begin at `start`, ms."""
    amplitude = np.sqrt(power[start - 40 : start + 9])
    quiet = float(np.sqrt(power[start - 60 : start - 30].mean()))
    peak = int(np.argmax(amplitude))
    height = amplitude[peak] - quiet
    low, half, high = (
        # the last step below a share of the height, before the peak
        int(np.flatnonzero(np.append(True, amplitude[:peak] < quiet + share * height))[-1])
        for share in (0.1, 0.5, 0.9)
    )
    onset = start - 40 + half
    far = float(power[max(0, onset - 60) : onset - 25].mean())
    near = float(power[onset - 13 : onset - 3].mean())
    floor = 10 ** (PRE_ECHO_FLOOR_DB / 10) * float(amplitude[peak]) ** 2
    return _Attack(float(high - low), float(10 * np.log10((near + floor) / (far + floor))))


def _power_per_ms(wav: Wav, sample_rate: int) -> Array:
    """Return the power above 1 kHz in each millisecond, all channels together."""
    sos = butter(2, ATTACK_LOW_HZ, "highpass", fs=sample_rate, output="sos")
    step = max(1, round(sample_rate / 1000))
    power: Array = np.zeros(wav.shape[1] // step)
    for channel in wav:
        high = sosfilt(sos, channel)[: len(power) * step]
        power += np.square(high, dtype=np.float64).reshape(-1, step).mean(axis=1)
    return power
