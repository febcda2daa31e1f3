"""Structures described in English by Robocrystallographer."""

from curate.describe.description import describe
from curate.describe.options import DescribeOptions
from curate.describe.render import render

__all__ = ["DescribeOptions", "describe", "render"]
