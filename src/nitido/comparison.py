"""Versions of a piece, measured side by side: what is better, what stayed, what it cost.

Each file's artefacts and delivery are measured on the file as it is. Where two are held against
each other, they are first brought to one sample rate, aligned to the sample, turned upright and
matched in loudness; every such step is in the result.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from nitido.audio import SanitizedBlocks, Source, is_waveform, open_source
from nitido.dsp.alignment import align, find_alignment, loudness_match
from nitido.dsp.chunks import join
from nitido.dsp.resample import resample
from nitido.dsp.wav import Wav
from nitido.errors import AudioTooShortError, ConfigError, MissingExtraError, shown
from nitido.metrics.catalogue import CATALOGUE, Measure
from nitido.metrics.features import change_percent
from nitido.notebook import ShownInNotebook
from nitido.report.text import describe_comparison
from nitido.report.tracks import Track
from nitido.restoration.preset import suggest

Scores: TypeAlias = dict[str, float | None]
Role: TypeAlias = Literal["before", "after", "reference"]

AGAINST_BEFORE = ("content",)
AGAINST_REFERENCE = ("fidelity", "perceptual")
OUTPUT_HZ = 48_000  # to which the founding pipeline brought its pieces
REPR_LINES = 7
CORRELATION_MIN = 0.1  # with less in common, a lag is chance, and the pair is left as it is
TITLES = {
    "content": "Was the music kept (against {before})",
    "artefacts": "Artefacts",
    "delivery": "Loudness and delivery",
    "features": "The founding table (librosa, 22.05 kHz mono)",
    "fidelity": "How near to {reference}",
    "perceptual": "How it sounds beside {reference}",
}


@dataclass(frozen=True)
class Piece:
    """One version of the piece, as it was given.

    Attributes:
        name: unique among the pieces.
        role: ``"before"``, ``"after"`` or ``"reference"``.
        wav: `[C, T]`, finite.
        sample_rate: Hz.
        mask: its speakers, see `nitido.dsp.speakers`; None: the default layout.
    """

    name: str
    role: Role
    wav: Wav = field(repr=False, compare=False)
    sample_rate: int
    mask: int | None = None

    def at(self, sample_rate: int) -> Wav:
        """Return the waveform at another sample rate, `[C, T]`."""
        channels, samples = self.wav.shape
        blocks = resample(
            [self.wav],
            from_hz=self.sample_rate,
            to_hz=sample_rate,
            samples=samples,
            channels=channels,
        )
        return join(blocks, channels=channels)

    def to_dict(self) -> dict[str, Any]:
        """Return what it is as plain JSON values, without the sound."""
        channels, samples = self.wav.shape
        return {
            "name": self.name,
            "role": self.role,
            "sample_rate": self.sample_rate,
            "channels": channels,
            "samples": samples,
        }


@dataclass(frozen=True)
class Matching:
    """What was done to hold one piece against another, in this order.

    Attributes:
        estimate: name of the piece that was matched.
        reference: name of the piece that it is held against.
        sample_rate: to which both were brought, Hz.
        downmixed: whether both became mono, as one of them was.
        lag_samples: how much later the estimate was, before it was shifted; 0 if not aligned.
        polarity: −1 if it was upside down, before it was turned.
        correlation: at that lag, 0 to 1.
        aligned: False if there was too little in common to align by.
        gain_db: applied to the estimate so that both are equally loud.
        samples: length of what both have in common.
    """

    estimate: str
    reference: str
    sample_rate: int
    downmixed: bool
    lag_samples: int
    polarity: int
    correlation: float
    aligned: bool
    gain_db: float
    samples: int


@dataclass(frozen=True, repr=False)
class Comparison(ShownInNotebook):
    """Versions of a piece and what was measured of them.

    Attributes:
        pieces: before, after, …, and the reference if there is one.
        sample_rate: at which pairs were compared, Hz.
        matchings: what was done to each pair.
        scores: by table, then by name of the piece, then by measure of `CATALOGUE`.
        left_out: why a table is missing, by its name.
    """

    pieces: tuple[Piece, ...]
    sample_rate: int
    matchings: tuple[Matching, ...]
    scores: Mapping[str, Mapping[str, Scores]]
    left_out: Mapping[str, str]

    @property
    def before(self) -> Piece:
        """The first piece."""
        return self.pieces[0]

    @property
    def after(self) -> tuple[Piece, ...]:
        """The pieces that are held against the first."""
        return tuple(piece for piece in self.pieces if piece.role == "after")

    @property
    def reference(self) -> Piece | None:
        """How it should sound, if that is known."""
        return next((piece for piece in self.pieces if piece.role == "reference"), None)

    @cached_property
    def tables(self) -> dict[str, list[dict[str, str]]]:
        """The scores as plain rows by title: measure, then a column for each piece, with units."""
        names: dict[str, str] = {piece.role: piece.name for piece in self.pieces}
        tables = {}
        for table, scores in self.scores.items():
            tables[TITLES[table].format(**names)] = [
                {
                    "measure": measure.title,
                    **{name: measure.show(scores[name][measure.name]) for name in scores},
                    **self._changes(table, measure),
                    "better": measure.better,
                }
                for measure in measures(table, scores)
            ]
        return tables

    def __repr__(self) -> str:
        names = " → ".join(piece.name for piece in (self.before, *self.after))
        return "\n  ".join([f"Comparison of {names}", *self.sentences()[:REPR_LINES]])

    def changes_percent(self, name: str) -> Scores:
        """Return how much a piece differs from the one before, by measure of the founding table."""
        before, after = (self.scores["features"][piece] for piece in (self.before.name, name))
        return {
            measure: change_percent(before=before[measure], after=after[measure])
            for measure in before
        }

    def _more(self) -> dict[str, Any]:
        """Return what only some tables have, as plain JSON values."""
        if "features" not in self.scores:
            return {}
        changes = {piece.name: self.changes_percent(piece.name) for piece in self.after}
        return {"changes_percent": changes}

    def _changes(self, table: str, measure: Measure) -> dict[str, str]:
        """Return more cells of a row: the founding table shows the change in per cent."""
        if table != "features":
            return {}
        cells = {}
        for piece in self.after:
            change = self.changes_percent(piece.name)[measure.name]
            head = "change" if len(self.after) == 1 else f"change of {piece.name}"
            cells[head] = "–" if change is None else f"{change:+.2f} %".replace("-", "−")
        return cells

    def sentences(self) -> list[str]:
        """Return what is different in plain words, the most audible first."""
        reference = self.reference
        return describe_comparison(
            self.scores,
            before=self.before.name,
            after=[piece.name for piece in self.after],
            reference=None if reference is None else reference.name,
            matchings=[asdict(matching) for matching in self.matchings],
            left_out=self.left_out,
        )

    def tracks(self) -> list[Track]:
        """Return the pieces to listen to: each at its own level, laid over the first."""
        first = self.before.at(self.sample_rate).mean(axis=0, keepdims=True)
        tracks = []
        for piece in self.pieces:
            wav = piece.at(self.sample_rate)
            if piece is not self.before:
                found = find_alignment(
                    estimate=wav.mean(axis=0, keepdims=True),
                    reference=first,
                    sample_rate=self.sample_rate,
                )
                if found.correlation >= CORRELATION_MIN:
                    lag = found.lag_samples
                    wav = wav[:, lag:] if lag > 0 else np.pad(wav, ((0, 0), (-lag, 0)))
                    wav = wav * np.float32(found.polarity)
            tracks.append(Track(piece.name, wav, self.sample_rate, piece.role))
        return tracks

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the sound as plain JSON values."""
        return {
            "pieces": [piece.to_dict() for piece in self.pieces],
            "sentences": self.sentences(),
            "matchings": [asdict(matching) for matching in self.matchings],
            "tables": {
                table: {name: dict(found) for name, found in scores.items()}
                for table, scores in self.scores.items()
            },
            "left_out": dict(self.left_out),
            **self._more(),
        }


