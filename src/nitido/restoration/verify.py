"""How much a stage changed, and what to do when it was too much.

Input and output are held against each other in the protected band, 60 Hz to 7 kHz, where the music
lives and nothing but the planned repair may happen; and band by band over the whole spectrum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.fft

from nitido.dsp.spectral import PROTECTED_HZ, band, fft_size, hann
from nitido.dsp.wav import Wav
from nitido.restoration.plan import Plan
from nitido.restoration.registry import STAGES
from nitido.restoration.stage import Step

FRAME_SECONDS = 0.085  # 12 Hz per bin: rumble below 20 Hz hardly leaks into the protected band
BANDS_HZ = tuple(pairwise((0, 60, 250, 1000, 4000, 8000, 16_000, 96_000)))
SI_SDR_MAX_DB = 120.0  # beyond float32; also what an unchanged signal reads
TURN_DOWNS = 2  # a stage over budget is halved this often, then bypassed


@dataclass(frozen=True, repr=False)
class Change:
    """What one stage, or the whole chain, did to the signal.

    Attributes:
        stage: its name, or ``"whole"``.
        si_sdr_db: of output to input in the protected band, the overall gain taken out; 120 when
            nothing changed there.
        budget_db: the least that was allowed.
        gain_db: the overall gain, protected band.
        bands: per band of `BANDS_HZ`, `{"low_hz", "high_hz", "level_db", "difference_db"}`: change
            of level, and level of what was changed against the whole input.
        verdict: ``"kept"``, ``"turned down"`` or ``"bypassed"``.
    """

    stage: str
    si_sdr_db: float
    budget_db: float
    gain_db: float
    bands: tuple[Mapping[str, float], ...]
    verdict: str = "kept"

    @property
    def within_budget(self) -> bool:
        """Whether the stage changed no more than it may."""
        return self.si_sdr_db >= self.budget_db

    def __repr__(self) -> str:
        return (
            f"Change by {self.stage}: {self.verdict}, {self.si_sdr_db:.1f} dB SI-SDR in the "
            f"protected band (budget {self.budget_db:.1f}), gain {self.gain_db:+.1f} dB"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the change as plain JSON values."""
        return asdict(self)


