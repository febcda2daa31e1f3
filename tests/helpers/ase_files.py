"""Databases of ASE for tests."""

import json
import zlib
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.db.core import Database
from builds import some

from curate.record import StructureRecord


def atoms_of(record: StructureRecord) -> Atoms:
    return Atoms(
        record.species_at_sites,
        positions=record.cartesian_site_positions,
        cell=record.lattice_vectors,
        pbc=True,
    )


def fill(database: Database) -> None:
    """Five crystals with key-value pairs: with results, a slab, one that is deleted, with constraints."""
    for number, record in enumerate(some(5), 1):
        atoms = atoms_of(record)
        if number % 2:
            results = {"energy": -1.5 * number, "free_energy": -1.6 * number, "stress": [0.0] * 6}
            results["forces"] = [[0.0] * 3] * len(atoms)
            atoms.calc = SinglePointCalculator(atoms, **results)
        if number == 2:
            atoms.pbc = (True, True, False)
        if number == 4:
            atoms.set_constraint(FixAtoms([0]))
        pairs = {"gap": 0.1 * number, "checked": number > 2, "note_of": "PBE", "n": number}
        database.write(atoms, **pairs, data={"sid": f"s{number}"})
    del database[3]


def packed(value: Any) -> bytes:
    """A value as ASE writes it to LMDB."""
    return zlib.compress(json.dumps(value).encode())


def row_of(record: StructureRecord, **others: Any) -> dict[str, Any]:
    """A row of LMDB with arrays as lists, as fairchem writes them."""
    return {
        "numbers": atoms_of(record).numbers.tolist(),
        "positions": record.cartesian_site_positions,
        "cell": record.lattice_vectors,
        "pbc": [True, True, True],
        **others,
    }


def write_lmdb(path: Path, values: dict[str, bytes]) -> Path:
    """A file of LMDB with these keys and values."""
    import lmdb

    with (
        lmdb.open(str(path), map_size=2**30, subdir=False, lock=False) as database,
        database.begin(write=True) as rows,
    ):
        for key, value in values.items():
            rows.put(key.encode(), value)
    return path
