"""`nitido presets`: which stages each preset lets run, and how."""

from __future__ import annotations

from typing import Any

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.printing import console, print_json, table

EXAMPLES = """\b
Examples:
  nitido presets
  nitido restore song.wav --preset gentle
  nitido restore song.wav --dry-run              which one auto picks, and why
"""


@click.command(epilog=EXAMPLES)
@as_json
@verbose
def presets(as_json: bool) -> None:
    """List the presets, and how each treats the stages.

    The preset auto, the default, picks musicgen or song; plan, sidecar and report say which, and
    why. In the tables: auto, the findings decide; on, always; off, never. Settings that are not
    named have their default; 'nitido stages' lists them.
    """
    from nitido.restoration.preset import AUTO, AUTO_DESCRIPTION, load_preset, preset_names

    auto: dict[str, Any] = {
        "name": AUTO,
        "description": AUTO_DESCRIPTION,
        "budget_db": None,
        "stages": [],
    }
    described = [auto, *(_describe(load_preset(name)) for name in preset_names())]
    if as_json:
        print_json(described)
        return
    for preset in described:
        click.secho(preset["name"], bold=True, nl=False)
        click.echo(f"  {preset['description']}")
        if not preset["stages"]:
            continue
        rows = table("stage", "mode", "settings that differ from the default")
        for stage in preset["stages"]:
            rows.add_row(stage["stage"], stage["mode"], stage["difference"])
        console().print(rows)


def _describe(preset: Any) -> dict[str, Any]:
    from nitido.report.formatting import settings
    from nitido.restoration.registry import STAGES

    return {
        "name": preset.name,
        "description": preset.description,
        "budget_db": preset.budget_db,
        "stages": [
            {
                "stage": name,
                "mode": chosen.mode,
                "settings": dict(chosen.settings),
                "difference": settings(
                    {
                        key: value
                        for key, value in chosen.settings.items()
                        if value != STAGES[name].defaults[key]
                    }
                ),
            }
            for name, chosen in preset.stages.items()
        ],
    }
