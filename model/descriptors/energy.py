"""Energy, forces and stress of a crystal as it is written, by a potential.

The formation energy is the potential's own: its energy of the crystal less that of each element in the best
of a few simple structures (`element_energies.json`, made by `benchmarks/element_energies.py`), so that what
the potential gets wrong of an element is taken off again.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from model.descriptors.cell import primitive
from model.descriptors.descriptor import Described, Descriptor

POTENTIAL = "7net-0"
ELEMENTS = Path(__file__).with_name("element_energies.json")
GPA = 160.21766208  # eV/Å³ in GPa (CODATA 2018)
HIDDEN = 128  # numbers of an atom before the potential's last layers


class Energy(Descriptor):
    """What a potential says of the crystal at rest; it has learned energies of Materials Project crystals."""

    potential = POTENTIAL
    is_at_rest = True
    names = (
        *("energy", "formation energy", "least atom", "greatest atom", "deviation of atoms"),
        *("mean force", "greatest force", "pressure", "greatest stress", "least stress"),
    )

    def compute(self, material: Described) -> np.ndarray:
        """(10,) numbers; eV per atom, eV of an atom less its element, eV/Å, GPa (positive where it expands).

        NaN for what the elements' energies are needed for, where one of them has none.
        """
        from model.descriptors.sevennet import solved

        matrix, positions, numbers, _ = primitive(material.record)
        found = solved(POTENTIAL, matrix, positions, numbers)
        formed = found.energies - element_energies()[numbers]
        forces = np.linalg.norm(found.forces, axis=1)
        stresses = np.linalg.eigvalsh(found.stress) * GPA
        return np.array(
            [
                *(found.energies.mean(), formed.mean()),
                *(formed.min(), formed.max(), formed.std()),
                *(forces.mean(), forces.max()),
                *(-stresses.mean(), stresses.max(), stresses.min()),
            ]
        )


class Potential(Descriptor):
    """How a potential sees the atoms: the numbers before its last layers, over the atoms of the crystal."""

    potential = POTENTIAL
    is_at_rest = True
    names = (
        *(f"mean of {number}" for number in range(HIDDEN)),
        *(f"deviation of {number}" for number in range(HIDDEN)),
    )

    def compute(self, material: Described) -> np.ndarray:
        """(256,) mean, and standard deviation, of each number over the atoms."""
        from model.descriptors.sevennet import solved

        hidden = solved(POTENTIAL, *primitive(material.record)[:3]).hidden
        return np.r_[hidden.mean(0), hidden.std(0)]


@lru_cache
def element_energies() -> np.ndarray:
    """(119,) by atomic number, eV per atom; NaN where the potential knows no such element."""
    kept = json.loads(ELEMENTS.read_text(encoding="utf-8"))
    return np.array([np.nan if value is None else value for value in kept["energies"]], float)
