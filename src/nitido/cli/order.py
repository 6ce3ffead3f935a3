"""What the user asked of `nitido restore`, read from its options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nitido.errors import AudioReadError, ConfigError

if TYPE_CHECKING:
    from nitido.restoration.plan import Plan

# Options that a plan answers already.
PLANNED = ("preset", "stages", "without", "changed", "loudness", "loop", "sample_rate")
_FLAGS = ("removed", "report", "overwrite", "dry_run", "as_json")


@dataclass(frozen=True)
class Order:
    """The options of `nitido restore`, ready for `nitido.api`.

    Attributes:
        output: as given with ``-o``.
        format: name of the format, or None: the suffix says it.
        bit_depth: of the result, or None for the format's own.
        plan: read from a file, or None: made from `choice`.
        choice: keyword arguments of `nitido.api.plan`.
        removed: also write what was taken away.
        report: also write the page.
        overwrite: replace existing results.
        dry_run: only say what would be done.
        as_json: print JSON.
    """

    output: str | None
    format: str | None
    bit_depth: int | None
    plan: Plan | None
    choice: Mapping[str, Any]
    removed: bool
    report: bool
    overwrite: bool
    dry_run: bool
    as_json: bool


def read_order(ctx: click.Context, options: Mapping[str, Any]) -> Order:
    """Return the order; a plan file is read here.

    Raises:
        ConfigError: options that contradict each other, or a setting that is not one.
    """
    plan = None
    if options["plan_file"] is not None:
        given = [name for name in PLANNED if _given(ctx, name)]
        if given:
            flag = {"changed": "set"}.get(given[0], given[0]).replace("_", "-")
            raise ConfigError(
                f"A plan says everything already: --plan and --{flag} exclude each other."
            )
        plan = _read_plan(options["plan_file"])
    depth = options["bit_depth"]
    return Order(
        output=options["output"],
        format=options["format"],
        bit_depth=None if depth is None else int(depth),
        plan=plan,
        choice={
            "preset": options["preset"],
            "stages": None if options["stages"] is None else names(options["stages"]),
            "without": names(options["without"] or ""),
            "settings": _settings(options),
            "output_sample_rate": options["sample_rate"],
        },
        **{key: options[key] for key in _FLAGS},
    )


def names(text: str) -> list[str]:
    """Return the names in a list with commas.

    >>> names("decomb, width")
    ['decomb', 'width']
    """
    return [name.strip() for name in text.split(",") if name.strip()]


def read_settings(changed: Sequence[str]) -> dict[str, Any]:
    """Return ``stage.setting=value`` texts as a table; values are JSON, or ``off`` for none.

    >>> read_settings(["bandwidth.amount=0.5", "loudness.target_lufs=off"])
    {'bandwidth.amount': 0.5, 'loudness.target_lufs': None}
    """
    table: dict[str, Any] = {}
    for text in changed:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or "." not in key:
            raise ConfigError(
                f"--set {text!r} is no setting; write STAGE.SETTING=VALUE, such as "
                "bandwidth.amount=0.5 ('nitido stages' lists them)."
            )
        table[key] = _value(value, is_mode=key.endswith(".mode"))
    return table


def _value(text: str, *, is_mode: bool) -> Any:
    if is_mode:
        return text
    words = {"off": None, "none": None, "yes": True, "no": False, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    settings = read_settings(options["changed"])
    if options["loudness"] is not None:
        settings |= read_settings([f"loudness.target_lufs={options['loudness']}"])
    if options["loop"]:
        settings["ending.loop"] = True
    return settings


def _given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)


def _read_plan(name: str) -> Plan:
    from nitido.restoration.plan import Plan

    try:
        text = Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise AudioReadError(f"The plan {name} cannot be read: {reason}.") from None
    return Plan.from_json(text)
