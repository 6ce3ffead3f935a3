"""`nitido stages`: every stage and every setting, so that nobody needs to read the source."""

from __future__ import annotations

import inspect
import re
from typing import Any

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.output import console, print_json, table
from nitido.errors import ConfigError

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


def _describe(stage: Any) -> dict[str, Any]:
    meanings = setting_meanings(inspect.getdoc(stage) or "")
    return {
        "stage": stage.name,
        "summary": stage.summary,
        "budget_db": stage.budget.si_sdr_db,
        "settings": [
            {
                "name": f"{stage.name}.{key}",
                "default": default,
                "choices": list(stage.choices.get(key, ())),
                "range": list(stage.limits[key]) if key in stage.limits else None,
                "can_be_off": key in stage.nullable,
                "meaning": meanings.get(key, ""),
            }
            for key, default in stage.defaults.items()
        ],
    }


def setting_meanings(docstring: str) -> dict[str, str]:
    r"""Return what the ``Settings:`` part of a stage's docstring says about each setting.

    >>> setting_meanings("A stage.\n\nSettings:\n    amount: how much,\n        0 to 1.")
    {'amount': 'how much, 0 to 1.'}
    """
    _, _, part = docstring.partition("Settings:\n")
    meanings: dict[str, str] = {}
    keys: list[str] = []
    for line in part.splitlines():
        if line and not line.startswith(" "):
            break
        entry = re.match(r" {4}(\w+(?:, \w+)*): (.*)", line)
        if entry:
            keys = entry[1].split(", ")
            meanings |= dict.fromkeys(keys, entry[2])
        elif line.strip():
            meanings |= {key: f"{meanings[key]} {line.strip()}" for key in keys}
    return meanings


def _show(stage: dict[str, Any]) -> None:
    from nitido.report.formatting import setting

    click.secho(stage["stage"], bold=True, nl=False)
    click.echo(f"  {stage['summary']}")
    rows = table("setting", "default>", "range>", "meaning")
    for entry in stage["settings"]:
        limits = " … ".join(f"{limit:g}" for limit in entry["range"] or [])
        limits = " or ".join(entry["choices"]) or limits
        off = " or none" if entry["can_be_off"] and entry["default"] is not None else ""
        default = "found" if entry["default"] == [] else setting(entry["default"])
        rows.add_row(entry["name"], default, limits + off, entry["meaning"])
    console().print(rows)
