"""numpy's arithmetic of single vectors, on all rows of an array at once and to the same last digit.

The product of an (n, 3) array and a matrix goes through another routine than that of one vector, and may
round in another way. Where the library goes through vectors one by one and then asks which of two
numbers is larger, the last digit can decide, so it has to be the same one.
"""

from __future__ import annotations

import math

import numpy as np


def times(vectors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """`np.dot(vector, matrix)` of each row (n, 3)."""
    return (vectors[:, None, :] @ matrix)[:, 0]


def dot(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """`np.dot(one, other)` along the last axis."""
    return np.vecdot(ones, others)


def norm(vectors: np.ndarray) -> np.ndarray:
    """`np.linalg.norm(vector)` along the last axis."""
    return np.sqrt(np.vecdot(vectors, vectors))


def cross(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """`np.cross(one, other)` of each row (n, 3); numpy's own spends most of its time on checks."""
    (ax, ay, az), (bx, by, bz) = ones.T, others.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)


def arccos(cosines: np.ndarray) -> np.ndarray:
    """`math.acos` of each element; numpy's own may differ in the last digit."""
    return np.array([math.acos(x) for x in cosines.ravel().tolist()]).reshape(cosines.shape)
