"""`nitido stages`: every stage and every setting, so that nobody needs to read the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.printing import console, print_json, table
from nitido.errors import ConfigError

if TYPE_CHECKING:
    from nitido.restoration.stage import Remedy

EXAMPLES = """\b
Examples:
  nitido stages
  nitido stages bandwidth loudness
  nitido restore song.wav --set bandwidth.amount=0.5
"""


@click.command(epilog=EXAMPLES)
@click.argument("names", nargs=-1, metavar="[STAGE]...")
@as_json
@verbose
def stages(names: tuple[str, ...], as_json: bool) -> None:
    """List the stages in the order of the signal, and their settings.

    Each setting with its default, its range and what it means. 'nitido restore --set
    STAGE.SETTING=VALUE' changes one.
    """
    from nitido.restoration.preset import suggest
    from nitido.restoration.registry import STAGES

    for name in names:
        if name not in STAGES:
            raise ConfigError(f"There is no stage {name!r}{suggest(name, STAGES)}")
    described = [_describe(STAGES[name]) for name in STAGES if not names or name in names]
    if as_json:
        print_json(described)
        return
    for stage in described:
        _show(stage)


def _describe(stage: type[Remedy]) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "summary": stage.summary,
        "budget_db": stage.budget.si_sdr_db,
        "budget_sone": stage.budget.taken_sone,
        "settings": [
            {
                "name": f"{stage.name}.{key}",
                "default": setting.default,
                "choices": list(setting.choices),
                "range": list(setting.range) if setting.range else None,
                "unit": setting.unit,
                "can_be_off": setting.nullable,
                "meaning": setting.doc,
            }
            for key, setting in stage.schema.items()
            if not setting.measured
        ],
    }


def _show(stage: dict[str, Any]) -> None:
    from nitido.report.formatting import setting

    click.secho(stage["stage"], bold=True, nl=False)
    click.echo(f"  {stage['summary']}")
    rows = table("setting", "default>", "range>", "meaning")
    for entry in stage["settings"]:
        limits = " … ".join(f"{limit:g}" for limit in entry["range"] or [])
        limits = " or ".join(entry["choices"]) or f"{limits} {entry['unit']}".strip()
        off = " or none" if entry["can_be_off"] and entry["default"] is not None else ""
        default = "found" if entry["default"] == [] else setting(entry["default"])
        rows.add_row(entry["name"], default, limits + off, entry["meaning"])
    console().print(rows)
