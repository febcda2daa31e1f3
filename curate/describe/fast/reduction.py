"""The primitive cell of the Niggli cell, on arrays.

Stands in for `Structure.get_reduced_structure` and `get_primitive_structure`, which build a site object
for each atom at each step and a search tree for each atom of the cell. The steps and their tolerances
are the library's; the search ends as soon as no translation within the cell is left.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from pymatgen.core import Lattice, Structure

CLEAR = 1e-9  # of numbers about 1: more than rounding
TOLERANCE = 0.25  # Å along each axis, within which a translation takes an atom onto another


class ShortLattice(Lattice):
    """A lattice whose vectors are mostly as short as LLL reduction would make them.

    The library reduces step by step to find that out; here it is asked only where something is left.
    """

    @property
    def lll_matrix(self) -> np.ndarray:
        return self.matrix.copy() if self._is_reduced else super().lll_matrix

    @property
    def lll_inverse(self) -> np.ndarray:
        return np.eye(3) if self._is_reduced else super().lll_inverse

    def find_mapping(self, other_lattice, ltol=1e-5, atol=1, skip_rotation_matrix=False):
        """As the library's, on arrays, without a rotation matrix."""
        target = np.array([*other_lattice.lengths, *other_lattice.angles])
        whole, matrices = bases(self, target, ltol, atol)
        determinant = np.linalg.det(whole)
        places = np.flatnonzero(np.abs(determinant) > 0.5)
        if not len(places):
            return None
        proper = places[determinant[places] > 0]
        chosen = (proper if len(proper) else places)[0]
        return type(self)(matrices[chosen]), None, whole[chosen]

    @cached_property
    def _is_reduced(self) -> bool:
        """Whether the LLL conditions (δ = 3/4) hold, clear of rounding."""
        a, b, c = self.matrix
        ab = (a @ b) / (a @ a)
        b_normal = b - ab * a
        ac, bc = (a @ c) / (a @ a), (b_normal @ c) / (b_normal @ b_normal)
        c_normal = c - ac * a - bc * b_normal
        return bool(
            max(abs(ab), abs(ac), abs(bc)) < 0.5 - CLEAR
            and b_normal @ b_normal > (0.75 - ab**2 + CLEAR) * (a @ a)
            and c_normal @ c_normal > (0.75 - bc**2 + CLEAR) * (b_normal @ b_normal)
        )


def bases(
    lattice: Lattice, target: np.ndarray, longer: float, wider: float
) -> tuple[np.ndarray, np.ndarray]:
    """Triples of a lattice's vectors, alike in lengths and angles to other ones.

    Args:
        lattice: The lattice.
        target: Lengths (Å) and angles (°) to compare with (6,).
        longer: By what share of a length they may differ.
        wider: By how many degrees.

    Returns:
        The triples, which need not be independent, as whole numbers and in Å (m, 3, 3); they come in
        the order of `Lattice.find_all_mappings`.
    """
    found = lattice.get_points_in_sphere(
        [[0, 0, 0]], [0, 0, 0], target[:3].max() * (1 + longer), zip_results=False
    )
    whole, distance = cast("tuple[np.ndarray, ...]", found)[:2]
    vectors = whole @ lattice.matrix
    ratio = distance / target[:3, None]
    a, b, c = map(np.flatnonzero, (ratio < 1 + longer) & (ratio > 1 / (1 + longer)))

    def at_angle(i: np.ndarray, j: np.ndarray, angle: float) -> np.ndarray:
        cosine = (vectors[i] @ vectors[j].T) / distance[i, None] / distance[j]
        return np.abs(np.degrees(np.arccos(np.clip(cosine, -1, 1))) - angle) <= wider

    alpha, beta, gamma = target[3:]
    i, j, k = np.nonzero(
        at_angle(b, c, alpha) & at_angle(a, c, beta)[:, None] & at_angle(a, b, gamma)[:, :, None]
    )
    cells = np.stack([a[i], b[j], c[k]], axis=1)
    return whole[cells], vectors[cells]


@dataclass(frozen=True)
class Cell:
    """An ordered crystal's cell, species as numbers."""

    lattice: Lattice
    frac: np.ndarray  # (n, 3) fractional coordinates
    kind: np.ndarray  # (n,) number of each atom's species
    species: tuple[Any, ...]  # of each number

    @classmethod
    def of(cls, structure: Structure) -> Cell:
        """The cell of a structure, its species numbered in the order of their names."""
        at_sites = structure.species
        species = tuple(sorted(set(at_sites), key=str))
        number = {one: number for number, one in enumerate(species)}
        kind = np.array([number[one] for one in at_sites])
        return cls(structure.lattice, structure.frac_coords, kind, species)

    def position(self, site: int) -> np.ndarray:
        """Å; of one atom (3,)."""
        return self.lattice.get_cartesian_coords(self.frac[site])

    def to_structure(self) -> Structure:
        """The cell as a pymatgen Structure."""
        return Structure(self.lattice, [self.species[kind] for kind in self.kind], self.frac)


