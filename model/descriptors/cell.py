"""Numbers of the cell and of the distances in it: density, symmetry, contacts, layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.record import StructureRecord
from model.descriptors.descriptor import Described, Descriptor
from model.descriptors.elements import atomic_numbers, elemental

if TYPE_CHECKING:
    from pymatgen.core import Lattice

SYMPREC = 0.1  # Å, of the space group
LAYER_GAP = 1.2  # Å; an empty slab at least that thick parts layers
REACH = 6.0  # Å, within which an atom's nearest neighbour is searched
DALTON = 1.66053907  # g/cm³ that one u/Å³ is (CODATA 2018)


class Cell(Descriptor):
    """What a glance at the cell tells; the empty space beside a layer counts for nothing but its own size."""

    names = (
        *("atoms", "volume per atom", "density", "packing", "space group", "crystal system"),
        *("shortest axis", "longest axis", "axes ratio", "least angle", "greatest angle"),
        *("nearest contact", "mean contact", "furthest contact", "deviation of contacts"),
        *("mean relative contact", "least relative contact", "greatest relative contact"),
        *("gap", "thickness", "area per atom", "layers", "volume per atom in layers"),
    )

    def compute(self, material: Described) -> np.ndarray:
        """(23,) numbers; lengths in Å, density in g/cm³, angles in degrees.

        `packing` is the volume of atoms of covalent radius over that of the cell; a relative contact is a
        distance over the sum of the covalent radii; `gap` is the thickest empty slab parallel to two cell
        vectors.
        """
        from pymatgen.core import Lattice

        record = material.record
        matrix, positions, numbers, group = primitive(record)
        lattice = Lattice(matrix)
        radii = elemental("CovalentRadius")[numbers] / 100  # tabulated in pm
        weight = elemental("AtomicWeight")[numbers].sum()
        volume, n = lattice.volume, len(numbers)
        contacts, relative = nearest_contacts(lattice, positions, numbers, radii)
        gap, thickness, area, layers = layering(matrix, positions)
        filled = area * thickness if layers else volume
        return np.array(
            [
                *(
                    n,
                    volume / n,
                    weight / volume * DALTON,
                    4 / 3 * np.pi * (radii**3).sum() / volume,
                ),
                *(group, crystal_system(group)),
                *(min(lattice.abc), max(lattice.abc), max(lattice.abc) / min(lattice.abc)),
                *(min(lattice.angles), max(lattice.angles)),
                *(contacts.min(), contacts.mean(), contacts.max(), contacts.std()),
                *(relative.mean(), relative.min(), relative.max()),
                *(gap, thickness, area / n, layers, filled / n),
            ]
        )


def primitive(record: StructureRecord) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """The primitive, Niggli-reduced cell, so that all cells of a crystal have the same numbers.

    Returns:
        (3, 3) cell vectors and (n, 3) positions in Å, (n,) atomic numbers, number of the space group; the
        record's own cell and NaN where spglib finds no symmetry.
    """
    import spglib

    matrix = np.array(record.lattice_vectors)
    positions = np.array(record.cartesian_site_positions)
    numbers = np.array([atomic_numbers()[symbol] for symbol in record.species_at_sites])
    cell: Any = (matrix, positions @ np.linalg.inv(matrix), numbers)
    found = spglib.get_symmetry_dataset(cell, symprec=SYMPREC)
    smaller: Any = spglib.standardize_cell(
        cell, to_primitive=True, no_idealize=True, symprec=SYMPREC
    )
    if found is None or smaller is None:
        return matrix, positions, numbers, np.nan
    matrix, fractional, numbers = smaller
    positions = fractional @ matrix
    reduced = spglib.niggli_reduce(matrix)
    return matrix if reduced is None else reduced, positions, np.array(numbers), float(found.number)


def crystal_system(group: float) -> float:
    """0 triclinic, monoclinic, orthorhombic, tetragonal, trigonal, hexagonal, 6 cubic."""
    if np.isnan(group):
        return np.nan
    return float(np.searchsorted((2, 15, 74, 142, 167, 194), group))


def nearest_contacts(
    lattice: Lattice, positions: np.ndarray, numbers: np.ndarray, radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How near the nearest other atom is, of each atom.

    Args:
        lattice: Cell vectors in Å.
        positions: (n, 3) in Å.
        numbers: (n,) atomic numbers.
        radii: (n,) covalent radii in Å.

    Returns:
        (n,) distances in Å and (n,) the same over the sum of the two radii; REACH, and the mean, where there
        is no atom within REACH.
    """
    from pymatgen.core import Structure

    structure = Structure(lattice, numbers.tolist(), positions, coords_are_cartesian=True)
    one, other, _, distance = structure.get_neighbor_list(REACH)
    nearest = np.full(len(radii), REACH)
    np.minimum.at(nearest, one, distance)
    relative = np.full(len(radii), np.inf)
    np.minimum.at(relative, one, distance / (radii[one] + radii[other]))
    seen = np.isfinite(relative)
    relative[~seen] = relative[seen].mean() if seen.any() else np.nan
    return nearest, relative


def layering(matrix: np.ndarray, positions: np.ndarray) -> tuple[float, float, float, float]:
    """The thickest empty slab parallel to two cell vectors, and what it parts.

    Returns:
        Thickness of the slab and of what lies between two of its kind, in Å; area of the cell's face along
        it, in Å²; number of layers in the cell, 0 where the slab is thinner than LAYER_GAP.
    """
    fractional = positions @ np.linalg.inv(matrix) % 1
    best = (-1.0, 0.0, 0.0, 0.0)
    volume = abs(np.linalg.det(matrix))
    for axis in range(3):
        area = float(np.linalg.norm(np.cross(matrix[axis - 1], matrix[axis - 2])))
        height = volume / area
        heights = np.sort(fractional[:, axis])
        gaps = np.diff(np.append(heights, heights[0] + 1)) * height
        layers = int((gaps >= max(LAYER_GAP, 0.85 * gaps.max())).sum())
        if gaps.max() > best[0]:
            thickness = (height - layers * gaps.max()) / max(layers, 1)
            best = (float(gaps.max()), max(thickness, 0.0), area, float(layers))
    return best
