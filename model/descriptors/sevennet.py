"""Energies and forces from SevenNet, and dispersion from D3: what the slow descriptors are made of.

Park et al., J. Chem. Theory Comput. 20, 4857 (2024); the weights come with the package sevenn (extra
`potential`). They were trained on MPtrj, which are PBE relaxations of Materials Project crystals. Its
checkpoints are pickles of an installed package; this file is imported by worker processes alone.
Dispersion: Grimme et al., J. Comput. Chem. 32, 1456 (2011), with PBE's parameters.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from curate.errors import InputError

LAST_LAYERS = "reduce_input_to_hidden"  # the module that reads an atom's numbers after all messages
BOHR = 0.529177210903  # Å (CODATA 2018)
HARTREE = 27.211386245988  # eV (CODATA 2018)


@lru_cache
def calculator(name: str) -> Any:
    """The potential of this name on one thread of the processor; InputError without the extra."""
    os.environ.setdefault(
        "JOBLIB_MULTIPROCESSING", "0"
    )  # sevenn imports joblib, which leaves semaphores
    try:
        from sevenn.calculator import SevenNetCalculator
    except ImportError as error:
        raise InputError(
            "descriptors from a potential need sevenn: pip install 'crysmmnet[potential]'"
        ) from error
    import torch

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SevenNetCalculator(name, device="cpu")


def energy_and_forces(
    name: str, matrix: np.ndarray, positions: np.ndarray, numbers: np.ndarray
) -> tuple[float, np.ndarray]:
    """Of a periodic cell by a potential.

    Args:
        name: Of the potential, as `7net-0`.
        matrix: (3, 3) cell vectors in Å.
        positions: (n, 3) in Å.
        numbers: (n,) atomic numbers.

    Returns:
        Energy of the cell in eV, and (n, 3) forces in eV/Å.
    """
    from ase import Atoms

    atoms = Atoms(numbers=numbers, cell=matrix, positions=positions, pbc=True)
    atoms.calc = calculator(name)
    return float(atoms.get_potential_energy()), np.asarray(atoms.get_forces(), float)


@dataclass(frozen=True)
class Solved:
    """All that a potential gives for a cell."""

    energies: np.ndarray  # (n,) eV, of the atoms
    forces: np.ndarray  # (n, 3) eV/Å
    stress: np.ndarray  # (3, 3) eV/Å³
    hidden: np.ndarray  # (n, width) what its last layers read of the atoms


def solved(name: str, matrix: np.ndarray, positions: np.ndarray, numbers: np.ndarray) -> Solved:
    """A periodic cell by a potential; arguments as above. The last cell is remembered."""
    lengths = [np.asarray(values, float).tobytes() for values in (matrix, positions)]
    return _solved(name, *lengths, np.asarray(numbers, int).tobytes())


@lru_cache(maxsize=1)
def _solved(name: str, matrix: bytes, positions: bytes, numbers: bytes) -> Solved:
    from ase import Atoms
    from ase.stress import voigt_6_to_full_3x3_stress

    potential = calculator(name)
    hidden: list[np.ndarray] = []

    def keep(_module: Any, given: tuple[Any, ...]) -> None:
        hidden.append(given[0]["x"].detach().numpy().astype(float))

    atoms = Atoms(
        numbers=np.frombuffer(numbers, int),
        cell=np.frombuffer(matrix).reshape(3, 3),
        positions=np.frombuffer(positions).reshape(-1, 3),
        pbc=True,
    )
    hook = dict(potential.model.named_children())[LAST_LAYERS].register_forward_pre_hook(keep)
    try:
        potential.calculate(atoms)
    finally:
        hook.remove()
    found = potential.results
    return Solved(
        np.asarray(found["energies"], float),
        np.asarray(found["forces"], float),
        voigt_6_to_full_3x3_stress(found["stress"]),
        hidden[0],
    )


def dispersion(matrix: np.ndarray, positions: np.ndarray, numbers: np.ndarray) -> float:
    """D3 energy of a periodic cell in eV, which PBE lacks; arguments as above."""
    from dftd3.interface import DispersionModel, RationalDampingParam

    model = DispersionModel(numbers, positions / BOHR, matrix / BOHR, np.array([True] * 3))
    result = model.get_dispersion(RationalDampingParam(method="pbe"), grad=False)
    return float(result["energy"]) * HARTREE
