"""Clean to degraded: single faults, lossy coders, and recipes of them as data."""

from nitido_lab.degradation.recipe import KINDS, apply, draw

__all__ = ["KINDS", "apply", "draw"]
