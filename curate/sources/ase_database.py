"""Source `ase`: databases that ASE keeps in SQLite, as C2DB's, or in LMDB, as OMat24's, row by row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from curate.errors import InputError
from curate.files import sha256_of
from curate.record import SkippedEntry, StructureRecord
from curate.sources import ase_lmdb, ase_sqlite
from curate.sources.base import (
    IN_SNAPSHOT,
    Entry,
    Position,
    ReadEach,
    Request,
    Snapshot,
    Source,
    SourceSettings,
    read_here,
)
from curate.sources.extxyz import UNITS

READERS = {".db": ase_sqlite, ".aselmdb": ase_lmdb, ".lmdb": ase_lmdb}  # by endings of names
READ_BY_FILES = (".extxyz", ".xyz", ".json", ".gz")


@dataclass(frozen=True)
class AseSettings(SourceSettings):
    """Which database is read."""

    db: ClassVar[str] = "ase"

    input: Path | None = field(default=None, metadata=IN_SNAPSHOT)
    """The file.db or file.aselmdb of ASE, or a folder of such files. Key-value pairs and energies become
    properties."""
    license: str = field(default="unknown", metadata=IN_SNAPSHOT)
    """Licence of its entries, as an SPDX identifier; goes into the dataset."""

    def check(self) -> None:
        if self.input is None:
            raise InputError("--db ase needs --input FILE.db or FILE.aselmdb")
        ending = self.input.suffix.lower()
        if ending in READ_BY_FILES:
            raise InputError(f"--input {self.input}: --db files reads {ending} files")

    def open(self, request: Request) -> Source:
        is_new = request.previous is None
        return AseDatabase(self.input or Path(), self.license, request.read_each, is_new)


class AseDatabase:
    """The rows of ASE's databases, in the order of their numbers, file by file.

    A row brings its id as the key-value pair material_id or jid, or has the file's name and its number:
    `omat-17`.

    Args:
        place: A file, or a folder of files.
        license: SPDX identifier of the licence of all entries.
        read_each: How the files are read: here, or in a worker with a limit of time and memory.
        is_new: Whether the files were never read for this run: then they are opened before it begins.

    Raises:
        InputError: There is no such file.
    """

    units = UNITS

    def __init__(
        self,
        place: Path,
        license: str = "unknown",
        read_each: ReadEach = read_here,
        is_new: bool = True,
    ) -> None:
        self.license, self.read_each, self.is_new = license, read_each, is_new
        inside = sorted(place.iterdir()) if place.is_dir() else [place]
        self.paths = [path for path in inside if path == place or path.suffix in READERS]
        if not self.paths or not all(path.is_file() for path in self.paths):
            endings = ", ".join(f"*{ending}" for ending in READERS)
            raise InputError(f"--input {place}: no database of ASE ({endings}) there")

    def snapshot(self) -> Snapshot:
        """The files by a digest of their names and bytes; InputError where one is no database of ASE."""
        digest = hashlib.sha256()
        for path in self.paths:
            reader_of(path).check_file(path)
            try:
                digest.update(path.name.encode(errors="surrogateescape") + b"\0" + sha256_of(path))
            except OSError as error:
                raise InputError(f"--input {path}: {error.strerror or error}") from error
        if self.is_new:
            for number, refusal in self.read_each(check_content, [(path,) for path in self.paths]):
                raise unreadable(self.paths[number], None, refusal)
        n = len(self.paths)
        version = f"{n} databases of ASE" if n > 1 else f"{self.paths[0].name} of ASE"
        return Snapshot("files", version, digest.hexdigest(), self.license, "")

    def records(self) -> Iterator[Entry]:
        return (entry for _, entry in self.entries_after(None))

    def entries_after(self, position: Position | None) -> Iterator[tuple[Position, Entry]]:
        names = [path.name for path in self.paths]
        first, after = 0, None
        if position is not None:
            if position.get("file") not in names or not isinstance(position.get("row"), int):
                raise InputError(
                    f"--input has no file {position.get('file')} any more; give --out a new folder"
                )
            first, after = names.index(position["file"]), position["row"]
        for path in self.paths[first:]:
            for number, entry in self._rows(path, after):
                yield {"file": path.name, "row": number}, entry
            after = None

    def _rows(self, path: Path, after: int | None) -> Iterator[tuple[int, Entry]]:
        """The rows of one file behind a number; one that takes too long or too much memory costs itself."""
        is_left = True
        while is_left:
            number, is_left = after, False
            for _, value in self.read_each(read_rows, [(path, after, self.license)]):
                if isinstance(value, int):  # the number of the row that is read next
                    number = value
                elif isinstance(value, StructureRecord) or value.material_id:
                    after = number
                    yield number or 0, value
                elif number == after:
                    raise unreadable(path, after, value)
                else:
                    after, is_left = number, True
                    name = f"{path.stem}-{number}"
                    reason = f"{path.name}, reading: {value.error_message}"
                    yield number or 0, SkippedEntry(name, value.status, value.error_type, reason)


def reader_of(path: Path) -> ModuleType:
    """What reads a file, by its name; one of another name is taken for SQLite."""
    return READERS.get(path.suffix.lower(), ase_sqlite)


def check_content(path: Path) -> Iterator[SkippedEntry]:
    """Nothing, or why a file is no database of ASE, as a SkippedEntry without id."""
    yield from reader_of(path).check_content(path)


def read_rows(
    path: Path, after: int | None, license: str
) -> Iterator[int | StructureRecord | SkippedEntry]:
    """The number of each row of a file behind the row `after`, or of all, and then its entry."""
    yield from reader_of(path).read_rows(path, after, license)


def unreadable(path: Path, after: int | None, refusal: SkippedEntry) -> InputError:
    """One sentence on a file that can't be read, or not behind one of its rows."""
    where = f" behind its row {after}" if after is not None else ""
    return InputError(f"--input {path} can't be read{where}: {refusal.error_message}")
