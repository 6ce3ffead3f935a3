"""What `nitido.restore` returns: a restored sound that can be written, looked at and read about."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nitido.audio import check_target, open_source
from nitido.diagnosis.finding import Diagnosis
from nitido.errors import ConfigError, shown
from nitido.output import sidecar_of, write_result
from nitido.report.text import describe_restoration
from nitido.restoration.plan import Plan
from nitido.restoration.restored_sound import RestoredSound
from nitido.restoration.scratch import Scratch
from nitido.restoration.verify import Change

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Restoration(RestoredSound):
    """What `nitido.restore` returns; see `RestoredSound` for what it holds."""

    def _repr_html_(self) -> str:
        """Return the result as a notebook shows it: sentences, sounds, picture."""
        from nitido.report.page import notebook_view

        return notebook_view(self)

    @classmethod
    def reopen(cls, audio: Any, result: str | Path, sidecar: Mapping[str, Any]) -> Self:
        """Return the restoration that wrote a result, to write it anew or to report on it.

        Args:
            audio: what was restored, see `nitido.diagnose`.
            result: the file that was written; in 32-bit float nothing of it is lost.
            sidecar: what stands in its sidecar.

        Raises:
            ConfigError: the sidecar is not that of a restoration, or of another version.
            NitidoError: one of the files cannot be read.
        """
        source, written = open_source(audio), open_source(result, max_seconds=inf)
        scratch = Scratch(channels=written.channels)
        for block in written.blocks():
            scratch.append(block)
        try:
            source.name = sidecar["input"]["name"]
            made = cls(
                source,
                scratch,
                diagnosis=Diagnosis.from_dict(sidecar["before"]),
                plan=Plan.from_dict(sidecar["plan"]),
                changes=tuple(Change(**change) for change in sidecar["changes"]),
            )
            made._after = Diagnosis.from_dict(sidecar["after"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"What was given as the sidecar of {written.name} is not the sidecar of a "
                "restoration by this version of nitido; restore the piece again."
            ) from error
        return made

    def sidecar(self) -> dict[str, Any]:
        """Return version, plan, changes, findings before and after, sentences as JSON values."""
        return sidecar_of(self)

    def sentences(self) -> list[str]:
        """Return what was done in plain words, the most audible first."""
        return describe_restoration(self)

    def write(
        self,
        path: str | Path,
        *,
        format: str | None = None,  # noqa: A002
        bit_depth: int | None = None,
        overwrite: bool = False,
        sidecar: bool = True,
        removed: bool = False,
        stems: bool | str | Path = False,
        report: bool = False,
    ) -> Path:
        """Write the result and, beside it, its sidecar `NAME.nitido.json`; return its path.

        All files appear together, or none does.

        Args:
            path: where to; the suffix names the format unless `format` does.
            format: ``wav``, ``flac``, ``aiff``, ``ogg``, ``opus``, ``mp3`` or ``m4a``.
            bit_depth: 16 (TPDF dither), 24 or 32 (float); by default 24, or 32 where the result has
                peaks beyond full scale, which a warning says.
            overwrite: replace existing files.
            sidecar: also write the JSON sidecar.
            removed: also write what was taken away, as `NAME.removed.SUFFIX`.
            stems: also write the stems, if the restoration kept them, as float WAV files into
                `NAME.stems/`, or into this folder, one by one.
            report: also write the page, as `NAME.report.html`.

        Raises:
            AudioWriteError: nothing half-written is left behind. Also for peaks beyond full scale
                that the format, or the bit depth asked for, does not hold.
            ConfigError: stems that were not kept.
        """
        if not isinstance(stems, bool | str | Path):
            raise ConfigError(f"stems is {shown(stems)}; it is True, False or a folder.")
        self.bit_depth(Path(path), format=format, bit_depth=bit_depth)
        if stems:
            self.kept_stems()
        if not isinstance(stems, bool):
            self.write_stems(Path(stems), overwrite=overwrite)
        write_result(
            self,
            Path(path),
            format=format,
            bit_depth=bit_depth,
            overwrite=overwrite,
            sidecar=sidecar,
            removed=removed,
            stems=stems is True,
            report=report,
        )
        return Path(path)

    def plot(self, path: str | Path | None = None, *, overwrite: bool = False) -> Figure:
        """Return a figure of input and result: spectrograms, average spectrum, what was done.

        Args:
            path: also save it there (PNG, SVG or PDF).
            overwrite: replace an existing file.

        Raises:
            AudioWriteError: the file exists, or cannot be written.
            MissingExtraError: without `pip install 'nitido[plots]'`.
        """
        from nitido.report.figures import restoration_figure, save  # matplotlib is slow to load

        figure = restoration_figure(self)
        if path is not None:
            save(figure, Path(path), overwrite=overwrite, forbidden=self.forbidden)
        return figure

    def report(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write a page to listen, look and read, one HTML file that needs no network; return path.

        Args:
            path: of the HTML file.
            overwrite: replace an existing file.

        Raises:
            AudioWriteError: the file exists, or cannot be written.
        """
        from nitido.report.page import write_restoration_report

        check_target(Path(path), overwrite=overwrite, forbidden=self.forbidden)
        return write_restoration_report(path, self, overwrite=overwrite)
