"""Finished shards in, the typed dataset that `datasets.load_dataset` opens out."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.batches import in_batches
from curate.dataset.card import dataset_card
from curate.dataset.splits import official_splits
from curate.record import UNITS, Description, Refusal, StructureRecord
from curate.run.counts import Counts
from curate.run.folder import VECTOR, Run, shard_file, whole_file

ROWS_PER_PIECE = 1_000  # rows in memory at a time, and of a Parquet row group
PIECES_PER_FILE = 20  # fixed, so that a grown run keeps its first files
MANIFEST = pa.schema(
    [
        ("material_id", pa.string()),
        ("status", pa.string()),
        ("stage", pa.string()),
        ("error_type", pa.string()),
        ("error_message", pa.string()),
        ("seconds", pa.float64()),
        ("symprec", pa.float64()),
        ("note", pa.string()),
    ]
)
COLUMNS = {
    "material_id": pa.string(),
    "source": pa.string(),
    "chemical_formula_reduced": pa.string(),
    "nsites": pa.int32(),
    "lattice_vectors": pa.list_(VECTOR),
    "cartesian_site_positions": pa.list_(VECTOR),
    "species_at_sites": pa.list_(pa.string()),
    "spacegroup_number": pa.int32(),
    "description": pa.string(),
    "condensed_structure": pa.string(),
    "description_origin": pa.string(),
    "license": pa.string(),
}
ARROW_TYPES = {"number": pa.float64(), "boolean": pa.bool_(), "string": pa.string()}
LENGTHS = {"lattice_vectors": "Å", "cartesian_site_positions": "Å"}


def write_dataset(run: Run, counts: Counts) -> None:
    """RUN/dataset anew: described rows, the manifest of all rows, the card."""
    partial = run.folder / "dataset.partial"
    shutil.rmtree(partial, ignore_errors=True)
    tasks = tasks_of(run)
    schema = default_schema(run, tasks)
    pairs = described_pairs(run)
    write_files(partial / "default", (default_row(*pair, tasks) for pair in pairs), schema)
    write_files(partial / "manifest", manifest_rows(run), MANIFEST)
    write_card(run, counts, partial)
    replace_folder(partial, run.dataset)


def write_card(run: Run, counts: Counts, dataset: Path) -> None:
    """The README.md of a dataset folder."""
    with whole_file(dataset / "README.md") as partial:
        partial.write_text(dataset_card(run, counts, dataset / "default"))


def default_schema(run: Run, tasks: Iterable[str]) -> pa.Schema:
    """Columns of config `default`; units are in the fields' metadata."""
    assert run.fetched is not None
    columns = dict(COLUMNS)
    for name, type_name in run.fetched["properties"].items():
        columns[name] = ARROW_TYPES[type_name or "number"]
    columns.update({f"split_{task}": pa.string() for task in tasks})
    units = {**UNITS, **LENGTHS, **run.fetched.get("units", {})}
    return pa.schema(
        pa.field(name, kind, metadata={"unit": units[name]} if name in units else None)
        for name, kind in columns.items()
    )


def described_pairs(run: Run) -> Iterator[tuple[StructureRecord, Description]]:
    """Record and description of every crystal that has one, in the source's order."""
    for number in run.described_shards():
        shard = zip(run.read_structures(number), run.read_descriptions(number), strict=True)
        for entry, description in shard:
            if description.status == "described" and not isinstance(entry, Refusal):
                yield entry, description


def default_row(
    record: StructureRecord, description: Description, tasks: dict[str, dict[str, str]]
) -> dict[str, Any]:
    """One row of config `default`."""
    assert description.text is not None
    return {
        "material_id": record.material_id,
        "source": record.source,
        "chemical_formula_reduced": record.chemical_formula_reduced,
        "nsites": record.nsites,
        "lattice_vectors": record.lattice_vectors,
        "cartesian_site_positions": record.cartesian_site_positions,
        "species_at_sites": record.species_at_sites,
        "spacegroup_number": record.spacegroup_number,
        "description": description.text,
        "condensed_structure": description.condensed_structure,
        "description_origin": description.origin,
        "license": record.license,
        **record.properties,
        **{f"split_{task}": labels.get(record.material_id) for task, labels in tasks.items()},
    }


def manifest_rows(run: Run) -> Iterator[dict[str, Any]]:
    """One row for every requested id."""
    for number in run.described_shards():
        for description in run.read_descriptions(number):
            yield {name: getattr(description, name) for name in MANIFEST.names}


def tasks_of(run: Run) -> dict[str, dict[str, str]]:
    """The official benchmarks that list any material of the run."""
    ids: set[str] = set()
    for number in run.shards():
        table = pq.read_table(shard_file(run.structures, number), columns=["material_id"])
        ids.update(table["material_id"].to_pylist())
    return official_splits(ids)


def write_files(folder: Path, rows: Iterable[dict[str, Any]], schema: pa.Schema) -> None:
    """Rows as `train-00000.parquet`, …, at least one file, in pieces that fit in memory."""
    folder.mkdir(parents=True)
    pieces = in_batches(rows, ROWS_PER_PIECE)
    for number in count():
        first = next(pieces, None)
        if first is None and number:
            return
        path = folder / f"train-{number:05d}.parquet"
        with pq.ParquetWriter(path, schema, compression="zstd") as file:
            for piece in chain([first or []], islice(pieces, PIECES_PER_FILE - 1)):
                table = [_typed(row, schema) for row in piece]
                file.write_table(pa.Table.from_pylist(table, schema))


def _typed(row: dict[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """The row with values as the column holds them: text where a property is a number here, text there."""
    return {
        name: str(value) if value is not None and schema.field(name).type == pa.string() else value
        for name, value in row.items()
    }


def replace_folder(new: Path, old: Path) -> None:
    """`new` takes the place of `old`."""
    if old.exists():
        gone = old.with_name(f"{old.name}.old")
        shutil.rmtree(gone, ignore_errors=True)
        old.rename(gone)
        new.rename(old)
        shutil.rmtree(gone)
    else:
        new.rename(old)
