"""Write the dataset of a run in the form that `datasets.load_dataset` opens."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
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
from curate.run.schema import CHANGES, COLUMNS, DATASET, MANIFEST, dataset_row

log = logging.getLogger(__name__)

OLD = "dataset.old"  # the dataset that is replaced, until the new one is in its place
ROWS_PER_PIECE = 1_000  # rows in memory at a time, and of a Parquet row group
ROWS_PER_FILE = 20_000  # fixed, so that a grown run keeps its first files
WriteEach = Callable[[Callable[..., int], Sequence[tuple]], Iterable[int]]
ARROW_TYPES = {"number": pa.float64(), "boolean": pa.bool_(), "string": pa.string()}


def in_turn(function: Callable[..., int], tasks: Sequence[tuple]) -> list[int]:
    """What the function returns for each task, computed in this process."""
    return [function(*task) for task in tasks]


def finish(run: Run, write_each: WriteEach = in_turn) -> Counts:
    """Write the dataset of a run whose shards are all described, unless it is up to date.

    Args:
        run: The run.
        write_each: Calls a function for each file of the dataset, maybe in several processes.

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
        write_dataset(run, counts, write_each)
    return counts


def write_dataset(run: Run, counts: Counts, write_each: WriteEach = in_turn) -> None:
    """Write RUN/dataset anew: the described rows, the manifest of all rows, what changed, and the card."""
    made_of = run.contents()
    partial = run.folder / "dataset.partial"
    shutil.rmtree(partial, ignore_errors=True)
    names = tuple(tasks_of(run))
    schema = default_schema(run, names)
    files = [
        ("default", part) for part in parts((each.number, each.described) for each in counts.shards)
    ]
    files += [
        ("manifest", part) for part in parts((each.number, each.entries) for each in counts.shards)
    ]
    for config in ("default", "manifest"):
        (partial / config).mkdir(parents=True)
    tasks = [(run.folder, partial / config, part, schema, names) for config, part in files]
    if list(write_each(write_part, tasks)) != [part.n_rows for _, part in files]:
        raise ValueError(f"{run.folder}: rows of the dataset are unaccounted for")
    write_changes(run, partial)
    write_card(run, counts, partial)
    sync_tree(partial)
    replace_folder(partial, run.dataset)
    run.record_dataset(made_of)


@dataclass(frozen=True)
class Part:
    """The rows of one file of the dataset: so many from a place within a shard on."""

    number: int  # of the file
    shards: tuple[int, ...]
    n_skipped: int  # rows of the first shard that are in the file before
    n_rows: int


def parts(shards: Iterable[tuple[int, int]]) -> list[Part]:
    """The files for shards with so many rows each; at least one."""
    size = ROWS_PER_FILE
    found: list[Part] = []
    numbers: list[int] = []
    n_skipped = n_rows = 0
    for number, rows in shards:
        start = 0
        while rows - start > size - n_rows:
            taken = size - n_rows
            found.append(Part(len(found), (*numbers, number), n_skipped, size))
            start += taken
            numbers, n_skipped, n_rows = [], start, 0
        if rows - start:
            numbers.append(number)
            n_rows += rows - start
    if n_rows or not found:
        found.append(Part(len(found), tuple(numbers), n_skipped, n_rows))
    return found


def write_part(
    folder: Path, config: Path, part: Part, schema: pa.Schema, tasks: Sequence[str]
) -> int:
    """Write one file of the dataset.

    Args:
        folder: Of the run.
        config: Folder of the dataset's config, `default` or `manifest`.
        part: Which rows.
        schema: Of the config `default`.
        tasks: The benchmarks whose splits are columns.

    Returns:
        The number of rows.
    """
    run = Run(folder)
    if config.name == "manifest":
        rows, schema = manifest_rows(run, part.shards), MANIFEST
    else:
        known = official_splits(chain.from_iterable(map(run.ids, part.shards)))
        labels = {task: known.get(task, {}) for task in tasks}
        rows = (default_row(*pair, labels) for pair in described_pairs(run, part.shards))
    chosen = islice(rows, part.n_skipped, part.n_skipped + part.n_rows)
    return write_file(config / f"train-{part.number:05d}.parquet", chosen, schema)


def write_changes(run: Run, dataset: Path) -> None:
    """Write the config `changes` of a dataset folder, where the run was ever updated."""
    for number in run.changes_shards():
        path = dataset / "changes" / f"train-{number:05d}.parquet"
        path.parent.mkdir(exist_ok=True)
        write_file(path, run.read_changes(number), CHANGES)


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


def described_pairs(
    run: Run, shards: Iterable[int] | None = None
) -> Iterator[tuple[StructureRecord, Description]]:
    """Record and description of every crystal of these shards, or of all, that has one, in the source's
    order."""
    for number in run.described_shards() if shards is None else shards:
        for entry, description in run.read_pairs(number):
            if description.status == "described" and not isinstance(entry, SkippedEntry):
                yield entry, description


def default_row(
    record: StructureRecord, description: Description, tasks: dict[str, dict[str, str]]
) -> dict[str, Any]:
    """One row of config `default`."""
    splits = {f"split_{task}": labels.get(record.material_id) for task, labels in tasks.items()}
    return {**dataset_row(record, description), **splits}


def manifest_rows(run: Run, shards: Iterable[int]) -> Iterator[dict[str, Any]]:
    """One row for every requested id of these shards."""
    for number in shards:
        for description in run.read_descriptions(number):
            yield {name: getattr(description, name) for name in MANIFEST.names}


def tasks_of(run: Run) -> list[str]:
    """The official benchmarks that list any material of the run."""
    return list(official_splits(chain.from_iterable(map(run.ids, run.shards()))))


def write_file(path: Path, rows: Iterable[dict[str, Any]], schema: pa.Schema) -> int:
    """Write rows as a Parquet file, in pieces that fit in memory; the number of rows."""
    n_rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as file:
        for piece in in_batches(rows, ROWS_PER_PIECE):
            n_rows += len(piece)
            table = [_typed(row, schema) for row in piece]
            file.write_table(pa.Table.from_pylist(table, schema))
        if not n_rows:
            file.write_table(schema.empty_table())
    return n_rows


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
