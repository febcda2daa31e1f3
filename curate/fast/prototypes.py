"""Two reduced cells in, whether one is the other with elements exchanged; `StructureMatcher.fit_anonymous`.

The library reduces both cells at each call, copies both for each exchange of elements, and looks
for the lattice mappings anew each time. Here a cell is reduced once, and the mappings, which do not
depend on the elements, are found once for a pair. A pair whose cells differ in the number of atoms
of each element is refused without looking: the library returns False for it after all that work.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.core.structure_matcher import StructureMatcher
from pymatgen.util.coord_cython import is_coord_subset_pbc


class ReducedCell:
    """A structure's primitive Niggli cell, elements as numbers."""

    def __init__(self, structure: Structure):
        reduced = StructureMatcher._get_reduced_structure(structure, True, True)
        self.lattice = reduced.lattice
        self.frac = np.array(reduced.frac_coords)
        kinds = {species: number for number, species in enumerate(reduced.elements)}
        self.kind = np.array([kinds[site.specie] for site in reduced])  # (n,)
        self.counts = tuple(Counter(self.kind.tolist())[kind] for kind in range(len(kinds)))

    @cached_property
    def stoichiometry(self) -> tuple[int, ...]:
        """Number of atoms of each element, sorted: what an exchange of elements leaves alone."""
        return tuple(sorted(self.counts))


def fits(first: ReducedCell, second: ReducedCell, matcher: StructureMatcher) -> bool:
    """Whether some exchange of elements maps the first cell onto the second within tolerance."""
    if first.stoichiometry != second.stoichiometry:
        return False
    ratio = (second.lattice.volume / first.lattice.volume) ** (1 / 6)
    one = Lattice(first.lattice.matrix * ratio)
    two = Lattice(second.lattice.matrix / ratio)
    placed: list[_Placed] = []
    mappings = _placements(one, two, first, matcher)
    return any(
        _same(exchange, first, second, itertools.chain(placed, _kept(mappings, placed)), matcher)
        for exchange in itertools.permutations(range(len(second.counts)))
        if all(first.counts[a] == second.counts[b] for a, b in enumerate(exchange))
    )


class _Placed:
    """The first cell's atoms in a lattice like the second's, and the lattice between both."""

    def __init__(self, frac: np.ndarray, average: Lattice, stol: float):
        self.frac, self.average = frac, average
        self.normalization = (len(frac) / average.volume) ** (1 / 3)
        spread = stol / (np.pi * self.normalization)
        self.tolerance = np.array(average.reciprocal_lattice.abc) * spread


def _placements(
    one: Lattice, two: Lattice, first: ReducedCell, matcher: StructureMatcher
) -> Iterator[_Placed]:
    cart = one.get_cartesian_coords(first.frac)
    target = np.array(two.parameters)
    for lattice, _, scale in one.find_all_mappings(
        two, ltol=matcher.ltol, atol=matcher.angle_tol, skip_rotation_matrix=True
    ):
        if abs(abs(np.linalg.det(scale)) - 1) > 0.5:
            continue
        frac = lattice.get_fractional_coords(cart)
        average = Lattice.from_parameters(*((np.array(lattice.parameters) + target) / 2))
        yield _Placed(frac - np.floor(frac), average, matcher.stol)


def _kept(mappings: Iterator[_Placed], placed: list[_Placed]) -> Iterator[_Placed]:
    """The mappings not looked at so far, each remembered for the next exchange of elements."""
    for mapping in mappings:
        placed.append(mapping)
        yield mapping


def _same(exchange, first, second, mappings, matcher) -> bool:
    """Whether the atoms agree, in some mapping and after some shift, for one exchange of elements."""
    mask = (second.kind[:, None] != np.array(exchange)[first.kind]).astype(np.int64)
    anchor = int(mask.sum(axis=1).argmax())  # an atom of the rarest element of the second cell
    candidates = np.flatnonzero(mask[anchor] == 0)
    for placed in mappings:
        for candidate in candidates:
            shifted = second.frac + (placed.frac[candidate] - second.frac[anchor])
            if not is_coord_subset_pbc(
                shifted, placed.frac, placed.tolerance, mask, (True, True, True)
            ):
                continue
            spread = matcher.stol / (np.pi * placed.normalization)
            lll = np.array(placed.average.get_lll_reduced_lattice().reciprocal_lattice.abc)
            distances, _, _ = matcher._cart_dists(
                placed.frac, shifted, placed.average, mask, placed.normalization, lll * spread
            )
            if distances.max() < matcher.stol:
                return True
    return False
