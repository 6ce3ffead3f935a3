"""Match: brings the tone towards that of other music, as far as is gentle.

The tone of a piece is its average level in third octaves. It is held against the range in which
eight of ten masters lie, band by band, and only what lies outside that range is moved, to its edge;
or against the levels of one reference. One smooth linear-phase equaliser does it, by 4 dB at most,
and never where the sound has ended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.fourier import convolve, fast_size, irfft
from nitido.dsp.spectral import median
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Settings, Stage, Step

Array = NDArray[np.float64]

BANDS_HZ = 1000 * 10 ** (np.arange(-13, 14) / 10)  # third octaves, 50 Hz to 20 kHz, as in `tone`
MOST_DB = 4.0
LEAST_DB = 0.5  # a smaller change is not worth making
REFERENCE_SECONDS = 1.0  # of a shorter one a few hundredths are heard: one note, no tone
LEVELLED_HZ = (100.0, 8_000.0)  # where piece and target are brought to one level
FAINT_DB = -60.0  # re the loudest band: what is softer is not there
BELOW_CEILING = 0.9  # up to here, a share of where the sound ends
SMOOTH = (0.25, 0.5, 0.25)  # over bands
HALF_LENGTH_SECONDS = 0.04


class Match(Stage):
    """Moves the tone towards that of masters, or of a reference, by a linear-phase equaliser."""

    name: ClassVar[str] = "match"
    summary: ClassVar[str] = "brings the tone nearer to that of other music, or of a reference"
    schema: ClassVar[Mapping[str, Setting]] = {
        "amount": Setting(1.0, "scales the change", (0.0, 1.0)),
        "target_db": Setting(
            [],
            "levels of a reference in third octaves from 50 Hz on, as its finding 'tone' has them; "
            "empty: the range of masters",
            (-200.0, 20.0),
            "dB",
        ),
        "gains_db": Setting(
            [], "in third octaves from 50 Hz on", (-MOST_DB, MOST_DB), "dB", measured=True
        ),
    }
    budget: ClassVar[Budget] = Budget(si_sdr_db=10.0)

    @classmethod
    def check(cls, settings: Settings) -> None:
        """Check that there are no more numbers than bands."""
        for name in ("target_db", "gains_db"):
            if len(settings[name]) > len(BANDS_HZ):
                raise ConfigError(
                    f"match.{name} has {len(settings[name])} numbers; there are {len(BANDS_HZ)} "
                    "third octaves from 50 Hz to 20 kHz."
                )
        if None in settings["gains_db"]:
            raise ConfigError("match.gains_db needs a number for every band.")

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """Find the gains: none where the piece lies within the range."""
        target = "the reference" if settings["target_db"] else "other music"
        gains_db = _gains_db(diagnosis, settings["target_db"])
        settings = {**settings, "gains_db": [round(float(one), 2) for one in gains_db]}
        if not len(gains_db) or float(np.abs(gains_db).max()) < LEAST_DB:
            return Step(cls.name, False, f"its tone is that of {target}", settings)
        least, most = int(gains_db.argmin()), int(gains_db.argmax())
        told = [
            f"{gains_db[at]:+.1f} dB at {_shown_hz(BANDS_HZ[at])}".replace("-", "−")
            for at in dict.fromkeys((least, most))
            if abs(gains_db[at]) >= LEAST_DB / 2
        ]
        return Step(cls.name, True, f"towards {target}: {', '.join(told)}", settings)

    @property
    def context_samples(self) -> int:
        """Half the length of the filter."""
        return round(HALF_LENGTH_SECONDS * self.sample_rate)

    def apply(self, window: Wav, *, start: int) -> Wav:  # noqa: ARG002
        """Return the equalised samples, `[C, n]`."""
        gains_db = tuple(self.settings["amount"] * one for one in self.settings["gains_db"])
        if not any(gains_db):
            return self.span(window)
        taps = equaliser(gains_db, self.sample_rate, self.context_samples)
        return convolve(window, taps)


@lru_cache(maxsize=8)
def equaliser(
    gains_db: tuple[float, ...], sample_rate: int, half_length: int
) -> NDArray[np.float32]:
    """Return symmetric taps `[2 · half_length + 1]` with these gains in third octaves from 50 Hz.

    In dB, straight over log frequency from band to band; 0 dB an octave below the first and a third
    above the last.
    """
    size = fast_size(8 * half_length)
    octave = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 1.0))
    places = np.log2(BANDS_HZ[: len(gains_db)])
    places = np.concatenate([[places[0] - 1], places, [places[-1] + 1 / 3]])
    change_db = np.interp(octave, places, np.pad(np.array(gains_db), 1))
    change = irfft(10 ** (change_db / 20) - 1, size)
    taps = np.concatenate([change[-half_length:], change[: half_length + 1]])
    taps *= np.hanning(2 * half_length + 3)[1:-1]
    taps[half_length] += 1
    taps.flags.writeable = False
    return np.asarray(taps, np.float32)


@cache
def masters() -> tuple[Array, Array]:
    """Return the lower and upper edge of the range of masters, dB, each `[27]`."""
    text = resources.files("nitido.restoration").joinpath("masters.json").read_text("utf-8")
    content = json.loads(text)
    return np.array(content["low_db"]), np.array(content["high_db"])


def levelled(bands_db: Array) -> Array:
    """Return levels in third octaves from 50 Hz on, dB, less their median from 0.1 to 8 kHz."""
    hz = BANDS_HZ[: len(bands_db)]
    inside = (hz >= LEVELLED_HZ[0]) & (hz <= LEVELLED_HZ[1])
    return np.asarray(bands_db - median(bands_db[inside & np.isfinite(bands_db)]), np.float64)


def _gains_db(diagnosis: Diagnosis, target_db: list[float | None]) -> Array:
    """Return by how much each band is to be moved, dB; nothing for silence."""
    tone = np.array(diagnosis["tone"].details.get("bands_db", ()), np.float64)
    if not len(tone):
        return tone
    low_db = high_db = np.array(target_db, np.float64)  # None becomes NaN
    if len(target_db):
        low_db = high_db = levelled(low_db)
    else:
        low_db, high_db = masters()
    count = min(len(tone), len(low_db))
    tone, low_db, high_db = tone[:count], low_db[:count], high_db[:count]
    there = tone > tone.max() + FAINT_DB
    ceiling_hz = diagnosis["bandwidth"].details.get("ceiling_hz", np.inf)
    there &= BANDS_HZ[:count] < BELOW_CEILING * ceiling_hz
    there &= np.isfinite(low_db)
    piece = levelled(tone)
    gains_db = np.where(there, np.clip(piece, low_db, high_db) - piece, 0.0)
    gains_db = np.clip(gains_db, -MOST_DB, MOST_DB)
    smooth = np.convolve(np.pad(gains_db, 1, mode="edge"), SMOOTH, "valid")
    return np.asarray(np.where(there, smooth, 0.0), np.float64)


def reference_settings(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the settings that bring a piece towards the one of that diagnosis.

    Raises:
        ConfigError: it is silent or shorter than a second.
    """
    details = diagnosis["tone"].details
    if diagnosis.silent or "bands_db" not in details:
        raise ConfigError("The reference is silent; give one with music in it.")
    seconds = diagnosis.samples / diagnosis.sample_rate
    if seconds < REFERENCE_SECONDS:
        raise ConfigError(
            f"The reference lasts {seconds:.3g} s; its tone shows from {REFERENCE_SECONDS:.0f} s "
            "on: give a longer one."
        )
    ends_hz = BELOW_CEILING * diagnosis["bandwidth"].details.get("ceiling_hz", np.inf)
    levels = zip(details["bands_hz"], details["bands_db"], strict=True)
    target_db = [round(level, 2) if hz < ends_hz else None for hz, level in levels]
    return {"match.mode": "auto", "match.target_db": target_db}


def _shown_hz(hz: float) -> str:
    return f"{hz / 1000:.1f} kHz" if hz >= 1000 else f"{hz:.0f} Hz"
