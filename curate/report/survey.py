"""Facts about all crystals of a dataset, and the rows that its page shows."""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.dataset.spacegroups import spacegroups
from curate.dataset.text_statistics import seen
from curate.dataset.token_lengths import DEMO_ENCODER, load_tokenizer
from curate.properties import UNITS
from curate.record import reduced_formula
from curate.report.dataset_files import DatasetFiles, batches, check, failed_structures
from curate.run.schema import DATASET

if TYPE_CHECKING:
    from tokenizers import Tokenizer

HEAVY = ("cartesian_site_positions", "description", "condensed_structure")
N_SLOWEST = 100  # always in the table, whatever is drawn

NUMBER = re.compile(r"(?<![\w.])\d+(\.\d+)?(?!\w)")  # not the 2 of 2D


@dataclass
class Survey:
    """Facts about all crystals, and the rows that the table shows."""

    n_rows: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)  # (status, message)
    elements: Counter[str] = field(default_factory=Counter)  # crystals that hold it
    nsites: list[int] = field(default_factory=list)
    spacegroups: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    properties: dict[str, list[float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    tokenizer: str | None = None  # None where no tokenizer is installed
    same_text: list[list[str]] = field(default_factory=list)  # ids that share their text
    same_cell: list[list[str]] = field(default_factory=list)  # … formula, space group, atoms
    leaks: dict[str, list[str]] = field(default_factory=dict)  # task → ids in two splits
    seen: dict[str, int] = field(default_factory=dict)  # task → val and test texts seen in train
    shown: list[dict[str, Any]] = field(default_factory=list)  # rows of the table, with details


def survey(
    place: DatasetFiles,
    limit: int,
    seed: int,
    tokenizer: str | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Survey:
    """Read every row of a dataset once.

    Args:
        place: Its files.
        limit: Rows that the table may show; of more, a sample. Failed crystals and the slowest are
            always shown (at most half of the table).
        seed: Seed of the sample.
        tokenizer: As for `load_tokenizer`; by default the run's.
        watch: Called with rows done and rows in all.

    Raises:
        InputError: A file is not one of a dataset.
    """
    named = tokenizer or (
        place.run.settings_record["settings"]["tokenizer"] if place.run else DEMO_ENCODER
    )
    found = Survey()
    counter = load_tokenizer(named)
    found.tokenizer = named if counter else None
    manifest = read_manifest(place, found)
    failed = [row for row in manifest.values() if row["status"] != "described"][: limit // 2]
    slowest = sorted(manifest, key=lambda name: -(manifest[name]["seconds"] or 0))[:N_SLOWEST]
    always = set(slowest[: limit // 4])
    n_rows = sum(pq.read_metadata(path).num_rows for path in place.rows)
    room = limit - len(failed)
    drawn = set(range(n_rows))
    if n_rows > room:
        drawn = set(random.Random(seed).sample(range(n_rows), max(room - len(always), 0)))
    keys = RowKeys()
    for start, batch in batches(place):
        check(batch.schema, place)
        found.units |= property_units(batch.schema)
        rows = light_rows(batch, counter, manifest)
        for row in rows:
            note(found, row)
        keys.add(rows, batch["description"].to_pylist())
        kept = [
            position
            for position, row in enumerate(rows)
            if start + position in drawn or row["material_id"] in always
        ]
        for position, whole in zip(kept, batch.take(kept).to_pylist(), strict=True):
            found.shown.append({**whole, **rows[position], "status": "described"})
        found.n_rows += len(rows)
        watch(found.n_rows, n_rows)
    structures = failed_structures(place, {row["material_id"] for row in failed})
    found.shown += [{**structures.get(row["material_id"], {}), **row} for row in failed]
    found.same_text = repeated(keys.ids, keys.texts)
    found.same_cell = repeated(keys.ids, keys.cells)
    for task, column in sorted(keys.splits.items()):
        pairs = zip(keys.ids, column, strict=True)
        found.leaks[task] = [name for name, label in pairs if label == "leak"]
        found.seen[task] = seen(keys.texts, column)
    return found


@dataclass
class RowKeys:
    """The keys of all rows, in order, by which repeats and split leaks are found."""

    ids: list[str] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)  # digests
    cells: list[tuple | None] = field(default_factory=list)  # formula, space group, atoms
    splits: dict[str, list[str | None]] = field(default_factory=lambda: defaultdict(list))

    def add(self, rows: list[dict[str, Any]], texts: list[str | None]) -> None:
        """Add rows and their texts."""
        for row, text in zip(rows, texts, strict=True):
            self.ids.append(row["material_id"])
            self.texts.append(hashlib.blake2b((text or "").encode(), digest_size=16).digest())
            cell = (row["chemical_formula_reduced"], row["spacegroup"], row["nsites"])
            self.cells.append(cell if row["spacegroup"] else None)
            for name, label in row.items():
                if name.startswith("split_"):
                    self.splits[name.removeprefix("split_")].append(label)


def light_rows(
    batch: pa.Table, counter: Tokenizer | None, manifest: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Rows without their large columns, with number of tokens, seconds and space group added."""
    rows = batch.select([name for name in batch.schema.names if name not in HEAVY]).to_pylist()
    texts = [text or "" for text in batch["description"].to_pylist()]
    lengths = [len(made) for made in counter.encode_batch(texts)] if counter else [None] * len(rows)
    for row, length, group in zip(rows, lengths, spacegroups(batch), strict=True):
        symbols = row["species_at_sites"]
        row["chemical_formula_reduced"] = reduced_formula(symbols)
        row["nsites"] = len(symbols)
        row["spacegroup"] = group
        row["tokens"] = length
        row["seconds"] = manifest.get(row["material_id"], {}).get("seconds")
    return rows


def read_manifest(place: DatasetFiles, found: Survey) -> dict[str, dict[str, Any]]:
    """Rows of the manifest by id; their counts go into the survey."""
    rows = {}
    for path in place.manifest:
        for row in pq.read_table(path).to_pylist():
            rows[row["material_id"]] = row
            found.statuses[row["status"]] += 1
            if row["seconds"] is not None:
                found.seconds.append(row["seconds"])
            if row["status"] != "described":
                message = row["error_message"] or row["error_type"] or ""
                found.reasons[row["status"], NUMBER.sub("#", message)] += 1
    return rows


def note(found: Survey, row: Mapping[str, Any]) -> None:
    """Count a described crystal."""
    found.elements.update(set(row["species_at_sites"]))
    found.nsites.append(row["nsites"])
    if row["spacegroup"]:
        found.spacegroups.append(row["spacegroup"])
    if row["tokens"] is not None:
        found.tokens.append(row["tokens"])
    for name in found.units:
        value = row.get(name)
        if value is not None and math.isfinite(value):
            found.properties.setdefault(name, []).append(float(value))


def property_units(schema: pa.Schema) -> dict[str, str]:
    """Unit of each numeric property; empty if it is not known."""
    return {
        column.name: (column.metadata or {}).get(b"unit", b"").decode()
        or UNITS.get(column.name, "")
        for column in schema
        if column.name not in DATASET
        and (pa.types.is_floating(column.type) or pa.types.is_integer(column.type))
    }


def repeated(ids: list[str], keys: list[Any]) -> list[list[str]]:
    """Groups of ids with the same key, largest first; None is no key."""
    groups: dict[Any, list[str]] = defaultdict(list)
    for name, key in zip(ids, keys, strict=True):
        if key is not None:
            groups[key].append(name)
    return sorted((group for group in groups.values() if len(group) > 1), key=len, reverse=True)
