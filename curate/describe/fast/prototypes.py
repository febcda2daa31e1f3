"""Whether one cell is another with elements exchanged; stands in for `StructureMatcher.fit_anonymous`.

The library reduces both cells at each call, copies both for each exchange of elements, and looks
for the lattice mappings anew each time. Here a cell is reduced once, and the mappings, which do not
depend on the elements, are found once for a pair. A pair whose cells differ in the number of atoms
of each element is refused without looking: the library returns False for it after all that work.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pymatgen.core import Lattice
from pymatgen.core.structure_matcher import StructureMatcher
from pymatgen.util.coord_cython import is_coord_subset_pbc, pbc_shortest_vectors
from scipy.optimize import linear_sum_assignment

from curate.describe.fast import rows
from curate.describe.fast.reduction import CLEAR, Cell, ShortLattice, bases


class ReducedCell:
    """A structure's primitive Niggli cell, elements as numbers."""

    def __init__(self, lattice: Lattice, frac: np.ndarray, kind: np.ndarray):
        self.lattice = lattice
        self.frac = frac  # (n, 3) fractional coordinates
        self.kind = kind  # (n,) number of each atom's element, from 0
        counts = Counter(kind.tolist())
        self.counts = tuple(counts[number] for number in range(len(counts)))
        self.stoichiometry = tuple(sorted(self.counts))
        self.volume = abs(np.linalg.det(lattice.matrix))  # Å³

    @classmethod
    def of(cls, reduced: Cell) -> ReducedCell:
        """A cell that is reduced, its elements numbered as they come."""
        number = {kind: place for place, kind in enumerate(dict.fromkeys(reduced.kind.tolist()))}
        kind = np.array([number[kind] for kind in reduced.kind.tolist()])
        return cls(reduced.lattice, reduced.frac, kind)


@dataclass(frozen=True)
class Mapping:
    """The first cell's atoms in one of its lattices that is like the second's."""

    frac: np.ndarray  # (n, 3)
    parameters: np.ndarray  # lengths (Å) and angles (°) of that lattice (6,)
    target: np.ndarray  # of the second's
    normalization: float  # 1/Å; what distances are multiplied by, from the atoms' density
    per_stol: np.ndarray  # fractional tolerance along the average lattice's axes (3,), over stol

    @cached_property
    def average(self) -> ShortLattice:
        """The lattice between both."""
        return ShortLattice.from_parameters(*((self.parameters + self.target) / 2))

    @cached_property
    def reduced_per_stol(self) -> np.ndarray:
        """Fractional tolerance along the axes of the reduced average lattice (3,), over stol."""
        lengths = rows.norm(np.linalg.inv(self.average.lll_matrix).T)
        return 2 * lengths / self.normalization

    def is_within(self, matcher: StructureMatcher) -> bool:
        """Whether lengths and angles of both lattices agree within the matcher's tolerances."""
        ratio = self.parameters[:3] / self.target[:3]
        angle = np.abs(self.parameters[3:] - self.target[3:])
        return bool(
            (ratio < 1 + matcher.ltol).all()
            and (ratio > 1 / (1 + matcher.ltol)).all()
            and (angle <= matcher.angle_tol).all()
        )


def _parameters(matrix: np.ndarray) -> np.ndarray:
    """Lengths (Å) and angles (°) of lattices (..., 6)."""
    lengths = rows.norm(matrix)
    unit = matrix / lengths[..., None]
    cosine = rows.dot(unit[..., [1, 2, 0], :], unit[..., [2, 0, 1], :])
    return np.concatenate([lengths, np.degrees(np.arccos(np.clip(cosine, -1, 1)))], axis=-1)


@dataclass(frozen=True)
class Fit:
    """A way in which one cell is the other."""

    mapping: Mapping
    shifted: np.ndarray  # (n, 3) the second cell's atoms
    mask: np.ndarray  # (n, n) 1 where the elements differ

    def holds(self, matcher: StructureMatcher) -> bool:
        """Whether each atom finds its partner within the matcher's tolerance of positions."""
        mapping, shifted, mask, stol = self.mapping, self.shifted, self.mask, matcher.stol
        frac, tolerance = mapping.frac, mapping.per_stol * stol
        if not is_coord_subset_pbc(shifted, frac, tolerance, mask, (True, True, True)):
            return False
        tolerance = mapping.reduced_per_stol * stol
        vectors, squares = pbc_shortest_vectors(
            mapping.average, shifted, frac, mask, return_d2=True, lll_frac_tol=tolerance
        )
        off = vectors[linear_sum_assignment(squares)]
        off -= off.mean(axis=0)
        return bool(rows.norm(off).max() * mapping.normalization < stol)


def find_fit(first: ReducedCell, second: ReducedCell, matcher: StructureMatcher) -> Fit | None:
    """Some exchange of elements and mapping that takes the first cell onto the second."""
    if first.stoichiometry != second.stoichiometry:
        return None
    ratio = (second.volume / first.volume) ** (1 / 6)
    one, two = first.lattice.matrix * ratio, second.lattice.matrix / ratio
    longest = np.sort(rows.norm(two)) * (1 + matcher.ltol)
    if (np.sort(rows.norm(one)) > longest + CLEAR).any():  # and no lattice has shorter vectors
        return None
    mappings = _mappings(one, two, first, matcher)
    for exchange in itertools.permutations(range(len(second.counts))):
        if any(first.counts[a] != second.counts[b] for a, b in enumerate(exchange)):
            continue
        mask = (second.kind[:, None] != np.array(exchange)[first.kind]).astype(np.int64)
        anchor = int(mask.sum(axis=1).argmax())  # an atom of the second cell's rarest element
        partners = np.flatnonzero(mask[anchor] == 0)
        for mapping in mappings:
            for partner in partners:
                shift = mapping.frac[partner] - second.frac[anchor]
                fit = Fit(mapping, second.frac + shift, mask)
                if fit.holds(matcher):
                    return fit
    return None


def still_fits(
    fit: Fit, first: ReducedCell, second: ReducedCell, matcher: StructureMatcher
) -> Fit | None:
    """A fit at tighter tolerances: the known one where it still holds, else another."""
    if fit.mapping.is_within(matcher) and fit.holds(matcher):
        return fit
    return find_fit(first, second, matcher)


def _mappings(
    one: np.ndarray, two: np.ndarray, first: ReducedCell, matcher: StructureMatcher
) -> list[Mapping]:
    """The cells of the first lattice (rows, Å) that are like the second, and no larger than its own."""
    target = _parameters(two)
    whole, matrices = bases(Lattice(one), target, matcher.ltol, matcher.angle_tol)
    matrices = matrices[np.abs(np.abs(np.linalg.det(whole)) - 1) <= 0.5]
    frac = first.frac @ one @ np.linalg.inv(matrices)
    frac -= np.floor(frac)
    parameters = _parameters(matrices)
    lengths, angles = np.split((parameters + target) / 2, 2, axis=1)
    cosine, sine = np.cos(np.radians(angles)), np.sin(np.radians(angles))
    solid = np.sqrt(1 + 2 * cosine.prod(axis=1) - (cosine**2).sum(axis=1))
    normalization = (len(first.frac) / lengths.prod(axis=1) / solid) ** (1 / 3)
    reciprocal = sine / lengths / solid[:, None]
    per_stol = 2 * reciprocal / normalization[:, None]
    return [
        Mapping(atoms, lattice, target, density, tolerance)
        for atoms, lattice, density, tolerance in zip(
            frac, parameters, normalization.tolist(), per_stol, strict=True
        )
    ]
