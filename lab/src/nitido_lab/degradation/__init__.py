"""Clean to degraded: single faults, lossy coders, and recipes of them as data."""

from nitido_lab.degradation.recipe import KINDS, PLANTED, apply, draw, plant

__all__ = ["KINDS", "PLANTED", "apply", "draw", "plant"]
