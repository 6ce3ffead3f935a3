"""The sounds that a page plays: cut to what fits, matched in loudness, encoded, drawn as a wave."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from nitido.audio import SanitizedBlocks
from nitido.audio.encode import OPUS_RATE_HZ, flac_bytes, opus_bytes
from nitido.dsp.chunks import join, take
from nitido.dsp.loop import span
from nitido.dsp.loudness import integrated_lufs, true_peak_dbtp
from nitido.dsp.resample import resample
from nitido.dsp.wav import Wav

Role: TypeAlias = Literal["before", "after", "removed", "reference"]

PAGE_RATE_HZ = OPUS_RATE_HZ  # of everything on the page
SECONDS_MAX = 180.0  # of a piece that are on the page: three tracks of it take 10 MB
CEILING_DBTP = -1.0  # a track that is raised stays below
BOOST_MAX_DB = 30.0  # what was removed is often too quiet to be heard as it is
LOSSLESS, LOSSY = "FLAC", "Opus"
KBPS_PER_CHANNEL = 56.0  # 30 s of three stereo tracks take 1.7 MB of page
LOSSLESS_BYTES_MAX = 1_000_000  # of all tracks; when FLAC is that small, there is no need for Opus
WAVE_COLUMNS = 800
TINTS = ("after", "after-2", "after-3")


@dataclass(frozen=True)
class Track:
    """A sound to be heard on the page.

    Attributes:
        name: shown on its button.
        sound: waveform `[C, T]`, or a function that yields it in blocks `[C, n]`.
        sample_rate: Hz.
        role: what it is; ``"removed"`` is the difference of the others, at the level of the result.
        gain_db: that the sound has got already, to be told on the page.
    """

    name: str
    sound: Wav | Callable[[], Iterable[Wav]]
    sample_rate: int
    role: Role
    gain_db: float = 0.0

    def blocks(self) -> Iterable[Wav]:
        """Return the waveform in blocks `[C, n]`."""
        return self.sound() if callable(self.sound) else [self.sound]


@dataclass(frozen=True)
class Excerpt:
    """The part of a track that is on the page, at the level at which it is played.

    Attributes:
        track: that it is of.
        wav: `[C, T]` at `PAGE_RATE_HZ`, one or two channels, as long as all the others.
        tint: name of its colour on the page; several results have one each.
        gain_db: that was applied.
        boost_db: part of `gain_db` that only makes it audible: 0 unless removed sound.
        lufs: loudness as it is played; None in silence.
    """

    track: Track
    wav: Wav
    tint: str
    gain_db: float
    boost_db: float
    lufs: float | None

    @property
    def wave(self) -> bytes:
        """Peak of each of `WAVE_COLUMNS` parts, 0 to 255 for 0 to full scale."""
        peaks = np.abs(self.wav).max(axis=0, initial=0.0)
        columns = -(-len(peaks) // WAVE_COLUMNS) or 1
        peaks = np.pad(peaks, (0, columns * WAVE_COLUMNS - len(peaks)))
        parts = peaks.reshape(WAVE_COLUMNS, columns).max(axis=1)
        return bytes(np.rint(255 * parts.clip(0, 1)).astype(np.uint8))

    def to_dict(self) -> dict[str, Any]:
        """Return what the player is told of it as plain JSON values, the sound apart."""
        return {
            "name": self.track.name,
            "tint": self.tint,
            "boostDb": self.boost_db,
            "wave": base64.b64encode(self.wave).decode("ascii"),
        }


def make_excerpts(
    tracks: Sequence[Track], *, seconds_max: float = SECONDS_MAX, start_seconds: float = 0.0
) -> tuple[list[Excerpt], bool]:
    """Return the excerpts in order, equally loud and equally long, and whether any goes on.

    Loudness is measured on the excerpts. All of them get the level of the loudest, or less, as far
    as none of them goes over −1 dBTP. Removed sound keeps its distance to the result until it is
    raised by at most 30 dB. More than two channels are mixed to one.
    """
    read = [_read(track, seconds_max, start_seconds) for track in tracks]
    cut = any(longer for _, longer in read)
    length = max((wav.shape[1] for wav, _ in read), default=0)
    wavs = [np.pad(wav, ((0, 0), (0, length - wav.shape[1]))) for wav, _ in read]
    gains = _gains_db(tracks, wavs)
    excerpts: list[Excerpt] = []
    for track, wav, (gain_db, boost_db) in zip(tracks, wavs, gains, strict=True):
        results = sum(excerpt.track.role == "after" for excerpt in excerpts)
        tint = TINTS[results % len(TINTS)] if track.role == "after" else track.role
        wav *= np.float32(10 ** (gain_db / 20))
        excerpts.append(Excerpt(track, wav, tint, gain_db, boost_db, _lufs(wav)))
    return excerpts, cut


def _lufs(wav: Wav) -> float | None:
    """Return the loudness of a wave as a browser plays it: one channel comes from both sides."""
    return integrated_lufs(np.broadcast_to(wav, (2, wav.shape[1])), sample_rate=PAGE_RATE_HZ)


def _read(track: Track, seconds_max: float, start_seconds: float) -> tuple[Wav, bool]:
    """Return a part of a track at the rate of the page, `[1 or 2, T]`, and whether it goes on.

    Only so much of the track is read; channels that are all the same become one.
    """
    first, limit = (round(s * track.sample_rate) for s in (start_seconds, seconds_max))
    held: list[Wav] = []
    count = 0
    for block in span(SanitizedBlocks(track.blocks()), first, first + limit + 1):
        held.append(block if len(block) <= 2 else block.mean(axis=0, keepdims=True))
        count += block.shape[1]
    samples = min(count, limit)
    wav = join(take(held, samples), channels=1)
    if len(wav) == 2 and np.array_equal(wav[0], wav[1]):
        wav = wav[:1]
    stream = resample(
        [wav],
        from_hz=track.sample_rate,
        to_hz=PAGE_RATE_HZ,
        samples=samples,
        channels=len(wav),
    )
    return join(stream, channels=len(wav)), count > limit


def _gains_db(tracks: Sequence[Track], wavs: Sequence[Wav]) -> list[tuple[float, float]]:
    """Return for each track the gain that it gets, and the part of it that is boost, dB."""
    lufs = [_lufs(wav) for wav in wavs]
    peaks = [true_peak_dbtp(wav, sample_rate=PAGE_RATE_HZ) for wav in wavs]
    room = [CEILING_DBTP - peak if peak is not None else np.inf for peak in peaks]
    whole = [i for i, track in enumerate(tracks) if track.role != "removed"]
    loud = [(lufs[i] or 0.0, room[i]) for i in whole if lufs[i] is not None]
    target = min([max((at for at, _ in loud), default=0.0), *(at + spare for at, spare in loud)])
    # What is too short or too quiet to have a loudness is not raised, only kept from clipping.
    gains = [
        target - value if value is not None else min(0.0, spare)
        for value, spare in zip(lufs, room, strict=True)
    ]
    results = [i for i in whole if tracks[i].role == "after"] or whole
    same = gains[results[0]] if results else 0.0
    return [
        (gain, 0.0) if track.role != "removed" else _raised_db(same, value, spare, target)
        for track, gain, value, spare in zip(tracks, gains, lufs, room, strict=True)
    ]


def _raised_db(
    same_db: float, lufs: float | None, room_db: float, target_lufs: float
) -> tuple[float, float]:
    """Return the gain of removed sound, and how much of it goes beyond the result's gain, dB."""
    if not np.isfinite(room_db):  # nothing was removed
        return same_db, 0.0
    true_db = min(same_db, room_db)
    wanted_db = BOOST_MAX_DB if lufs is None else target_lufs - lufs - true_db
    boost_db = round(float(np.clip(min(wanted_db, room_db - true_db), 0.0, BOOST_MAX_DB)), 1)
    return true_db + boost_db, boost_db


def encode(excerpts: Sequence[Excerpt]) -> tuple[str, list[bytes]]:
    """Return the name of the coding and each excerpt encoded: FLAC where small, else Opus."""
    raw_bytes = sum(2 * excerpt.wav.size for excerpt in excerpts)
    with ThreadPoolExecutor() as pool:  # the encoders run without Python's lock
        if raw_bytes < 4 * LOSSLESS_BYTES_MAX:
            files = list(pool.map(_flac, excerpts))
            if sum(map(len, files)) <= LOSSLESS_BYTES_MAX:
                return LOSSLESS, files
        return LOSSY, list(pool.map(_opus, excerpts))


def _flac(excerpt: Excerpt) -> bytes:
    return flac_bytes(excerpt.wav, sample_rate=PAGE_RATE_HZ)


def _opus(excerpt: Excerpt) -> bytes:
    return opus_bytes(excerpt.wav, kbps_per_channel=KBPS_PER_CHANNEL)
