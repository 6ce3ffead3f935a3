"""The course of a training as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nitido_lab.training.validation import CEILINGS_HZ, CODED


def draw_history(history: Sequence[dict[str, float]], path: Path) -> None:
    """Draw how unlike the music it sounds over the steps, the rule dashed beside it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps = [line["step"] for line in history]
    names = [f"{hz / 1000:g}-khz" for hz in CEILINGS_HZ] + [CODED]
    measured = [name for name in names if name in history[-1]]  # none without validation pieces
    for name in measured:
        colour = f"C{names.index(name)}"
        axes.plot(steps, [line[f"{name}-unlike"] for line in history], color=colour, label=name)
        axes.axhline(
            history[-1][f"{name}-rule-unlike"], color=colour, linestyle="--", linewidth=0.8
        )
    axes.set_xlabel("step")
    axes.set_ylabel("how unlike the music it sounds (dashed: the rule)")
    if measured:
        axes.legend()
    axes.grid(alpha=0.3)
    part = path.with_name(f".{path.name}")
    figure.savefig(part, format="png", dpi=100)
    part.replace(path)
