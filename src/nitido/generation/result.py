"""A piece that was generated: the sound, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nitido.audio import FORMATS, ArraySource, Tags, write
from nitido.dsp.wav import Wav
from nitido.notebook import ShownInNotebook
from nitido.version import __version__

# IPTC's word for media made by a model alone.
# Source: cv.iptc.org/newscodes/digitalsourcetype.
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@dataclass(frozen=True, eq=False, repr=False)
class Generation(ShownInNotebook):
    """What `nitido.generate` returns.

    Attributes:
        wav: waveform `[C, T]`, float32, as the model made it; not limited to full scale. Alone it
            carries no mark of the machine: give the verbs the `Generation` itself.
        sample_rate: Hz; 32000 for MusicGen.
        prompt: what it was to sound like.
        seed: of its random numbers.
        model: checkpoint that made it.
        revision: commit of the checkpoint; None for a local folder.
        licence: of the checkpoint's weights.
        settings: what else it depends on: guidance, temperature, top_k, device, dtype, …
    """

    wav: Wav
    sample_rate: int
    prompt: str
    seed: int
    model: str
    revision: str | None
    licence: str
    settings: dict[str, Any]

    @property
    def seconds(self) -> float:
        """Length of the piece, s; with the recording that it goes on from."""
        return float(self.wav.shape[1] / self.sample_rate)

    def provenance(self) -> dict[str, Any]:
        """Return how the piece was made, as plain JSON values: enough to make it again."""
        return {
            "generated": True,
            "model": self.model,
            "revision": self.revision,
            "licence": self.licence,
            "prompt": self.prompt,
            "seed": self.seed,
            "seconds": round(self.seconds, 6),
            "sample_rate": self.sample_rate,
            "channels": len(self.wav),
            "settings": dict(self.settings),
            "nitido": __version__,
        }

    def tags(self) -> Tags:
        """Return the tags that mark its files as generated; a restoration carries them over."""
        revision = [self.revision] if self.revision else []
        return {
            "title": [self.prompt],
            "comment": [f"AI-generated with {self.model}, seed {self.seed}"],
            "encoded_by": [f"nitido {__version__}"],
            "ai-generated": ["true"],
            "digital source type": [SOURCE_TYPE],
            "model": [self.model],
            "revision": revision,
            "prompt": [self.prompt],
            "seed": [str(self.seed)],
            "weights licence": [self.licence],
        }

    def source(self) -> ArraySource:
        """Return the piece as every verb takes it, with the tags that mark it as generated."""
        return ArraySource(self.wav, self.sample_rate, self.prompt, tags=self.tags())

    def __repr__(self) -> str:
        return (
            f"Generation of {self.prompt!r}: {self.seconds:.1f} s, {len(self.wav)} channel(s) at "
            f"{self.sample_rate} Hz\n  {self.model}, seed {self.seed}, licence {self.licence}"
        )

    def write(
        self,
        path: str | Path,
        *,
        format: str | None = None,  # noqa: A002
        bit_depth: int | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write the piece, tagged as generated, and return its path.

        Args:
            path: where to; the suffix names the format unless `format` does.
            format: ``wav``, ``flac``, ``aiff``, ``ogg``, ``opus``, ``mp3`` or ``m4a``.
            bit_depth: 16, 24 or 32 (float); 32 if None where the format holds it.
            overwrite: replace an existing file.

        Raises:
            AudioWriteError: nothing half-written is left behind.
            ConfigError: the format is not known, or does not hold such audio.
        """
        path = Path(path)
        names = [format] if format else [n for n, f in FORMATS.items() if path.suffix in f.suffixes]
        if bit_depth is None and names and names[0] in FORMATS:
            bit_depth = 32 if 32 in FORMATS[names[0]].subtypes else None
        return write(
            path,
            [self.wav],
            sample_rate=self.sample_rate,
            channels=len(self.wav),
            samples=self.wav.shape[1],
            format=format,
            bit_depth=bit_depth,
            tags=self.tags(),
            overwrite=overwrite,
        )
