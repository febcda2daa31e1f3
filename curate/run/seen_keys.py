"""Which ids a build has read already, on disk: a set of a hundred million would not fit in memory."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from curate.batches import in_batches

AT_ONCE = 500  # values that are looked up together; SQLite takes 999 or more
CACHE = 64 * 2**10  # KiB in memory


class DiskTable:
    """A table of SQLite in a file of its own that only this process has."""

    def __init__(self, path: Path, name: str, columns: str, how: str):
        self.path = path
        try:
            # Network file systems may not lock it.
            self.connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?nolock=1", uri=True, isolation_level=None
            )
            for setting in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE}"):
                self.connection.execute(f"PRAGMA {setting}")
            self.connection.execute(f"CREATE TABLE {name} ({columns}) {how}")
            self.connection.execute("BEGIN")
        except sqlite3.Error as error:
            raise self._disk_error(error) from error

    def execute(self, statement: str, values: Sequence[str | int | bytes] = ()) -> sqlite3.Cursor:
        """What SQLite finds; OSError where the file can't be written or read."""
        try:
            return self.connection.execute(statement, values)
        except sqlite3.Error as error:
            raise self._disk_error(error) from error

    def execute_many(self, statement: str, rows: Sequence[Sequence[str | int | bytes]]) -> None:
        """A statement for each row; OSError as above."""
        try:
            self.connection.executemany(statement, rows)
        except sqlite3.Error as error:
            raise self._disk_error(error) from error

    def _disk_error(self, error: sqlite3.Error) -> OSError:
        return OSError(f"{self.path}: {error}")


class SeenKeys:
    """The ids, and values of other columns, that occurred so far, each with the id it first came with."""

    def __init__(self, table: DiskTable):
        self.table = table

    def add(self, name: str, firsts: Mapping[str, str]) -> None:
        """Remember values of a column and the ids they came with, unless they occurred before."""
        rows = [(name, key, material_id) for key, material_id in firsts.items()]
        self.table.execute_many("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", rows)

    def firsts(self, name: str, keys: Iterable[str]) -> dict[str, str]:
        """The id that each of some values of a column first came with, for those that occurred."""
        found: dict[str, str] = {}
        for some in in_batches(keys, AT_ONCE):
            marks = ", ".join("?" * len(some))
            rows = self.table.execute(
                f"SELECT key, first FROM seen WHERE name = ? AND key IN ({marks})", (name, *some)
            )
            found.update(rows)
        return found

    def has(self, name: str, key: str) -> bool:
        """Whether a value of a column occurred."""
        return bool(self.firsts(name, [key]))


@contextmanager
def seen_keys(folder: Path) -> Iterator[SeenKeys]:
    """An empty table in a temporary file in the folder, which goes with the block or the next sweep."""
    columns = "name TEXT, key TEXT, first TEXT, PRIMARY KEY (name, key)"
    with disk_table(folder / "ids", "seen", columns, "WITHOUT ROWID") as table:
        yield SeenKeys(table)


@contextmanager
def disk_table(path: Path, name: str, columns: str, how: str = "") -> Iterator[DiskTable]:
    """An empty table in a temporary file, which goes with the block or the next sweep.

    Args:
        path: Where the file lies, and how its name begins.
        name: Of the table.
        columns: As SQLite writes them.
        how: What SQLite writes behind them.
    """
    partial = path.with_name(f"{path.name}.{platform.node()}-{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    table = DiskTable(partial, name, columns, how)
    try:
        yield table
    finally:
        table.connection.close()
        partial.unlink(missing_ok=True)
