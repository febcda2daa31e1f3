"""Read an uploaded structure file; a worker imports nothing else of this package."""

from __future__ import annotations

from pathlib import Path

from curate.errors import InputError
from curate.record import SkippedEntry, StructureRecord
from curate.sources.files import Files, read_file

MAX_ATOMS = 200  # in a cell: a page for trying is to answer in seconds


def read_upload(path: Path) -> StructureRecord:
    """The crystal in a file; InputError where there is none, or a cell too large to try."""
    try:
        Files(path)
    except InputError as error:
        raise InputError(str(error).replace(f"{path}: ", "")) from error
    found = list(read_file(path))
    record = found[0]
    if isinstance(record, SkippedEntry):
        raise InputError(record.error_message.removeprefix(f"{path.name}: "))
    if len(found) > 1:
        raise InputError(f"it holds {len(found)} crystals; this page takes one at a time")
    if record.nsites > MAX_ATOMS:
        raise InputError(f"{record.nsites} atoms; this page takes cells of up to {MAX_ATOMS}")
    return record
