"""Margins by split-conformal prediction: what holds for crystals that nothing was learned from.

Scores are errors over the width that is expected of a crystal (1 for all: a constant margin). The margin of a
new crystal is its width times a quantile of the scores of calibration crystals. Where those and the new one
could be exchanged, at least `level` of the margins hold, whatever the model, its errors and the widths are:
Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World* (2005); Lei, G'Sell, Rinaldo, Tibshirani
and Wasserman, J. Am. Stat. Assoc. 113, 1094 (2018), whose section 5.2 has the local widths.
"""

from __future__ import annotations

import math

import numpy as np

from curate.errors import InputError

LEVEL = 0.9  # share of the margins that hold, where nothing else is asked for


def check_level(level: float) -> None:
    """InputError where a share of margins is none."""
    if not 0 < level < 1:
        raise InputError(f"--level must be above 0 and below 1, as 0.9, not {level}")


def conformal_quantile(scores: np.ndarray, level: float) -> float:
    """The ceil((n + 1) · level)-th smallest of n scores; infinite where there are too few for the level."""
    rank = math.ceil(round((len(scores) + 1) * level, 9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def fewest(level: float) -> int:
    """Scores that a level needs: 9 for 0.9."""
    return math.ceil(round(level / (1 - level), 9))


def certain_half(errors: np.ndarray, widths: np.ndarray) -> float | None:
    """Mean error of the half of all crystals with the smallest widths, over the mean error of all.

    None where all widths are equal, or there is no error.
    """
    mean = float(np.mean(errors)) if len(errors) > 1 else 0.0
    if not mean or np.ptp(widths) == 0:
        return None
    half = np.argsort(widths, kind="stable")[: len(errors) // 2]
    return float(np.mean(np.asarray(errors)[half])) / mean
