"""Structure record in, English description out."""

from curate.describe.description import DescribeOptions, describe, render

__all__ = ["DescribeOptions", "describe", "render"]
