"""One file per step of Robocrystallographer that was slow; the same condensed structure, sooner."""

from curate.fast.condenser import FastCondenser

__all__ = ["FastCondenser"]
