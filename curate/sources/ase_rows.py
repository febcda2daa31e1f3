"""Rows of a database that ASE keeps in SQLite, read without ASE.

ASE's own reader makes objects of what a row says, and imports what they name. Here the numbers, positions,
cell, periodicity, energies and key-value pairs of a row are taken, as arrays and as JSON, and nothing else.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import InputError, first_line
from curate.record import DummySpecies, SkippedEntry, StructureRecord, rows
from curate.sources.entries import ID_KEYS, own_id, value_of
from curate.sources.extxyz import UNITS
from curate.sources.optimade import has_id

MAGIC = b"SQLite format 3\0"
OF_STRUCTURE = ("numbers", "positions", "cell", "pbc")
COLUMNS = (*OF_STRUCTURE, "key_value_pairs", *UNITS)
LARGEST_VALUE = 2**28  # bytes of one cell of the table
FIRST = -(2**63)  # the least number that a row can have
PERIODIC = 0b111  # the value of pbc


def check_database(path: Path) -> None:
    """InputError where a file is no SQLite; it is not opened."""
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
    except OSError as error:
        raise InputError(f"--input {path}: {error.strerror or error}") from error
    if start != MAGIC:
        raise InputError(f"--input {path} is no SQLite file; --db ase reads those that ASE writes")


def read_rows(
    path: Path, after: int | None, license: str
) -> Iterator[int | StructureRecord | SkippedEntry]:
    """Every row of a database, each as its number and then a record, or the reason why it is none.

    A number is told before its row is read, so that it is known which one a worker died of.

    Args:
        path: The file; it is opened for reading only.
        after: The number of the last row that is not wanted any more.
        license: SPDX identifier of its licence.

    Yields:
        A row's number, then its entry. Where the file can't be read further, a SkippedEntry without id.
    """
    try:
        with opened(path) as database:
            columns = columns_of(database)
            number = next_row(database, after)
            chosen = ", ".join(f'"{name}"' for name in columns)
            while number is not None:
                yield number
                name = f"{path.stem}-{number}"
                try:
                    found = database.execute(
                        f"SELECT {chosen} FROM systems WHERE rowid = ?", (number,)
                    ).fetchone()
                    yield entry_of(dict(zip(columns, found or (), strict=True)), name, license)
                except (sqlite3.Error, ValueError) as error:  # of this row
                    yield SkippedEntry.from_error(name, error)
                number = next_row(database, number)
    except (sqlite3.Error, OverflowError) as error:
        yield SkippedEntry("", "unreadable", type(error).__name__, first_line(error))


def check_columns(path: Path) -> Iterator[SkippedEntry]:
    """Nothing, or why a file is no database of ASE, as a SkippedEntry without id."""
    try:
        with opened(path) as database:
            columns_of(database)
    except sqlite3.Error as error:
        yield SkippedEntry("", "unreadable", type(error).__name__, first_line(error))


def opened(path: Path) -> closing[sqlite3.Connection]:
    """The file, for reading only, without what a schema could make SQLite do."""
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
    database.text_factory = lambda text: text.decode(errors="replace")
    for setting in ("trusted_schema=OFF", "query_only=ON", "cell_size_check=ON"):
        database.execute(f"PRAGMA {setting}")
    return closing(database)


def next_row(database: sqlite3.Connection, after: int | None) -> int | None:
    """The number of the row behind one, or of the first; None where there is none."""
    start = FIRST if after is None else after + 1
    found = database.execute("SELECT min(rowid) FROM systems WHERE rowid >= ?", (start,))
    return found.fetchone()[0]


def columns_of(database: sqlite3.Connection) -> list[str]:
    """Those of COLUMNS that the table `systems` has; sqlite3.DatabaseError where it is not ASE's."""
    found = database.execute(
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'systems'"
    ).fetchone()
    if found is None or not str(found[0]).upper().startswith("CREATE TABLE"):
        raise sqlite3.DatabaseError("it has no table `systems`, as databases of ASE have")
    there = {row[1] for row in database.execute("PRAGMA table_info(systems)")}
    if missing := [name for name in (*OF_STRUCTURE, "key_value_pairs") if name not in there]:
        raise sqlite3.DatabaseError(f"its table `systems` has no column {missing[0]}")
    return [name for name in COLUMNS if name in there]


def entry_of(row: dict[str, Any], default_id: str, license: str) -> StructureRecord | SkippedEntry:
    """The record of a row, or why it is none.

    Args:
        row: The values of COLUMNS, as SQLite gives them.
        default_id: The id of a row that does not bring its own.
        license: SPDX identifier of its licence.
    """
    material_id = default_id
    try:
        pairs = json.loads(row["key_value_pairs"] or "{}")
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
        n_periodic = bin(int(row["pbc"] or 0) & PERIODIC).count("1")
        note = None
        if n_periodic < 3:
            note = f"periodic in {n_periodic} directions by its pbc, read as periodic in three"
        lattice = array_of(row["cell"], "<f8", "cell").reshape(3, 3)
        if np.linalg.matrix_rank(lattice) < 3:
            raise ValueError("its cell has no three directions")
        numbers = array_of(row["numbers"], "<i4", "numbers")
        positions = array_of(row["positions"], "<f8", "positions").reshape(-1, 3)
        if len(positions) != len(numbers):
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


def array_of(value: Any, kind: str, name: str) -> np.ndarray:
    """The numbers of a column, as ASE writes them: one after the other, the least byte first."""
    if not isinstance(value, bytes):
        raise ValueError(f"its {name} are no array")
    found = np.frombuffer(value, kind)
    if not np.isfinite(found).all():
        raise ValueError(f"its {name} hold what is no finite number")
    return found


def symbol(number: int) -> str:
    """The chemical symbol of an atomic number; ASE's X, of number 0, is no element."""
    from pymatgen.core import Element

    try:
        return Element.from_Z(number).symbol
    except ValueError:
        raise DummySpecies(f"a site holds no element (atomic number {number})") from None
