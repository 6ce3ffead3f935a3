"""A comparison told in sentences: what is better, what stayed, what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from nitido.diagnosis.comb import EXCESS_MIN_DB
from nitido.metrics.catalogue import CATALOGUE, Measure

Scores: TypeAlias = Mapping[str, Mapping[str, Mapping[str, float | None]]]
Values: TypeAlias = Mapping[str, float | None]

# Smaller differences are not heard, or lie within what the measure itself wanders.
COMB_DB, WHINE_DB, CEILING_HZ, LOUDER_LU, HOLES_PERCENT = 0.3, 1.0, 500.0, 0.1, 0.1
PROMISED = {"chroma_cosine": 0.98, "onset_f1": 0.95}  # of a restoration
FIDELITY_TOLD = ("lsd_db", "mel_l1_db", "visqol_mos")  # of all measures against the reference

_MEASURES: dict[str, Measure] = {m.name: m for family in CATALOGUE.values() for m in family}


def sentences(
    scores: Scores,
    *,
    before: str,
    after: Sequence[str],
    reference: str | None = None,
    matchings: Sequence[Mapping[str, Any]] = (),
    left_out: Mapping[str, str] | None = None,
) -> list[str]:
    """Return what is different between `before` and each of `after`, in plain words.

    Args:
        scores: by table, piece and measure.
        before: name of the piece that the others are held against.
        after: names of the others; with more than one, each sentence begins with the name.
        reference: name of how it should sound.
        matchings: what was done to hold two against each other, `Matching` as dictionaries.
        left_out: why a table is missing, by its name.
    """
    said = []
    for name in after:
        about = [
            *_artefacts(*_pair(scores, "artefacts", before, name)),
            *_content(scores.get("content", {}).get(name, {})),
            *_loudness(*_pair(scores, "delivery", before, name)),
            *_fidelity(scores, before, name, reference),
        ]
        said += [f"{name}: {text}" for text in about] if len(after) > 1 else about
    said += [text for matching in matchings for text in _matching(matching)]
    said += [f"The table {table!r} is left out: {why}" for table, why in (left_out or {}).items()]
    return said


def _pair(scores: Scores, table: str, before: str, after: str) -> tuple[Values, Values]:
    found = scores.get(table, {})
    return found.get(before, {}), found.get(after, {})


def _artefacts(old: Values, new: Values) -> Iterator[str]:
    def both(name: str) -> tuple[float, float] | None:
        one, other = old.get(name), new.get(name)
        return None if one is None or other is None else (one, other)

    comb, whine = both("comb_db"), both("comb_8000_hz_db")
    if comb and max(comb) >= EXCESS_MIN_DB:
        yield _comb(*comb)
        if whine and abs(whine[0] - whine[1]) >= WHINE_DB:
            side = "lower" if whine[1] < whine[0] else "higher"
            yield f"The whine at 8 kHz is {abs(whine[0] - whine[1]):.0f} dB {side}."
    if (ceiling := both("bandwidth_hz")) and abs(ceiling[0] - ceiling[1]) >= CEILING_HZ:
        was, now = (f"{hz / 1000:.1f} kHz" for hz in ceiling)
        yield (
            f"The treble reaches {now}; before, it ended at {was}."
            if ceiling[1] > ceiling[0]
            else f"The treble ends at {now}; before, it reached {was}."
        )
    if (clipped := both("clipped_samples_per_second")) and bool(clipped[0]) != bool(clipped[1]):
        yield (
            f"Peaks are cut off now: {clipped[1]:.0f} samples per second."
            if clipped[1]
            else "Peaks that were cut off are rebuilt."
        )
    if (holes := both("holes_percent")) and abs(holes[0] - holes[1]) >= HOLES_PERCENT:
        side = "Fewer" if holes[1] < holes[0] else "More"
        yield f"{side} holes in the spectrum: {holes[1]:.2f} % of it, before {holes[0]:.2f} %."
    if (cut := both("end_cut")) and cut[0] != cut[1]:
        yield "The end breaks off now." if cut[1] else "The end no longer breaks off."


def _comb(old: float, new: float) -> str:
    if abs(old - new) < COMB_DB:
        return f"The comb stands as high as before, {new:.1f} dB out of the music."
    if new < EXCESS_MIN_DB:
        return f"The comb is gone: it stood {old:.1f} dB out of the music."
    if old < EXCESS_MIN_DB:
        return f"There is a comb now, {new:.1f} dB out of the music."
    side = "lower" if new < old else "higher"
    return f"The comb is {abs(old - new):.1f} dB {side}; it stands {new:.1f} dB out of the music."


def _content(new: Values) -> Iterator[str]:
    most, left = new.get("protected_level_change_db"), new.get("protected_si_sdr_db")
    if most is not None:
        yield f"Nothing below 7 kHz changed its level by more than {max(most, 0.1):.1f} dB."
    if left is not None and left >= 0:
        yield (
            "Up to 7 kHz the music is untouched."
            if left >= 119
            else f"Up to 7 kHz, all that changed lies {left:.0f} dB under the music."
        )
    elif left is not None:
        yield "Up to 7 kHz the waveform was not kept: more changed than stayed."
    lost = [
        f"{_MEASURES[name].title} {value:.3f}, {least:g} is what a repair has to keep"
        for name, least in PROMISED.items()
        if (value := new.get(name)) is not None and value < least
    ]
    if lost:
        yield f"The music was not fully kept: {'; '.join(lost)}."
    elif all(new.get(name) is not None for name in PROMISED):
        yield "Harmony and onsets are kept."


def _loudness(old: Values, new: Values) -> Iterator[str]:
    was, now, peak = (
        old.get("integrated_lufs"), new.get("integrated_lufs"), new.get("true_peak_dbtp")
    )  # fmt: skip
    if was is None or now is None:
        return
    peaks = "" if peak is None else f" with peaks at {peak:.1f} dBTP"
    if abs(was - now) < LOUDER_LU:
        text = f"It is as loud as it was, {now:.1f} LUFS{peaks}."
    else:
        text = f"It plays at {now:.1f} LUFS{peaks}; before, at {was:.1f} LUFS."
    yield text.replace("-", "−")


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
