"""A restored sound, finished and checked, and what is known of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import cached_property
from math import inf, log10
from pathlib import Path
from typing import Any, Self

import numpy as np

from nitido.audio import (
    ArraySource,
    RawChunk,
    SanitizedBlocks,
    Source,
    check_target,
    open_source,
    write,
)
from nitido.audio.marks import resampled
from nitido.audio.metadata import SOURCE_TYPE_TAG, Edit, Metadata, true_metadata
from nitido.audio.tags import CREDENTIALS, Tags
from nitido.diagnosis.analysis import analyse
from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.dsp.chunks import join, reblock
from nitido.dsp.loop import Loop
from nitido.dsp.resample import resample
from nitido.dsp.speakers import default_mask
from nitido.dsp.wav import Wav
from nitido.errors import AudioWriteError, ConfigError
from nitido.formats import check_format, find_format
from nitido.restoration.chain import lay_out
from nitido.restoration.credentials import sign
from nitido.restoration.headroom import write_under_ceiling
from nitido.restoration.plan import Plan
from nitido.restoration.scratch import Scratch
from nitido.restoration.stages.ending import Ending
from nitido.restoration.stem_store import StemStore
from nitido.restoration.verify import Change
from nitido.version import __version__

logger = logging.getLogger(__name__)


class RestoredSound:
    """A sound that went through a chain: closed in itself, whatever becomes of the input later.

    It holds its sound in memory or in a temporary file; used as a context, or when `close` is
    called, it gives that back at once instead of at its own end.

    Attributes:
        input: the source that it was made of.
        name: of the input.
        diagnosis: of the input.
        plan: as carried out, with the gain that was found and what was turned down.
        changes: what each stage changed, last the whole.
        sample_rate: of the result, Hz.
        channels: of the result.
        samples: of the result.
        mask: the speakers of the result, see `nitido.dsp.speakers`.
        warnings: none; those about how the input was read are its diagnosis's.
        spared: files that it is not written to, beside those that it was made of: its reference.
        ceiling_dbtp: that the true peaks were held under, dBTP; once it was written to a lossy
            file, lower by what the encoder adds. None where the level was kept.
    """

    def __init__(
        self,
        source: Source,
        scratch: Scratch,
        *,
        diagnosis: Diagnosis,
        plan: Plan,
        changes: tuple[Change, ...],
        stems: StemStore | None = None,
    ) -> None:
        self.input = source
        self.name = source.name
        self._scratch = scratch
        self.diagnosis = diagnosis
        self._after: Diagnosis | None = None
        self._signed = False
        self.plan = plan
        self.changes = changes
        self._stems = stems if stems is not None and stems.names else None
        self.sample_rate = plan.sample_rate
        self.channels = scratch.channels
        self.samples = scratch.samples
        self.mask = mask_after(source, scratch.channels)
        self.warnings: tuple[str, ...] = ()
        self.spared: tuple[Path, ...] = ()
        self.ceiling_dbtp = _ceiling(plan)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what holds the sound; what was said of it stays."""
        self._scratch.close()
        if self._stems is not None:
            self._stems.close()

    def __repr__(self) -> str:
        done = ", ".join(step.stage for step in self.plan.steps if step.on) or "nothing"
        seconds = self.samples / self.sample_rate
        shape = f"{seconds:.1f} s, {self.channels} channel(s) at {self.sample_rate} Hz"
        lines = [f"Restoration of {self.name!r}: {shape}", f"done: {done}"]
        for found, diagnosis in (("found", self.diagnosis), ("left", self.after)):
            faults = [f"{one.kind} ({one.severity})" for one in diagnosis.findings if one.found]
            lines.append(f"{found}: {', '.join(faults) or 'nothing'}")
        return "\n  ".join(lines)

    def source(self) -> ArraySource:
        """Return the result as every verb takes it, with its tags."""
        metadata = self.metadata()
        return ArraySource(
            self.wav,
            self.sample_rate,
            f"{Path(self.name).stem}_restored",
            mask=self.mask,
            tags=metadata.tags,
            chunks=(*metadata.chunks, *self._credentials),
            pictures=self.input.pictures,
            files=self.input.files,
        )

    @property
    def tags(self) -> Tags:
        """What the input says about itself."""
        return self.input.tags

    @property
    def loop(self) -> Loop | None:
        """The loop that the input tells of, in samples of the result; None if it tells of none."""
        source = self.input
        piece = source.samples, source.sample_rate, self.sample_rate
        return source.loop and source.loop.resampled(*piece)

    @property
    def after(self) -> Diagnosis:
        """The diagnosis of the result: once it was written, of the file as it was written."""
        if self._after is None:
            self._after = analyse(self, as_loop=self.plan.loop)
        return self._after

    @property
    def no_faults(self) -> frozenset[str]:
        """Findings that are no faults here: loudness is asked for, and no loop has ends.

        A file that says that it is a loop is diagnosed as one; here somebody else has said it. Ends
        that would have been faded are to stay where that was left out: of an album, of stems.
        """
        if self.plan.loop and self.diagnosis.loop is None:
            return frozenset({"loudness", "start", "end"})
        tried = self.plan["ending"].on or any(one.stage == "ending" for one in self.changes)
        stay = not tried and Ending.plan(self.diagnosis, Ending.defaults).on
        ends = [kind for kind in ("start", "end") if stay and self.diagnosis[kind].found]
        return frozenset({"loudness", *ends})

    @property
    def new_faults(self) -> list[Finding]:
        """The findings of the result that its input had not; loudness is what was asked for."""
        had = {finding.kind for finding in self.diagnosis.findings if finding.found}
        return [
            one for one in self.after.findings if one.found and one.kind not in had | self.no_faults
        ]

    def analyse_file(self, path: Path) -> None:
        """Let `after` be the diagnosis of a file that the result was written to."""
        self._after = analyse(open_source(path, max_seconds=inf), as_loop=self.plan.loop)

    @cached_property
    def wav(self) -> Wav:
        """The result, `[C, T]`."""
        return join(self.blocks(), channels=self.channels)

    @cached_property
    def removed(self) -> Wav:
        """What was taken away, `[C, T]`: gain-matched input − result; added sound is inverted."""
        return join(self.removed_blocks(), channels=self.channels)

    @cached_property
    def stems(self) -> dict[str, Wav]:
        """The stems by name, each `[C, T]`; empty unless asked for, or where nothing has stems.

        They add up to what left the stage `stems`: before the ends were faded and the loudness set.
        """
        store = self._stems
        if store is None:
            return {}
        return {name: join(store.blocks(name), channels=store.channels) for name in store.names}

    def kept_stems(self) -> StemStore:
        """Return where the stems are kept.

        Raises:
            ConfigError: nobody asked for them, or nothing has stems.
        """
        if self._stems is None:
            raise ConfigError(
                "There are no stems to write: they are kept where they are asked for beforehand, "
                "with nitido.restore(…, stems=True), and silence has none."
            )
        return self._stems

    def blocks(self) -> Iterator[Wav]:
        """Yield the result block by block."""
        return self._scratch.blocks()

    def removed_blocks(self) -> Iterator[Wav]:
        """Yield what was taken away block by block."""
        size = 2**18
        dry = reblock(self.input_blocks(), size)
        for before, after in zip(dry, self._scratch.blocks(size), strict=True):
            yield before - after

    def input_blocks(self) -> Iterator[Wav]:
        """Yield the input at the result's rate, gain and channels: the fair comparison."""
        step = self.plan["loudness"]
        gain = 10 ** (step.settings["gain_db"] / 20) if step.on else 1.0
        for block in dry_blocks(self.input, self.plan):
            yield np.broadcast_to(block * np.float32(gain), (self.channels, block.shape[1]))

    def metadata(self, bit_depth: int | None = None) -> Metadata:
        """Return what the input says about itself, as it is true of the result.

        Args:
            bit_depth: of the file that it is written into, if that is known.
        """
        source = self.input
        broadcast = any(chunk.id == b"bext" for chunk in source.chunks)
        edit = Edit(
            from_hz=source.sample_rate,
            to_hz=self.sample_rate,
            from_channels=source.channels,
            to_channels=self.channels,
            changed=any(step.on for step in self.plan.steps),
            by=f"nitido {__version__}",
            bit_depth=bit_depth,
            loudness=self.after["loudness"].details if broadcast else None,
        )
        tags, chunks = resampled(
            source.tags,
            source.chunks,
            samples=source.samples,
            from_hz=source.sample_rate,
            to_hz=self.sample_rate,
        )
        return true_metadata(tags, chunks, edit)

    @property
    def credentials(self) -> bytes | None:
        """The Content Credentials of the input (C2PA), which do not match the result any more."""
        return self._credentials[0].content if self._credentials else None

    @property
    def _credentials(self) -> tuple[RawChunk, ...]:
        return tuple(one for one in self.input.chunks if one.id.upper() == CREDENTIALS)[:1]

    def sign(self, path: Path, *, format: str | None = None) -> bool:  # noqa: A002
        """Give a file of the result Content Credentials of its own; tell whether it has them now.

        Args:
            path: of the file.
            format: its name, if the suffix does not tell.

        Raises:
            AudioWriteError: it cannot be signed.
            ConfigError: see `nitido.restoration.credentials.signer`.
            MissingExtraError: the extra `c2pa` is not installed.
        """
        self._signed = sign(
            path,
            find_format(path, format)[0],
            title=self.name,
            source=next(iter(self.files), None),
            kind=next(iter(self.metadata().tags.get(SOURCE_TYPE_TAG, [])), None),
            edits=[f"{step.stage}: {step.reason}" for step in self.plan.steps if step.on],
        )
        return self._signed

    def notes(self) -> list[str]:
        """Return what is to be known of tags, chunks and credentials of the result."""
        return [*self.metadata().notes, *self._of_credentials()]

    def _of_credentials(self) -> Iterator[str]:
        if self._signed:
            yield (
                "It has Content Credentials (C2PA), signed with your certificate: they name the "
                "input as its ingredient, and what was done."
            )
        elif self.credentials is not None:
            yield (
                "The Content Credentials (C2PA) of the input speak of the sound before: they are "
                "kept beside the result, in a file that ends in .ingredient.c2pa."
            )

    @property
    def peak_dbfs(self) -> float | None:
        """The highest sample of the result, dBFS; above 0 where its loudness was not set."""
        return 20 * log10(self._scratch.peak) if self._scratch.peak else None

    def bit_depth(
        self,
        path: Path,
        *,
        format: str | None = None,  # noqa: A002
        bit_depth: int | None = None,
    ) -> int | None:
        """Return the bit depth that a file of the result gets; None in a lossy format.

        Integers would clip peaks beyond full scale: then it is 32, float, unless asked otherwise.

        Raises:
            AudioWriteError: the peaks would be clipped, as asked or as the format has no floats.
            ConfigError: the format is not known, or does not hold such audio.
        """
        name, form = find_format(path, format)
        rate, channels = self.sample_rate, self.channels
        depth = check_format(name, form, sample_rate=rate, channels=channels, bit_depth=bit_depth)
        if depth in (None, 32) or self.peak_dbfs is None or self.peak_dbfs <= 0:
            return depth
        if bit_depth is None and 32 in form.subtypes:
            return 32
        raise AudioWriteError(
            f"{path.name} would be clipped: its peaks are {max(self.peak_dbfs, 0.01):.2f} dB above "
            f"full scale, which {depth}-bit {name} does not hold; write wav or aiff with "
            "`bit_depth=32`, or set a loudness target."
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it was made of."""
        return self.input.files

    @property
    def forbidden(self) -> tuple[Path, ...]:
        """The files that it is never written to: what it was made of, and its reference."""
        return (*self.files, *self.spared)

    def write_audio(self, path: Path, **form: Any) -> None:
        """Write the sound alone; `form` is format and bit depth, see `write`.

        A lossy file is held to the ceiling as it decodes, see `ceiling_dbtp`.
        """
        metadata = self.metadata(self.bit_depth(path, **form))
        name, kind = find_format(path, form.get("format"))
        about = {**self._shape, "tags": metadata.tags, "chunks": metadata.chunks}

        def put(blocks: Iterable[Wav], *, overwrite: bool = False) -> Path:
            pictures = self.input.pictures
            return write(path, blocks, pictures=pictures, overwrite=overwrite, **about, **form)

        if None not in kind.subtypes:
            put(self.blocks())
            self.ceiling_dbtp = _ceiling(self.plan)
            return
        if self.plan.loop:
            logger.warning(
                "%s: the seam of a loop does not stay clean in %s, whose coder takes what is "
                "outside the file for silence; write wav or flac.",
                path.name,
                name,
            )
        self.ceiling_dbtp = write_under_ceiling(put, self, self.plan["loudness"])

    def write_removed(self, path: Path, **form: Any) -> None:
        """Write what was taken away alone; `form` is format and bit depth, see `write`."""
        write(path, self.removed_blocks(), **self._shape, **form)

    @property
    def _shape(self) -> dict[str, Any]:
        return {
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "samples": self.samples,
            "mask": self.mask,
            "forbidden": self.forbidden,
        }

    def write_stems(self, folder: Path, *, overwrite: bool = False) -> None:
        """Write the stems as float WAV files into a folder, which is made if need be.

        Raises:
            AudioWriteError: one exists already, is the input, or cannot be written.
            ConfigError: no stems were kept.
        """
        store = self.kept_stems()
        paths = {name: folder / f"{name}.wav" for name in store.names}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AudioWriteError(
                f"The folder {folder} cannot be made: {error.strerror}."
            ) from None
        for path in paths.values():
            check_target(path, overwrite=overwrite, forbidden=self.forbidden)
        for name, path in paths.items():
            write(
                path,
                store.blocks(name),
                sample_rate=store.sample_rate,
                channels=store.channels,
                samples=store.samples,
                bit_depth=32,
                tags=self.metadata().tags,
                overwrite=overwrite,
            )


def mask_after(source: Source, channels: int) -> int:
    """Return the speakers of a result with so many channels: those of its source, if it has too."""
    return source.mask if channels == source.channels else default_mask(channels)


def dry_blocks(source: Source, plan: Plan) -> Iterator[Wav]:
    """Yield the input of a restoration at the rate of its result, of the same length."""
    layout = lay_out(source, plan)
    stream = resample(
        SanitizedBlocks(layout.blocks(source.blocks)),
        from_hz=source.sample_rate,
        to_hz=plan.sample_rate,
        samples=layout.total,
        channels=source.channels,
    )
    there = layout.resampled(source.sample_rate, plan.sample_rate)
    return there.piece(stream, sample_rate=plan.sample_rate)


def _ceiling(plan: Plan) -> float | None:
    """Return the ceiling that a plan asks for, dBTP; None where it keeps the level."""
    step = plan["loudness"]
    return float(step.settings["ceiling_dbtp"]) if step.on else None
