"""Mineral name of a structure with a known fingerprint; stands in for robocrys' `MineralMatcher`.

The library compares the crystal with all 180 prototypes at each tolerance, copies its table of
fingerprints for each crystal and walks it row by row. Here only the prototypes of the crystal's
stoichiometry are compared at all, only those that matched are tried again at a tighter tolerance,
and the table is a few arrays, whose prototypes are reduced already (fast/minerals.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pymatgen.core.structure_matcher import StructureMatcher

from curate.describe.fast import rows
from curate.describe.fast.minerals import Minerals, proportions
from curate.describe.fast.prototypes import ReducedCell, find_fit, still_fits
from curate.describe.fast.reduction import Cell, primitive_cell, reduced_cell

LENGTH_TOLERANCE, SITE_TOLERANCE, ANGLE_TOLERANCE = 0.2, 0.3, 5.0  # the library's first ones
NEAREST = 0.4  # largest distance of fingerprints that are alike
TIGHTER = 0.8  # of each tolerance, while more than one prototype matches
TIGHTEST = 0.01  # length tolerance at which to stop


class FastMineralMatcher:
    """Robocrystallographer's mineral matcher on a fingerprint that is there already."""

    def __init__(self, minerals: Minerals):
        self._minerals = minerals
        self._with_proportions: dict[tuple[int, ...], set[int]] = {}
        for number, cell in enumerate(minerals.cells):
            self._with_proportions.setdefault(proportions(cell.counts), set()).add(number)

    def best_mineral_name(self, cell: Cell, fingerprint: np.ndarray) -> dict[str, Any]:
        """Name, distance (-1 for a matched prototype) and whether the number of elements agrees."""
        distance = rows.norm(self._minerals.fingerprints - fingerprint)
        order = np.argsort(distance)
        if matches := self._prototypes(cell, order):
            return _mineral(self._minerals.names[matches[0]], -1, True)
        near = order[distance[order] < NEAREST]
        if not len(near):
            return _mineral(None, -1, True)
        same = near[self._minerals.n_elements[near] == len(cell.species)]
        best = same[0] if len(same) else near[0]
        return _mineral(self._minerals.names[best], distance[best], bool(len(same)))

    def _prototypes(self, cell: Cell, order: np.ndarray) -> list[int]:
        """Prototypes that match at the tightest tolerance that leaves one, nearest first."""
        alike = self._with_proportions.get(proportions(np.bincount(cell.kind).tolist()))
        if not alike:
            return []
        candidates = [number for number in order.tolist() if number in alike]
        matcher = StructureMatcher(
            ltol=LENGTH_TOLERANCE, stol=SITE_TOLERANCE, angle_tol=ANGLE_TOLERANCE
        )
        # the library reduces the crystal before matching and again in the matcher
        reduced = ReducedCell.of(primitive_cell(reduced_cell(cell)))
        cells = self._minerals.cells
        fits = {
            n: find_fit(cells[n], reduced, matcher)
            for n in candidates
            if self._minerals.n_sites[n] % len(reduced.frac) == 0  # else no cell of that size
        }
        matches = {n: fit for n, fit in fits.items() if fit}
        while len(matches) > 1:
            matcher.ltol *= TIGHTER
            matcher.stol *= TIGHTER
            matcher.angle_tol *= TIGHTER
            fits = {n: still_fits(fit, cells[n], reduced, matcher) for n, fit in matches.items()}
            matches = {n: fit for n, fit in fits.items() if fit}
            if matcher.ltol < TIGHTEST:
                break
        return list(matches)


def _mineral(name: str | None, distance: float, same_elements: bool) -> dict[str, Any]:
    return {"type": name, "distance": distance, "n_species_type_match": same_elements}
