"""Symmetry of a crystal and the orbits of its sites, with each symmetry search made once.

Robocrystallographer searches the symmetry of the crystal, searches it again to refine the cell
(the search has the refined cell already), searches that of the conventional cell (its operations are
those listed for the space group), and computes each site of the conventional cell anew. A site that a
space group operation maps onto another has the same neighbours, turned; so one site of each orbit is
enough. An operation is used where it holds to within `TIGHT`, far below every tolerance used afterwards;
conventional cells, whose positions are idealised, keep all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import spglib
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from curate.describe.fast.reduction import Cell

TIGHT = 1e-5  # Å; an operation that moves a site further off its image is not used
STILL = 1e-4  # Å; a hundredth of the tolerance of a search


@dataclass(frozen=True)
class CellSymmetry:
    """A structure, the operations that hold in it, and which of its sites they exchange."""

    structure: Structure
    cell: Cell  # of the structure
    rotations: np.ndarray  # (operations, 3, 3) integers, acting on fractional coordinates
    translations: np.ndarray  # (operations, 3) fractional
    equivalent: np.ndarray  # (n,) first site of the orbit of each site


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
        return sorted_structure(Lattice(found.std_lattice), species, found.std_positions)

    def of_cell(self) -> CellSymmetry:
        """The operations found in the structure."""
        found = self.get_symmetry_dataset()
        cell = Cell.of(self.structure)
        return CellSymmetry(
            self.structure, cell, found.rotations, found.translations, found.equivalent_atoms
        )

    def of_conventional_cell(self) -> CellSymmetry:
        """The conventional standard cell with its operations.

        They are those listed for the space group, where these hold in it. A search could find more of
        them only if idealising the cell brought an operation within the tolerance that was outside
        before; so where atoms moved, it is made.
        """
        structure = self.get_conventional_standard_structure()
        listed = self._listed_operations(structure) if self._moved() < STILL else None
        return listed or Symmetry(structure, symprec=self._symprec).of_cell()

    def _moved(self) -> float:
        """How far idealising the cell moves an atom at most, Å."""
        found = self.get_symmetry_dataset()
        frac = self.structure.frac_coords @ found.transformation_matrix.T + found.origin_shift
        off = frac[:, None] - found.std_positions
        off -= np.round(off)
        squares = ((off @ found.std_lattice) ** 2).sum(axis=2)
        return float(np.sqrt(squares.min(axis=1).max()))

    def _listed_operations(self, structure: Structure) -> CellSymmetry | None:
        """The space group's operations, in the setting of the search; None if they do not hold."""
        listed = spglib.get_symmetry_from_database(self.get_symmetry_dataset().hall_number)
        assert listed is not None  # the number is one that spglib gave
        rotations, translations = listed["rotations"], listed["translations"]
        cell = Cell.of(structure)
        matrix, frac, kind = cell.lattice.matrix, cell.frac, cell.kind
        metric = matrix @ matrix.T
        turned = rotations.transpose(0, 2, 1) @ metric @ rotations
        if np.abs(turned - metric).max() > TIGHT * metric.max():
            return None
        equivalent = np.full(len(frac), -1)
        for site in range(len(frac)):
            if equivalent[site] >= 0:
                continue
            off = (rotations @ frac[site] + translations)[:, None] - frac  # (operations, n, 3)
            off -= np.round(off)
            squares = ((off @ matrix) ** 2).sum(axis=2)
            squares[:, kind != kind[site]] = np.inf
            if squares.min(axis=1).max() > TIGHT**2:
                return None
            equivalent[squares.argmin(axis=1)] = site
        return CellSymmetry(structure, cell, rotations, translations, equivalent)


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


def sorted_structure(
    lattice: Lattice, species: Sequence[Composition], frac: np.ndarray
) -> Structure:
    """What `get_sorted_structure` makes of sites (n, 3) that hold these species."""
    places = {one: _Place(one) for one in set(species)}
    order = sorted(range(len(species)), key=lambda site: places[species[site]])
    return Structure(lattice, [species[site] for site in order], frac[order])


class _Place:
    """Where the library sorts the sites of a species: by electronegativity, then by name."""

    def __init__(self, species: Composition):
        (element,) = species
        self.x, self.name = element.X, str(element)

    def __lt__(self, other: _Place) -> bool:
        if self.x < other.x or self.x > other.x:  # neither where one has none
            return bool(self.x < other.x)
        return self.name < other.name


def find_orbits(symmetry: CellSymmetry) -> Orbits:
    """The orbits of the sites of an ordered structure."""
    frac, matrix = symmetry.cell.frac, symmetry.cell.lattice.matrix
    n = len(frac)
    orbits = Orbits(
        np.arange(n), np.tile(np.eye(3, dtype=int), (n, 1, 1)), np.zeros((n, 3)), np.zeros((n, 3))
    )
    for first in np.unique(symmetry.equivalent):
        others = np.flatnonzero(symmetry.equivalent == first)
        first, others = others[0], others[1:]
        images = symmetry.rotations @ frac[first] + symmetry.translations  # (operations, 3)
        off = images[:, None] - frac[others]  # (operations, others, 3)
        whole = np.round(off)
        distance = (((off - whole) @ matrix) ** 2).sum(axis=2)
        best = distance.argmin(axis=0)
        column = np.arange(len(others))
        exact = distance[best, column] < TIGHT**2
        others, best, column = others[exact], best[exact], column[exact]
        orbits.representative[others] = first
        orbits.rotation[others] = symmetry.rotations[best]
        orbits.translation[others] = symmetry.translations[best]
        orbits.shift[others] = whole[best, column]
    return orbits