def reduced_cell(cell: Cell) -> Cell:
    """The primitive cell of the Niggli cell, as the library's matcher takes it."""
    return primitive_cell(_niggli(cell))


def primitive_cell(cell: Cell) -> Cell:
    """The smallest cell whose translations take each atom onto one of its species."""
    groups = [cell.frac[cell.kind == kind] for kind in range(len(cell.species))]
    units = math.gcd(*map(len, groups))
    translations = _translations(cell, groups) if units > 1 else np.zeros((1, 3))
    if len(translations) == 1:  # the one that moves nothing
        return cell
    tolerance = TOLERANCE / np.array(cell.lattice.abc)
    for size, supercells in _supercells(units):
        off = np.linalg.inv(supercells)[:, :, None] - translations
        off -= np.round(off)
        present = (np.abs(off) < tolerance).all(axis=3).any(axis=2).all(axis=1)
        for supercell in supercells[present]:
            if found := _folded(cell, groups, supercell, size):
                return _niggli(primitive_cell(found))
    return cell


def _niggli(cell: Cell) -> Cell:
    lattice = ShortLattice(cell.lattice.matrix).get_niggli_reduced_lattice()
    if lattice == cell.lattice:
        return cell
    frac = lattice.get_fractional_coords(cell.lattice.get_cartesian_coords(cell.frac))
    return Cell(lattice, frac % 1, cell.kind, cell.species)


def _translations(cell: Cell, groups: list[np.ndarray]) -> np.ndarray:
    """The translations (m, 3) that take each atom near to one of its species.

    They come from the rarest species; twice the tolerance, since both ends are approximate.
    """
    tolerance = 2 * TOLERANCE / np.array(cell.lattice.abc)
    rarest = min(groups, key=len)
    translations = rarest - rarest[0]
    for group in sorted(groups, key=len):
        for frac in group:
            off = translations[:, None] - (group - frac)
            off -= np.round(off)
            translations = translations[(np.abs(off) < tolerance).all(axis=2).any(axis=1)]
            if len(translations) == 1:
                return translations
    return translations


def _supercells(units: int) -> Iterator[tuple[int, np.ndarray]]:
    """The Hermite normal forms (m, 3, 3) of determinants that divide the number of formula units."""
    for size in _divisors(units)[1:]:
        for a in _divisors(size):
            for e in _divisors(size // a):
                g = size // a // e
                places = itertools.product(range(a), range(a), range(e))
                yield size, np.array([[[a, b, c], [0, e, f], [0, 0, g]] for b, c, f in places])


def _divisors(n: int) -> list[int]:
    return [divisor for divisor in range(1, n + 1) if n % divisor == 0]


def _folded(cell: Cell, groups: list[np.ndarray], supercell: np.ndarray, size: int) -> Cell | None:
    """The cell of which this one is the supercell; None where atoms do not fall onto each other.

    Atoms that do are averaged.
    """
    lattice = Lattice(np.linalg.inv(supercell) @ cell.lattice.matrix)
    tolerance = TOLERANCE / np.array(lattice.abc)
    apart = 2 * TOLERANCE / np.array(cell.lattice.abc)
    kept: list[np.ndarray] = []
    for group in groups:
        before = group[None] - group[:, None]
        before -= np.round(before)
        frac = group @ supercell
        off = frac[None] - frac[:, None]
        off -= np.round(off)
        # neighbours of the large cell must not become one atom
        free = (np.abs(before) > apart).any(axis=2) | np.eye(len(group), dtype=bool)
        same = (np.abs(off) < tolerance).all(axis=2) & free
        if not (same.sum(axis=0) == size).all():
            return None
        if not all(same[members][:, members].all() for members in same):
            return None
        first = np.flatnonzero(same.argmax(axis=1) == np.arange(len(group)))
        mean = (off * same[:, :, None]).sum(axis=1) / size
        kept.append(frac[first] % 1 + mean[first])
    kind = np.repeat(np.arange(len(kept)), [len(frac) for frac in kept])
    return Cell(lattice, np.concatenate(kept), kind, cell.species)
