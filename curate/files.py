"""Atomic file writing, digests of files, and where files are kept between runs.

A file that exists is complete, whatever happens while it is written.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

PARTIAL = re.compile(r".+\.(?P<host>[^/]+)-(?P<pid>\d+)\.partial")  # names of `whole_file`
ABANDONED = 3600.0  # s; a temporary file that old belongs to a process that was killed


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
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder.

    They are known by their names, which hold host and process: one of this host whose process is gone is
    removed at once, another an hour after it was last written.
    """
    for path in folder.glob("*.partial"):
        named = PARTIAL.fullmatch(path.name)
        if named is None:
            continue
        with suppress(FileNotFoundError):
            is_gone = named["host"] == platform.node() and not _is_alive(int(named["pid"]))
            if is_gone or time.time() - path.lstat().st_mtime > ABANDONED:
                path.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def sha256_of(path: Path) -> bytes:
    """SHA-256 of a file's content; raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def write_json(path: Path, data: Any) -> None:
    """Write data as indented JSON, atomically."""
    write_text(path, json_text(data))


def json_text(data: Any) -> str:
    """Data as the indented JSON that `write_json` writes."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


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


def sync_tree(folder: Path) -> None:
    """Wait until all files and folders below a folder, and its own name, are on disk."""
    for path in sorted(folder.rglob("*")):
        sync(path)
    sync(folder)
    sync(folder.parent)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
