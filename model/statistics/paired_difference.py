"""Difference between the errors of two models, with an interval over trainings and crystals together.

Each error belongs to a training and to a crystal; other trainings and other crystals would both give another
mean. Two such crossed random factors are known from studies in which several readers judge the same cases,
and the interval is the one of that field:

- The variance of the mean over both factors is the unbiased one of Gallas (Academic Radiology 13, 353
  (2006)), from the mean products of two changes that share their training, their crystal, both, or neither.
  It asks for no balance: each training may have a test set of its own. Where all predict the same crystals
  it is that of Dorfman, Berbaum and Metz (Investigative Radiology 27, 723 (1992)).
- It is not let below the variance that the means of single trainings show.
- The quantile is Student's, with the degrees of freedom of Hillis (Statistics in Medicine 26, 596 (2007)):
  few trainings that differ much give the wide interval of few, crystals that differ much that of many.

Resampling both factors (Owen, Annals of Applied Statistics 1, 386 (2007)) estimates about the same variance,
but the percentiles of three resampled trainings are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
Errors = Mapping[tuple[Hashable, str], float]  # absolute, by training (as its seed) and material id


@dataclass(frozen=True)
class Difference:
    """Mean change of the absolute error, negative where the second model is better."""

    mean: float
    # 95 % interval over trainings and crystals; over crystals alone where one is trained.
    low: float
    high: float
    n: int  # crystals
    n_trainings: int = 1  # of each of the two models
    p: float = 1.0  # two-sided, of no difference; 1 where one training can't tell

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out and more than one training was made; nothing is corrected."""
        return self.n_trainings > 1 and (self.low > 0 or self.high < 0)


def paired_difference(base: Errors, other: Errors) -> Difference:
    """Compare two models on the trainings and crystals that both have.

    Args:
        base: Absolute errors of the first model. A training is named by what both models share: its seed,
            or its seed and fold.
        other: Absolute errors of the second model.

    Returns:
        The mean of `other - base` over all pairs, its interval, and the p-value of no difference. With one
        training the interval is over crystals alone and p is 1: nothing is known of other trainings.

    Raises:
        ValueError: The two have no pair of training and crystal in common.
    """
    both = [key for key in base if key in other]
    if not both:
        raise ValueError("the two models have no crystal of the same training in common")
    changes = np.array([other[key] - base[key] for key in both])
    trainings = codes([training for training, _ in both])
    crystals = codes([name for _, name in both])
    n_trainings, n_crystals = int(trainings.max()) + 1, int(crystals.max()) + 1
    mean = float(changes.mean())
    residuals = changes - mean
    if n_trainings == 1:
        half = quantile(n_crystals - 1) * math.sqrt(variance_over(residuals, crystals))
        return Difference(mean, mean - half, mean + half, n_crystals)
    of_trainings = variance_over(residuals, trainings)
    variance = max(of_trainings, variance_over_both(residuals, trainings, crystals))
    freedom = float(max(n_crystals, n_trainings) - 1)
    if of_trainings > 0:
        freedom = min(freedom, (variance / of_trainings) ** 2 * (n_trainings - 1))
    half = quantile(freedom) * math.sqrt(variance)
    p = two_sided(mean, math.sqrt(variance), freedom)
    return Difference(mean, mean - half, mean + half, n_crystals, n_trainings, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for being several, in their order.

    Holm, Scandinavian Journal of Statistics 6, 65 (1979): where those at or below 0.05 are all believed, the
    chance that any of them is wrong is at most 5 %, however they depend on each other.
    """
    n = len(p_values)
    corrected = [1.0] * n
    largest = 0.0
    for rank, number in enumerate(sorted(range(n), key=lambda number: p_values[number])):
        largest = max(largest, min(1.0, (n - rank) * p_values[number]))
        corrected[number] = largest
    return corrected


def codes(labels: Sequence[Hashable]) -> np.ndarray:
    """(n,) a number for each label, from 0, the same for equal ones."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels])


def variance_over(residuals: np.ndarray, clusters: np.ndarray) -> float:
    """Variance of a mean over one random factor, from the sums of its levels.

    Args:
        residuals: (n,) deviations from the mean.
        clusters: (n,) the training, or the crystal, of each, from 0.
    """
    n_clusters = int(clusters.max()) + 1
    if n_clusters == 1:
        return 0.0
    sums = np.bincount(clusters, residuals)
    return float(n_clusters / (n_clusters - 1) * (sums**2).sum() / len(residuals) ** 2)


def variance_over_both(residuals: np.ndarray, trainings: np.ndarray, crystals: np.ndarray) -> float:
    """Variance of a mean over two crossed random factors, unbiased; it may come out negative.

    Args:
        residuals: (n,) deviations from the mean, one for each pair of training and crystal.
        trainings: (n,) the training of each, from 0.
        crystals: (n,) the crystal of each, from 0.
    """
    n = len(residuals)
    # sums of products of two residuals, and how many ordered pairs they are
    itself, n_itself = (residuals**2).sum(), n
    training, n_training = sum_of_products(residuals, trainings)
    crystal, n_crystal = sum_of_products(residuals, crystals)
    neither = residuals.sum() ** 2 - training - crystal + itself
    n_neither = n**2 - n_training - n_crystal + n_itself
    level = neither / n_neither if n_neither else 0.0  # the squared mean, where nothing is shared
    shared = training + crystal - itself
    n_shared = n_training + n_crystal - n_itself
    return float((shared - n_shared * level) / n**2)


def sum_of_products(residuals: np.ndarray, clusters: np.ndarray) -> tuple[float, int]:
    """Sum of products over all ordered pairs of one cluster, those with itself included, and their number."""
    sums, counts = np.bincount(clusters, residuals), np.bincount(clusters)
    return float((sums**2).sum()), int((counts**2).sum())


def quantile(freedom: float) -> float:
    """How many standard errors the interval reaches to either side."""
    from scipy.stats import t

    return float(t.ppf((1 + LEVEL) / 2, freedom)) if freedom > 0 else 0.0


def two_sided(mean: float, error: float, freedom: float) -> float:
    """The chance of a mean at least as far from 0, where the truth is 0."""
    from scipy.stats import t

    if error == 0:
        return float(mean == 0)
    return float(2 * t.sf(abs(mean) / error, freedom))
