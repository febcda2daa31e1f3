"""Find and read the files of a run or of a dataset folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import InputError, first_line
from curate.record import StructureRecord
from curate.run.folder import Run
from curate.run.schema import GEOMETRY

ROWS_AT_ONCE = 1_000


@dataclass(frozen=True)
class DatasetFiles:
    """Where the files of a dataset lie."""

    folder: Path
    rows: tuple[Path, ...]  # Parquet files of the described crystals
    manifest: tuple[Path, ...]  # of all requested ids; empty where the dataset has none
    run: Run | None = None


def find_dataset(folder: Path) -> DatasetFiles:
    """The dataset of a run folder, or of a dataset folder; InputError where there is none."""
    run = Run(folder) if (folder / "run.json").is_file() else None
    if run and (damage := run.damaged_dataset_files()):
        raise damage[0]
    dataset = run.dataset if run else folder
    rows = sorted(dataset.glob("default/*.parquet")) or sorted(dataset.glob("*.parquet"))
    if run and not rows:
        raise InputError(f"{folder} holds no dataset yet: finish its `curate build` first")
    if not rows:
        raise InputError(f"{folder} is neither a run nor a dataset: it holds no Parquet files")
    return DatasetFiles(folder, tuple(rows), tuple(sorted(dataset.glob("manifest/*.parquet"))), run)


def batches(place: DatasetFiles) -> Iterator[tuple[int, pa.Table]]:
    """Yield tables of consecutive rows, each with the number of its first row; InputError where a file
    can't be read."""
    start = 0
    for path in place.rows:
        try:
            file = pq.ParquetFile(path, page_checksum_verification=True)
            for batch in file.iter_batches(ROWS_AT_ONCE):
                yield start, pa.Table.from_batches([batch])
                start += len(batch)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path} can't be read: {first_line(error)}") from error


def check(schema: pa.Schema, place: DatasetFiles) -> None:
    """InputError where a column is missing that every dataset has."""
    if missing := [
        name for name in ("material_id", *GEOMETRY, "description") if name not in schema.names
    ]:
        raise InputError(
            f"{place.folder} is not a dataset of crystals: it has no column {missing[0]!r}"
        )


def failed_structures(place: DatasetFiles, ids: set[str]) -> dict[str, dict[str, Any]]:
    """Structures of crystals without a text: the run keeps them, a dataset does not."""
    found: dict[str, dict[str, Any]] = {}
    for number in place.run.shards() if place.run and ids else ():
        for entry in place.run.read_structures(number) if place.run else ():
            if entry.material_id in ids and isinstance(entry, StructureRecord):
                found[entry.material_id] = {
                    "chemical_formula_reduced": entry.chemical_formula_reduced,
                    "nsites": entry.nsites,
                    "spacegroup": entry.spacegroup_number,
                    "source": entry.source,
                    **{name: getattr(entry, name) for name in GEOMETRY},
                    **entry.properties,
                }
    return found