def compare(
    before: Any,
    *after: Any,
    reference: Any = None,
    tables: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    sample_rate: int | None = None,
) -> Comparison:
    """Return what is different between versions of one piece.

    Args:
        before: whatever is a piece of audio, see `nitido.diagnose`.
        after: one or more that were made of it, likewise.
        reference: how it should sound, where that is known, likewise.
        tables: what to measure: ``content``, ``artefacts``, ``delivery``, ``features``, and with a
            reference ``fidelity`` and ``perceptual``. By default the first three, and fidelity if
            there is a reference; of these, one whose library is not installed is left out.
        names: of before and after, in that order; by default those of the files.
        sample_rate: of those that are arrays, Hz; all else knows its own.

    Raises:
        AudioReadError: a file cannot be read as audio.
        ConfigError: nothing to compare with, an unknown table, or one that needs a reference.
        MissingExtraError: a table was asked for whose library is not installed.
    """
    asked = _check_tables(tables, reference is not None)
    pieces = _open(before, after, reference, names, sample_rate)
    common = max(piece.sample_rate for piece in pieces)
    matchings: list[Matching] = []
    scores: dict[str, dict[str, Scores]] = {}
    left_out: dict[str, str] = {}
    wavs = {piece.name: piece.at(common) for piece in pieces}
    against = {
        role: list(_matched(pieces, wavs, role, common))
        for role, users in (("before", AGAINST_BEFORE), ("reference", AGAINST_REFERENCE))
        if set(users) & set(asked)
    }
    for pairs in against.values():
        matchings += [matching for matching, _, _ in pairs]
    for table in asked:
        family = importlib.import_module(f"nitido.metrics.{table}")
        try:
            if table in AGAINST_BEFORE + AGAINST_REFERENCE:
                role = "before" if table in AGAINST_BEFORE else "reference"
                scores[table] = {
                    matching.estimate: family.evaluate(
                        estimate=estimate, reference=wanted, sample_rate=common
                    )
                    for matching, estimate, wanted in against[role]
                }
            else:
                scores[table] = {
                    piece.name: family.evaluate(
                        estimate=piece.wav,
                        sample_rate=piece.sample_rate,
                        **({"mask": piece.mask} if table == "delivery" else {}),
                    )
                    for piece in pieces
                }
        except (AudioTooShortError, MissingExtraError) as error:
            if tables is not None and isinstance(error, MissingExtraError):
                raise
            left_out[table] = str(error)
    return Comparison(pieces, common, tuple(matchings), scores, left_out)


