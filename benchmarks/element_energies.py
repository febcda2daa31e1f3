"""Energy of every element in the best of a few simple structures, by a potential.

Each structure is tried at many distances; the least energy counts. Gases and halogens are pairs of atoms,
noble gases atoms far apart: dense crystals of them were never learned, and the potential has holes there. The
descriptor `energy` reads the file that this writes (needs the extra `potential`):

    OMP_NUM_THREADS=1 python benchmarks/element_energies.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib.metadata import version

import numpy as np

from curate.files import write_json
from model.descriptors.energy import ELEMENTS, POTENTIAL
from model.descriptors.sevennet import calculator

STEPS = np.arange(0.8, 1.5, 0.05)  # of the sum of two covalent radii
CLOSEST = {
    "dimer": 0.5,
    "bulk": 1.5,
}  # Å; denser crystals have thousands of neighbours and no meaning
PER_DISTANCE = {"fcc": 2**0.5, "bcc": 2 / 3**0.5, "sc": 1.0, "diamond": 4 / 3**0.5}
EMPTY = 12.0  # Å, the box of a pair
PAIRS = (1, 7, 8, 9, 17, 35, 53)  # H N O F Cl Br I
ALONE = (2, 10, 18, 36, 54)  # He Ne Ar Kr Xe


def main() -> None:
    """Write the energies."""
    from ase.data import chemical_symbols

    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    energies: list[float | None] = [None]
    structures: list[str | None] = [None]
    known = calculator(POTENTIAL).type_map
    for number in range(1, 119):
        tried = dict(of_element(number)) if number in known else {}
        best = min(tried, key=lambda name: tried[name], default=None)
        energies.append(None if best is None else tried[best])
        structures.append(best)
        print(chemical_symbols[number], best, energies[-1], flush=True)
    about = {
        "potential": POTENTIAL,
        "sevenn": version("sevenn"),
        "unit": "eV per atom, by atomic number",
    }
    write_json(ELEMENTS, {**about, "structures": structures, "energies": energies})


def of_element(number: int) -> Iterator[tuple[str, float]]:
    """The structures that are tried, with the distance of neighbours in Å, and eV per atom."""
    from ase import Atoms
    from ase.build import bulk
    from ase.data import chemical_symbols, covalent_radii

    symbol = chemical_symbols[number]
    if number in ALONE:
        pair = Atoms([symbol] * 2, [[0, 0, 0], [0, 0, EMPTY / 2]], cell=[EMPTY] * 3, pbc=True)
        yield "alone", energy_per_atom(pair)
        return
    for distance in 2 * covalent_radii[number] * STEPS:
        if distance >= CLOSEST["dimer"]:
            pair = Atoms([symbol] * 2, [[0, 0, 0], [0, 0, distance]], cell=[EMPTY] * 3, pbc=True)
            yield f"dimer, {distance:.2f}", energy_per_atom(pair)
        if distance >= CLOSEST["bulk"] and number not in PAIRS:
            for name, length in PER_DISTANCE.items():
                crystal = bulk(symbol, name, a=distance * length)
                yield f"{name}, {distance:.2f}", energy_per_atom(crystal)


def energy_per_atom(atoms) -> float:
    """In eV."""
    atoms.calc = calculator(POTENTIAL)
    return float(atoms.get_potential_energy()) / len(atoms)


if __name__ == "__main__":
    main()
