"""Clean to degraded: a demo piece, single faults, lossy coders, and recipes of them as data."""

from nitido.degradation.ceiling import lower_ceiling
from nitido.degradation.comb import add_comb
from nitido.degradation.recipe import KINDS, apply, draw
from nitido.degradation.render import render

__all__ = ["KINDS", "add_comb", "apply", "draw", "lower_ceiling", "render"]
