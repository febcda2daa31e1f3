"""One file per step of Robocrystallographer that was slow; the same condensed structure, sooner."""

from curate.describe.fast.condenser import FastCondenser

__all__ = ["FastCondenser"]