class ChangeMeter:
    """Compares two streams of the same length and rate, block by block.

    Equal channels are compared one by one; where the number differs, the downmixes are. Only the
    samples from `judged[0]` to `judged[1]` count, if given.
    """

    def __init__(
        self,
        stage: str,
        *,
        sample_rate: int,
        budget_db: float,
        judged: tuple[int, int] | None = None,
    ) -> None:
        self.stage = stage
        self.budget_db = budget_db
        self._sample_rate = sample_rate
        self._judged = judged
        self._samples = 0
        self._n_fft = fft_size(FRAME_SECONDS, sample_rate=sample_rate)
        bins = self._n_fft // 2 + 1
        self._before = np.zeros(bins)  # Σ|X|²
        self._after = np.zeros(bins)  # Σ|Y|²
        self._error = np.zeros(bins)  # Σ|D|², D = Y − X
        self._cross = np.zeros(bins)  # Σ Re D X*
        self._rest = (np.zeros((1, 0), np.float32), np.zeros((1, 0), np.float32))

    def update(self, before: Wav, after: Wav) -> None:
        """Take the next samples of both streams, `[C, n]`."""
        position = self._samples
        self._samples += before.shape[1]
        if self._judged is not None:
            first, last = (max(0, edge - position) for edge in self._judged)
            before, after = before[:, first:last], after[:, first:last]
        if before.shape[0] != after.shape[0]:
            before, after = (w.mean(axis=0, keepdims=True) for w in (before, after))
        error = after - before
        held, held_error = self._rest
        if held.shape[1]:
            before = np.concatenate([held, before], axis=1)
            error = np.concatenate([held_error, error], axis=1)
        n_fft, hop = self._n_fft, self._n_fft // 2
        frames = (before.shape[1] - n_fft) // hop + 1
        if frames > 0:
            self._add(before, error)
            before, error = before[:, frames * hop :], error[:, frames * hop :]
        self._rest = (before.copy(), error.copy())

    def _add(self, before: Wav, error: Wav) -> None:
        n_fft = self._n_fft

        def spectra(wav: Wav) -> Any:
            cut = np.lib.stride_tricks.sliding_window_view(wav, n_fft, axis=1)
            cut = cut[:, :: n_fft // 2]
            return scipy.fft.rfft(cut * hann(n_fft), axis=2).reshape(-1, n_fft // 2 + 1)

        spec = spectra(before)
        power = _power(spec)
        self._before += power
        if not error.any():
            self._after += power
            return
        wrong = spectra(error)
        self._error += _power(wrong)
        self._after += _power(spec + wrong)
        self._cross += np.einsum("nf,nf->f", spec.real, wrong.real, dtype=np.float64)
        self._cross += np.einsum("nf,nf->f", spec.imag, wrong.imag, dtype=np.float64)

    def finish(self) -> Change:
        """Return the change, after the last block."""
        held, held_error = self._rest
        if held.shape[1]:  # the end, mirrored to one frame: a sudden stop would leak everywhere
            pad = ((0, 0), (0, self._n_fft - held.shape[1]))
            self._add(np.pad(held, pad, "symmetric"), np.pad(held_error, pad, "symmetric"))
            self._rest = (held[:, :0], held_error[:, :0])
        inside = band(*PROTECTED_HZ, n_fft=self._n_fft, sample_rate=self._sample_rate)
        before, error, cross = (
            float(sums[inside].sum()) for sums in (self._before, self._error, self._cross)
        )
        si_sdr_db, gain_db = SI_SDR_MAX_DB, 0.0
        if before > 0 and error > 0:
            gain = 1 + cross / before
            rest = max(error - cross**2 / before, 0.0)  # what no gain explains
            ratio = gain**2 * before / rest if rest > 0 else np.inf
            si_sdr_db = float(np.clip(10 * np.log10(ratio + 1e-30), -60.0, SI_SDR_MAX_DB))
            gain_db = float(20 * np.log10(max(abs(gain), 1e-6)))
        return Change(
            self.stage, round(si_sdr_db, 2), self.budget_db, round(gain_db, 3), self._bands()
        )

    def _bands(self) -> tuple[Mapping[str, float], ...]:
        whole = float(self._before.sum()) + 1e-30
        rows = []
        for low, high in BANDS_HZ:
            inside = band(low, high, n_fft=self._n_fft, sample_rate=self._sample_rate)
            if inside.start == inside.stop:
                continue
            before, after, error = (
                float(sums[inside].sum()) + 1e-12 * whole
                for sums in (self._before, self._after, self._error)
            )
            rows.append(
                {
                    "low_hz": float(low),
                    "high_hz": float(min(high, self._sample_rate / 2)),
                    "level_db": round(10 * float(np.log10(after / before)), 2),
                    "difference_db": round(10 * float(np.log10(error / whole)), 1),
                }
            )
        return tuple(rows)


def _power(spec: Any) -> Any:
    return np.einsum("nf,nf->f", spec.real, spec.real, dtype=np.float64) + np.einsum(
        "nf,nf->f", spec.imag, spec.imag, dtype=np.float64
    )


def correct(plan: Plan, change: Change, *, tries: int) -> Plan:
    """Return the plan with the stage of a change that is over its budget turned down or bypassed.

    Args:
        plan: that was carried out.
        change: of one of its stages, over its budget.
        tries: how often this stage was turned down already.
    """
    step = plan[change.stage]
    budget = STAGES[step.stage].budget
    setting = budget.turn_down
    why = (
        f"it left {change.si_sdr_db:.1f} dB SI-SDR in the protected band, "
        f"the budget is {change.budget_db:.1f}"
    )
    if setting is None or tries > TURN_DOWNS or (tries == TURN_DOWNS and budget.bypass):
        return plan.with_step(replace(step, on=False, reason=f"bypassed: {why}"))
    value = step.settings[setting] / 2 if tries < TURN_DOWNS else 0.0
    settings = {**step.settings, setting: value}
    reason = f"{step.reason}; turned down ({setting} {value:g}): {why}"
    return plan.with_step(Step(step.stage, True, reason, settings))
