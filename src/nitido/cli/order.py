"""What the user asked of `nitido restore`, read from its options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nitido.batch.shards import read_shard
from nitido.batch.task import Request
from nitido.errors import ConfigError

if TYPE_CHECKING:
    from nitido.restoration.plan import Plan

# Options that a plan answers already.
PLANNED = (
    *("preset", "stages", "without", "changed", "demucs_model"),
    *("loudness", "loop", "sample_rate"),
)
_WRITING = ("removed", "report", "stems", "overwrite", "resume")
_LENT = ("demucs_repo", "max_seconds", "damaged")
_RUNNING = ("output", "dry_run", "as_json", "workers", "manifest", "fail_fast", "ray", "strict")


@dataclass(frozen=True)
class Order:
    """The options of `nitido restore`, checked.

    Attributes:
        request: how each piece is restored and written.
        output: as given with ``-o``.
        dry_run: only say what would be done.
        as_json: print JSON.
        workers: processes, or actors on a cluster; None if not given.
        shard: which part of how many, or None for all.
        manifest: file that lists the pieces, or None.
        fail_fast: stop at the first piece that fails.
        ray: address of the cluster, ``local`` for one on this machine, None for none.
        strict: exit with 3 if a result has a fault that its input had not.
    """

    request: Request
    output: str | None
    dry_run: bool
    as_json: bool
    workers: int | None
    shard: tuple[int, int] | None
    manifest: str | None
    fail_fast: bool
    ray: str | None
    strict: bool


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
    request = Request(
        choice=_choice(options),
        plan=plan,
        lent={name: options[name] for name in _LENT if options[name] is not None},
        format=options["format"],
        bit_depth=None if depth is None else int(depth),
        **{key: options[key] for key in _WRITING},
    )
    parts = None if options["shard"] is None else read_shard(options["shard"])
    return Order(request, shard=parts, **{key: options[key] for key in _RUNNING})


def _choice(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "preset": options["preset"],
        "stages": None if options["stages"] is None else names(options["stages"]),
        "without": names(options["without"] or ""),
        "settings": _settings(options),
        "output_sample_rate": options["sample_rate"],
    }


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
    if options["demucs_model"] is not None:
        settings["stems.model"] = options["demucs_model"]
    if options["loop"]:
        settings["ending.loop"] = True
    return settings


def _given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)


def _read_plan(name: str) -> Plan:
    from nitido.audio import read_text
    from nitido.restoration.plan import Plan

    return Plan.from_json(read_text(name))
