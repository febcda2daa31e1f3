"""Write the files of a dataset one by one, by any number of tasks that share a run folder.

    RUN/parts/00003.default.parquet   rows of the dataset's config `default`, as they will be published
    RUN/parts/00003.manifest.parquet  and of its config `manifest`
    RUN/parts/00003.parquet           written last: of what the two were made, their digests, and what the
                                      card needs of each text

A part has the entries of some whole shards, so its bytes depend on these shards and the columns alone: it can
be written as soon as they are described, and whoever writes it writes the same.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.dataset.splits import ListingTasks, official_splits
from curate.dataset.text_statistics import TEXTS, measured_texts
from curate.files import sha256_of, whole_file
from curate.properties import UNITS
from curate.record import StructureRecord, reduced_formula
from curate.run.counts import DESCRIBED
from curate.run.folder import Run, ShardSize, shard_file
from curate.run.schema import (
    COLUMNS,
    DATASET,
    DESCRIPTIONS,
    MANIFEST,
    OF_DESCRIPTION,
    SPLIT,
    STRUCTURES,
)
from curate.run.sealed import DamagedFile, open_table, sealed_digest, write_table

log = logging.getLogger(__name__)

CONFIGS = ("default", "manifest")
ROWS_PER_PIECE = 1_000  # rows in memory at a time, and of a Parquet row group
ENTRIES_PER_FILE = 20_000  # fixed, so that a grown run keeps its first files
ARROW_TYPES = {"number": pa.float64(), "boolean": pa.bool_(), "string": pa.string()}


@dataclass(frozen=True)
class Part:
    """The shards whose entries are in one file of each config."""

    number: int
    shards: tuple[int, ...]


@dataclass(frozen=True)
class Columns:
    """What is the same in all parts."""

    schema: pa.Schema  # of the config `default`
    tasks: tuple[str, ...]  # benchmarks whose splits are columns of it
    tokenizer: str  # as for `load_tokenizer`


@dataclass(frozen=True)
class WrittenPart:
    """A part that is finished."""

    part: Part
    files: Mapping[str, Path]  # by config
    digests: Mapping[str, str]  # SHA-256 of these
    shards: Mapping[Path, bytes]  # SHA-256 of the files that it was made of
    texts: pa.Table  # columns of TEXTS, a row for each of `default`


def parts(sizes: Mapping[int, ShardSize]) -> list[Part]:
    """The parts of a dataset: as many shards each as have up to ENTRIES_PER_FILE entries; at least one part.

    Args:
        sizes: Of all shards.
    """
    groups: list[list[int]] = [[]]
    n_entries = 0
    for number in sorted(sizes):
        if groups[-1] and n_entries + sizes[number].entries > ENTRIES_PER_FILE:
            groups.append([])
            n_entries = 0
        groups[-1].append(number)
        n_entries += sizes[number].entries
    return [Part(number, tuple(shards)) for number, shards in enumerate(groups)]


def columns_of(run: Run) -> Columns:
    """The columns of a run's dataset; units are in the fields' metadata."""
    fetched = run.fetched
    assert fetched is not None
    tasks = fetched.get("benchmarks")
    if tasks is None:  # frozen by version 0.1.0
        listing = ListingTasks()
        for number in run.shards():
            listing.add(run.ids(number))
        tasks = listing.tasks
    columns = {name: COLUMNS[name].type for name in DATASET}
    for name, type_name in fetched["properties"].items():
        columns[name] = ARROW_TYPES[type_name or "number"]
    columns.update({f"{SPLIT}{task}": pa.string() for task in tasks})
    own = {name: COLUMNS[name].unit for name in DATASET if COLUMNS[name].unit}
    units = {**UNITS, **own, **fetched.get("units", {})}
    schema = pa.schema(
        pa.field(name, kind, metadata={"unit": units[name]} if name in units else None)
        for name, kind in columns.items()
    )
    return Columns(schema, tuple(tasks), run.settings_record["settings"]["tokenizer"])


def write_part(folder: Path, part: Part, columns: Columns) -> None:
    """Write a part whose shards are all described, unless it is written.

    Args:
        folder: Of the run.
        part: The part.
        columns: As `columns_of` gives them.

    Raises:
        DamagedFile: A shard is missing or not as it was written.
    """
    run = Run(folder)
    if written_part(run, part, columns) is not None:
        return
    made_of = digest_of_shards(run, part, columns)
    files = {config: part_file(run, part, config) for config in CONFIGS}
    described = (described_rows(run, number, columns) for number in part.shards)
    write_file(files["default"], described, columns.schema)
    all_rows = (run.description_table(number, MANIFEST.names) for number in part.shards)
    write_file(files["manifest"], all_rows, MANIFEST)
    texts = measured_texts(files["default"], columns.tokenizer)
    shards = {str(path.relative_to(folder)): sha256_of(path).hex() for path in sources(run, part)}
    digests = {config: sha256_of(path).hex() for config, path in files.items()}
    about = {"made_of": made_of, "shards": json.dumps(shards), "files": json.dumps(digests)}
    write_table(record_file(run, part), texts, about)


def written_part(run: Run, part: Part, columns: Columns) -> WrittenPart | None:
    """The part, if it is written and was made of what the run has now."""
    files = {config: part_file(run, part, config) for config in CONFIGS}
    if not all(path.is_file() for path in (*files.values(), record_file(run, part))):
        return None
    try:
        record = open_table(record_file(run, part))
        if record.digest is None or record.about["made_of"] != digest_of_shards(run, part, columns):
            return None
        texts = record.read(TEXTS.names)
    except DamagedFile:
        return None
    return WrittenPart(
        part,
        files,
        json.loads(record.about["files"]),
        {
            run.folder / name: bytes.fromhex(digest)
            for name, digest in json.loads(record.about["shards"]).items()
        },
        texts,
    )


def digest_of_shards(run: Run, part: Part, columns: Columns) -> str:
    """Of what a part is made: its shards by the digests that are in them, the columns, and the library that
    writes the bytes."""
    digest = hashlib.sha256(columns.schema.serialize().to_pybytes())
    digest.update(json.dumps([columns.tasks, columns.tokenizer, pa.__version__]).encode())
    for path in sources(run, part):
        digest.update(f"{path.relative_to(run.folder)} {sealed_digest(path)}\n".encode())
    return digest.hexdigest()


def sources(run: Run, part: Part) -> list[Path]:
    """The files that a part is made of."""
    return [
        shard_file(folder, number)
        for folder in (run.structures, run.descriptions)
        for number in part.shards
    ]


def is_described(run: Run, part: Part) -> bool:
    """Whether all shards of a part are described."""
    return all(map(run.is_described, part.shards))


def part_file(run: Run, part: Part, config: str) -> Path:
    """`RUN/parts/00003.default.parquet`"""
    return run.parts / f"{part.number:05d}.{config}.parquet"


def record_file(run: Run, part: Part) -> Path:
    """`RUN/parts/00003.parquet`"""
    return shard_file(run.parts, part.number)


def described_rows(run: Run, number: int, columns: Columns) -> pa.Table:
    """The rows of config `default` for one shard, in the source's order.

    Raises:
        DamagedFile: An entry has no description.
    """
    entries = run.structure_table(number, STRUCTURES.names)
    texts = run.description_table(number, DESCRIPTIONS.names)
    place = pc.index_in(entries["material_id"], texts["material_id"])
    if place.null_count:
        missing = entries["material_id"].filter(place.is_null())[0]
        raise DamagedFile(shard_file(run.descriptions, number), f"it has no row for {missing}")
    texts = texts.take(place)
    is_row = pc.and_(pc.equal(texts["status"], DESCRIBED), pc.is_null(entries["status"]))
    entries, texts = entries.filter(is_row), texts.filter(is_row)
    found: dict[str, Any] = {name: texts[own] for name, own in OF_DESCRIPTION.items()}
    kept = set(DATASET) - found.keys() - {"nsites", "chemical_formula_reduced"}
    species = entries["species_at_sites"]
    found["nsites"] = pc.list_value_length(species)
    found["chemical_formula_reduced"] = [reduced_formula(each) for each in species.to_pylist()]
    for name, default in (("source", StructureRecord.source), ("license", StructureRecord.license)):
        found[name] = pc.fill_null(entries[name], default)
    ids = entries["material_id"].to_pylist()
    labels = official_splits(ids)
    for task in columns.tasks:
        found[f"{SPLIT}{task}"] = [labels.get(task, {}).get(each) for each in ids]
    properties = [json.loads(each) for each in entries["properties"].to_pylist()]
    arrays = []
    for field in columns.schema:
        values = found.get(field.name, entries[field.name] if field.name in kept else None)
        if values is None:  # a property
            pairs = zip(ids, properties, strict=True)
            values = [typed(row.get(field.name), field, name) for name, row in pairs]
        if isinstance(values, list):
            arrays.append(pa.array(values, field.type))
        else:
            arrays.append(values.cast(field.type))
    return pa.table(arrays, schema=columns.schema)


def write_file(path: Path, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write tables as one Parquet file, in pieces that fit in memory, atomically."""
    with whole_file(path) as partial:
        left = schema.empty_table()
        with pq.ParquetWriter(
            partial, schema, compression="zstd", write_page_checksum=True
        ) as file:
            for table in tables:
                left = pa.concat_tables([left, table.cast(schema)])
                while left.num_rows >= ROWS_PER_PIECE:
                    file.write_table(left.slice(0, ROWS_PER_PIECE).combine_chunks())
                    left = left.slice(ROWS_PER_PIECE)
            if left.num_rows:  # `datasets` reads a file without row groups, but no empty one
                file.write_table(left.combine_chunks())


def typed(value: Any, field: pa.Field, material_id: str) -> Any:
    """A property as text where its column is text, and as a float where it is one of numbers."""
    if value is not None and field.type == pa.string():
        return str(value)
    if isinstance(value, int) and field.type == pa.float64():
        try:
            return float(value)
        except OverflowError:  # of runs that version 0.1.0 read
            log.warning("%s: %s is larger than any number", material_id, field.name)
            return None
    return value
