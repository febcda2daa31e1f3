"""Symmetry of a crystal and the orbits of its sites, with each symmetry search made once.

Robocrystallographer searches the symmetry of the crystal, searches it again to refine the cell
(the search has the refined cell already), and computes each site of the conventional cell anew. A
site that a space group operation maps onto another has the same neighbours, turned; so one site of
each orbit is enough. An operation is used where it holds to within `TIGHT`, far below every
tolerance used afterwards; conventional cells, whose positions are idealised, keep all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

TIGHT = 1e-5  # Å; an operation that moves a site further off its image is not used


class Symmetry(SpacegroupAnalyzer):
    """The library's analyzer, refining from the search already made."""

    @property
    def structure(self) -> Structure:
        """The structure analysed."""
        return cast("Structure", self._structure)

    def get_refined_structure(self, keep_site_properties: bool = False) -> Structure:
        """The idealised conventional cell; sites carry no properties here."""
        found = self.get_symmetry_dataset()
        species = [self._unique_species[number - 1] for number in found.std_types]
        return Structure(found.std_lattice, species, found.std_positions).get_sorted_structure()


@dataclass(frozen=True)
class Orbits:
    """For each site its representative and the operation that takes the representative there."""

    representative: np.ndarray  # (n,) index of the first site of the orbit
    rotation: np.ndarray  # (n, 3, 3) integers, acting on fractional coordinates
    translation: np.ndarray  # (n, 3) fractional
    shift: np.ndarray  # (n, 3) whole cells between the operation's result and the site

    @property
    def representatives(self) -> list[int]:
        """One site of each orbit, ascending."""
        return np.unique(self.representative).tolist()


def find_orbits(symmetry: Symmetry) -> Orbits:
    """The orbits of the sites of an ordered structure."""
    structure, found = symmetry.structure, symmetry.get_symmetry_dataset()
    frac, matrix = structure.frac_coords, structure.lattice.matrix
    n = len(frac)
    orbits = Orbits(
        np.arange(n), np.tile(np.eye(3, dtype=int), (n, 1, 1)), np.zeros((n, 3)), np.zeros((n, 3))
    )
    for first in np.unique(found.equivalent_atoms):
        others = np.flatnonzero(found.equivalent_atoms == first)
        first, others = others[0], others[1:]
        images = found.rotations @ frac[first] + found.translations  # (operations, 3)
        off = images[:, None] - frac[others]  # (operations, others, 3)
        whole = np.round(off)
        distance = (((off - whole) @ matrix) ** 2).sum(axis=2)
        best = distance.argmin(axis=0)
        column = np.arange(len(others))
        exact = distance[best, column] < TIGHT**2
        others, best, column = others[exact], best[exact], column[exact]
        orbits.representative[others] = first
        orbits.rotation[others] = found.rotations[best]
        orbits.translation[others] = found.translations[best]
        orbits.shift[others] = whole[best, column]
    return orbits
