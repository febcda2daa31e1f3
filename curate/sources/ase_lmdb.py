"""Rows of a database that ASE keeps in LMDB, as OMat24 and OMol25 are published.

The file maps the decimal number of a row to its JSON, compressed by zlib; the keys `nextid`, `deleted_ids`
and `metadata` are no rows.
"""

from __future__ import annotations

import json
import re
import resource
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import InputError, first_line
from curate.record import SkippedEntry, StructureRecord
from curate.sources.ase_rows import first_bytes, numbered_entries

MAGIC = b"\xde\xc0\xef\xbe"
PLACES = (16, 24)  # of MAGIC, by the version of the format
ROW = re.compile(rb"0|[1-9][0-9]{0,17}")  # a row's key
LARGEST_ROW = 10**18 - 1
LARGEST_VALUE = 2**26  # bytes of the JSON of one key
HARMLESS = "neither reachable nor in the freeDB"  # pages that nobody reads


class NotOfAse(ValueError):
    """A file of LMDB that does not hold what ASE writes, or is damaged."""


def check_file(path: Path) -> None:
    """InputError where a file is not LMDB's, or LMDB is not installed; it is not opened."""
    start = first_bytes(path, PLACES[-1] + len(MAGIC))
    if not any(start[place : place + len(MAGIC)] == MAGIC for place in PLACES):
        raise InputError(f"--input {path} is no LMDB file; --db ase reads those that ASE writes")
    try:
        import_module("lmdb.verify")  # since version 3
    except ImportError as error:
        raise InputError(f"--input {path} needs lmdb: pip install 'crysmmnet[lmdb]'") from error


def check_content(path: Path) -> Iterator[SkippedEntry]:
    """Nothing, or why a file is no database of ASE, as a SkippedEntry without id.

    LMDB follows what a file says wherever it leads; all pages are therefore checked before it opens the file.
    """
    import lmdb
    from lmdb.verify import VerifyError, verify

    try:
        if damage := [found for found in verify(path, subdir=False) if HARMLESS not in found]:
            raise NotOfAse(f"it is damaged ({first_line(damage[0])})")
        with opened(path) as rows:
            numbers_of(rows)
    except (VerifyError, NotOfAse, lmdb.Error, OSError) as error:
        yield SkippedEntry("", "unreadable", type(error).__name__, first_line(error))


def read_rows(
    path: Path, after: int | None, license: str
) -> Iterator[int | StructureRecord | SkippedEntry]:
    """Every row of a database in the order of numbers, each as its number and then a record, or the reason
    why it is none (`numbered_entries`).

    Args:
        path: The file; it is opened for reading only, without a lock.
        after: The number of the last row that is not wanted any more.
        license: SPDX identifier of its licence.

    Yields:
        A row's number, then its entry. Where the file can't be read further, a SkippedEntry without id.
    """
    import lmdb

    try:
        with opened(path) as rows:
            numbers = numbers_of(rows)
            first = 0 if after is None else int(np.searchsorted(numbers, after, side="right"))
            wanted = map(int, numbers[first:])
            yield from numbered_entries(
                wanted, lambda number: row_of(rows, number), path, license, (ValueError,)
            )
    except (NotOfAse, lmdb.Error, OSError) as error:
        yield SkippedEntry("", "unreadable", type(error).__name__, first_line(error))


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A transaction of the file, for reading only."""
    import lmdb

    size = path.stat().st_size
    options = {"subdir": False, "readonly": True, "create": False, "lock": False}
    with (
        more_addresses(size),
        lmdb.open(str(path), map_size=size, **options) as database,
        database.begin(buffers=True) as rows,
    ):
        yield rows


@contextmanager
def more_addresses(n: int) -> Iterator[None]:
    """Inside, the process's limit of memory is n bytes higher: a mapped file takes addresses only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY or hard != resource.RLIM_INFINITY:
        yield
        return
    resource.setrlimit(resource.RLIMIT_AS, (soft + n, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def numbers_of(rows: Any) -> np.ndarray:
    """The numbers of the rows, ascending: those that are there and those that should be; NotOfAse where the
    file does not say which."""
    if rows.get(b"nextid") is None:
        raise NotOfAse("it has no key nextid, as databases of ASE have")
    try:
        end = content(rows, "nextid")
        gone = [] if rows.get(b"deleted_ids") is None else content(rows, "deleted_ids")
        if type(end) is not int or type(gone) is not list or any(type(n) is not int for n in gone):
            raise ValueError("they are not a number and a list of numbers")
    except ValueError as error:
        raise NotOfAse(f"its nextid or deleted_ids can't be read: {first_line(error)}") from error
    keys = map(bytes, rows.cursor().iternext(values=False))
    found = np.fromiter((int(key) for key in keys if ROW.fullmatch(key)), np.int64)
    if end - 1 > 2 * (len(found) + len(gone)):
        raise NotOfAse(f"its nextid is {end}, and it has {len(found)} rows")
    deleted = np.array([number for number in gone if 0 <= number <= LARGEST_ROW], np.int64)
    return np.setdiff1d(np.union1d(found, np.arange(1, end)), deleted)


def row_of(rows: Any, number: int) -> dict[str, Any]:
    """The row of a number; ValueError where it is not to be had."""
    row = content(rows, str(number))
    if not isinstance(row, dict):
        raise ValueError("it is no JSON object")
    return row


def content(rows: Any, key: str) -> Any:
    """What JSON says in the compressed value of a key; ValueError where that is not to be had."""
    if (value := rows.get(key.encode())) is None:
        raise ValueError("it is not in the file")
    unpack = zlib.decompressobj()
    try:
        text = unpack.decompress(value, LARGEST_VALUE)
        if unpack.eof:
            return json.loads(text.decode())
    except (zlib.error, RecursionError) as error:
        raise ValueError(str(error)) from error
    is_large = len(text) == LARGEST_VALUE
    raise ValueError(f"it has more than {LARGEST_VALUE} bytes" if is_large else "it is cut off")
