"""Structure and fingerprint in, mineral name out; stands in for robocrys' `MineralMatcher`.

The library compares the crystal with all 180 prototypes at each tolerance, copies its table of
fingerprints for each crystal and walks it row by row. Here prototypes are reduced once a process,
only those of the crystal's stoichiometry are compared at all, only those that matched are tried
again at a tighter tolerance, and the table is three arrays.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from pymatgen.core import Structure
from pymatgen.core.structure_matcher import StructureMatcher
from robocrys.condense.mineral import MineralMatcher

from curate.describe.fast.prototypes import ReducedCell, find_fit, reduced_structure, still_fits

TIGHTER = 0.8  # of each tolerance, while more than one prototype matches
TIGHTEST = 0.01  # length tolerance at which to stop


class FastMineralMatcher(MineralMatcher):
    """Robocrystallographer's mineral matcher on a fingerprint that is there already."""

    def __init__(self):
        super().__init__()
        self._names = self.mineral_db["mineral"].to_numpy()
        self._n_elements = self.mineral_db["n_elems"].to_numpy()
        self._fingerprints = np.array(self.mineral_db["fingerprint"].tolist(), float)
        self._structures = self.mineral_db["structure"].to_list()
        self._with_proportions: dict[tuple[int, ...], set[int]] = {}
        for number, structure in enumerate(self._structures):
            self._with_proportions.setdefault(_proportions(structure), set()).add(number)
        self._reduced: dict[int, ReducedCell] = {}  # at most one for each prototype

    def best_mineral_name(self, structure: Structure, fingerprint: np.ndarray) -> dict[str, Any]:
        """Name, distance (-1 for a matched prototype) and whether the number of elements agrees."""
        distance = np.array([np.linalg.norm(row - fingerprint) for row in self._fingerprints])
        order = np.argsort(distance)
        if matches := self._prototypes(structure, order):
            return _mineral(self._names[matches[0]], -1, True)
        near = order[distance[order] < self.fingerprint_distance_cutoff]
        if not len(near):
            return _mineral(None, -1, True)
        same = near[self._n_elements[near] == structure.n_elems]
        best = same[0] if len(same) else near[0]
        return _mineral(self._names[best], distance[best], bool(len(same)))

    def _prototypes(self, structure: Structure, order: np.ndarray) -> list[int]:
        """Prototypes that match at the tightest tolerance that leaves one, nearest first."""
        alike = self._with_proportions.get(_proportions(structure))
        if not alike:
            return []
        candidates = [number for number in order.tolist() if number in alike]
        matcher = StructureMatcher(
            ltol=self.initial_ltol, stol=self.initial_stol, angle_tol=self.initial_angle_tol
        )
        # the library reduces the crystal before matching and again in the matcher
        cell = ReducedCell(reduced_structure(structure))
        fits = {
            n: find_fit(self._cell(n), cell, matcher)
            for n in candidates
            if len(self._structures[n]) % len(cell.frac) == 0  # else no cell of that size
        }
        matches = {n: fit for n, fit in fits.items() if fit}
        while len(matches) > 1:
            matcher.ltol *= TIGHTER
            matcher.stol *= TIGHTER
            matcher.angle_tol *= TIGHTER
            fits = {n: still_fits(fit, self._cell(n), cell, matcher) for n, fit in matches.items()}
            matches = {n: fit for n, fit in fits.items() if fit}
            if matcher.ltol < TIGHTEST:
                break
        return list(matches)

    def _cell(self, number: int) -> ReducedCell:
        if number not in self._reduced:
            self._reduced[number] = ReducedCell(self._structures[number])
        return self._reduced[number]


def _mineral(name: str | None, distance: float, same_elements: bool) -> dict[str, Any]:
    return {"type": name, "distance": distance, "n_species_type_match": same_elements}


def _proportions(structure: Structure) -> tuple[int, ...]:
    """Atoms of each species in the smallest formula, sorted: the same under exchange of elements."""
    counts = Counter(structure.species).values()
    divisor = math.gcd(*counts)
    return tuple(sorted(count // divisor for count in counts))
