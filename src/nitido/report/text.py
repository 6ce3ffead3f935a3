"""Sentences for a musician: what is wrong with a piece, what was done, how versions differ.

Each fact is said by one function, whoever asks: a restoration, which knows what it was up to, or a
comparison, which has only the sound. What is heard comes first in a sentence, the number after it;
of several sentences the most audible comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from nitido.diagnosis.bandwidth import ceiling_hz
from nitido.diagnosis.comb import EXCESS_MIN_DB
from nitido.diagnosis.finding import SEVERITIES, Diagnosis, Finding
from nitido.metrics.catalogue import CATALOGUE, Measure
from nitido.report.formatting import channels, clock, minus, quantity

if TYPE_CHECKING:
    from nitido.restoration.restored_sound import RestoredSound
    from nitido.restoration.verify import Change

Scores: TypeAlias = Mapping[str, Mapping[str, Mapping[str, float | None]]]
Values: TypeAlias = Mapping[str, float | None]

# Smaller differences are not heard, or lie within what the measure itself wanders.
COMB_DB, WHINE_DB, CEILING_HZ, LOUDER_LU, HOLES_PERCENT = 0.3, 1.0, 500.0, 0.1, 0.1
LEVEL_DB = 0.05  # of a band; less is no change
UNTOUCHED_DB = 119.0  # the SI-SDR of an unchanged signal reads 120
PROMISED = {"chroma_cosine": 0.98, "onset_f1": 0.95}  # of a restoration
FIDELITY_TOLD = ("lsd_db", "mel_l1_db", "visqol_mos")  # of all measures against the reference
NOTHING_FOUND = "Nothing wrong was found."

# The stage that mends a fault: no other may claim it, as another sample rate alone moves a reading.
# The most audible faults come first.
REMEDIES = {
    "comb": "decomb",
    "bandwidth": "bandwidth",
    "shimmer": "deshimmer",
    "sibilance": "deess",
    "harshness": "deharsh",
    "mud": "demud",
    "phase": "stereo",
    "width": "width",
    "tone": "match",
    "clipping": "declip",
    "clicks": "declick",
    "start": "ending",
    "end": "ending",
    "rumble": "dc",
    "dc": "dc",
}
# What to say when a fault is gone that no comparison measures.
GONE = {
    "clicks": "It no longer clicks.",
    "dc": "The waveform is centred again.",
    "harshness": "It no longer rings from 2 to 5 kHz.",
    "mud": "The mud from 200 to 500 Hz is cleared.",
    "phase": "Left and right work together again.",
    "rumble": "The rumble below 20 Hz is gone.",
    "shimmer": "The treble no longer flickers.",
    "sibilance": "The s is no longer sharp.",
    "start": "The start no longer clicks.",
    "tone": "The tone is balanced again.",
}
NAMES = {
    "bandwidth": "the ceiling",
    "clicks": "clicks",
    "clipping": "cut-off peaks",
    "comb": "the comb",
    "dc": "the offset",
    "end": "the end",
    "gaps": "dropouts",
    "harshness": "the harshness",
    "mud": "the mud",
    "nonfinite": "samples that are no numbers",
    "phase": "the phase of the sides",
    "rumble": "rumble",
    "shimmer": "the shimmer",
    "sibilance": "the sharp s",
    "start": "the start",
    "tone": "the tone",
    "width": "the width",
}
# Why a stage did not do all that was planned, in the words of whoever did not build nitido.
REDUCED = {"turned down": "used at less strength", "bypassed": "left out"}
_MEASURES: dict[str, Measure] = {m.name: m for family in CATALOGUE.values() for m in family}


# ── A diagnosis ──────────────────────────────────────────────────────────────────────────────────


def describe_diagnosis(diagnosis: Diagnosis) -> str:
    """Return the faults of a piece in one sentence, the worst first."""
    groups = []
    for severity in reversed(SEVERITIES[1:]):
        kinds = [finding.kind for finding in diagnosis.findings if finding.severity == severity]
        if kinds:
            groups.append(f"{severity}: {', '.join(kinds)}")
    return f"{'; '.join(groups).capitalize()}." if groups else NOTHING_FOUND


def faults(before: Diagnosis, after: Diagnosis) -> list[tuple[Finding, Finding]]:
    """Return the faults of a piece or of its result, each as it was before and after."""
    later = {finding.kind: finding for finding in after.findings}
    return [
        (finding, later[finding.kind])
        for finding in before.findings
        if finding.kind in later and (finding.found or later[finding.kind].found)
    ]


# ── A restoration ────────────────────────────────────────────────────────────────────────────────


def describe_restoration(restoration: RestoredSound) -> list[str]:
    """Return what a restoration did: what is better, what stayed, what it cost."""
    pairs = {
        old.kind: (old, new)
        for old, new in faults(restoration.diagnosis, restoration.after)
        if old.kind not in restoration.no_faults  # loudness has a sentence in any case
    }
    ran = {step.stage for step in restoration.plan.steps if step.on}
    nothing = "There is no sound in it." if restoration.diagnosis.silent else NOTHING_FOUND
    told = list(restoration.diagnosis.warnings)
    told += [] if any(old.found for old, _ in pairs.values()) else [nothing]
    for kind, stage in REMEDIES.items():
        if stage in ran and kind in pairs and pairs[kind][0].found:
            told += mended(*pairs[kind])
    told += _matched(restoration)
    was, now = restoration.diagnosis.sample_rate, restoration.sample_rate
    if was > now:
        told.append(f"It came at {was / 1000:g} kHz and is written at {now / 1000:g} kHz.")
    elif not ran:
        told.append("Nothing was changed.")
    told += _loop(restoration)
    told += _tally(restoration, pairs)
    if ran:
        for change in restoration.changes:
            if change.stage == "whole":
                heard_db = change.si_sdr_db if change.with_ends_db is None else change.with_ends_db
                told += _kept(change.level_change_db, heard_db, beside=change)
        old, new = (d["loudness"] for d in (restoration.diagnosis, restoration.after))
        told += _loudness(old.value, new.value, new.details.get("true_peak_dbtp"))
        told += _headroom(restoration)
    for change in restoration.changes:
        if change.verdict != "kept":
            told.append(
                f"{change.stage} was {REDUCED[change.verdict]}: more of it would have changed too "
                "much of the music."
            )
    return [*told, *restoration.notes()]


def _matched(restoration: RestoredSound) -> Iterator[str]:
    """Yield how far the tone was moved, and towards what."""
    step = restoration.plan["match"]
    settings = step.settings
    most_db = settings["amount"] * max(map(abs, settings["gains_db"]), default=0.0)
    if step.on and most_db >= LEVEL_DB:
        target = "the reference" if settings["target_db"] else "other music"
        yield f"The tone is nearer to that of {target}, by up to {quantity(most_db, 'dB')}."


def _headroom(restoration: RestoredSound) -> Iterator[str]:
    """Yield from which ceiling a lossy file was made, and whether the one asked for held."""
    used, step = restoration.ceiling_dbtp, restoration.plan["loudness"]
    peak_dbtp = restoration.after["loudness"].details["true_peak_dbtp"]
    if used is None or peak_dbtp is None or used == (asked := step.settings["ceiling_dbtp"]):
        return
    held = "" if peak_dbtp <= asked else f", and still pass {quantity(asked, 'dBTP')}"
    yield (
        f"Its format lifts peaks: made under {quantity(used, 'dBTP')}, they reach "
        f"{quantity(peak_dbtp, 'dBTP', digits=2)} when it is played{held}."
    )


def _loop(restoration: RestoredSound) -> Iterator[str]:
    """Yield whether the piece was treated as a loop, where anybody says that it is one."""
    says = restoration.diagnosis.loop
    if restoration.plan.loop:
        whose = "As the file says, it is" if says else "As asked, it is treated as"
        yield f"{whose} {restoration.diagnosis.loop_told}."
    elif says:
        yield "The file says that it is a loop; as asked, it is not treated as one."


def _tally(
    restoration: RestoredSound, pairs: Mapping[str, tuple[Finding, Finding]]
) -> Iterator[str]:
    """Yield how many faults were repaired, what is left and why, and what is new."""
    had = [kind for kind, (old, _) in pairs.items() if old.found]
    left = [kind for kind in had if pairs[kind][1].found]
    if had:
        faults = "fault" if len(had) == 1 else "faults"
        told = f"{len(had) - len(left)} of {len(had)} {faults} repaired"
        reasons = [f"{NAMES.get(kind, kind)}, {_why_left(restoration, kind)}" for kind in left]
        yield f"{told}; left: {'; '.join(reasons)}." if left else f"{told}."
    for fault in restoration.new_faults:
        yield f"What was not there before: {minus(fault.summary)}"


def _why_left(restoration: RestoredSound, kind: str) -> str:
    """Return why a fault is left, as the end of a sentence."""
    stage = REMEDIES.get(kind)
    if stage is None:
        return "which no stage mends"
    step = restoration.plan[stage]
    verdicts = {change.stage: change.verdict for change in restoration.changes}
    if verdicts.get(stage, "kept") != "kept":
        return "as more would have changed too much of the music"
    if step.on:
        held_back = float(step.settings.get("amount", 1.0)) < 1
        return minus(f"though less of it ({step.reason})") if held_back else "though less of it"
    why = step.reason if step.reason.startswith("off") else f"off: {step.reason}"
    return minus(f"as {stage} is {why}")


def describe_change(change: Change) -> str:
    """Return how much of the music a stage changed, against what it may."""
    said = f"Up to 7 kHz {_music_kept(change.music_kept_db, _beside(change))}"
    if change.music_kept_db < UNTOUCHED_DB and not change.unbounded:
        said += f"; {change.budget_db:.0f} dB or more are asked"
    said += "."
    if change.taken_sone is None or change.budget_sone is None:
        return said
    taken = quantity(change.taken_sone, "sone", digits=2)
    return f"{said} The ear would miss {taken} of music; {change.budget_sone:g} may be taken."


def facts(restoration: RestoredSound) -> str:
    """Return what the piece is in one line: length, channels, rates, preset."""
    forms = [
        f"{channels(form.channels)} {form.sample_rate / 1000:g} kHz"
        for form in (restoration.diagnosis, restoration)
    ]
    length = clock(restoration.diagnosis.duration_seconds)
    return f"{length} · {' → '.join(forms)} · preset {restoration.plan.preset_told}"


def mended(old: Finding, new: Finding) -> Iterator[str]:
    """Yield what became of a fault whose remedy ran, as sentences; none where nothing did."""
    was, now = old.value or 0.0, (new.value or 0.0) if new.found else 0.0
    if old.kind == "comb":
        yield from _comb(was, now, spacing_hz=old.details["spacing_hz"])
        yield from _whine(*(f.details.get("by_spacing_db", {}).get("8000") for f in (old, new)))
    elif old.kind == "bandwidth":
        yield from _treble(ceiling_hz(old), ceiling_hz(new))
    elif old.kind == "clipping":
        yield from _clipping(was, now)
    elif old.kind == "end":
        yield from _end(True, new.found)
    elif old.kind == "width":
        if old.details.get("mono") and not new.details.get("mono"):
            yield (
                "It was mono and is stereo now; left and right together are still the mono piece."
            )
    elif not new.found:
        yield GONE[old.kind]


# ── A comparison ─────────────────────────────────────────────────────────────────────────────────


def describe_comparison(
    scores: Scores,
    *,
    before: str,
    after: Sequence[str],
    reference: str | None = None,
    matchings: Sequence[Mapping[str, Any]] = (),
    left_out: Mapping[str, str] | None = None,
) -> list[str]:
    """Return what is different between `before` and each of `after`.

    Args:
        scores: by table, piece and measure.
        before: name of the piece that the others are held against.
        after: names of the others; with more than one, each sentence begins with the name.
        reference: name of how it should sound.
        matchings: what was done to hold two against each other, `Matching` as dictionaries.
        left_out: why a table is missing, by its name.
    """
    told = []
    for name in after:
        content = scores.get("content", {}).get(name, {})
        old, new = _pair(scores, "delivery", before, name)
        about = [
            *_artefacts(*_pair(scores, "artefacts", before, name)),
            *_kept(content.get("protected_level_change_db"), content.get("protected_si_sdr_db")),
            *_promised(content),
            *_loudness(
                old.get("integrated_lufs"), new.get("integrated_lufs"), new.get("true_peak_dbtp")
            ),
            *_fidelity(scores, before, name, reference),
        ]
        told += [f"{name}: {text}" for text in about] if len(after) > 1 else about
    told += [text for matching in matchings for text in _matching(matching)]
    told += [f"The table {table!r} is left out: {why}" for table, why in (left_out or {}).items()]
    return told


def _pair(scores: Scores, table: str, before: str, after: str) -> tuple[Values, Values]:
    found = scores.get(table, {})
    return found.get(before, {}), found.get(after, {})


def _artefacts(old: Values, new: Values) -> Iterator[str]:
    def both(name: str) -> tuple[float | None, float | None]:
        return old.get(name), new.get(name)

    heard, left = (values.get("bandwidth_hz", 0.0) is not None for values in (old, new))
    if heard != left:
        yield "No sound is left." if heard else "There was no sound before."
        return
    combs = list(_comb(*both("comb_db")))
    yield from combs
    if combs:  # otherwise chance made the lines
        yield from _whine(*both("comb_8000_hz_db"))
    yield from _treble(*both("ceiling_hz"))
    yield from _clipping(*both("clipped_samples_per_second"))
    yield from _holes(*both("holes_percent"))
    yield from _end(*both("end_cut"))


def _promised(new: Values) -> Iterator[str]:
    lost = [
        f"{_MEASURES[name].title} {value:.3f}, {least:g} is what a repair has to keep"
        for name, least in PROMISED.items()
        if (value := new.get(name)) is not None and value < least
    ]
    if lost:
        yield f"The music was not fully kept: {'; '.join(lost)}."
    elif all(new.get(name) is not None for name in PROMISED):
        yield "Harmony and onsets are kept."


def _fidelity(scores: Scores, before: str, name: str, reference: str | None) -> Iterator[str]:
    for table in ("fidelity", "perceptual"):
        old, new = _pair(scores, table, before, name)
        for measure in (_MEASURES[told] for told in FIDELITY_TOLD):
            was, now = old.get(measure.name), new.get(measure.name)
            if was is None or now is None:
                continue
            if measure.show(was) == measure.show(now):
                side = "As near to"
            else:
                nearer = (now > was) == (measure.better == "higher")
                side = "Nearer to" if nearer else "Further from"
            yield (
                f"{side} {reference}: {measure.title} {measure.show(now)}, "
                f"before {measure.show(was)}."
            )


def _matching(matching: Mapping[str, Any]) -> Iterator[str]:
    estimate, reference = matching["estimate"], matching["reference"]
    lag, rate = matching["lag_samples"], matching["sample_rate"]
    if not matching["aligned"]:
        yield (
            f"{estimate} and {reference} have too little in common to be aligned; "
            "they are compared as they lie."
        )
    if lag:
        side = "late" if lag > 0 else "early"
        shift_ms = 1000 * abs(lag) / rate
        yield f"{estimate} was {shift_ms:.2f} ms {side} to {reference} and is aligned."
    if matching["polarity"] < 0:
        yield f"{estimate} is upside down against {reference} and was turned to compare."


# ── The facts: nothing is said of what was not measured, or did not change ───────────────────────


def _comb(
    old_db: float | None, new_db: float | None, *, spacing_hz: float | None = None
) -> Iterator[str]:
    if old_db is None or new_db is None or max(old_db, new_db) < EXCESS_MIN_DB:
        return
    comb = "comb" if spacing_hz is None else f"comb every {spacing_hz:g} Hz"
    stands = f"{quantity(new_db, 'dB')} out of the music."
    if abs(old_db - new_db) < COMB_DB:
        yield f"The {comb} stands as high as before, {stands}"
    elif new_db < EXCESS_MIN_DB:
        yield f"The {comb} is gone: it stood {quantity(old_db, 'dB')} out of the music."
    elif old_db < EXCESS_MIN_DB:
        yield f"There is a {comb} now, {stands}"
    else:
        yield f"The {comb} is {_moved(old_db, new_db)}; it stands {stands}"


def _whine(old_db: float | None, new_db: float | None) -> Iterator[str]:
    """Yield what became of the lines every 8 kHz; below their surroundings they are not heard."""
    if old_db is None or new_db is None:
        return
    was, now = max(old_db, 0.0), max(new_db, 0.0)
    if abs(was - now) >= WHINE_DB:
        yield f"The whine at 8 kHz is {_moved(was, now)}."


def _moved(old_db: float, new_db: float) -> str:
    return f"{quantity(abs(old_db - new_db), 'dB')} {'lower' if new_db < old_db else 'higher'}"


def _treble(old_hz: float | None, new_hz: float | None) -> Iterator[str]:
    """Yield what became of the ceiling, if there is one; without one the treble just fades out."""
    if old_hz is not None and new_hz is not None:
        if abs(old_hz - new_hz) >= CEILING_HZ:
            now, was = quantity(new_hz, "Hz"), quantity(old_hz, "Hz")
            yield f"The treble ends at {now}; before, at {was}."
    elif old_hz is not None:
        yield f"The treble no longer ends at {quantity(old_hz, 'Hz')}."
    elif new_hz is not None:
        yield f"The treble ends at {quantity(new_hz, 'Hz')} now."


def _clipping(old: float | None, new: float | None) -> Iterator[str]:
    if old is None or new is None or bool(old) == bool(new):
        return
    if new:
        yield f"Peaks are cut off now: {new:.0f} samples per second."
    else:
        yield "Peaks that were cut off are rebuilt."


def _holes(old: float | None, new: float | None) -> Iterator[str]:
    if old is None or new is None or abs(old - new) < HOLES_PERCENT:
        return
    side = "Fewer" if new < old else "More"
    yield f"{side} holes in the spectrum: {new:.2f} % of it, before {old:.2f} %."


def _end(old: float | None, new: float | None) -> Iterator[str]:
    if old is None or new is None or bool(old) == bool(new):
        return
    yield "The end breaks off now." if new else "The end no longer breaks off."


def _kept(
    most_db: float | None, si_sdr_db: float | None, *, beside: Change | None = None
) -> Iterator[str]:
    """Yield how much of the music is as it was: the level of its bands, then the waveform.

    A restoration knows, beside what both files show, what it was up to: `beside`.
    """
    told = []
    if most_db is not None:
        more = "" if most_db < LEVEL_DB else f" by more than {quantity(most_db, 'dB')}"
        told.append(f"no band of the music changed its level{more}")
    if si_sdr_db is not None:
        said = _music_kept(si_sdr_db)
        if beside is not None and (left_out := _beside(beside)):
            kept_db = beside.music_kept_db
            kept = "untouched" if kept_db >= UNTOUCHED_DB else quantity(kept_db, "dB")
            said += f" ({left_out}: {kept})"
        told.append(said)
    if told:
        yield f"Up to 7 kHz {', and '.join(told)}."


def _beside(change: Change) -> str:
    """Return what is left out of how much of the music a change kept."""
    left_out = ["what was wrong"] if change.beside_faults_db is not None else []
    left_out += ["the ends"] if change.with_ends_db is not None else []
    return f"beside {' and '.join(left_out)}" if left_out else ""


def _music_kept(si_sdr_db: float, beside: str = "") -> str:
    beside = f" {beside}" if beside else ""
    if si_sdr_db >= UNTOUCHED_DB:
        return f"the music{beside} is untouched"
    if si_sdr_db < 0:
        return f"the waveform{beside} was not kept: more changed than stayed"
    return f"all that changed{beside} lies {quantity(si_sdr_db, 'dB')} under the music"


def _loudness(
    old_lufs: float | None, new_lufs: float | None, peak_dbtp: float | None
) -> Iterator[str]:
    if old_lufs is None or new_lufs is None:
        return
    now = quantity(new_lufs, "LUFS")
    if peak_dbtp is not None:
        now += f" with peaks at {quantity(peak_dbtp, 'dBTP')}"
    if abs(new_lufs - old_lufs) < LOUDER_LU:
        yield f"It is as loud as it was, {now}."
    else:
        yield f"It plays at {now}; before, at {quantity(old_lufs, 'LUFS')}."
