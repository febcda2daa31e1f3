"""Material id in, official JARVIS-Leaderboard split out; the ids are shipped with the package."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import pyarrow.parquet as pq


@lru_cache(maxsize=1)
def official_splits() -> dict[str, dict[str, str]]:
    """Label of each material id, by task; provenance in curate/data/README.md."""
    tasks: dict[str, dict[str, str]] = {}
    for task, material_id, split in listed():
        labels = tasks.setdefault(task, {})
        known = labels.setdefault(material_id, split)
        if known != split:
            labels[material_id] = "leak"
    return tasks


def listed() -> Iterator[tuple[str, str, str]]:
    """(task, material id, split) as the benchmarks list them, some ids twice."""
    table = pq.read_table(Path(str(files("curate") / "data" / "benchmark_splits.parquet")))
    columns = (table.column(name).to_pylist() for name in ("task", "prefix", "number", "split"))
    for task, prefix, number, split in zip(*columns, strict=True):
        yield task, f"{prefix}-{number}", split
