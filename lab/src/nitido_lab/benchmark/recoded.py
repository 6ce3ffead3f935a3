"""The task `recoded`: are faults found in clips as users have them, resampled and recoded?

Every clip is diagnosed as it came and in each of its versions. What was found on the clip as it
came has to be found again, and so have dropouts that are planted in clean music; nothing else may
be found there that the version did not itself do.
The constants of the ceiling and the comb are set on `clean/train` and on the MusicGen clips that
`set_on` names; the others and `clean/test` judge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from math import gcd
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from nitido.cores import begin_in_a_pool, usable_cores
from nitido.diagnosis.bandwidth import BandwidthAnalyser
from nitido.diagnosis.comb import CombAnalyser
from nitido.diagnosis.finding import Finding
from nitido.diagnosis.gaps import LOUD, SIDE_SECONDS, GapsAnalyser
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido_lab.benchmark.clips import (
    SAMPLE_RATE,
    at_rate,
    audio_below,
    excerpt_of,
    mono,
    read,
    spread,
)
from nitido_lab.benchmark.tables import Table, shown
from nitido_lab.degradation.lossy import run_ffmpeg

EXCERPT_SECONDS = 15.0
GENERATED, CLEAN = ("musicgen", "other_generators"), "clean/test"
KINDS = ("bandwidth", "comb", "gaps")
DROPOUT_SECONDS = (0.008, 0.015, 0.03, 0.06)  # planted, evenly over the excerpt
NEAR_SECONDS = 0.1  # a coder may move a dropout by as much
NEAR_HZ = 1_500.0  # a ceiling that far off is another one
TAKEN_DB = 6.0  # that much less above a ceiling than the clip has, and the version itself made it

Version = Callable[[Wav, int], tuple[Wav, int]]


def set_on(stem: str) -> bool:
    """Return whether constants may be set on a generated clip: half of them, by its name's hash."""
    return hashlib.sha256(stem.encode()).digest()[0] % 2 == 0


# Versions: `[C, T]` and its sample rate → another `[C, T]` and its sample rate.


def _soxr(wav: Wav, from_hz: int, to_hz: int) -> Wav:
    return at_rate(wav, from_hz=from_hz, to_hz=to_hz)


def _swr(wav: Wav, from_hz: int, to_hz: int) -> Wav:
    raw = _raw(from_hz, len(wav))
    return _decoded(
        run_ffmpeg(*raw, "-i", "pipe:0", *_raw(to_hz, len(wav)), "pipe:1", given=_bytes(wav)),
        len(wav),
    )


