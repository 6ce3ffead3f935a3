"""A blind listening test: one page that opens from disk, asks nobody, and saves what was heard.

Two parts. ABX: X is A or B, which of the two? Rating after MUSHRA: all versions of one excerpt side
by side in random order, among them the reference itself, hidden, and an anchor that everybody hears
is worse. All are aligned to the sample and matched in loudness before anything is heard; the order
follows from the seed and the listener's name. What the page saves, `nitido-lab listening` reads.

Source: ITU-R BS.1116-3 (ABX), BS.1534-3 (MUSHRA; hidden reference, low anchor).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nitido.audio import write_text
from nitido.audio.encode import flac_bytes
from nitido.dsp.alignment import find_alignment
from nitido.dsp.loudness import integrated_lufs, true_peak_dbtp
from nitido.dsp.spectral import lower_ceiling
from nitido.dsp.wav import Wav, check_sample_rate
from nitido.errors import AudioShapeError, AudioWriteError, ConfigError
from nitido.report.templating import one_file_page

PAGE = "listening-test.html"
FORMAT = 1  # of what the page saves; raised when older results could no longer be read
REFERENCE, ANCHOR = "reference", "anchor"
ANCHOR_HZ = 3_900.0  # flat to 3.5 kHz, and less than BS.1534 allows from 4 kHz on
EXCERPT_SECONDS = 8.0  # longer ones are not remembered
EXCERPTS_MAX = 3
FADE_SECONDS = 0.01  # at both ends: an excerpt is played in a loop
CORRELATION_MIN = 0.1  # with less in common, a lag is chance
LOUDEST_LUFS, PEAK_DBTP = -18.0, -1.0


def write_listening_test(
    folder: str | Path,
    *,
    tracks: Mapping[str, Wav],
    sample_rate: int,
    reference: Wav | None = None,
    title: str = "Listening test",
    seed: int = 0,
    trials: int = 16,
    overwrite: bool = False,
) -> Path:
    """Write the page of a listening test into a folder, which is made, and return its path.

    With a reference the rating has it hidden among the versions, and the anchor is the reference
    low-passed at 3.5 kHz. Without one there is nothing to be like: the quality itself is rated, and
    the anchor is the first track, low-passed.

    Args:
        folder: where to.
        tracks: name → waveform `[C, T]`; the others are laid over the first, to the sample and
            upright, and ABX holds it against each of them.
        sample_rate: of all, Hz.
        reference: clean original `[C, T]`, laid over the first track as well.
        title: of the page.
        seed: of the order in which everything is presented.
        trials: of each ABX pair; 16, of which 12 must be right to be more than luck.
        overwrite: replace an earlier page.

    Raises:
        AudioShapeError: nothing that can be heard in all tracks at once.
        AudioWriteError: the folder cannot be written to, or holds a page already.
        ConfigError: fewer than two things to compare, or a name that the test needs itself.
    """
    versions, lags = _versions(tracks, reference, sample_rate)
    content: dict[str, Any] = {
        "conditions": list(versions),
        "reference": reference is not None,
        "lags_samples": lags,
        "excerpts": list(_excerpts(versions, sample_rate)),
    }
    return _write(folder, tracks, content, title, seed, trials, overwrite)


def write_listening_test_of_pieces(
    folder: str | Path,
    *,
    pieces: Sequence[Mapping[str, Wav]],
    sample_rate: int,
    title: str = "Listening test",
    seed: int = 0,
    trials: int = 16,
    overwrite: bool = False,
) -> Path:
    """Write one page with the same versions of several pieces, one passage of each.

    So what is heard holds for these versions, not for one piece: each ABX trial takes another
    piece, and all are rated.

    Args:
        folder: where to.
        pieces: of each, name → waveform `[C, T]`, the names the same in all of them.
        sample_rate: of all, Hz.
        title: of the page.
        seed: of the order in which everything is presented.
        trials: of each ABX pair.
        overwrite: replace an earlier page.

    Raises:
        AudioShapeError: nothing that can be heard in all versions of a piece at once.
        AudioWriteError: the folder cannot be written to, or holds a page already.
        ConfigError: no pieces, or other versions of one than of the rest; or as for one piece.
    """
    if not pieces or any(list(piece) != list(pieces[0]) for piece in pieces):
        raise ConfigError("A test of several pieces needs the same versions of each.")
    excerpts = []
    for piece in pieces:
        versions, _ = _versions(piece, None, sample_rate)
        excerpts += list(_excerpts(versions, sample_rate, most=1))
    content = {"conditions": [*pieces[0], ANCHOR], "reference": False, "excerpts": excerpts}
    return _write(folder, pieces[0], content, title, seed, trials, overwrite)


def _versions(
    tracks: Mapping[str, Wav], reference: Wav | None, sample_rate: int
) -> tuple[dict[str, Wav], dict[str, int]]:
    """Return all that is heard of a piece, aligned and of one shape, and how late each was."""
    check_sample_rate(sample_rate)
    if taken := {REFERENCE, ANCHOR} & set(tracks):
        raise ConfigError(f"A track cannot be named {taken.pop()!r}; the test has one of its own.")
    if len(tracks) + (reference is not None) < 2:
        raise ConfigError("A listening test compares two or more; give another track.")
    first = next(iter(tracks))
    given = dict(tracks) if reference is None else {REFERENCE: reference, **tracks}
    versions, lags = _aligned(given, first, sample_rate)
    low = versions[first if reference is None else REFERENCE]
    versions[ANCHOR] = lower_ceiling(low, sample_rate=sample_rate, ceiling_hz=ANCHOR_HZ)
    return _same_shape(versions), lags


def _write(
    folder: str | Path,
    tracks: Iterable[str],
    content: dict[str, Any],
    title: str,
    seed: int,
    trials: int,
    overwrite: bool,
) -> Path:
    """Write the page of a test, given what is heard in it."""
    if trials < 1:
        raise ConfigError(f"{trials} trials are no test; give 1 or more.")
    if not content["excerpts"]:
        raise AudioShapeError("The tracks have no passage in common that can be heard.")
    first, *others = tracks
    content = {
        "format": FORMAT,
        "title": title,
        "seed": seed,
        "trials": trials,
        "pairs": [[first, other] for other in others] or [[REFERENCE, first]],
        **content,
    }
    content["id"] = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioWriteError(f"The folder {folder} cannot be made: {error.strerror}.") from None
    page = one_file_page(
        "listening.html", style="listening.css", script="listening.js", title=title, test=content
    )
    return write_text(folder / PAGE, page, overwrite=overwrite)


def _aligned(
    versions: Mapping[str, Wav], first: str, sample_rate: int
) -> tuple[dict[str, Wav], dict[str, int]]:
    """Return the waveforms laid over the first, and how late each was; switching would tell."""
    laid, lags = {}, {}
    base = versions[first].mean(axis=0, keepdims=True)
    for name, wav in versions.items():
        found = find_alignment(
            estimate=wav.mean(axis=0, keepdims=True), reference=base, sample_rate=sample_rate
        )
        if name == first or found.correlation < CORRELATION_MIN:
            found = replace(found, lag_samples=0, polarity=1)
        late = found.lag_samples
        moved = wav[:, late:] if late >= 0 else np.pad(wav, ((0, 0), (-late, 0)))
        laid[name], lags[name] = moved * np.float32(found.polarity), late
    return laid, lags


def _same_shape(versions: Mapping[str, Wav]) -> dict[str, Wav]:
    """Return the waveforms cut to the shortest, mono ones on as many channels as the others.

    A mono file is played by both loudspeakers; measured as one channel it would pass for 3 LU less.
    """
    channels = max(2, *(wav.shape[0] for wav in versions.values()))
    samples = min(wav.shape[1] for wav in versions.values())
    wrong = [name for name, wav in versions.items() if wav.shape[0] not in (1, channels)]
    if wrong:
        raise AudioShapeError(f"{wrong[0]!r} has other channels than the rest; downmix it first.")
    return {
        name: np.broadcast_to(wav[:, :samples], (channels, samples))
        for name, wav in versions.items()
    }


def _excerpts(
    versions: Mapping[str, Wav], sample_rate: int, most: int = EXCERPTS_MAX
) -> Iterator[dict[str, Any]]:
    """Yield excerpts, evenly over the piece: where, and each version as base64 of a FLAC file."""
    samples = next(iter(versions.values())).shape[1]
    size = min(samples, round(EXCERPT_SECONDS * sample_rate))
    count = min(most, samples // size) if size else 0
    for number in range(count):
        start = size * number + (samples - size * count) * (number + 1) // (count + 1)
        cuts = {name: wav[:, start : start + size] for name, wav in versions.items()}
        gains_db = _matching_gains_db(cuts, sample_rate)
        if gains_db is None:
            continue
        edge = np.sin(np.linspace(0, np.pi / 2, round(FADE_SECONDS * sample_rate))) ** 2
        edge = edge[: size // 2].astype(np.float32)
        envelope = np.concatenate([edge, np.ones(size - 2 * len(edge), np.float32), edge[::-1]])
        played = {
            name: cut * envelope * np.float32(10 ** (gains_db[name] / 20))
            for name, cut in cuts.items()
        }
        yield {
            "start_seconds": round(start / sample_rate, 3),
            "seconds": round(size / sample_rate, 3),
            "gains_db": {name: round(gain_db, 2) for name, gain_db in gains_db.items()},
            "flac": {
                name: base64.b64encode(flac_bytes(wav, sample_rate=sample_rate)).decode()
                for name, wav in played.items()
            },
        }


def _matching_gains_db(cuts: Mapping[str, Wav], sample_rate: int) -> dict[str, float] | None:
    """Return the gains that make all equally loud with no peak above −1 dBTP; None in silence."""
    lufs, room_db = {}, {}
    for name, cut in cuts.items():
        loudness = integrated_lufs(cut, sample_rate=sample_rate)
        peak_dbtp = true_peak_dbtp(cut, sample_rate=sample_rate)
        if loudness is None or peak_dbtp is None:
            return None
        lufs[name], room_db[name] = loudness, PEAK_DBTP - peak_dbtp
    target = min(LOUDEST_LUFS, *(lufs[name] + room_db[name] for name in cuts))
    return {name: target - lufs[name] for name in cuts}
