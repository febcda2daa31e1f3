"""What the models of a benchmark read of each crystal: a formula, numbers, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from model.text.tfidf import TfidfEncoder

Reads = tuple[str, ...]  # blocks of columns side by side: "composition", "descriptors", a text
TEXTS = ("text", "shuffled text")
TEXT_COLUMNS = 16  # the first components; more of them crowd out the descriptors


@dataclass(frozen=True)
class Inputs:
    """All crystals of a task, row by row."""

    ids: Sequence[str]
    targets: np.ndarray  # (n,) in the property's own unit
    numbers: Mapping[str, np.ndarray]  # (n, d) that need no fitting, NaN where none is known
    texts: Mapping[str, Sequence[str]]  # by name in TEXTS: (n,) words

    def blocks(self, fit: np.ndarray) -> Blocks:
        """The blocks, what has to be fitted learned from the rows `fit` alone."""
        return Blocks(self, fit)


@dataclass(frozen=True)
class Blocks:
    """The blocks as fitted on some rows; each is made once, when it is asked for."""

    inputs: Inputs
    fit: np.ndarray

    def table(self, reads: Reads) -> np.ndarray:
        """(n, d) columns of these blocks side by side, for all rows; NaN replaced by the mean of `fit`."""
        return np.hstack([self._block(name) for name in reads])

    def _block(self, name: str) -> np.ndarray:
        if name not in self._made:
            made = (
                self._text(name) if name in TEXTS else filled(self.inputs.numbers[name], self.fit)
            )
            self._made[name] = made
        return self._made[name]

    def _text(self, name: str) -> np.ndarray:
        texts = self.inputs.texts[name]
        encoder = TfidfEncoder.fit(texts[row] for row in self.fit)
        return encoder.vectors(texts).astype(float)[:, :TEXT_COLUMNS]

    @cached_property
    def _made(self) -> dict[str, np.ndarray]:
        return {}


def filled(values: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """NaN replaced by the column's mean over the rows `fit`; columns that are constant there left out."""
    seen = values[fit]
    known = ~np.isnan(seen)
    count = known.sum(0)
    mean = np.where(known, seen, 0).sum(0) / np.maximum(count, 1)
    whole = np.where(np.isnan(values), mean, values)
    return whole[:, np.ptp(whole[fit], axis=0) > 0]
