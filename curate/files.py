"""Atomic file writing, digests of files, and where files are kept between runs.

A file that exists is complete, whatever happens while it is written.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds, else delete it.

    The temporary name contains host and process id, so that of two processes that write the same
    path one whole file remains. File and folder are synced to disk before the block is left.

    Args:
        path: Where the finished file goes; missing folders are created.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{platform.node()}-{os.getpid()}.partial")
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def sha256_of(path: Path) -> bytes:
    """SHA-256 of a file's content; raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def write_json(path: Path, data: Any) -> None:
    """Write data as indented JSON, atomically."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, atomically."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow table as a Parquet file, atomically."""
    import pyarrow.parquet as pq

    with whole_file(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def cache_folder() -> Path:
    """`crysmmnet` in the user's cache folder: XDG_CACHE_HOME if set, else ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crysmmnet"


def _sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
