"""Small sources for builds, and what a finished run holds."""

from pathlib import Path

import pyarrow.parquet as pq

from curate import StructureRecord
from curate.sources.base import Snapshot
from curate.sources.sample import Sample


class Crystals:
    """A source of the records it is given."""

    def __init__(self, records):
        self.given = records

    def snapshot(self) -> Snapshot:
        return Snapshot("test", "1", "0" * 64, "CC0-1.0", "")

    def records(self):
        yield from self.given


def some(n: int) -> list[StructureRecord]:
    """The n smallest crystals of the embedded sample."""
    return sorted(Sample().records(), key=lambda record: record.nsites)[:n]


def manifest(run: Path) -> dict[str, dict]:
    rows = pq.read_table(run / "dataset" / "manifest").to_pylist()
    return {row["material_id"]: row for row in rows}


def without_times(run: Path) -> list[dict]:
    """All data columns of a dataset but the seconds."""
    rows = pq.read_table(run / "dataset" / "default").to_pylist()
    for row in pq.read_table(run / "dataset" / "manifest").to_pylist():
        rows.append({name: value for name, value in row.items() if name != "seconds"})
    return rows
