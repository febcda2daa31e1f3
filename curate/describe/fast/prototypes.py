"""Whether one cell is another with elements exchanged; stands in for `StructureMatcher.fit_anonymous`.

The library reduces both cells at each call, copies both for each exchange of elements, and looks
for the lattice mappings anew each time. Here a cell is reduced once, and the mappings, which do not
depend on the elements, are found once for a pair. A pair whose cells differ in the number of atoms
of each element is refused without looking: the library returns False for it after all that work.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from pymatgen.core import Lattice
from pymatgen.core.structure_matcher import StructureMatcher
from pymatgen.util.coord_cython import is_coord_subset_pbc

from curate.describe.fast import rows
from curate.describe.fast.reduction import Cell, ShortLattice


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


class Mapping:
    """The first cell's atoms in one of its lattices that is like the second's."""

    def __init__(self, matrix: np.ndarray, target: np.ndarray, cart: np.ndarray):
        frac = cart @ np.linalg.inv(matrix)
        self.frac = frac - np.floor(frac)
        self.parameters, self.target = _parameters(matrix), target
        self.average = ShortLattice.from_parameters(*((self.parameters + self.target) / 2))
        volume = abs(np.linalg.det(self.average.matrix))
        self.normalization = (len(frac) / volume) ** (1 / 3)
        self._per_stol = _reciprocal_lengths(self.average.matrix) / (np.pi * self.normalization)

    def tolerance(self, stol: float) -> np.ndarray:
        """Largest difference of fractional coordinates (3,)."""
        return self._per_stol * stol

    def reduced_tolerance(self, stol: float) -> np.ndarray:
        """The same along the axes of the reduced average lattice."""
        return self._reduced_per_stol * stol

    @cached_property
    def _reduced_per_stol(self) -> np.ndarray:
        lengths = _reciprocal_lengths(self.average.lll_matrix)
        return lengths / (np.pi * self.normalization)

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
    """Lengths (Å) and angles (°) of a lattice (6,)."""
    lengths = rows.norm(matrix)
    unit = matrix / lengths[:, None]
    cosine = rows.dot(unit[[1, 2, 0]], unit[[2, 0, 1]])
    return np.concatenate([lengths, np.degrees(np.arccos(np.clip(cosine, -1, 1)))])


def _reciprocal_lengths(matrix: np.ndarray) -> np.ndarray:
    """Of the reciprocal lattice's vectors (3,), with the factor 2π, 1/Å."""
    return 2 * np.pi * rows.norm(np.linalg.inv(matrix).T)


@dataclass(frozen=True)
class Fit:
    """A way in which one cell is the other."""

    mapping: Mapping
    shifted: np.ndarray  # (n, 3) the second cell's atoms
    mask: np.ndarray  # (n, n) 1 where the elements differ

    def holds(self, matcher: StructureMatcher) -> bool:
        """Whether each atom finds its partner within the matcher's tolerance of positions."""
        mapping, shifted, mask = self.mapping, self.shifted, self.mask
        if not is_coord_subset_pbc(
            shifted, mapping.frac, mapping.tolerance(matcher.stol), mask, (True, True, True)
        ):
            return False
        distances, _, _ = matcher._cart_dists(
            mapping.frac,
            shifted,
            mapping.average,
            mask,
            mapping.normalization,
            mapping.reduced_tolerance(matcher.stol),
        )
        return bool(distances.max() < matcher.stol)


def find_fit(first: ReducedCell, second: ReducedCell, matcher: StructureMatcher) -> Fit | None:
    """Some exchange of elements and mapping that takes the first cell onto the second."""
    if first.stoichiometry != second.stoichiometry:
        return None
    ratio = (second.volume / first.volume) ** (1 / 6)
    one, two = first.lattice.matrix * ratio, second.lattice.matrix / ratio
    seen: list[Mapping] = []
    unseen = _mappings(one, two, first, matcher)
    for exchange in itertools.permutations(range(len(second.counts))):
        if any(first.counts[a] != second.counts[b] for a, b in enumerate(exchange)):
            continue
        mask = (second.kind[:, None] != np.array(exchange)[first.kind]).astype(np.int64)
        anchor = int(mask.sum(axis=1).argmax())  # an atom of the second cell's rarest element
        partners = np.flatnonzero(mask[anchor] == 0)
        for mapping in itertools.chain(seen, _remembered(unseen, seen)):
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
) -> Iterator[Mapping]:
    """The cells of the first lattice (rows, Å) that are like the second, and no larger than its own.

    They come in the order of `Lattice.find_all_mappings`.
    """
    target, longer, wider = _parameters(two), 1 + matcher.ltol, matcher.angle_tol
    found = Lattice(one).get_points_in_sphere(
        [[0, 0, 0]], [0, 0, 0], target[:3].max() * longer, zip_results=False
    )
    whole, distance = cast("tuple[np.ndarray, ...]", found)[:2]
    vectors = whole @ one
    ratio = distance / target[:3, None]
    a, b, c = map(np.flatnonzero, (ratio < longer) & (ratio > 1 / longer))

    def at_angle(i: np.ndarray, j: np.ndarray, angle: float) -> np.ndarray:
        cosine = (vectors[i] @ vectors[j].T) / distance[i, None] / distance[j]
        return np.abs(np.degrees(np.arccos(np.clip(cosine, -1, 1))) - angle) <= wider

    alpha, beta, gamma = target[3:]
    i, j, k = np.nonzero(
        at_angle(b, c, alpha) & at_angle(a, c, beta)[:, None] & at_angle(a, b, gamma)[:, :, None]
    )
    cells = np.stack([a[i], b[j], c[k]], axis=1)
    primitive = np.abs(np.abs(np.linalg.det(whole[cells])) - 1) <= 0.5
    cart = first.frac @ one
    for cell in cells[primitive]:
        yield Mapping(vectors[cell], target, cart)


def _remembered(unseen: Iterator[Mapping], seen: list[Mapping]) -> Iterator[Mapping]:
    """The mappings not looked at so far, each kept for the next exchange of elements."""
    for mapping in unseen:
        seen.append(mapping)
        yield mapping
