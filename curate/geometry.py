"""What a cell must have before anything is made of it: a volume, finite numbers and room for its atoms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.record import StructureRecord

if TYPE_CHECKING:
    from pymatgen.core import Structure

# Å3 for an atom, a cube of 46 Å; lengths in pm would give a million times a crystal's.
MOST_ROOM = 1e5
MIN_DISTANCE = 0.5  # Å; closer atoms are an error of the entry, not a bond


def unphysical(record: StructureRecord) -> tuple[str, str] | None:
    """Why nothing can be made of a record's geometry, as (status, sentence); None where it can."""
    return bad_cell(record) or overlapping(record.to_pymatgen())


def bad_cell(record: StructureRecord) -> tuple[str, str] | None:
    """A cell without atoms or volume, or with next to nothing in it, or numbers that are not finite, as
    (status, sentence)."""
    import numpy as np

    lattice = np.asarray(record.lattice_vectors, float)
    positions = np.asarray(record.cartesian_site_positions, float).reshape(-1, 3)
    if record.nsites == 0:
        return "empty_cell", "the cell holds no atoms"
    if not (np.isfinite(lattice).all() and np.isfinite(positions).all()):
        return "unreadable", "the cell or a position is not a finite number"
    volume = abs(np.linalg.det(lattice))
    if volume < 1e-3:
        return "empty_cell", "the cell has no volume"
    if volume > MOST_ROOM * record.nsites:
        return "empty_cell", (
            f"the cell has {volume / record.nsites:.2g} Å3 for an atom; lengths must be in Å"
        )
    return None


def overlapping(structure: Structure) -> tuple[str, str] | None:
    """Two atoms closer than MIN_DISTANCE, periodic images included, as (status, sentence)."""
    first, second, _, distances = structure.get_neighbor_list(MIN_DISTANCE)
    if not len(distances):
        return None
    worst = distances.argmin()
    return "overlapping_atoms", (
        f"sites {first[worst]} and {second[worst]} are {distances[worst]:.3f} Å apart, "
        f"closer than {MIN_DISTANCE} Å"
    )
