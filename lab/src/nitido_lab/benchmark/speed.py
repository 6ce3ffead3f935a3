"""How fast the default preset is, and how much memory it takes, beside the floor.

The floor is what any restoration at all would have to do: resample the piece once, take it into
the time-frequency plane and back. Both are timed in turn, in one run on one machine, so that the
ratio holds on a busy machine as well.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import soxr

from nitido.api import restore
from nitido.audio import write
from nitido.cores import usable_cores
from nitido.dsp.spectral import Frames
from nitido.dsp.wav import Wav
from nitido_lab.benchmark.clips import Case
from nitido_lab.benchmark.faulty import SAMPLE_RATE, faulty_piece, write_piece
from nitido_lab.benchmark.memory import peak_mib
from nitido_lab.benchmark.systems import System

FLOOR_FROM_HZ = 32_000  # the usual way of a MusicGen clip: 32 to 48 kHz
FRAMES = Frames(2048, 512)
CLIP_SECONDS = 5.0  # of which most of the time goes by before anything is heard
BUSY = 0.5  # processes at work beside us, from which on it is said
# A process that does to a clip what cannot be left out: read, resample, transform, write.
BARE = """\
import sys
import numpy as np, scipy.fft, soundfile, soxr
source, target = sys.argv[1:]
wav, rate = soundfile.read(source, dtype="float32", always_2d=True)
soxr.resample(wav, rate, 32_000, quality="HQ")
cut = np.lib.stride_tricks.sliding_window_view(wav.T, 2048, axis=1)[:, ::512]
spec = scipy.fft.rfft(cut * np.hanning(2048).astype(np.float32), axis=2)
scipy.fft.irfft(spec, 2048, axis=2)
soundfile.write(target, wav, rate, subtype="PCM_24")
"""
COMMAND = "import sys; from nitido.cli import main; main(sys.argv[1:])"


@dataclass(frozen=True)
class Speed:
    """What was measured; times are medians, s.

    Attributes:
        seconds: length of the piece.
        restore_seconds: of one restoration, in memory.
        floor_seconds: of resampling and STFT of the same piece.
        cores: that this process may use.
        cores_busy: processor time over time, while restoring.
        memory_mib: peak resident memory of a process that restores the piece from a file.
        stages: that ran.
        runs: how often each was timed.
        processes: processor time of whole processes, as a multiple of that of a bare one, by what
            they do: ``restore`` and ``diagnose`` a clip of `CLIP_SECONDS`, ``import`` nitido. Last
            ``bare``, s.
        others: time of each system on the same piece, by name, s.
        left_out: systems that could not run, with the reason.
        load: processes at work on this computer when it began, mean of a minute; 0 if not known.
    """

    seconds: float
    restore_seconds: float
    floor_seconds: float
    cores: int
    cores_busy: float
    memory_mib: float
    stages: tuple[str, ...]
    runs: int
    processes: Mapping[str, float] = field(default_factory=dict)
    others: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    load: float = 0.0

    @property
    def real_time_factor(self) -> float:
        """Seconds of sound restored in a second."""
        return self.seconds / self.restore_seconds

    @property
    def ratio(self) -> float:
        """Time to restore, in floors."""
        return self.restore_seconds / self.floor_seconds

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        return {**asdict(self), "real_time_factor": self.real_time_factor, "ratio": self.ratio}

    def rows(self) -> list[tuple[str, str]]:
        """Return what to show: name and figure."""
        return [
            (f"restore {self.seconds:g} s of 48 kHz stereo", f"{self.restore_seconds:.2f} s"),
            ("that is, of real time", times(self.real_time_factor)),
            ("floor: one resampling, one STFT and back", f"{self.floor_seconds:.2f} s"),
            ("restore in floors", f"{self.ratio:.1f}×"),
            ("peak memory", f"{self.memory_mib:.0f} MiB"),
            ("cores busy, of those there are", f"{self.cores_busy:.1f} of {self.cores}"),
            ("stages that ran", ", ".join(self.stages)),
            ("runs of each", str(self.runs)),
            *(
                (f"whole process, {name}: in bare ones, {CLIP_SECONDS:g} s", f"{ratio:.2f}×")
                for name, ratio in self.processes.items()
                if name != "bare"
            ),
            *(
                (f"system: {name}", f"{took:.2f} s, {times(self.seconds / took)}")
                for name, took in self.others.items()
            ),
        ]

    def sentences(self) -> list[str]:
        """Return which systems are faster, and which are not there."""
        faster = [
            f"nitido loses to {name}, which takes {took:.2f} s against {self.restore_seconds:.2f}."
            for name, took in self.others.items()
            if took < self.restore_seconds
        ]
        said = faster + [f"Left out: {name} ({why})." for name, why in self.left_out.items()]
        if self.load >= BUSY:
            said.append(
                f"The computer was busy: {self.load:.1f} processes at work on {self.cores} cores "
                "when it began. Times are too long; ratios hold better."
            )
        return said


def times(factor: float) -> str:
    """Return how many times real time, slow ones too.

    >>> times(51.7), times(0.034)
    ('52×', '0.034×')
    """
    return f"{factor:.0f}×" if factor >= 10 else f"{factor:.2g}×"


def measure(*, seconds: float = 60.0, runs: int = 5, systems: Sequence[System] = ()) -> Speed:
    """Time restoration, floor and systems in turn; once more each beforehand, to warm up.

    Args:
        seconds: length of the piece.
        runs: timed runs of each.
        systems: to be timed on the same piece.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    piece = faulty_piece(seconds)
    reasons = {system.name: system.missing() for system in systems}
    given = Case("speed", piece, SAMPLE_RATE, piece[:1])
    times: dict[str, list[float]] = {name: [] for name in reasons if reasons[name] is None}
    restore_times, floor_times, busy = [], [], []
    stages: tuple[str, ...] = ()
    for run in range(runs + 1):
        began, worked = perf_counter(), process_time()
        result = restore(piece, sample_rate=SAMPLE_RATE)
        took, work = perf_counter() - began, process_time() - worked
        stages = tuple(step.stage for step in result.plan.steps if step.on)
        del result
        began = perf_counter()
        floor(piece)
        floored = perf_counter() - began
        for system in systems:
            if system.name in times:
                began = perf_counter()
                system.restore(given)
                times[system.name].append(perf_counter() - began)
        if run:
            restore_times.append(took)
            floor_times.append(floored)
            busy.append(work / took)
    return Speed(
        seconds,
        statistics.median(restore_times),
        statistics.median(floor_times),
        usable_cores(),
        statistics.median(busy),
        peak_memory_mib(piece),
        stages,
        runs,
        process_ratios(runs=runs),
        {name: statistics.median(found[1:]) for name, found in times.items()},
        {name: reason for name, reason in reasons.items() if reason},
        load,
    )


