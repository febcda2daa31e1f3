"""The composition of a crystal as the fraction of each element."""

from __future__ import annotations

from collections import Counter
from functools import cached_property

import numpy as np

from model.descriptors.descriptor import Described, Descriptor

LAST_ELEMENT = 103  # lawrencium


class Composition(Descriptor):
    """The fraction of each element from hydrogen to lawrencium; 0 where the crystal has none of it."""

    @cached_property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        """`fraction of H` to `fraction of Lr`."""
        from pymatgen.core import Element

        symbols = (Element.from_Z(number).symbol for number in range(1, LAST_ELEMENT + 1))
        return tuple(f"fraction of {symbol}" for symbol in symbols)

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {name.removeprefix("fraction of "): n for n, name in enumerate(self.names)}

    def compute(self, material: Described) -> np.ndarray:
        """(103,) fractions that add up to 1, or to less where an element is heavier than lawrencium."""
        species = material.record.species_at_sites
        fractions = np.zeros(len(self.names))
        for symbol, count in Counter(species).items():
            if symbol in self._columns:
                fractions[self._columns[symbol]] = count / len(species)
        return fractions
