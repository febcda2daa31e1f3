"""Complete small benchmarks that are embedded in the package: crystals with one target each."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from curate.record import StructureRecord


def embedded_file(name: str) -> Path:
    """The Parquet file of an embedded benchmark; provenance is in curate/data/README.md."""
    return Path(str(files("curate") / "data" / f"{name}.parquet"))


def embedded_records(
    name: str, target: str, source: str, license: str
) -> Iterator[StructureRecord]:
    """The crystals of an embedded benchmark, in the benchmark's order.

    Args:
        name: The file's name, without its ending.
        target: Name of the property that the column `target` holds.
        source: Database that the records name.
        license: Licence of the entries.
    """
    from pymatgen.core import Structure

    for row in pq.read_table(embedded_file(name)).to_pylist():
        cell, places = np.reshape(row["lattice"], (3, 3)), np.reshape(row["coords"], (-1, 3))
        yield StructureRecord.from_pymatgen(
            Structure(cell, row["elements"], places),
            row["id"],
            source=source,
            license=license,
            properties={target: row["target"]},
        )
