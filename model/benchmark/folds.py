"""Folds: what is learned from and what is tested, and the folds inside that all choices are made on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from curate.errors import InputError
from model.data.splits import PART_NAMES

LEARNED = ("train", "val")  # parts of a split that may be learned from


@dataclass(frozen=True)
class Fold:
    """One outer fold: row numbers."""

    name: str
    learn: np.ndarray  # (n_learn,) rows that models and all choices may see
    test: np.ndarray  # (n_test,) rows whose targets are read once, by the score

    @property
    def slug(self) -> str:
        """The name in names of files: a label with slashes must not lead to another folder."""
        return quote(self.name, safe="") if "/" in self.name else self.name


def outer_folds(values: Sequence[Any], column: str) -> list[Fold]:
    """The folds of a column.

    Args:
        values: Of each row: a fold number, where each number is tested once; or train, val and test, which is
            one fold that learns from train and val.
        column: The column's name, for messages.

    Returns:
        The folds in the order of their names. Rows without a value are in none.

    Raises:
        InputError: The column holds neither, or only one fold.
    """
    parts = {value for value in values if value is not None}
    rows = np.arange(len(values))
    named = [PART_NAMES.get(str(value).lower()) for value in values]
    if "test" in named and set(named) & set(LEARNED):
        learn = np.array([part in LEARNED for part in named])
        test = np.array([part == "test" for part in named])
        return [Fold("test", rows[learn], rows[test])]
    if len(parts) < 2 or len(parts) > len(rows) // 2 or any(isinstance(p, float) for p in parts):
        raise InputError(
            f"--folds {column}: a column of fold numbers, or of train, val and test is needed; "
            f"it holds {len(parts)} different values"
        )
    given = np.array([value is not None for value in values])
    folds = []
    for part in sorted(parts, key=str):
        test = np.array([value == part for value in values])
        folds.append(Fold(str(part), rows[given & ~test], rows[test]))
    return folds


def inner_folds(learn: np.ndarray, n: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The rows of an outer fold that may be learned from, parted n times at random: (fit, held out)."""
    order = np.random.default_rng([seed, len(learn)]).permutation(len(learn))
    held_out = np.array_split(order, n)
    return [(learn[np.sort(np.setdiff1d(order, part))], learn[np.sort(part)]) for part in held_out]
