"""Scale of the descriptors, learned from the training crystals and saved beside the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curate.errors import InputError
from model.descriptors import chosen, column_names

CONSTANT = (
    1e-8  # deviation, relative to the mean where that is above 1, of a column that says nothing
)
FARTHEST = 10.0  # deviations from the training mean; what lies farther is brought there


@dataclass(frozen=True)
class DescriptorScale:
    """Which descriptors a model reads, which of their columns, and their mean and deviation."""

    names: list[str]  # of the descriptors
    recipes: list[dict[str, Any]]  # of each: all that changes its numbers besides the crystal
    columns: list[str]  # that are kept: those of a training crystal that vary
    mean: list[float]  # of each column kept, over the training crystals that have it
    std: list[float]

    @classmethod
    def fit(cls, names: Sequence[str], values: np.ndarray) -> DescriptorScale:
        """The scale of the training crystals.

        Args:
            names: Of the descriptors.
            values: (n_crystals, n_columns) of the training crystals, NaN where there is no number.

        Raises:
            InputError: No column varies, so that the descriptors say nothing.
        """
        there = np.isfinite(values)
        n = np.maximum(there.sum(0), 1)
        mean = np.where(there, values, 0).sum(0) / n
        std = np.sqrt(np.where(there, (values - mean) ** 2, 0).sum(0) / n)
        kept = np.flatnonzero(std > CONSTANT * np.maximum(1, np.abs(mean)))
        if not len(kept):
            raise InputError(
                f"--descriptors {' '.join(names)}: no number differs among the training crystals"
            )
        columns = column_names(names)
        return cls(
            list(names),
            recipes_of(names),
            [columns[number] for number in kept],
            mean[kept].tolist(),
            std[kept].tolist(),
        )

    @property
    def width(self) -> int:
        """How many numbers the network reads."""
        return len(self.columns)

    @property
    def widths(self) -> list[int]:
        """How many numbers the network reads of each descriptor that has any."""
        of_each = (
            sum(column.startswith(f"{name}: ") for column in self.columns) for name in self.names
        )
        return [width for width in of_each if width]

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """The numbers as the network reads them.

        Args:
            values: (n_crystals, n_columns), all columns of the descriptors.

        Returns:
            (n_crystals, width) float32; 0, the training mean, where a crystal has no number.
        """
        numbers = {column: number for number, column in enumerate(column_names(self.names))}
        chosen_values = values[:, [numbers[column] for column in self.columns]]
        scaled = (chosen_values - np.array(self.mean)) / np.array(self.std)
        return np.clip(np.where(np.isfinite(scaled), scaled, 0), -FARTHEST, FARTHEST).astype(
            np.float32
        )

    def check(self) -> None:
        """InputError where this version computes the descriptors otherwise than that of the training."""
        for name, recipe, now in zip(self.names, self.recipes, recipes_of(self.names), strict=True):
            if recipe != now:
                raise InputError(
                    f"the descriptor {name!r} of this version is not the one of the training; train the "
                    "model anew, or predict with the version that trained it"
                )


def recipes_of(names: Sequence[str]) -> list[dict[str, Any]]:
    """The recipe of each descriptor."""
    return [dict(descriptor.recipe) for descriptor in chosen(names)]
