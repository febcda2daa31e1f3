"""Structure in, symmetry orbits of its sites out: equivalent sites are computed once and mapped.

Robocrystallographer computes each site of the conventional cell anew. A site that a space group
operation maps onto another has the same neighbours, turned; so one site of each orbit is enough.
The operations are those that hold to within `TIGHT`, far below every tolerance used afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import spglib
from pymatgen.core import Structure

TIGHT = 1e-5  # Å; an operation that moves a site further off its image is not used


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


def find_orbits(structure: Structure) -> Orbits:
    """The orbits of the sites of an ordered structure; each site its own where spglib finds none."""
    n = len(structure)
    frac, matrix = structure.frac_coords, structure.lattice.matrix
    alone = Orbits(
        np.arange(n), np.tile(np.eye(3, dtype=int), (n, 1, 1)), np.zeros((n, 3)), np.zeros((n, 3))
    )
    kinds = {species: number for number, species in enumerate(dict.fromkeys(structure.species))}
    numbers = np.array([kinds[species] + 1 for species in structure.species])
    try:
        found = spglib.get_symmetry_dataset((matrix, frac, numbers), symprec=TIGHT)
    except Exception:  # spglib raises or returns None where a tolerance this tight leads nowhere
        found = None
    if found is None or len(found.rotations) == 1:
        return alone
    return _with_operations(alone, frac, matrix, numbers, found.rotations, found.translations)


def _with_operations(alone, frac, matrix, numbers, rotations, translations) -> Orbits:
    representative = alone.representative.copy()
    rotation, translation, shift = alone.rotation, alone.translation, alone.shift
    done = np.zeros(len(frac), bool)
    for site in range(len(frac)):
        if done[site]:
            continue
        done[site] = True
        images = rotations @ frac[site] + translations  # (operations, 3)
        others = np.flatnonzero(~done & (numbers == numbers[site]))
        off = images[:, None] - frac[others]  # (operations, others, 3)
        whole = np.round(off)
        distance = np.linalg.norm((off - whole) @ matrix, axis=2)
        best = distance.argmin(axis=0)
        for column, other in enumerate(others):
            if distance[best[column], column] < TIGHT:
                done[other] = True
                representative[other] = site
                rotation[other] = rotations[best[column]]
                translation[other] = translations[best[column]]
                shift[other] = whole[best[column], column]
    return Orbits(representative, rotation, translation, shift)