def _scipy(wav: Wav, from_hz: int, to_hz: int) -> Wav:
    common = gcd(from_hz, to_hz)
    return resample_poly(wav, to_hz // common, from_hz // common, axis=1).astype(np.float32)


Resampler = Callable[[Wav, int, int], Wav]
RESAMPLERS: Mapping[str, Resampler] = {"soxr": _soxr, "swr": _swr, "scipy": _scipy}


def _to(wav: Wav, rate: int, *, resampler: str, to_hz: int) -> tuple[Wav, int]:
    return (wav if rate == to_hz else RESAMPLERS[resampler](wav, rate, to_hz)), to_hz


def _back(wav: Wav, rate: int, *, resampler: str) -> tuple[Wav, int]:
    other = 44_100 if rate == 48_000 else 48_000
    return RESAMPLERS[resampler](RESAMPLERS[resampler](wav, rate, other), other, rate), rate


def _coded(
    wav: Wav, rate: int, *, to_hz: int, coder: tuple[str, ...], container: str
) -> tuple[Wav, int]:
    """Return what a coder leaves, resampled by ffmpeg on the way in, as users do."""
    given = np.clip(_to(wav, rate, resampler="swr", to_hz=to_hz)[0], -1, 1)
    raw = _raw(to_hz, len(wav))
    coded = run_ffmpeg(
        *raw, "-i", "pipe:0", "-c:a", *coder, "-f", container, "pipe:1", given=_bytes(given)
    )
    decoded = run_ffmpeg("-i", "pipe:0", *raw, "pipe:1", given=coded)
    return _decoded(decoded, len(wav)), to_hz


def _pcm16(wav: Wav, rate: int, *, dither: bool) -> tuple[Wav, int]:
    scaled = wav * 32_767.0
    if dither:  # triangular, ±1
        noise = np.random.default_rng(1)
        scaled = scaled + noise.random(wav.shape) - noise.random(wav.shape)
    return (np.clip(np.rint(scaled), -32_768, 32_767) / 32_768).astype(np.float32), rate


def _twice(wav: Wav, rate: int) -> tuple[Wav, int]:
    return VERSIONS["mp3-192"](*VERSIONS["mp3-128"](wav, rate))


def _coder(to_hz: int, container: str, *coder: str) -> Version:
    return partial(_coded, to_hz=to_hz, coder=coder, container=container)


VERSIONS: Mapping[str, Version] = {
    **{
        f"{name}-{to_hz}": partial(_to, resampler=name, to_hz=to_hz)
        for name in RESAMPLERS
        for to_hz in (44_100, 48_000)
    },
    **{f"{name}-back": partial(_back, resampler=name) for name in RESAMPLERS},
    **{
        f"mp3-{kbps}": _coder(44_100, "mp3", "libmp3lame", "-b:a", f"{kbps}k")
        for kbps in (128, 192, 320)
    },
    "mp3-vbr": _coder(44_100, "mp3", "libmp3lame", "-q:a", "2"),
    **{
        f"aac-{kbps}": _coder(48_000 if kbps == 192 else 44_100, "adts", "aac", "-b:a", f"{kbps}k")
        for kbps in (96, 128, 192, 256)
    },
    **{
        f"opus-{kbps}": _coder(48_000, "ogg", "libopus", "-b:a", f"{kbps}k")
        for kbps in (64, 96, 160)
    },
    **{
        f"vorbis-q{quality}": _coder(48_000, "ogg", "libvorbis", "-q:a", str(quality))
        for quality in (3, 5, 7)
    },
    "pcm16": partial(_pcm16, dither=False),
    "pcm16-dither": partial(_pcm16, dither=True),
    "mp3-of-mp3": _twice,
}


def _raw(rate: int, channels: int) -> tuple[str, ...]:
    return ("-f", "f32le", "-ar", str(rate), "-ac", str(channels))


def _bytes(wav: Wav) -> bytes:
    return wav.T.astype("<f4").tobytes()


def _decoded(given: bytes, channels: int) -> Wav:
    return np.ascontiguousarray(np.frombuffer(given, "<f4").reshape(-1, channels).T)


# Measuring.


@dataclass(frozen=True)
class Row:
    """What became of one finding in one version of one clip.

    Attributes:
        clip: its path below the audio folder, without the suffix.
        clean: whether it is music made by people.
        version: name of the version.
        kind: of the finding.
        before: whether it was found on the clip as it came.
        found: whether it was found in the version, at the same place.
        alarm: whether it was found although neither the clip nor the version has it.
        visqol_mos: of the restored version against the restored clip; None if not measured.
        more_db: of comb left in the restored version than in the restored clip; None likewise.
    """

    clip: str
    clean: bool
    version: str
    kind: str
    before: bool
    found: bool
    alarm: bool
    visqol_mos: float | None = None
    more_db: float | None = None


@dataclass(frozen=True)
class Recoded:
    """The rows of all clips that judge."""

    rows: tuple[Row, ...]

    def table(self) -> Table:
        """Return recall and false alarms by version, of each finding."""
        columns = ["version"]
        for kind in KINDS:
            columns += [f"{_NAMES[kind]} found again", f"{_NAMES[kind]} false alarms"]
        restored = len({row.clip for row in self.rows if row.visqol_mos is not None})
        whose = f"restored as it came, {restored} clips"
        columns += [f"ViSQOL to the clip {whose}", "more comb left, dB"]
        lines = [self._line(version) for version in (*VERSIONS, None)]
        return Table(
            f"recoded, {len({row.clip for row in self.rows})} clips", tuple(columns), tuple(lines)
        )

    def _line(self, version: str | None) -> tuple[str, ...]:
        rows = [row for row in self.rows if version is None or row.version == version]
        cells = [version or "all"]
        for kind in KINDS:
            due = [row for row in rows if row.kind == kind and row.before]
            clean = [row for row in rows if row.kind == kind and row.clean]
            cells.append(f"{sum(row.found for row in due)} of {len(due)}")
            cells.append(f"{sum(row.alarm for row in clean)} of {len(clean)}")
        for key, digits in (("visqol_mos", 2), ("more_db", 1)):
            values = [value for row in rows if (value := getattr(row, key)) is not None]
            cells.append(shown(float(np.mean(values)), digits) if values else "–")
        return tuple(cells)

    def sentences(self) -> list[str]:
        """Return which findings were lost, and the false alarms."""
        said = []
        for kind in KINDS:
            rows = [row for row in self.rows if row.kind == kind]
            lost = sorted({f"{r.clip} ({r.version})" for r in rows if r.before and not r.found})
            false = sorted({f"{r.clip} ({r.version})" for r in rows if r.alarm})
            if lost and kind != "gaps":  # too many to be named
                said.append(f"The {_NAMES[kind]} is lost on {', '.join(lost)}.")
            if false:
                said.append(f"A {_NAMES[kind]} is found where there is none on {', '.join(false)}.")
        return said or ["Every fault was found again, and no other."]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {"rows": [asdict(row) for row in self.rows], "sentences": self.sentences()}


_NAMES = {"bandwidth": "ceiling", "comb": "comb", "gaps": "dropout"}


def measure(
    audio: Path,
    *,
    limit: int | None = None,
    restored: int = 0,
    workers: int | None = None,
    everything: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Recoded:
    """Return what is found in each version of the clips of an audio folder.

    Args:
        audio: folder that holds `musicgen`, `other_generators` and `clean/test`.
        limit: at most so many files of each folder, spread over it.
        restored: of so many generated clips each version is also restored and compared; slow.
        workers: processes at work; as many as there are cores if None.
        everything: also the clips on which constants are set.
        on_progress: called with `(done, total)` clips.

    Raises:
        ConfigError: the folder holds no clips.
    """
    paths: list[Path] = []
    for folder in (*GENERATED, CLEAN):
        if (audio / folder).is_dir():
            found = audio_below(audio / folder)
            judging = [p for p in found if folder == CLEAN or everything or not set_on(p.stem)]
            paths += spread(judging, limit)
    if not paths:
        raise ConfigError(f"{audio} holds no clips; it needs {', '.join((*GENERATED, CLEAN))}.")
    chosen = set(spread([p for p in paths if not _is_clean(p, audio)], restored))
    jobs = [(path, audio, path in chosen) for path in paths]
    rows: list[Row] = []
    for done, part in enumerate(_carry_out(jobs, workers)):
        rows += part
        if on_progress is not None:
            on_progress(done + 1, len(jobs))
    return Recoded(tuple(rows))


def _is_clean(path: Path, audio: Path) -> bool:
    return (audio / CLEAN) in path.parents


def _carry_out(jobs: Sequence[tuple[Path, Path, bool]], workers: int | None) -> Iterator[list[Row]]:
    workers = min(workers or usable_cores(), len(jobs))
    if workers < 2:
        yield from map(_clip, jobs)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=begin_in_a_pool) as pool:
        yield from pool.map(_clip, jobs)


def _clip(job: tuple[Path, Path, bool]) -> list[Row]:
    """Return the rows of one clip."""
    path, audio, restores = job
    start, seconds = excerpt_of(path, EXCERPT_SECONDS)
    wav, rate = read(path, start_seconds=start, seconds=seconds)
    clean = _is_clean(path, audio)
    name = str(path.relative_to(audio).with_suffix(""))
    came = _findings(wav, rate)
    kept = _restored(wav, rate) if restores else None
    gappy, places = _with_dropouts(wav, rate) if clean else (wav, [])
    rows = []
    for version, make in VERSIONS.items():
        made, made_hz = make(wav, rate)
        found = _findings(made, made_hz)
        mos, more_db = (None, None) if kept is None else _apart(_restored(made, made_hz), kept)
        for kind in KINDS:
            before, after = came[kind], found[kind]
            alarm = clean and after.found and not before.found
            if alarm and kind == "bandwidth":
                alarm = not _took(made, made_hz, wav, rate, after.value or 0.0)
            same = after.found and (kind != "bandwidth" or _near(before, after))
            figures = (mos, None) if kind == "bandwidth" else (None, more_db)
            rows.append(Row(name, clean, version, kind, before.found, same, alarm, *figures))
        spans = _findings(*make(gappy, rate))["gaps"].where if places else ()
        for place in places:
            again = any(abs(start - place) < NEAR_SECONDS for start, _ in spans)
            rows.append(Row(name, False, version, "gaps", True, again, False))
    return rows


def _near(before: Finding, after: Finding) -> bool:
    return abs((before.value or 0.0) - (after.value or 0.0)) < NEAR_HZ


def _findings(wav: Wav, rate: int) -> dict[str, Finding]:
    analysers = [
        kind(sample_rate=rate, channels=len(wav))
        for kind in (BandwidthAnalyser, CombAnalyser, GapsAnalyser)
    ]
    for analyser in analysers:
        analyser.update(wav)
    return dict(zip(KINDS, (analyser.finish() for analyser in analysers), strict=True))


def _with_dropouts(wav: Wav, rate: int) -> tuple[Wav, list[float]]:
    """Return a clip that drops out where it is loud, and at which seconds it does."""
    gappy, places = wav.copy(), []
    side = round(SIDE_SECONDS * rate)
    for number, seconds in enumerate(DROPOUT_SECONDS):
        start = wav.shape[1] * (number + 1) // (len(DROPOUT_SECONDS) + 1)
        end = start + round(seconds * rate)
        beside = wav[:, max(0, start - side) : start], wav[:, end : end + side]
        if all(part.size and np.sqrt(np.mean(part**2)) >= LOUD for part in beside):
            gappy[:, start:end] = 0
            places.append(start / rate)
    return gappy, places


def _took(made: Wav, made_hz: int, wav: Wav, rate: int, ceiling_hz: float) -> bool:
    """Return whether a version has much less than the clip in the 2 kHz above a ceiling."""
    levels = []
    for sound, hz in ((made, made_hz), (wav, rate)):
        power = (np.abs(np.fft.rfft(sound)) ** 2).mean(axis=0) / sound.shape[1] / hz
        at = np.fft.rfftfreq(sound.shape[1], 1 / hz)
        chosen = power[(at >= ceiling_hz + 500) & (at < ceiling_hz + 2_500)]
        levels.append(10 * np.log10(chosen.mean() + 1e-20) if len(chosen) else -200.0)
    return bool(levels[0] < levels[1] - TAKEN_DB)


def _restored(wav: Wav, rate: int) -> Wav:
    from nitido.api import restore

    return mono(restore(wav, sample_rate=rate).wav)


def _apart(made: Wav, kept: Wav) -> tuple[float | None, float | None]:
    """Return ViSQOL of one result against another, and how much more comb it has, dB."""
    from nitido.metrics import perceptual
    from nitido.optional import available
    from nitido_lab.degradation.lossy import in_place

    made = in_place(made, kept, sample_rate=SAMPLE_RATE)
    both = {"estimate": made, "reference": kept, "sample_rate": SAMPLE_RATE}
    mos = perceptual.visqol(**both) if available("visqol") else None  # type: ignore[arg-type]
    left = [_findings(sound, SAMPLE_RATE)["comb"].value for sound in (made, kept)]
    return mos, None if None in left else float(left[0] or 0.0) - float(left[1] or 0.0)
