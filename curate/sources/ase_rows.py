"""Rows of a database of ASE, read without ASE.

ASE's own reader makes objects of what a row says, and imports what they name. Here the numbers, positions,
cell, periodicity, energies and key-value pairs of a row are taken, as arrays and as JSON, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import InputError
from curate.record import DummySpecies, SkippedEntry, StructureRecord, rows
from curate.sources.entries import ID_KEYS, own_id, value_of
from curate.sources.extxyz import UNITS
from curate.sources.optimade import has_id

OF_STRUCTURE = ("numbers", "positions", "cell", "pbc")
PACKED = {"numbers": "<i4", "positions": "<f8", "cell": "<f8"}  # types of the arrays in SQLite
PERIODIC = 0b111  # the value of pbc in SQLite


def first_bytes(path: Path, n: int) -> bytes:
    """The first n bytes of a file; InputError where it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(n)
    except OSError as error:
        raise InputError(f"--input {path}: {error.strerror or error}") from error


def numbered_entries(
    numbers: Iterable[int],
    row: Callable[[int], dict[str, Any]],
    path: Path,
    license: str,
    of_row: tuple[type[Exception], ...],
) -> Iterator[int | StructureRecord | SkippedEntry]:
    """Each row's number, and then its entry.

    A number is told before its row is read, so that it is known which one a worker died of.

    Args:
        numbers: Of the rows.
        row: Reads the row of a number, as `entry_of` takes it.
        path: The file.
        license: SPDX identifier of its licence.
        of_row: Errors that cost a row only.
    """
    for number in numbers:
        yield number
        name = f"{path.stem}-{number}"
        try:
            entry = entry_of(row(number), name, license)
        except of_row as error:
            entry = SkippedEntry.from_error(name, error)
        yield entry


def entry_of(row: dict[str, Any], default_id: str, license: str) -> StructureRecord | SkippedEntry:
    """The record of a row, or why it is none.

    Args:
        row: The values of OF_STRUCTURE, key_value_pairs and UNITS, packed as in SQLite or as JSON.
        default_id: The id of a row that does not bring its own.
        license: SPDX identifier of its licence.
    """
    material_id = default_id
    try:
        pairs = row.get("key_value_pairs") or {}
        if isinstance(pairs, str | bytes):
            pairs = json.loads(pairs)
        if not isinstance(pairs, dict):
            raise ValueError("its key-value pairs are no JSON object")
        if (own := own_id(pairs)) is not None:
            if not has_id({"id": own}):
                raise ValueError("its id is no line of up to 200 characters")
            material_id = own
        given = {**{name: row.get(name) for name in UNITS}, **pairs}
        properties = {
            name: value_of(value)
            for name, value in given.items()
            if name not in ID_KEYS and isinstance(value, bool | int | float | str)
        }
        n_periodic = periodic_directions(row.get("pbc"))
        note = None
        if n_periodic < 3:
            note = f"periodic in {n_periodic} directions by its pbc, read as periodic in three"
        lattice = array_of(row, "cell").reshape(3, 3)
        if np.linalg.matrix_rank(lattice) < 3:
            raise ValueError("its cell has no three directions")
        numbers = array_of(row, "numbers")
        positions = array_of(row, "positions").reshape(-1, 3)
        if numbers.ndim != 1 or len(positions) != len(numbers):
            raise ValueError(f"it has {len(numbers)} atoms and {len(positions)} positions")
        return StructureRecord(
            material_id=material_id,
            lattice_vectors=rows(lattice),
            species_at_sites=tuple(map(symbol, numbers.tolist())),
            cartesian_site_positions=rows(positions),
            license=license,
            properties=properties,
            note=note,
        )
    except MemoryError:  # told by the worker
        raise
    except Exception as error:  # a broken row costs itself only
        return SkippedEntry.from_error(material_id, error)


def array_of(row: Mapping[str, Any], name: str) -> np.ndarray:
    """The numbers of a value; ValueError where it holds none, or some that are not finite."""
    value = row.get(name)
    if isinstance(value, bytes):  # as ASE writes them to SQLite, the least byte first
        found = np.frombuffer(value, PACKED[name])
    elif (values := list_of(value)) is not None:
        found = np.array(values) if values else np.zeros(0, PACKED[name])
        is_whole = PACKED[name] == "<i4"
        if found.dtype.kind not in ("iu" if is_whole else "iuf"):
            raise ValueError(f"its {name} are not all {'whole ' if is_whole else ''}numbers")
    else:
        raise ValueError(f"its {name} are no array")
    if not np.isfinite(found).all():
        raise ValueError(f"its {name} hold what is no finite number")
    return found


def list_of(value: Any) -> list[Any] | None:
    """The list of an array in ASE's JSON, which may stand behind shape and type; None without one."""
    if isinstance(value, dict) and isinstance(value.get("__ndarray__"), list):
        value = (value["__ndarray__"] or [None])[-1]
    return value if isinstance(value, list) else None


def periodic_directions(pbc: Any) -> int:
    """In how many directions a row is periodic, by a bit for each in SQLite, by three values in JSON."""
    values = list_of(pbc)
    return sum(map(bool, values)) if values else bin(int(pbc or 0) & PERIODIC).count("1")


def symbol(number: int) -> str:
    """The chemical symbol of an atomic number; ASE's X, of number 0, is no element."""
    from pymatgen.core import Element

    try:
        return Element.from_Z(number).symbol
    except ValueError:
        raise DummySpecies(f"a site holds no element (atomic number {number})") from None
