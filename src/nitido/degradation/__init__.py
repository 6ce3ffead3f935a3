"""Clean to degraded: a demo piece, and what a generator's decoder would do to it."""

from nitido.degradation.ceiling import lower_ceiling
from nitido.degradation.comb import add_comb
from nitido.degradation.render import render

__all__ = ["add_comb", "lower_ceiling", "render"]
