"""Is a finished piece fit for where it goes: one verdict on it, and the reasons.

The targets are data, `targets.toml`, each with its sources. What is measured comes from the meters
that a diagnosis uses; here it is held against what a place asks for, in the same `Finding`s: of the
severities ``"slight"`` is something to mind, ``"moderate"`` and ``"severe"`` fail.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from nitido.audio import MAX_SECONDS, FileSource, Source, open_source
from nitido.audio.encode import CODECS, encoded
from nitido.audio.limits import check_max_seconds
from nitido.diagnosis.analysis import analyse
from nitido.diagnosis.finding import Diagnosis, Finding, Severity
from nitido.diagnosis.phase import HEARD_DB
from nitido.dsp.chunks import OnProgress
from nitido.dsp.loudness import stream_true_peak_dbtp
from nitido.errors import AudioWriteError, ConfigError, MissingExtraError, shown
from nitido.report.formatting import channels, quantity
from nitido.restoration.preset import suggest

FAILS: tuple[Severity, ...] = ("moderate", "severe")
NAMES = {  # of reasons, where the kind alone does not say it
    "true_peak": "true peak",
    "clipping": "cut-off peaks",
    "gaps": "dropouts",
    "dc": "constant offset",
    "channels": "dead channel",
    "mono": "fold to mono",
    "nonfinite": "samples that are no numbers",
    **CODECS,
}
LISTS = ("sources", "sample_rates_hz")  # of a target
EVEN_LU = 0.5  # a difference that nobody hears
FULL_SCALE_DBTP = 0.0  # what a decoder gives beyond it, players clip
FOLD_MIND_DB, FOLD_FAIL_DB = -6.0, -12.0  # sides that have nothing in common lose 3 dB
LOSSLESS = (  # how the names of codecs begin, libsndfile's and ffmpeg's; any other is lossy
    *("PCM", "FLOAT", "DOUBLE", "ALAC", "FLAC", "DWVW", "DPCM", "DSD"),
    *("WAVPACK", "TTA", "APE", "WMALOSSLESS", "TRUEHD", "MLP"),
)
LOSSY_NAMES = {
    "MPEG_LAYER_III": "MP3",
    "MPEG_LAYER_II": "MP2",
    "VORBIS": "Vorbis",
    "OPUS": "Opus",
}
ANALYSED = 0.4  # share of the work, for the progress callback
REPR_LINES = 7


@dataclass(frozen=True)
class Target:
    """A place that music is delivered to, see `targets.toml`.

    Attributes:
        name: as `check` takes it.
        title: in words.
        loudness_lufs: integrated loudness that it plays at or asks for, LUFS.
        levels: what it turns by itself: ``"both"`` (down and up), ``"down"`` or ``"no"``.
        true_peak_max_dbtp: highest true peak that it asks for, dBTP.
        encodes: kbit/s per codec that it plays with.
        tolerance_lu: how far from the loudness it accepts, LU; None: nothing fails by its loudness.
        louder_peak_dbtp: highest true peak of pieces louder than `loudness_lufs`, if another.
        bit_depth_min: least bit depth that it asks for.
        sample_rates_hz: that it asks for; empty for any.
        takes_lossy: whether a lossy file is what it asks for.
        remark: what to know about these numbers.
        sources: where they stand.
    """

    name: str
    title: str
    loudness_lufs: float
    levels: str
    true_peak_max_dbtp: float
    encodes: Mapping[str, int]
    tolerance_lu: float | None = None
    louder_peak_dbtp: float | None = None
    bit_depth_min: int | None = None
    sample_rates_hz: tuple[int, ...] = ()
    takes_lossy: bool = False
    remark: str = ""
    sources: tuple[str, ...] = ()


@cache
def targets() -> Mapping[str, Target]:
    """Return all targets by name."""
    text = resources.files("nitido").joinpath("targets.toml").read_text("utf-8")
    found = {}
    for name, content in tomllib.loads(text).items():
        lists: dict[str, Any] = {key: tuple(content.pop(key, ())) for key in LISTS}
        found[name] = Target(name, **content, **lists)
    return found


def find_target(name: Any) -> Target:
    """Return the target of that name.

    Raises:
        ConfigError: there is none.
    """
    if not isinstance(name, str) or name not in targets():
        raise ConfigError(f"There is no target {shown(name)}{suggest(str(name), targets())}")
    return targets()[name]


@dataclass(frozen=True, repr=False)
class Verdict:
    """What `nitido.check` returns: whether a piece is fit for its target, and why.

    Attributes:
        piece: its name.
        target: where it is to go.
        reasons: one finding per question; ``"slight"`` is to be minded, worse fails.
    """

    piece: str
    target: Target
    reasons: tuple[Finding, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether nothing fails."""
        return not any(reason.severity in FAILS for reason in self.reasons)

    @property
    def clean(self) -> bool:
        """Whether there is nothing to mind, either."""
        return not any(reason.found for reason in self.reasons)

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        of = [reason for reason in self.reasons if self.passed or reason.severity in FAILS]
        why = ", ".join(NAMES.get(reason.kind, reason.kind) for reason in of if reason.found)
        if not self.passed:
            return f"Not fit for {self.target.title}: {why}."
        return f"Fit for {self.target.title}{f'; mind: {why}' if why else ''}."

    def __getitem__(self, kind: str) -> Finding:
        """Return the reason of that kind.

        Raises:
            KeyError: nothing of the kind was asked.
        """
        for reason in self.reasons:
            if reason.kind == kind:
                return reason
        raise KeyError(kind)

    def __repr__(self) -> str:
        found = [f"{one.severity}: {one.summary}" for one in self.reasons if one.found]
        lines = found[:REPR_LINES]
        if len(found) > REPR_LINES:
            lines[-1] = f"and {len(found) - REPR_LINES + 1} more"
        return "\n  ".join([f"Verdict on {self.piece!r}: {self.sentence}", *lines])

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as plain JSON values."""
        return {
            "piece": self.piece,
            "target": asdict(self.target),
            "passed": self.passed,
            "verdict": self.sentence,
            "reasons": [asdict(reason) for reason in self.reasons],
        }


def check(
    audio: Any,
    *,
    target: str = "streaming",
    sample_rate: int | None = None,
    max_seconds: float = MAX_SECONDS,
    on_progress: OnProgress | None = None,
) -> Verdict:
    """Return whether a piece is fit for where it goes, and the reasons; changes nothing.

    Loudness and true peak against the target, true peak after the codecs that it plays with,
    cut-off peaks, dropouts, silence, constant offset, a dead channel, what mono takes away, the
    format.

    Args:
        audio: whatever is a piece of audio, see `diagnose`.
        target: ``streaming``, ``spotify``, ``apple``, ``youtube``, ``amazon``, ``tidal``,
            ``deezer``, ``podcast``, ``broadcast``, ``broadcast-us`` or ``game``.
        sample_rate: of a waveform, Hz; all else knows its own.
        max_seconds: a longer file is refused.
        on_progress: called with `(done_seconds, total_seconds)`; what it raises stops the work.

    Raises:
        AudioReadError: the file cannot be read as audio, or is too long.
        AudioShapeError: the array is no waveform.
        ConfigError: there is no such target.
    """
    place = find_target(target)
    check_max_seconds(max_seconds)
    source = open_source(audio, sample_rate, max_seconds=max_seconds)
    diagnosis = analyse(source, on_progress=on_progress, share=(0.0, ANALYSED))
    reasons = [*_as_it_is(source, diagnosis, place)]
    if not diagnosis.silent:
        seconds = diagnosis.duration_seconds
        for count, (codec, kbps) in enumerate(place.encodes.items(), 1):
            reasons.append(_as_encoded(source, codec, kbps, place))
            if on_progress is not None:
                share = ANALYSED + (1 - ANALYSED) * count / len(place.encodes)
                on_progress(share * seconds, seconds)
    return Verdict(source.name, place, tuple(reasons))


def _as_it_is(source: Source, diagnosis: Diagnosis, place: Target) -> Iterator[Finding]:
    """Yield everything but what codecs make of it."""
    if diagnosis.silent:
        yield Finding("silence", None, "s", "severe", "There is no sound in it.")
    else:
        yield _loudness(diagnosis, place)
        yield _true_peak(diagnosis, place)
        yield diagnosis["clipping"]
        yield diagnosis["gaps"]
        yield _silence(diagnosis)
        yield diagnosis["dc"]
        yield _channels(diagnosis)
        yield _mono(diagnosis)
    if diagnosis["nonfinite"].found:
        yield diagnosis["nonfinite"]
    yield _format(source, place)


def _loudness(diagnosis: Diagnosis, place: Target) -> Finding:
    """Return how loud it is, and what the place will do about it."""
    details = diagnosis["loudness"].details
    lufs, asked, tolerance = details["integrated_lufs"], place.loudness_lufs, place.tolerance_lu

    def told(severity: Severity, summary: str, change_db: float = 0.0) -> Finding:
        more = "" if tolerance is None else f" ± {tolerance:g} LU"
        against = f"{quantity(asked, 'LUFS')}{more}"
        changed = {"change_db": change_db}
        return Finding("loudness", lufs, "LUFS", severity, summary, against, details=changed)

    if lufs is None:
        return told("ok", "Shorter than 0.4 s: it has no loudness.")
    over = lufs - asked
    is_so = f"{quantity(lufs, 'LUFS')}, {quantity(abs(over), 'LU')} "
    is_so += f"{'louder' if over > 0 else 'softer'} than {quantity(asked, 'LUFS')}"
    if tolerance is not None:
        if abs(over) <= tolerance:
            return told(
                "ok", f"{quantity(lufs, 'LUFS')}, within {tolerance:g} LU of what is asked."
            )
        way = "lower" if over > 0 else "raise"
        return told("moderate", f"{is_so}: {way} it by {quantity(abs(over), 'dB')}.", -over)
    if abs(over) <= EVEN_LU:
        return told("ok", f"{quantity(lufs, 'LUFS')}: it plays as it is.")
    if place.levels == "no":
        return told("slight", f"{is_so}, and stays so.")
    if over > 0:
        return told("slight", f"{is_so}: it is turned down by {quantity(over, 'dB')}.", -over)
    if place.levels == "down":
        return told("slight", f"{is_so}, and is left so: it plays softer than the rest.")
    room = max(0.0, place.true_peak_max_dbtp - (details["true_peak_dbtp"] or 0.0))
    if room < EVEN_LU / 10:
        return told("slight", f"{is_so}, and is left so: its peaks leave no room.")
    if -over <= room:
        return told("slight", f"{is_so}: it is turned up by {quantity(-over, 'dB')}.", -over)
    said = f"{is_so}: it is turned up by {quantity(room, 'dB')}, its peaks leave no more room."
    return told("slight", said, room)


def _true_peak(diagnosis: Diagnosis, place: Target) -> Finding:
    details = diagnosis["loudness"].details
    peak, lufs = details["true_peak_dbtp"], details["integrated_lufs"]
    most, rule = place.true_peak_max_dbtp, ""
    louder = lufs is not None and lufs > place.loudness_lufs + EVEN_LU
    if louder and place.louder_peak_dbtp is not None:
        most = place.louder_peak_dbtp
        rule = f" of pieces over {quantity(place.loudness_lufs, 'LUFS', digits=0)}"
    is_so, asked = quantity(peak, "dBTP"), f"{quantity(most, 'dBTP', digits=0)} at most"
    severity: Severity = "ok"
    summary = f"Peaks at {is_so}."
    if peak > most:
        severity = "severe" if peak > FULL_SCALE_DBTP else "moderate"
        summary = f"Peaks at {quantity(peak, 'dBTP', digits=2)}; {asked} is asked{rule}."
    return Finding("true_peak", peak, "dBTP", severity, summary, asked)


def _as_encoded(source: Source, codec: str, kbps: int, place: Target) -> Finding:
    """Return the true peak of a piece as it decodes from a codec, or why it was not measured."""
    after = f"{CODECS[codec]} at {kbps} kbit/s"
    details = {"kbps": kbps}
    try:
        with encoded(source, codec, kbps) as decoded:
            peak = stream_true_peak_dbtp(
                decoded.blocks(), sample_rate=decoded.sample_rate, channels=decoded.channels
            )
    except (AudioWriteError, MissingExtraError) as error:
        said = f"Not measured after {after}: {error}"
        return Finding(codec, None, "dBTP", "ok", said, details=details)
    severity: Severity = "ok"
    summary = f"Decoded from {after} it peaks at {quantity(peak or -120.0, 'dBTP')}."
    if peak is not None and peak > FULL_SCALE_DBTP:
        severity = "moderate"
        summary = f"{summary[:-1]}, over full scale: players clip it."
    elif peak is not None and peak > place.true_peak_max_dbtp:
        severity = "slight"
        summary = f"{summary[:-1]}, under full scale yet."
    return Finding(codec, peak, "dBTP", severity, summary, "full scale", details=details)


def _silence(diagnosis: Diagnosis) -> Finding:
    """Return the silence before and after the music; what is too long, `diagnosis.edges` knows."""
    edges = [diagnosis[kind] for kind in ("start", "end")]
    seconds = [float(edge.details.get("silence_seconds") or 0.0) for edge in edges]
    long = [edge.summary for edge in edges if edge.found and "silence" in edge.summary]
    severity: Severity = "slight" if long else "ok"
    summary = " ".join(long) or "No long silence before or after it."
    details = {"before_seconds": seconds[0], "after_seconds": seconds[1]}
    return Finding("silence", max(seconds), "s", severity, summary, details=details)


def _channels(diagnosis: Diagnosis) -> Finding:
    """Return whether a channel is silent, as the width finding knows."""
    width = diagnosis["width"]
    dead = list(width.details["silent_channels"])
    details = {"silent": dead}
    if dead:
        size, severity = float(len(dead)), width.severity
        return Finding("channels", size, "channels", severity, width.summary, details=details)
    said = f"No dead channel: {channels(diagnosis.channels)}."
    return Finding("channels", 0.0, "channels", "ok", said, details=details)


def _mono(diagnosis: Diagnosis) -> Finding:
    """Return what each band loses on one loudspeaker; the worst that would be missed is told."""
    if diagnosis.channels == 1:
        return Finding("mono", 0.0, "dB", "ok", "Mono already: nothing is lost.")
    if diagnosis.channels > 2:
        said = f"Not measured: {channels(diagnosis.channels)} have no one fold to mono."
        return Finding("mono", None, "dB", "ok", said)
    bands = diagnosis["phase"].details["bands"]
    heard = [row for row in bands if row["level_db"] >= HEARD_DB]
    if not heard:
        return Finding("mono", None, "dB", "ok", "Too little sound for mono to take any away.")
    worst = min(heard, key=lambda row: row["fold_db"])
    fold_db = worst["fold_db"]
    severity: Severity = "ok" if fold_db > FOLD_MIND_DB else "slight"
    severity = "moderate" if fold_db <= FOLD_FAIL_DB else severity
    where = (
        f"{quantity(worst['low_hz'], 'Hz', digits=0)}–{quantity(worst['high_hz'], 'Hz', digits=0)}"
    )
    summary = (
        f"On one loudspeaker it loses {quantity(max(0.0, -fold_db), 'dB')} at most, at {where}."
    )
    details = {"bands": [dict(row) for row in bands]}
    return Finding("mono", fold_db, "dB", severity, summary, "3 dB is usual", details=details)


def _format(source: Source, place: Target) -> Finding:
    """Return how the piece is stored: rate, bits, channels, and what of that is not as asked."""
    subtype = source.subtype if isinstance(source, FileSource) else "FLOAT"
    lossy = not subtype.startswith(LOSSLESS) or subtype.endswith("LAW")
    bits = {"FLOAT": 32, "DOUBLE": 64}.get(subtype)
    if not lossy and (number := re.search(r"\d+", subtype)):
        bits = int(number[0])
    rate = source.sample_rate
    stored = LOSSY_NAMES.get(subtype, subtype) if lossy else f"{bits} bit" if bits else ""
    is_so = ", ".join(filter(None, (f"{rate / 1000:g} kHz", stored, channels(source.channels))))
    wrong = []
    if place.sample_rates_hz and rate not in place.sample_rates_hz:
        rates = ", ".join(f"{one / 1000:g}" for one in place.sample_rates_hz)
        wrong.append(f"asked is {rates} kHz")
    if lossy and not place.takes_lossy:
        wrong.append("it is lossy and will be coded once more: deliver WAV or FLAC")
    if bits is not None and bits < (place.bit_depth_min or 0):
        wrong.append(f"{place.bit_depth_min} bit are asked")
    severity: Severity = "ok"
    if wrong:
        severity = "slight" if place.tolerance_lu is None else "moderate"
    details = {"sample_rate": rate, "bits": bits, "channels": source.channels, "lossy": lossy}
    summary = f"{is_so}{'; ' if wrong else ''}{'; '.join(wrong)}."
    return Finding("format", float(rate), "Hz", severity, summary, details=details)
