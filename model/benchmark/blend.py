"""A blend of models: shares that add up to one, chosen on crystals none of them learned from."""

from __future__ import annotations

import numpy as np


def shares(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The shares with the least mean absolute error.

    A linear program: each error is bounded from both sides, and the sum of the bounds is least.

    Args:
        predictions: (n, n_models) for crystals that the models did not learn from.
        targets: (n,)

    Returns:
        (n_models,) none negative, adding up to 1.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, eye_array, hstack, vstack

    n, n_models = predictions.shape
    bounds = eye_array(n)
    table = csr_array(predictions)
    solved = linprog(
        c=np.r_[np.zeros(n_models), np.ones(n)],
        A_ub=vstack([hstack([table, -bounds]), hstack([-table, -bounds])], format="csr"),
        b_ub=np.r_[targets, -targets],
        A_eq=np.r_[np.ones(n_models), np.zeros(n)][None],
        b_eq=[1.0],
        method="highs",
    )
    found = np.maximum(solved.x[:n_models], 0)
    return found / found.sum()
