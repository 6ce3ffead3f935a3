"""How much memory a restoration takes, and whether it grows with the piece.

Each figure is of a fresh process that does one thing: restore a file and write the result.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nitido.audio import write
from nitido_lab.benchmark.faulty import SAMPLE_RATE, write_piece
from nitido_lab.benchmark.tables import Table

MINUTES = (1.0, 10.0)
# Beside nitido and doing nothing; others that hold all of a piece as well would take half an hour.
SYSTEMS = ("demucs", "noisereduce", "mastering-eq")
PROGRAM = """\
import resource, sys
source, target, system = sys.argv[1:]
if system == "nitido":
    import nitido
    nitido.restore(source).write(target, sidecar=False)
else:
    from nitido_lab.benchmark.memory import whole
    whole(source, target, system)
try:
    status = open("/proc/self/status").read()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
except (OSError, IndexError):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak / 2**20 if sys.platform == "darwin" else peak / 2**10)
"""


@dataclass(frozen=True)
class Memory:
    """What was measured.

    Attributes:
        minutes: lengths of the pieces, 48 kHz stereo.
        peaks_mib: per system, peak resident memory at each length.
        left_out: systems that could not run, with the reason.
    """

    minutes: tuple[float, ...]
    peaks_mib: dict[str, tuple[float, ...]]
    left_out: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        return {**vars(self)}

    def table(self) -> Table:
        """Return the figures as they are shown."""
        heads = (f"{length:g} min, MiB" for length in self.minutes)
        rows = ((name, *(f"{peak:.0f}" for peak in p)) for name, p in self.peaks_mib.items())
        return Table("peak memory", ("system", *heads), tuple(rows))

    def sentences(self) -> list[str]:
        """Return how it grows, who needs less, and who is not there."""
        own, last = self.peaks_mib["nitido"], f"{self.minutes[-1]:g} min"
        said = [
            f"nitido loses to {name}: {own[-1]:.0f} MiB against {peaks[-1]:.0f} for {last}."
            for name, peaks in self.peaks_mib.items()
            if peaks[-1] < own[-1]
        ]
        if len(own) > 1:
            more = own[-1] - own[0]
            compared = f"{abs(more):.0f} MiB {'more' if more > 0 else 'less'}"
            said.append(f"nitido takes {compared} for {last} than for {self.minutes[0]:g}.")
        return said + [f"Left out: {name} ({why})." for name, why in self.left_out.items()]


def measure(*, minutes: Sequence[float] = MINUTES) -> Memory:
    """Measure nitido and `SYSTEMS` at every length.

    Args:
        minutes: lengths of the pieces.
    """
    from nitido_lab.benchmark.systems import chosen_systems

    reasons = {system.name: system.missing() for system in chosen_systems(SYSTEMS)}
    names = [name for name in reasons if not reasons[name]]
    peaks: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="nitido-") as folder:
        source, target = Path(folder, "piece.wav"), Path(folder, "result.wav")
        for length in minutes:
            write_piece(source, length)
            for name in names:
                peaks[name].append(peak_mib(source, target, name))
                target.unlink()
            source.unlink()
    return Memory(
        tuple(minutes),
        {name: tuple(found) for name, found in peaks.items()},
        {name: reason for name, reason in reasons.items() if reason},
    )


def peak_mib(source: Path, target: Path, system: str) -> float:
    """Return the peak resident memory of a fresh process that restores a file, MiB.

    On Linux the high-water mark of the process itself: what `getrusage` says there can be that of
    the process which started it.
    """
    command = [sys.executable, "-c", PROGRAM, str(source), str(target), system]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.splitlines()[-1])


def whole(source: str, target: str, name: str) -> None:
    """Let a system restore a file as it usually does: all of it at once."""
    from nitido_lab.benchmark.clips import Case, mono, read
    from nitido_lab.benchmark.systems import default_systems

    wav, rate = read(Path(source), seconds=float("1e6"))
    system = next(system for system in default_systems() if system.name == name)
    result = system.restore(Case(name, wav, rate, mono(wav[:, :1]))).wav
    channels, samples = result.shape
    write(target, [result], sample_rate=SAMPLE_RATE, channels=channels, samples=samples)
