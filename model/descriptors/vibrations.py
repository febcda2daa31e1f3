"""Frequencies of the lattice by finite displacements with a potential: phonopy on SevenNet's forces.

Togo and Tanaka, Scripta Mater. 108, 1 (2015). Long-range electric fields are not in the forces, so that the
splitting of longitudinal and transverse modes is missing.
"""

from __future__ import annotations

import warnings

import numpy as np

from model.descriptors.cell import primitive
from model.descriptors.descriptor import Described, Descriptor

POTENTIAL = "7net-l3i5"
SHORT = 5.0  # Å; a cell vector shorter than that is repeated
MOST_ATOMS = 16  # of the repeated cell
DISPLACED = 0.01  # Å
MESH = 4  # wave vectors along an axis that is repeated
PER_THZ = 33.35640951981521  # 1/cm
BANDS = 4  # the highest ones


class Vibrations(Descriptor):
    """The highest frequencies, their mean, and what moves; in 1/cm, negative where imaginary."""

    version = 2
    potential = POTENTIAL
    names = (
        *("highest frequency", *(f"band {n} from the top" for n in range(1, BANDS + 1))),
        *("highest at the zone centre", "mean frequency", "deviation of frequencies"),
        *("lowest frequency", "largest part of one atom", "mass that moves", "greatest mass"),
    )

    def compute(self, material: Described) -> np.ndarray:
        """(12,) numbers; frequencies in 1/cm, masses in u, of the highest mode at the zone centre."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._compute(material)

    def _compute(self, material: Described) -> np.ndarray:
        matrix, positions, numbers, _ = primitive(material.record)
        phonons = displaced(matrix, positions, numbers)
        at_rest = forces_on(
            phonons.supercell
        )  # not zero: the crystal was relaxed by another method
        phonons.forces = np.array(
            [forces_on(cell) - at_rest for cell in phonons.supercells_with_displacements]
        )
        phonons.produce_force_constants()
        repeated = np.diag(phonons.supercell_matrix) > 1
        phonons.run_mesh(np.where(repeated, MESH, 1), is_gamma_center=True)
        mesh = phonons.get_mesh_dict()
        frequencies, weights = mesh["frequencies"] * PER_THZ, mesh["weights"]
        phonons.run_qpoints([[0, 0, 0]], with_eigenvectors=True)
        centre = phonons.get_qpoints_dict()
        mode = np.abs(centre["eigenvectors"][0][:, -1]) ** 2
        parts = mode.reshape(-1, 3).sum(1)
        masses = phonons.primitive.masses
        bands = np.average(frequencies, axis=0, weights=weights)[::-1][:BANDS]
        all_weights = np.repeat(weights[:, None], frequencies.shape[1], axis=1)
        mean = np.average(frequencies, weights=all_weights)
        return np.array(
            [
                frequencies.max(),
                *np.pad(bands, (0, BANDS - len(bands)), constant_values=np.nan),
                centre["frequencies"][0][-1] * PER_THZ,
                mean,
                np.sqrt(np.average((frequencies - mean) ** 2, weights=all_weights)),
                frequencies.min(),
                parts.max(),
                parts @ masses,
                masses.max(),
            ]
        )


def forces_on(cell) -> np.ndarray:
    """(n, 3) forces in eV/Å on the atoms of a phonopy cell."""
    from model.descriptors.sevennet import energy_and_forces

    return energy_and_forces(POTENTIAL, cell.cell, cell.positions, cell.numbers)[1]


def displaced(matrix: np.ndarray, positions: np.ndarray, numbers: np.ndarray):
    """A phonopy object with the displacements that symmetry leaves; lengths in Å."""
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    lengths = np.linalg.norm(matrix, axis=1)
    repeats = np.maximum(1, np.ceil(SHORT / lengths - 0.01)).astype(int)
    while len(numbers) * repeats.prod() > MOST_ATOMS and repeats.max() > 1:
        repeats[np.argmax(np.where(repeats > 1, repeats * lengths, 0))] -= 1
    cell = PhonopyAtoms(numbers=numbers, cell=matrix, positions=positions)
    phonons = Phonopy(cell, np.diag(repeats), primitive_matrix=np.eye(3), symprec=1e-3, log_level=0)
    phonons.generate_displacements(distance=DISPLACED, is_plusminus=False)
    return phonons
