"""The 400 JARVIS-DFT crystals that are embedded in the package; needs no network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pyarrow.parquet as pq

from curate.files import sha256_of
from curate.properties import JARVIS, properties_of
from curate.record import StructureRecord
from curate.sources.base import Snapshot
from curate.sources.entries import record_of_atoms, value_of

JARVIS_LICENSE = "NIST terms of use"


class Sample:
    """JARVIS-DFT crystals with their properties; provenance in curate/data/README.md."""

    path = Path(str(files("curate") / "data" / "jarvis_sample.parquet"))

    def snapshot(self) -> Snapshot:
        return Snapshot(
            database=JARVIS.name,
            version="embedded sample of 400",
            sha256=sha256_of(self.path).hex(),
            license=JARVIS_LICENSE,
            citation=JARVIS.citation,
            url="https://jarvis.nist.gov",
        )

    def records(self) -> Iterator[StructureRecord]:
        table = pq.read_table(self.path)
        names = [p.name for p in properties_of(JARVIS) if p.name in table.column_names]
        for row in table.to_pylist():
            yield record_of_atoms(
                json.loads(row["atoms"]),
                row["id"],
                source=JARVIS.name,
                license=JARVIS_LICENSE,
                spacegroup_number=row["spacegroup_number"],
                properties={name: value_of(row[name]) for name in names},
            )
