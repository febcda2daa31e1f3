"""Slow descriptors: computed side by side in processes of their own, and kept on disk crystal by crystal."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
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
    descriptors: Mapping[str, Descriptor],
    records: Sequence[StructureRecord],
    cache: Path,
    workers: int | None = None,
) -> dict[str, np.ndarray]:
    """The numbers of slow descriptors, those that are missing computed, all of a crystal by one worker.

    What is done is kept at once, so that the same call goes on where it was stopped. A crystal that fails has
    no numbers and is told of; it is tried again by the next call.

    Args:
        descriptors: What computes, by name.
        records: The crystals.
        cache: Folder of the file descriptors.sqlite.
        workers: Processes side by side; as many as processors where it is None.

    Returns:
        (n_crystals, n_columns) float64 by name; NaN where there is no number.
    """
    keys = {name: keys_of(records, name, one) for name, one in descriptors.items()}
    told = ", ".join(descriptors)
    with database(cache) as kept:
        found = {
            key: values
            for key in {key for of_one in keys.values() for key in of_one}
            if (values := look_up(kept, key)) is not None
        }
        missing = {
            tuple(lacking.values()): (lacking, record)
            for number, record in enumerate(records)
            if (lacking := {name: of_one[number] for name, of_one in keys.items()
                            if of_one[number] not in found})
        }  # fmt: skip
        if missing:
            log.info(
                "%s: %d crystals to compute, %d kept",
                told,
                len(missing),
                len(records) - len(missing),
            )
        tasks = [
            (asked, ([descriptors[name] for name in lacking], record))
            for asked, (lacking, record) in missing.items()
        ]
        limits = Limits(workers or processors(), TIMEOUT, MEMORY)
        for done, (asked, values) in enumerate(work(compute, tasks, limits, __name__), 1):
            if isinstance(values, FailedTask):
                material_id = missing[asked][1].material_id
                log.warning("%s of %s: %s", told, material_id, values.error_message)
                if values.error_type == "InputError":
                    raise InputError(values.error_message)
            else:
                for key, numbers in zip(asked, values, strict=True):
                    keep(kept, key, numbers)
                    found[key] = numbers
            if done % TOLD_EVERY == 0 or done == len(tasks):
                log.info("%s: %d of %d", told, done, len(tasks))
    return {
        name: block(found, keys[name], len(descriptor.names))
        for name, descriptor in descriptors.items()
    }


def block(found: Mapping[str, np.ndarray], keys: Sequence[str], width: int) -> np.ndarray:
    """(n_keys, width) with NaN where nothing was found."""
    nothing = np.full(width, np.nan)
    return np.array([found.get(key, nothing) for key in keys]).reshape(len(keys), width)


def compute(descriptors: Sequence[Descriptor], record: StructureRecord) -> list[np.ndarray]:
    """The numbers of one crystal, in a worker."""
    return [descriptor.compute(Crystal(record)) for descriptor in descriptors]


def keys_of(records: Sequence[StructureRecord], name: str, descriptor: Descriptor) -> list[str]:
    """Under what the numbers of each crystal are kept."""
    recipe = json.dumps({"name": name, **descriptor.recipe}, sort_keys=True)
    return [key_of(record, recipe) for record in records]


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
