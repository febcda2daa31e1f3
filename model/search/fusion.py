"""Join two rankings by ranks alone, whose scores have no common scale.

Reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009, 758.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

K = 60  # of the paper
DEPTH = 1_000  # places of each ranking that count


def ranking(scores: np.ndarray, depth: int = DEPTH, above: float | None = None) -> np.ndarray:
    """Numbers of the best of (n,) scores, best first, of equal ones the first; none that is not larger than
    `above`."""
    depth = min(depth, len(scores))
    if not depth:
        return np.zeros(0, np.int64)
    least = np.partition(scores, len(scores) - depth)[len(scores) - depth]
    best = np.flatnonzero(
        scores > least
    )  # all that are certain, then the first of those on the border
    best = np.concatenate([best, np.flatnonzero(scores == least)[: depth - len(best)]])
    best = best[np.lexsort((best, -scores[best]))]
    return best if above is None else best[scores[best] > above]


def fused(rankings: Sequence[np.ndarray], k: int = K) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of all rankings, best first, with their scores: the sum of 1 / (k + place), from 1 on."""
    numbers = np.concatenate([np.zeros(0, np.int64), *rankings])
    added = np.concatenate(
        [np.zeros(0), *(1 / (k + np.arange(1, len(one) + 1)) for one in rankings)]
    )
    unique, places = np.unique(numbers, return_inverse=True)
    scores = np.bincount(places, added, len(unique))
    order = np.lexsort((unique, -scores))
    return unique[order], scores[order]
