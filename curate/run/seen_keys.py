"""Which ids a build has read already, on disk: a set of a hundred million would not fit in memory."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = 64 * 2**10  # KiB in memory


class SeenKeys:
    """The ids, and values of other columns, that occurred so far, each with the id it first came with."""

    def __init__(self, path: Path):
        self.path = path
        try:
            # One process only has the file, and network file systems may not lock it.
            self.table = sqlite3.connect(
                f"{path.absolute().as_uri()}?nolock=1", uri=True, isolation_level=None
            )
            for setting in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE}"):
                self.table.execute(f"PRAGMA {setting}")
            self.table.execute(
                "CREATE TABLE seen (name TEXT, key TEXT, first TEXT, PRIMARY KEY (name, key)) "
                "WITHOUT ROWID"
            )
            self.table.execute("BEGIN")
        except sqlite3.Error as error:
            raise self._disk_error(error) from error

    def add(self, name: str, key: str, material_id: str) -> None:
        """Remember a value of a column and the id it came with, unless it occurred before."""
        self._execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", name, key, material_id)

    def first(self, name: str, key: str) -> str | None:
        """The id that a value of a column first came with; None where it did not occur."""
        found = self._execute("SELECT first FROM seen WHERE name = ? AND key = ?", name, key)
        row = found.fetchone()
        return row[0] if row else None

    def has(self, name: str, key: str) -> bool:
        """Whether a value of a column occurred."""
        return self.first(name, key) is not None

    def _execute(self, statement: str, *values: str) -> sqlite3.Cursor:
        try:
            return self.table.execute(statement, values)
        except sqlite3.Error as error:
            raise self._disk_error(error) from error

    def _disk_error(self, error: sqlite3.Error) -> OSError:
        return OSError(f"{self.path}: {error}")


@contextmanager
def seen_keys(folder: Path) -> Iterator[SeenKeys]:
    """An empty table in a temporary file in the folder, which goes with the block or the next sweep."""
    path = folder / f"ids.{platform.node()}-{os.getpid()}.partial"
    path.unlink(missing_ok=True)
    keys = SeenKeys(path)
    try:
        yield keys
    finally:
        keys.table.close()
        path.unlink(missing_ok=True)
