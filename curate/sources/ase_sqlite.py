"""Rows of a database that ASE keeps in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from curate.errors import InputError, first_line
from curate.record import SkippedEntry, StructureRecord
from curate.sources.ase_rows import OF_STRUCTURE, first_bytes, numbered_entries
from curate.sources.extxyz import UNITS

MAGIC = b"SQLite format 3\0"
COLUMNS = (*OF_STRUCTURE, "key_value_pairs", *UNITS)
LARGEST_VALUE = 2**28  # bytes of one cell of the table
FIRST = -(2**63)  # the least number that a row can have


def check_file(path: Path) -> None:
    """InputError where a file is no SQLite; it is not opened."""
    if first_bytes(path, len(MAGIC)) != MAGIC:
        raise InputError(f"--input {path} is no SQLite file; --db ase reads those that ASE writes")


def read_rows(
    path: Path, after: int | None, license: str
) -> Iterator[int | StructureRecord | SkippedEntry]:
    """Every row of a database, each as its number and then a record, or the reason why it is none
    (`numbered_entries`).

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
            of_row = (sqlite3.Error, ValueError)
            yield from numbered_entries(
                numbers_of(database, after),
                lambda number: row_of(database, columns, number),
                path,
                license,
                of_row,
            )
    except (sqlite3.Error, OverflowError) as error:
        yield SkippedEntry("", "unreadable", type(error).__name__, first_line(error))


def check_content(path: Path) -> Iterator[SkippedEntry]:
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


def numbers_of(database: sqlite3.Connection, after: int | None) -> Iterator[int]:
    """The numbers of the rows behind one, or of all, ascending."""
    while (after := next_row(database, after)) is not None:
        yield after


def row_of(database: sqlite3.Connection, columns: list[str], number: int) -> dict[str, Any]:
    """Some columns of a row; ValueError where it is not there."""
    chosen = ", ".join(f'"{name}"' for name in columns)
    found = database.execute(f"SELECT {chosen} FROM systems WHERE rowid = ?", (number,)).fetchone()
    return dict(zip(columns, found or (), strict=True))


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
