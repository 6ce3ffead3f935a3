"""Whom nitido is held against: each takes the same piece and gives it back at 48 kHz.

Settings of others are their defaults. A system that cannot run here says why and is left out.
"""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module, util
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy.ndimage import median_filter
from scipy.signal import sosfilt

from nitido.diagnosis.shimmer import BAND_HZ
from nitido.dsp.spectral import Frames, band, fft_size
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError, NitidoError
from nitido_lab.benchmark.clips import SAMPLE_RATE, Case, at_rate, audio_below, mono, read

LOW_SHELF_HZ, LOW_SHELF_DB = 100.0, 1.5
HIGH_SHELF_HZ, HIGH_SHELF_DB = 8_000.0, 3.0
TREBLE_CUT_DB = 3.0
MEDIAN_FRAMES, MEDIAN_OVER_DB = 9, 6.0
SEED_MODEL = "htdemucs"
FOLDER_LAG_MAX_SECONDS = 0.5


@dataclass(frozen=True)
class Restored:
    """What a system made of a piece: `[C, T]` at 48 kHz, and what it says about its work."""

    wav: Wav
    notes: Mapping[str, Any] = field(default_factory=dict)


class System(Protocol):
    """A system in the table. Plain data: it goes to another process."""

    @property
    def name(self) -> str:
        """Return its name in tables and files."""

    @property
    def what(self) -> str:
        """Return what it is, in words."""

    def missing(self) -> str | None:
        """Return why it cannot run here; None if it can."""

    def restore(self, piece: Case) -> Restored:
        """Return the piece as this system gives it back."""


@dataclass(frozen=True)
class Nitido:
    """nitido itself, with one of its presets, and settings if any."""

    name: str = "nitido"
    preset: str = "auto"
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def what(self) -> str:
        """Return what it is, in words."""
        settings = "".join(f", {name}={value}" for name, value in self.settings)
        return f"nitido, preset {self.preset}{settings}"

    def missing(self) -> str | None:
        """Return None: it can always run."""
        return None

    def restore(self, piece: Case) -> Restored:
        """Return the piece restored, and the stages that repaired it (loudness is no repair)."""
        from nitido.api import restore

        result = restore(
            piece.wav,
            sample_rate=piece.sample_rate,
            preset=self.preset,
            settings=dict(self.settings),
        )
        stages = [step.stage for step in result.plan.steps if step.on and step.stage != "loudness"]
        notes = {"preset": result.plan.preset, "stages": stages, "repairs": len(stages)}
        return Restored(result.wav, notes)


@dataclass(frozen=True)
class Resample:
    """Nothing but another sample rate: what is gained by doing nothing."""

    name: str = "resample"
    what: str = "resampled to 48 kHz, nothing else"

    def missing(self) -> str | None:
        """Return None: it can always run."""
        return None

    def restore(self, piece: Case) -> Restored:
        """Return the piece at 48 kHz."""
        return Restored(at_rate(piece.wav, from_hz=piece.sample_rate))


@dataclass(frozen=True)
class DemucsPreset:
    """The student pipeline that this project began with: separate with Demucs, sum up again."""

    name: str = "demucs"
    what: str = "the founding pipeline: resample, separate with Demucs, add the stems"

    def missing(self) -> str | None:
        """Return why it cannot run here: Demucs, or its weights, are not here."""
        from nitido.separation.demucs_model import missing

        reason = missing(SEED_MODEL)
        return reason and f"not measured: {reason}"

    def restore(self, piece: Case) -> Restored:
        """Return what the preset ``demucs`` makes of the piece."""
        return Nitido(self.name, "demucs").restore(piece)


@dataclass(frozen=True)
class RandomDemucs:
    """The founding pipeline with random weights in a network as large: for its speed only."""

    name: str = "seed (random weights)"
    what: str = "the founding pipeline, random weights in htdemucs: as slow as it, but nonsense"

    def missing(self) -> str | None:
        """Return why it cannot run here: Demucs is not installed."""
        if util.find_spec("demucs") is None:
            return "not measured: Demucs is not installed: pip install 'nitido[demucs]'"
        return None

    def restore(self, piece: Case) -> Restored:
        """Return nonsense of the same length, after as long a time."""
        from nitido.api import restore

        options: dict[str, Any] = {"preset": "demucs", "demucs_repo": _random_checkpoint()}
        return Restored(restore(piece.wav, sample_rate=piece.sample_rate, **options).wav)


