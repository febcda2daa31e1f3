"""Difference between the errors of two models on the same crystals, with a bootstrap interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
Errors = Mapping[tuple[int, str], float]  # absolute error by seed and material id


@dataclass(frozen=True)
class Difference:
    """Mean change of the absolute error, negative where the second model is better."""

    mean: float
    low: float  # 95 % interval
    high: float
    n: int  # crystals

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


def paired_difference(base: Errors, other: Errors, seed: int = 0) -> Difference:
    """Bootstrap over crystals: one drawn brings all its seeds, for they are not independent.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), percentile interval. It tells what
    other test crystals would change, not what other trainings would: that is the spread over seeds.
    """
    both = sorted(base.keys() & other.keys())
    names, crystal = np.unique([name for _, name in both], return_inverse=True)
    changes = np.array([other[key] - base[key] for key in both])
    total = np.bincount(crystal, changes)
    count = np.bincount(crystal)
    chance = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        drawn = chance.integers(len(names), size=len(names))
        means[number] = total[drawn].sum() / count[drawn].sum()
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(float(changes.mean()), float(low), float(high), len(names))