def floor(piece: Wav) -> Wav:
    """Return the piece after one resampling, and one STFT there and back: the least there is."""
    resampled = soxr.resample(piece.T, FLOOR_FROM_HZ, SAMPLE_RATE, quality="HQ")
    spec = FRAMES.analyse(piece, first=0)
    FRAMES.synthesise(spec, first=0, length=piece.shape[1])
    return np.asarray(resampled.T, np.float32)


def process_ratios(*, runs: int) -> dict[str, float]:
    """Return the processor time of whole processes on a short clip, in that of a bare one.

    The median of ratios within a round: what else the computer does slows all of a round. All are
    started as by hand: they find their modules compiled, as after an installation, and nobody told
    the bare one how many threads numpy starts, as our command line has told itself.
    """
    with tempfile.TemporaryDirectory(prefix="nitido-") as folder:
        source, target = str(Path(folder, "clip.wav")), str(Path(folder, "result.wav"))
        write_piece(Path(source), CLIP_SECONDS / 60)
        programs = {
            "bare": [BARE, source, target],
            "restore": [COMMAND, "restore", source, "-o", target, "--overwrite"],
            "diagnose": [COMMAND, "diagnose", source],
            "import": ["import nitido"],
        }
        by_hand = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        for told in ("PYTHONDONTWRITEBYTECODE", "OPENBLAS_NUM_THREADS"):
            by_hand.pop(told, None)
        rounds = [
            {name: _processor_seconds(program, by_hand) for name, program in programs.items()}
            for _ in range(runs + 1)
        ][1:]
    bare = statistics.median(one["bare"] for one in rounds)
    ratios = {
        name: statistics.median(one[name] / one["bare"] for one in rounds)
        for name in programs
        if name != "bare"
    }
    return {**ratios, "bare": bare}


def _processor_seconds(program: Sequence[str], environment: Mapping[str, str]) -> float:
    command = [sys.executable, "-c", *program]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return used.ru_utime + used.ru_stime


def peak_memory_mib(piece: Wav) -> float:
    """Return the peak resident memory of a fresh process that restores the piece, MiB."""
    with tempfile.TemporaryDirectory(prefix="nitido-") as folder:
        path = Path(folder, "piece.wav")
        channels, samples = piece.shape
        write(path, [piece], sample_rate=SAMPLE_RATE, channels=channels, samples=samples)
        return peak_mib(path, Path(folder, "result.wav"), "nitido")
