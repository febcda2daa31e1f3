"""Write the dataset of a run in the form that `datasets.load_dataset` opens."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from itertools import count as counting
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.batches import in_batches
from curate.dataset.card import dataset_card
from curate.dataset.splits import official_splits
from curate.files import sync, sync_tree, write_text
from curate.properties import UNITS
from curate.record import Description, SkippedEntry, StructureRecord
from curate.run.counts import Counts, count
from curate.run.folder import Run
from curate.run.schema import COLUMNS, DATASET, MANIFEST, dataset_row

log = logging.getLogger(__name__)

OLD = "dataset.old"  # the dataset that is replaced, until the new one is in its place
ROWS_PER_PIECE = 1_000  # rows in memory at a time, and of a Parquet row group
PIECES_PER_FILE = 20  # fixed, so that a grown run keeps its first files
ARROW_TYPES = {"number": pa.float64(), "boolean": pa.bool_(), "string": pa.string()}


def finish(run: Run) -> Counts:
    """Write the dataset of a run whose shards are all described, unless it is up to date.

    Returns:
        The counts of the run.

    Raises:
        ValueError: Structures are left without a description or a reason.
    """
    counts = count(run)
    if counts.left:
        raise ValueError(f"{counts.left} structures are unaccounted for")
    shutil.rmtree(run.folder / OLD, ignore_errors=True)  # of a killed build
    if not run.is_dataset_current:
        write_dataset(run, counts)
    return counts


def write_dataset(run: Run, counts: Counts) -> None:
    """Write RUN/dataset anew: the described rows, the manifest of all rows, and the card."""
    made_of = run.contents()
    partial = run.folder / "dataset.partial"
    shutil.rmtree(partial, ignore_errors=True)
    tasks = tasks_of(run)
    schema = default_schema(run, tasks)
    pairs = described_pairs(run)
    write_files(partial / "default", (default_row(*pair, tasks) for pair in pairs), schema)
    write_files(partial / "manifest", manifest_rows(run), MANIFEST)
    write_card(run, counts, partial)
    sync_tree(partial)
    replace_folder(partial, run.dataset)
    run.record_dataset(made_of)


def write_card(run: Run, counts: Counts, dataset: Path) -> None:
    """Write the README.md of a dataset folder."""
    write_text(dataset / "README.md", dataset_card(run, counts, dataset / "default"))


def default_schema(run: Run, tasks: Iterable[str]) -> pa.Schema:
    """Columns of config `default`; units are in the fields' metadata."""
    assert run.fetched is not None
    columns = {name: COLUMNS[name].type for name in DATASET}
    for name, type_name in run.fetched["properties"].items():
        columns[name] = ARROW_TYPES[type_name or "number"]
    columns.update({f"split_{task}": pa.string() for task in tasks})
    own = {name: COLUMNS[name].unit for name in DATASET if COLUMNS[name].unit}
    units = {**UNITS, **own, **run.fetched.get("units", {})}
    return pa.schema(
        pa.field(name, kind, metadata={"unit": units[name]} if name in units else None)
        for name, kind in columns.items()
    )


def described_pairs(run: Run) -> Iterator[tuple[StructureRecord, Description]]:
    """Record and description of every crystal that has one, in the source's order."""
    for number in run.described_shards():
        for entry, description in run.read_pairs(number):
            if description.status == "described" and not isinstance(entry, SkippedEntry):
                yield entry, description


def default_row(
    record: StructureRecord, description: Description, tasks: dict[str, dict[str, str]]
) -> dict[str, Any]:
    """One row of config `default`."""
    splits = {f"split_{task}": labels.get(record.material_id) for task, labels in tasks.items()}
    return {**dataset_row(record, description), **splits}


def manifest_rows(run: Run) -> Iterator[dict[str, Any]]:
    """One row for every requested id."""
    for number in run.described_shards():
        for description in run.read_descriptions(number):
            yield {name: getattr(description, name) for name in MANIFEST.names}


def tasks_of(run: Run) -> dict[str, dict[str, str]]:
    """The official benchmarks that list any material of the run."""
    ids: set[str] = set()
    for number in run.shards():
        ids.update(run.ids(number))
    return official_splits(ids)


def write_files(folder: Path, rows: Iterable[dict[str, Any]], schema: pa.Schema) -> None:
    """Write rows as `train-00000.parquet`, …, at least one file, in pieces that fit in memory."""
    folder.mkdir(parents=True)
    pieces = in_batches(rows, ROWS_PER_PIECE)
    for number in counting():
        first = next(pieces, None)
        if first is None and number:
            return
        path = folder / f"train-{number:05d}.parquet"
        with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as file:
            for piece in chain([first or []], islice(pieces, PIECES_PER_FILE - 1)):
                table = [_typed(row, schema) for row in piece]
                file.write_table(pa.Table.from_pylist(table, schema))


def _typed(row: dict[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """The row with its values as text where the column is text, and as floats where it is one of numbers."""
    typed = dict(row)
    for name, value in row.items():
        kind = schema.field(name).type
        if value is not None and kind == pa.string():
            typed[name] = str(value)
        elif isinstance(value, int) and kind == pa.float64():
            try:
                typed[name] = float(value)
            except OverflowError:  # of runs that version 0.1.0 read
                log.warning("%s: %s is larger than any number", row.get("material_id"), name)
                typed[name] = None
    return typed


def replace_folder(new: Path, old: Path) -> None:
    """Replace the folder `old` by `new`, whose files are on disk."""
    gone = old.with_name(OLD)
    shutil.rmtree(gone, ignore_errors=True)
    if old.exists():
        old.rename(gone)
    new.rename(old)
    sync(old.parent)
    shutil.rmtree(gone, ignore_errors=True)
