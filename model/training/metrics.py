"""Scores of predictions: MAE, MAD, RMSE."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def scores(target: ArrayLike, prediction: ArrayLike, guess: float) -> dict[str, float | int | None]:
    """MAE, RMSE, and MAD: the MAE of always saying `guess`, the mean of the training targets.

    MAD:MAE compares properties: above 1 is better than the guess, 5 is usually called good.
    """
    wanted, found = np.asarray(target, float), np.asarray(prediction, float)
    mae = float(np.abs(found - wanted).mean())
    mad = float(np.abs(guess - wanted).mean())
    return {
        "n": len(wanted),
        "mae": mae,
        "mad": mad,
        "mad_mae": mad / mae if mae else None,
        "rmse": float(np.sqrt(((found - wanted) ** 2).mean())),
    }


def line(part: str, score: dict[str, float | int | None], unit: str) -> str:
    """One line of a table of scores, with how many crystals lie within their margins where that is known."""
    ratio = f"{score['mad_mae']:.2f}" if score["mad_mae"] else "-"
    level, held = score.get("level"), score.get("held")
    within = "" if level is None else f", {held} within their margins ({100 * level:g} %)"
    return (
        f"{part:<5}  MAE {score['mae']:.4f} {unit}  MAD:MAE {ratio}  "
        f"RMSE {score['rmse']:.4f}  n {score['n']}{within}"
    )
