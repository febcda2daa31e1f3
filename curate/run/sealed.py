"""Files that hold a digest of themselves: Parquet tables and JSON records.

A table's digest is in its own key-value metadata, so that file and digest are replaced together: it is
the SHA-256 of the whole file with zeros in its place. A record's is one of its keys. Files without a
digest, as version 0.1.0 wrote them, are read as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import InputError, first_line
from curate.files import json_text, sha256_of, whole_file, write_json

KEY = "sha256"
MARK = "sealed:"  # before a table's digest, which is found by it
ZEROS = "0" * 64


class DamagedFile(InputError):
    """A file of a run that is not as it was written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is damaged ({reason}); the command that built the run makes it anew"
        )
        self.path, self.reason = path, reason


@dataclass(frozen=True)
class SealedTable:
    """A table that was found to be as it was written."""

    data: bytes  # of the Parquet file
    digest: str | None  # None where the file holds none
    about: Mapping[str, str]  # what was recorded with it
    path: Path

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The table or some of its columns; DamagedFile where it can't be read."""
        # Threads gain nothing on bytes in memory, and one that just starts can abort a process that ends.
        alone = {"use_threads": False, "pre_buffer": False}
        try:
            return pq.read_table(pa.BufferReader(self.data), columns=columns, **alone)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DamagedFile(self.path, first_line(error)) from error


def write_table(path: Path, table: pa.Table, about: Mapping[str, str]) -> None:
    """Write a table with its digest as a Parquet file, atomically.

    Args:
        path: The file.
        table: What it holds; it is built in memory.
        about: Recorded with the table.
    """
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", write_page_checksum=True) as file:
        file.write_table(table)
        file.add_key_value_metadata({**about, KEY: MARK + ZEROS})
    data = bytearray(sink.getvalue())
    start = data.rfind(MARK.encode()) + len(MARK)
    data[start : start + len(ZEROS)] = hashlib.sha256(data).hexdigest().encode()
    with whole_file(path) as partial:
        partial.write_bytes(data)


def open_table(path: Path) -> SealedTable:
    """Read a Parquet file and compare it with its digest, if it holds one; DamagedFile if they differ."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DamagedFile(path, "it is missing") from None
    start = data.rfind(MARK.encode()) + len(MARK)
    digest = None
    if start >= len(MARK):
        digest = data[start : start + len(ZEROS)].decode(errors="replace")
        with_zeros = hashlib.sha256(data[:start])
        with_zeros.update(ZEROS.encode())
        with_zeros.update(data[start + len(ZEROS) :])
        if with_zeros.hexdigest() != digest:
            raise DamagedFile(path, "its bytes do not fit its digest")
    try:
        metadata = pq.read_metadata(pa.BufferReader(data)).metadata or {}
        about = {
            key.decode(): value.decode()
            for key, value in metadata.items()
            if key != b"ARROW:schema"
        }
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedFile(path, first_line(error) if data else "it is empty") from error
    return SealedTable(data, digest, about, path)


def sealed_digest(path: Path) -> str:
    """The digest that a Parquet file holds, which is not compared; of one without, that of its bytes."""
    try:
        digest = (pq.read_metadata(path).metadata or {}).get(KEY.encode(), b"").decode()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedFile(path, first_line(error)) from error
    return digest.removeprefix(MARK) or sha256_of(path).hex()


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a dictionary with its digest as JSON, atomically."""
    write_json(path, {**record, KEY: digest_of(record)})


def read_record(path: Path, keys: Sequence[str] = ()) -> dict[str, Any]:
    """A dictionary that `write_record` or an earlier version wrote, without its digest.

    Args:
        path: The file.
        keys: What it must hold.

    Raises:
        DamagedFile: It can't be read, lacks a key, or does not fit its digest.
    """
    record = parse_record(path, keys)
    if KEY not in record:
        if any(value == digest_of(without(record, key)) for key, value in record.items()):
            raise DamagedFile(path, "its digest has lost its name")
        return record
    if path.read_text(encoding="utf-8") != json_text(record):
        raise DamagedFile(path, "it is not written as it was")
    digest = record.pop(KEY)
    if digest != digest_of(record):
        raise DamagedFile(path, "its content does not fit its digest")
    return record


def without(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The record but for one of its keys."""
    return {name: value for name, value in record.items() if name != key}


def parse_record(path: Path, keys: Sequence[str] = ()) -> dict[str, Any]:
    """A dictionary with its digest, which is not compared; DamagedFile where it can't be read."""
    try:
        text = path.read_text(encoding="utf-8")
        record = json.loads(text)
    except FileNotFoundError:
        raise DamagedFile(path, "it is missing") from None
    except (ValueError, RecursionError) as error:
        reason = first_line(error) if path.stat().st_size else "it is empty"
        raise DamagedFile(path, reason) from error
    if not isinstance(record, dict):
        raise DamagedFile(path, "it holds no JSON object")
    if missing := [key for key in keys if key not in record]:
        raise DamagedFile(path, f"it has no {missing[0]}")
    return record


def digest_of(record: Mapping[str, Any]) -> str:
    """SHA-256 of a dictionary's content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
