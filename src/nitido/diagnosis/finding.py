"""What a diagnosis is made of: one `Finding` per artefact, plain data for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from nitido.dsp.loop import Loop
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError, shown
from nitido.notebook import ShownInNotebook

Severity = Literal["ok", "slight", "moderate", "severe"]
SEVERITIES: tuple[Severity, ...] = ("ok", "slight", "moderate", "severe")
REPR_LINES = 7


@dataclass(frozen=True)
class Finding:
    """One property of the sound, measured.

    Attributes:
        kind: which property, such as ``"comb"`` or ``"bandwidth"``; one finding per kind.
        value: the number, or None where it cannot be measured (loudness of silence).
        unit: of the value: ``"dB"``, ``"Hz"``, ``"LUFS"``, ``"samples"``, …
        severity: ``"ok"`` if nothing is wrong; how much it matters otherwise.
        summary: one sentence for a musician, with the number in it.
        compared_with: what the value was held against, such as ``"control lines, 1.1 dB"``.
        where: the places it concerns, `(start_seconds, end_seconds)`; empty for the whole file.
        details: further numbers, from which stages take their settings; JSON values only.
    """

    kind: str
    value: float | None
    unit: str
    severity: Severity
    summary: str
    compared_with: str = ""
    where: tuple[tuple[float, float], ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        """Whether there is anything wrong."""
        return self.severity != "ok"

    @classmethod
    def from_dict(cls, content: Any) -> Finding:
        """Return the finding that `dataclasses.asdict` made plain JSON values of.

        Raises:
            ConfigError: something else.
        """
        try:
            where = tuple((float(start), float(end)) for start, end in content.get("where", ()))
            finding = cls(**{**content, "where": where})
        except (AttributeError, TypeError, ValueError):
            raise ConfigError(f"{shown(content)} is no finding of a diagnosis.") from None
        if finding.severity not in SEVERITIES:
            raise ConfigError(f"The severity {shown(finding.severity)} is none of {SEVERITIES}.")
        return finding


@dataclass(frozen=True, repr=False)
class Diagnosis(ShownInNotebook):
    """All findings of one piece, in the order of the signal chain.

    Attributes:
        sample_rate: Hz.
        channels: of the piece.
        samples: of the piece.
        findings: one per kind.
        loop: what the piece says that it is played as, over and over; None if it says nothing.
        warnings: what to know about how its file was read, in sentences: that it is cut short, that
            another stream of sound was left out.
        made_by: the generator that its tags name, such as ``"Suno"``; empty if they name none.
    """

    sample_rate: int
    channels: int
    samples: int
    findings: tuple[Finding, ...]
    loop: Loop | None = None
    warnings: tuple[str, ...] = ()
    made_by: str = ""

    @property
    def duration_seconds(self) -> float:
        """Length of the piece, s."""
        return self.samples / self.sample_rate

    @property
    def loop_told(self) -> str:
        """Where the loop is, in words; all of the piece if it says nothing."""
        loop = self.loop or Loop(0, self.samples)
        start, end = loop.start / self.sample_rate, loop.end / self.sample_rate
        if loop.end < self.samples:
            return f"a loop from {start:.2f} to {end:.2f} s"
        if loop.start:
            return f"a loop from {start:.2f} s on: its end runs on into that"
        return "a loop: its end runs on into its start"

    @property
    def silent(self) -> bool:
        """Whether there is no music: nothing that loudness is measured of, −70 LUFS and up."""
        return any(finding.details.get("silent", False) for finding in self.findings)

    def __getitem__(self, kind: str) -> Finding:
        """Return the finding of that kind.

        Raises:
            KeyError: no analyser reported this kind.
        """
        for finding in self.findings:
            if finding.kind == kind:
                return finding
        raise KeyError(kind)

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as plain JSON values."""
        return {
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "samples": self.samples,
            "loop": None if self.loop is None else [self.loop.start, self.loop.end],
            "findings": [asdict(finding) for finding in self.findings],
            "warnings": list(self.warnings),
            "made_by": self.made_by,
        }

    @classmethod
    def from_dict(cls, content: Any) -> Diagnosis:
        """Return the diagnosis that `to_dict` made plain JSON values of.

        Raises:
            ConfigError: something else.
        """
        try:
            return cls(
                int(content["sample_rate"]),
                int(content["channels"]),
                int(content["samples"]),
                tuple(Finding.from_dict(entry) for entry in content["findings"]),
                Loop(*map(int, content["loop"])) if content.get("loop") else None,
                tuple(map(str, content.get("warnings", ()))),
                str(content.get("made_by", "")),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"This is no diagnosis: {shown(content)}.") from None

    def __repr__(self) -> str:
        piece = (
            f"{self.duration_seconds:.1f} s, {self.channels} channel(s) at {self.sample_rate} Hz"
        )
        faults = [finding for finding in self.findings if finding.found]
        lines = [f"{finding.severity}: {finding.summary}" for finding in faults[:REPR_LINES]]
        if len(faults) > REPR_LINES:
            lines[-1] = f"and {len(faults) - REPR_LINES + 1} more"
        lines = lines or ["Nothing wrong was found."]
        return "\n  ".join([f"Diagnosis of {piece}", *self.warnings, *lines])


class Analyser(Protocol):
    """Measures one property of a stream. Made anew for each piece."""

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n; NaN and Inf have been replaced by 0."""

    def finish(self) -> Finding:
        """Return the finding, after the last block. Works for any length, also 0 samples."""
