"""The 400 JARVIS-DFT crystals in the package, as structure records. No network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pyarrow.parquet as pq

from curate.record import StructureRecord
from curate.sources.base import Snapshot
from curate.sources.entries import record_of_atoms, value_of

JARVIS_LICENSE = "NIST terms of use"
JARVIS_CITATION = "Choudhary et al., npj Computational Materials 6, 173 (2020)"
PROPERTIES = (
    "formation_energy_peratom",
    "optb88vdw_bandgap",
    "optb88vdw_total_energy",
    "mbj_bandgap",
    "bulk_modulus_kv",
    "shear_modulus_gv",
    "slme",
    "spillage",
)


class Sample:
    """JARVIS-DFT crystals with their properties; provenance in curate/data/README.md."""

    path = Path(str(files("curate") / "data" / "jarvis_sample.parquet"))

    def snapshot(self) -> Snapshot:
        return Snapshot(
            database="JARVIS-DFT",
            version="embedded sample of 400",
            sha256=hashlib.sha256(self.path.read_bytes()).hexdigest(),
            license=JARVIS_LICENSE,
            citation=JARVIS_CITATION,
            url="https://jarvis.nist.gov",
        )

    def records(self) -> Iterator[StructureRecord]:
        for row in pq.read_table(self.path).to_pylist():
            yield record_of_atoms(
                json.loads(row["atoms"]),
                row["id"],
                source="JARVIS-DFT",
                license=JARVIS_LICENSE,
                spacegroup_number=row["spacegroup_number"],
                properties={name: value_of(row[name]) for name in PROPERTIES},
            )
