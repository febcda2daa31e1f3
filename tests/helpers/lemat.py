"""Crystals of the embedded sample with exactly the columns of LeMat-Bulk, as a dataset on a test Hub."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hub_server import HubServer
from hub_store import Blob

from curate.record import StructureRecord
from curate.sources.sample import Sample

NAME = "LeMaterial/LeMat-Bulk"
VECTORS = pa.list_(pa.list_(pa.float64()))
SCHEMA = pa.schema(
    {
        "elements": pa.list_(pa.string()),
        "nsites": pa.int32(),
        "chemical_formula_anonymous": pa.string(),
        "chemical_formula_reduced": pa.string(),
        "chemical_formula_descriptive": pa.string(),
        "nelements": pa.int8(),
        "dimension_types": pa.list_(pa.int8()),
        "nperiodic_dimensions": pa.int8(),
        "lattice_vectors": VECTORS,
        "immutable_id": pa.string(),
        "cartesian_site_positions": VECTORS,
        "species": pa.string(),
        "species_at_sites": pa.list_(pa.string()),
        "last_modified": pa.string(),
        "elements_ratios": pa.list_(pa.float64()),
        "stress_tensor": VECTORS,
        "energy": pa.float64(),
        "magnetic_moments": pa.list_(pa.float64()),
        "forces": VECTORS,
        "total_magnetization": pa.float64(),
        "dos_ef": pa.float64(),
        "functional": pa.string(),
        "cross_compatibility": pa.bool_(),
        "entalpic_fingerprint": pa.string(),
    }
)
CONFIGS = ("compatible_pbe", "compatible_pbesol", "compatible_scan", "non_compatible")


def row_of(record: StructureRecord, **changed: Any) -> dict[str, Any]:
    """A crystal as LeMat-Bulk has it."""
    counts = Counter(record.species_at_sites)
    n = record.nsites
    species = [
        {
            "mass": None,
            "name": symbol,
            "attached": None,
            "nattached": None,
            "concentration": [1.0],
            "original_name": None,
            "chemical_symbols": [symbol],
        }
        for symbol in sorted(counts)
    ]
    energy = record.properties["optb88vdw_total_energy"]
    row = {
        "elements": sorted(counts),
        "nsites": n,
        "chemical_formula_anonymous": "A",
        "chemical_formula_reduced": record.chemical_formula_reduced,
        "chemical_formula_descriptive": " ".join(map(str, counts)),
        "nelements": len(counts),
        "dimension_types": [1, 1, 1],
        "nperiodic_dimensions": 3,
        "lattice_vectors": record.lattice_vectors,
        "immutable_id": record.material_id,
        "cartesian_site_positions": record.cartesian_site_positions,
        "species": json.dumps(species),
        "species_at_sites": record.species_at_sites,
        "last_modified": "2024-10-22T10:12:00",
        "elements_ratios": [counts[symbol] / n for symbol in sorted(counts)],
        "stress_tensor": None,
        "energy": None if energy is None else energy * n,
        "magnetic_moments": [0.0] * n,
        "forces": [[0.0, 0.0, 0.0]] * n,
        "total_magnetization": 0.0,
        "dos_ef": None if n % 3 == 0 else 0.1 * n,
        "functional": "pbe",
        "cross_compatibility": True,
        "entalpic_fingerprint": hashlib.md5(record.material_id.encode()).hexdigest()
        + f"_{record.spacegroup_number}_{record.chemical_formula_reduced}",
    }
    return {**row, **changed}


def crystals(n: int) -> list[StructureRecord]:
    """The first n crystals of the embedded sample."""
    records = [record for record, _ in zip(Sample().records(), range(n), strict=False)]
    assert len(records) == n
    return records


def parquet(rows: Sequence[dict[str, Any]], rows_a_group: int, schema: pa.Schema = SCHEMA) -> bytes:
    """The rows as a Parquet file, which has no page checksums, as most on the Hub."""
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), sink, row_group_size=rows_a_group)
    return sink.getvalue()


def card(configs: Sequence[str] = CONFIGS, license: str = "cc-by-4.0") -> bytes:
    """A card whose configs lie in folders of their names."""
    lines = ["---", f"license: {license}", "configs:"]
    for config in configs:
        lines += [f"- config_name: {config}", "  data_files:", "  - split: train"]
        lines += [f"    path: {config}/train-*"]
    return "\n".join([*lines, "---", "# LeMat-Bulk", ""]).encode()


def serve(hub: HubServer, files: dict[str, bytes], name: str = NAME, title: str = "data") -> str:
    """Put files into a dataset of the Hub, in one commit, and give the commit's id."""
    repo = hub.add_repo("datasets", name)
    blobs = {}
    for path, data in files.items():
        sha = hashlib.sha256(data).hexdigest() if path.endswith(".parquet") else None
        if sha:
            repo.objects[sha] = data
        blobs[path] = Blob(data, sha)
    return repo.commit("main", {**repo.head.tree, **blobs}, title, "", "lab").oid


def sharded(
    rows: Sequence[dict[str, Any]], n_files: int, rows_a_group: int, config: str = CONFIGS[0]
) -> dict[str, bytes]:
    """The rows in files of one config, as `datasets` names them."""
    size = -(-len(rows) // n_files)
    return {
        f"{config}/train-{number:05d}-of-{n_files:05d}.parquet": parquet(
            rows[number * size : (number + 1) * size], rows_a_group
        )
        for number in range(n_files)
    }
