"""Structure tables in, crystals to measure out; shared by the benchmarks of descriptions."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from pymatgen.core import Structure

from curate.record import StructureRecord
from curate.sources.entries import record_of_atoms
from curate.sources.sample import Sample

SIZES = (2, 5, 9, 15, 25, 40, 60)  # atoms; borders of the layers a sample is drawn from


@dataclass(frozen=True)
class Crystal:
    """A structure record and the table it comes from."""

    table: str
    record: StructureRecord


def load(paths: Sequence[Path], only: Collection[str] | None = None) -> list[Crystal]:
    """Crystals of parquet tables (column `id` with `atoms`, jarvis JSON, or `structure`, pymatgen
    JSON), all or those with these ids; of the package's sample where no path is given."""
    if not paths:
        return [Crystal("sample", record) for record in Sample().records()]
    return [
        Crystal(path.stem, _record(row))
        for path in paths
        for row in pq.read_table(path).to_pylist()
        if only is None or row["id"] in only
    ]


def stratified(crystals: Sequence[Crystal], n: int, seed: int) -> list[Crystal]:
    """About n crystals of 2 to 60 atoms, the same number from each layer of sizes."""
    chance = random.Random(seed)
    layers = [
        [crystal for crystal in crystals if low <= crystal.record.nsites <= high]
        for low, high in zip((SIZES[0], *(s + 1 for s in SIZES[1:-1])), SIZES[1:], strict=True)
    ]
    each = -(-n // len(layers))
    return [c for layer in layers for c in chance.sample(layer, min(each, len(layer)))]


def _record(row: dict) -> StructureRecord:
    if "atoms" in row:
        return record_of_atoms(json.loads(row["atoms"]), row["id"])
    structure = Structure.from_dict(json.loads(row["structure"]))
    return StructureRecord.from_pymatgen(structure, row["id"])
