"""Slow descriptors: computed side by side in processes of their own, and kept on disk crystal by crystal."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from curate.errors import InputError
from curate.record import StructureRecord
from curate.work.pool import FailedTask, Limits, work
from model.descriptors.descriptor import Crystal, Descriptor

log = logging.getLogger(__name__)

TIMEOUT = 600.0  # s for one crystal
MEMORY = 6.0  # GiB for one worker
TOLD_EVERY = 50  # crystals
DIGITS = 6  # of a length in Å that tells crystals apart


def kept_values(
    name: str,
    descriptor: Descriptor,
    records: Sequence[StructureRecord],
    cache: Path,
    workers: int | None = None,
) -> np.ndarray:
    """The numbers of a slow descriptor, those that are missing computed.

    What is done is kept at once, so that the same call goes on where it was stopped. A crystal that fails has
    no numbers and is told of; it is tried again by the next call.

    Args:
        name: Of the descriptor.
        descriptor: What computes.
        records: The crystals.
        cache: Folder of the file descriptors.sqlite.
        workers: Processes side by side; as many as processors where it is None.

    Returns:
        (n_crystals, n_columns) float64; NaN where there is no number.
    """
    recipe = json.dumps({"name": name, **descriptor.recipe}, sort_keys=True)
    keys = [key_of(record, recipe) for record in records]
    with database(cache) as kept:
        found = {key: values for key in set(keys) if (values := look_up(kept, key)) is not None}
        missing = {
            key: record for key, record in zip(keys, records, strict=True) if key not in found
        }
        if missing:
            log.info("%s: %d crystals to compute, %d kept", name, len(missing), len(found))
        tasks = [(key, (descriptor, record)) for key, record in missing.items()]
        limits = Limits(workers or processors(), TIMEOUT, MEMORY)
        failures = 0
        for done, (key, values) in enumerate(work(compute, tasks, limits, __name__), 1):
            if isinstance(values, FailedTask):
                failures += 1
                record = missing[key]
                log.warning("%s of %s: %s", name, record.material_id, values.error_message)
                if values.error_type == "InputError":
                    raise InputError(values.error_message)
            else:
                keep(kept, key, values)
                found[key] = values
            if done % TOLD_EVERY == 0 or done == len(tasks):
                log.info("%s: %d of %d", name, done, len(tasks))
    nothing = np.full(len(descriptor.names), np.nan)
    return np.array([found.get(key, nothing) for key in keys]).reshape(len(keys), len(nothing))


def compute(descriptor: Descriptor, record: StructureRecord) -> np.ndarray:
    """The numbers of one crystal, in a worker."""
    return descriptor.compute(Crystal(record))


def key_of(record: StructureRecord, recipe: str) -> str:
    """Digest of the crystal and of all that changes a number."""
    total = hashlib.sha256(recipe.encode())
    total.update(" ".join(record.species_at_sites).encode())
    for lengths in (record.lattice_vectors, record.cartesian_site_positions):
        total.update((np.round(np.array(lengths, float), DIGITS) + 0.0).tobytes())
    return total.hexdigest()


@contextmanager
def database(cache: Path) -> Iterator[sqlite3.Connection]:
    """The file of kept numbers; several processes may use it at once."""
    cache.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(cache / "descriptors.sqlite", timeout=60, isolation_level=None)
    try:
        connection.execute("create table if not exists kept (key text primary key, numbers blob)")
        yield connection
    finally:
        connection.close()


def look_up(kept: sqlite3.Connection, key: str) -> np.ndarray | None:
    """(n,) float64; None where nothing is kept."""
    row = kept.execute("select numbers from kept where key = ?", (key,)).fetchone()
    return None if row is None else np.frombuffer(row[0], float)


def keep(kept: sqlite3.Connection, key: str, numbers: np.ndarray) -> None:
    """Keep the numbers of a crystal."""
    kept.execute(
        "insert or replace into kept values (?, ?)", (key, np.asarray(numbers, float).tobytes())
    )


def processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))