def measures(table: str, scores: Mapping[str, Scores]) -> Iterator[Measure]:
    """Yield the measures of a table that any of the pieces has."""
    for measure in CATALOGUE[table]:
        if any(measure.name in found for found in scores.values()):
            yield measure


def _check_tables(tables: Sequence[str] | None, has_reference: bool) -> list[str]:
    if tables is None:
        return ["content", "artefacts", "delivery", *(["fidelity"] if has_reference else [])]
    _check_texts("tables", tables, "['content']")
    for table in tables:
        if table not in CATALOGUE:
            raise ConfigError(f"There is no table {table!r}{suggest(table, CATALOGUE)}")
        if table in AGAINST_REFERENCE and not has_reference:
            raise ConfigError(
                f"The table {table!r} needs a reference: how the piece should sound (`reference=`)."
            )
    return list(dict.fromkeys(tables))


def _check_texts(name: str, value: Any, example: str) -> None:
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise ConfigError(f"{name} is {shown(value)}; it is a list of names, such as {example}.")


def _open(
    before: Any,
    after: Sequence[Any],
    reference: Any,
    names: Sequence[str] | None,
    sample_rate: int | None,
) -> tuple[Piece, ...]:
    if not after:
        raise ConfigError("One piece alone cannot be compared; give what was made of it as well.")
    if names is not None:
        _check_texts("names", names, "['before', 'after']")
    if names is not None and len(names) != 1 + len(after):
        raise ConfigError(f"{len(names)} names for {1 + len(after)} pieces; give one each.")
    roles: list[Role] = ["before", *(["after"] * len(after))]  # type: ignore[list-item]
    sounds = [before, *after]
    if reference is not None:
        roles.append("reference")
        sounds.append(reference)
    taken: list[str] = []
    pieces = []
    for index, (role, sound) in enumerate(zip(roles, sounds, strict=True)):
        given = names[index] if names is not None and role != "reference" else None
        name, source = _open_one(sound, role, sample_rate)
        taken.append(_unique(given or name, taken))
        wav = join(SanitizedBlocks(source.blocks()), channels=source.channels)
        pieces.append(Piece(taken[-1], role, wav, source.sample_rate, source.mask))
    return tuple(pieces)


def _unique(name: str, taken: Sequence[str]) -> str:
    number = 2
    unique = name
    while unique in taken:
        unique, number = f"{name} ({number})", number + 1
    return unique


def _open_one(sound: Any, role: str, sample_rate: int | None) -> tuple[str, Source]:
    """Return what a piece is called, and its source."""
    source = open_source(sound, sample_rate if is_waveform(sound) else None)
    return (role if source.name == "array" else Path(source.name).stem), source


def _matched(
    pieces: Sequence[Piece], wavs: Mapping[str, Wav], role: str, sample_rate: int
) -> Iterator[tuple[Matching, Wav, Wav]]:
    """Yield each piece laid over the one with that role: what was done, estimate, reference."""
    base = next(piece for piece in pieces if piece.role == role)
    for piece in pieces:
        if piece is base or piece.role == "reference":
            continue
        estimate, wanted = wavs[piece.name], wavs[base.name]
        downmixed = len(estimate) != len(wanted)
        if downmixed:
            estimate, wanted = (wav.mean(axis=0, keepdims=True) for wav in (estimate, wanted))
        late, early, found = align(estimate=estimate, reference=wanted, sample_rate=sample_rate)
        aligned = found.correlation >= CORRELATION_MIN
        if not aligned:
            samples = min(estimate.shape[1], wanted.shape[1])
            late, early = estimate[:, :samples], wanted[:, :samples]
        late, gain_db = loudness_match(estimate=late, reference=early, sample_rate=sample_rate)
        matching = Matching(
            piece.name,
            base.name,
            sample_rate,
            downmixed,
            found.lag_samples if aligned else 0,
            found.polarity if aligned else 1,
            round(found.correlation, 6),
            aligned,
            round(gain_db, 3),
            late.shape[1],
        )
        yield matching, late, early