@cache
def _random_checkpoint() -> Path:
    """Return a folder of random weights, which goes when the process ends."""
    from nitido_lab.benchmark.random_checkpoint import save_random_musicgen

    folder = Path(tempfile.mkdtemp(prefix="nitido-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return save_random_musicgen(folder)


@dataclass(frozen=True)
class NoiseReduce:
    """Spectral gating by the library noisereduce."""

    name: str = "noisereduce"
    what: str = "noisereduce, spectral gating with its defaults"

    def missing(self) -> str | None:
        """Return why it cannot run here."""
        absent = util.find_spec("noisereduce") is None
        return "noisereduce is not installed: pip install -e 'lab[bench]'" if absent else None

    def restore(self, piece: Case) -> Restored:
        """Return the piece, gated; noisereduce wants `[C, T]`, unlike most of its kind."""
        wav = at_rate(piece.wav, from_hz=piece.sample_rate)
        with np.errstate(invalid="ignore", divide="ignore"):  # digital silence becomes 0 / 0
            reduced = import_module("noisereduce").reduce_noise(y=wav, sr=SAMPLE_RATE)
        return Restored(np.nan_to_num(np.asarray(reduced, np.float32)).reshape(wav.shape))


@dataclass(frozen=True)
class Libsonare:
    """The library libsonare: its mastering preset for AI music, or only what it would repair."""

    name: str = "libsonare"
    preset: str | None = "aiMusic"

    @property
    def what(self) -> str:
        """Return what it is, in words."""
        if self.preset is None:
            return "libsonare, the repairs that its analyser recommends"
        return f"libsonare, preset {self.preset}"

    def missing(self) -> str | None:
        """Return why it cannot run here."""
        absent = util.find_spec("libsonare") is None
        return "libsonare is not installed: pip install -e 'lab[bench]'" if absent else None

    def restore(self, piece: Case) -> Restored:
        """Return the piece as libsonare gives it back, and the stages that ran (loudness aside)."""
        sonare = import_module("libsonare")
        made = list(at_rate(piece.wav, from_hz=piece.sample_rate))
        if self.preset is None:
            stages = sonare.mastering_repair_analyze(made, SAMPLE_RATE)["recommended"]
            ran = [stage["stage"] for stage in stages]
            if stages:
                made = sonare.mastering_repair_apply(made, SAMPLE_RATE, stages=stages).channels
        elif len(made) == 1:
            result = sonare.master_audio(made[0], SAMPLE_RATE, self.preset)
            ran, made = result.stages, [result.samples]
        else:
            result = sonare.master_audio_stereo(*made[:2], SAMPLE_RATE, self.preset)
            ran, made = result.stages, [result.left, result.right]
        ran = [stage for stage in ran if not stage.startswith("loudness")]
        return Restored(np.array(made, np.float32), {"stages": ran, "repairs": len(ran)})


@dataclass(frozen=True)
class MasteringEq:
    """What a mastering preset does to dull music: more bass, more treble."""

    name: str = "mastering-eq"
    what: str = (
        f"low shelf {LOW_SHELF_DB:+g} dB at {LOW_SHELF_HZ:g} Hz, "
        f"high shelf {HIGH_SHELF_DB:+g} dB at {HIGH_SHELF_HZ / 1000:g} kHz"
    )

    def missing(self) -> str | None:
        """Return None: it can always run."""
        return None

    def restore(self, piece: Case) -> Restored:
        """Return the piece, equalised."""
        wav = at_rate(piece.wav, from_hz=piece.sample_rate)
        sections = [
            shelf(LOW_SHELF_HZ, LOW_SHELF_DB, sample_rate=SAMPLE_RATE, high=False),
            shelf(HIGH_SHELF_HZ, HIGH_SHELF_DB, sample_rate=SAMPLE_RATE, high=True),
        ]
        return Restored(np.asarray(sosfilt(sections, wav, axis=1), np.float32))


@dataclass(frozen=True)
class TrebleCut:
    """What users do about shimmer: turn the treble down."""

    name: str = "treble-cut"
    what: str = f"high shelf {-TREBLE_CUT_DB:+g} dB at {BAND_HZ[0] / 1000:g} kHz"

    def missing(self) -> str | None:
        """Return None: it can always run."""
        return None

    def restore(self, piece: Case) -> Restored:
        """Return the piece with less treble."""
        wav = at_rate(piece.wav, from_hz=piece.sample_rate)
        section = shelf(BAND_HZ[0], -TREBLE_CUT_DB, sample_rate=SAMPLE_RATE, high=True)
        return Restored(np.asarray(sosfilt([section], wav, axis=1), np.float32))


@dataclass(frozen=True)
class MovingMedian:
    """De-shimmer as it is published: no bin of the treble far above its median over time."""

    name: str = "moving-median"
    what: str = (
        f"5 to 14 kHz: bins held at {MEDIAN_OVER_DB:g} dB over their median of "
        f"{MEDIAN_FRAMES} frames"
    )

    def missing(self) -> str | None:
        """Return None: it can always run."""
        return None

    def restore(self, piece: Case) -> Restored:
        """Return the piece with the peaks of its treble cut down."""
        wav = at_rate(piece.wav, from_hz=piece.sample_rate)
        n_fft = fft_size(0.0427, sample_rate=SAMPLE_RATE)
        frames, treble = (
            Frames(n_fft, n_fft // 4),
            band(*BAND_HZ, n_fft=n_fft, sample_rate=SAMPLE_RATE),
        )
        edge, length = n_fft, wav.shape[1] + 2 * n_fft
        spec = frames.analyse(np.pad(wav, ((0, 0), (edge, edge))), first=-edge)
        size = np.abs(spec[:, :, treble]) + np.float32(1e-12)
        most = median_filter(size, (1, MEDIAN_FRAMES, 1)) * np.float32(10 ** (MEDIAN_OVER_DB / 20))
        spec[:, :, treble] *= np.minimum(1, most / size) - 1
        spec[:, :, : treble.start] = 0
        spec[:, :, treble.stop :] = 0
        change = frames.synthesise(spec, first=-edge, length=length)
        return Restored(wav + change[:, edge : edge + wav.shape[1]])


@dataclass(frozen=True)
class Folder:
    """The files that another system made of the same clips: `CLIP.wav` or `CLIP_restored.wav`."""

    name: str
    folder: Path

    @property
    def what(self) -> str:
        """Return what it is, in words."""
        return "files given with --system; aligned to the sample before they are judged"

    def missing(self) -> str | None:
        """Return why nothing of it can be judged."""
        try:
            audio_below(self.folder)
        except NitidoError as error:
            return str(error)
        return None

    def find(self, clip: str) -> Path | None:
        """Return the file of a clip; None if this system has none."""
        stems = {clip, f"{clip}_restored", f"{clip}_{self.name}"}
        return next((path for path in audio_below(self.folder) if path.stem in stems), None)

    def restore(self, piece: Case) -> Restored:
        """Return what the file holds, shifted to where the piece is."""
        from nitido.dsp.alignment import find_alignment

        path = self.find(piece.name)
        if path is None:
            raise ConfigError(f"{self.name} has no file for the clip {piece.name}.")
        wav, _ = read(path, sample_rate=SAMPLE_RATE)
        found = find_alignment(
            estimate=mono(wav),
            reference=mono(at_rate(piece.wav, from_hz=piece.sample_rate)),
            sample_rate=SAMPLE_RATE,
            max_lag_seconds=FOLDER_LAG_MAX_SECONDS,
        )
        late = found.lag_samples
        moved = wav[:, late:] if late >= 0 else np.pad(wav, ((0, 0), (-late, 0)))
        return Restored(moved * np.float32(found.polarity), {"lag_samples": late})


def default_systems() -> list[System]:
    """Return nitido and its systems, in the order of the tables."""
    return [
        Nitido(),
        Nitido("nitido-repairs", settings=(("loudness.mode", "off"),)),  # no limiter
        Nitido("nitido-gentle", "gentle"),
        Nitido("nitido-rule", settings=(("bandwidth.model", "rule"),)),
        Resample(),
        DemucsPreset(),
        NoiseReduce(),
        Libsonare(),
        Libsonare("libsonare-repair", None),
        MasteringEq(),
        Nitido("nitido-deshimmer", "song", (("deshimmer.mode", "on"),)),
        TrebleCut(),
        MovingMedian(),
    ]


def chosen_systems(names: Sequence[str] = ()) -> list[System]:
    """Return nitido, doing nothing, and the systems of these names; all, without names.

    Raises:
        ConfigError: no system has that name.
    """
    known = {system.name: system for system in default_systems()}
    for name in names:
        if name not in known:
            raise ConfigError(f"There is no system {name!r}; there are {', '.join(known)}.")
    wanted = {Nitido.name, Resample.name, *names} if names else set(known)
    return [system for system in known.values() if system.name in wanted]


def read_system(text: str) -> Folder:
    """Return the system of ``NAME=FOLDER``.

    Raises:
        ConfigError: it is not that, or the name is taken.
    """
    name, equals, folder = text.partition("=")
    if not equals or not folder or not name.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f"{text!r} is no system; write NAME=FOLDER, such as apollo=out/apollo.")
    if name in {system.name for system in default_systems()}:
        raise ConfigError(f"There is a system {name!r} already; give the folder another name.")
    return Folder(name, Path(folder))


def fingerprint(system: System, clip: str) -> str:
    """Return what a stored result of a system depends on, beside the clip and the code."""
    if not isinstance(system, Folder):
        return system.what
    path = system.find(clip)
    if path is None:
        return "no file"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shelf(hz: float, gain_db: float, *, sample_rate: int, high: bool) -> list[float]:
    """Return a shelving filter of slope 1 as a second-order section `[6]`.

    Source: Bristow-Johnson, Cookbook formulae for audio EQ biquad filter coefficients.
    """
    a = 10 ** (gain_db / 40)
    w = 2 * np.pi * hz / sample_rate
    cos, root = float(np.cos(w)), float(np.sqrt(2 * a) * np.sin(w))  # 2 √A α at S = 1
    sign = -1 if high else 1  # the high shelf is the low one with the cosine turned round
    b = [
        a * ((a + 1) - sign * (a - 1) * cos + root),
        sign * 2 * a * ((a - 1) - sign * (a + 1) * cos),
        a * ((a + 1) - sign * (a - 1) * cos - root),
    ]
    below = [
        (a + 1) + sign * (a - 1) * cos + root,
        -sign * 2 * ((a - 1) + sign * (a + 1) * cos),
        (a + 1) + sign * (a - 1) * cos - root,
    ]
    return [float(c / below[0]) for c in (*b, *below)]
