"""Write a source's entries into the run folder, so that what is described no longer changes."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import astuple, replace
from datetime import date
from itertools import islice
from typing import Any

import pyarrow as pa

from curate.config import BuildConfig
from curate.dataset.splits import ListingTasks
from curate.errors import InputError, named
from curate.record import SkippedEntry, StructureRecord
from curate.run.folder import SPECIES, Run, ShardSize
from curate.run.schema import DATASET, SPLIT
from curate.run.sealed import DamagedFile
from curate.run.seen_keys import SeenKeys, seen_keys
from curate.sources.base import Entry, Position, ResumableSource, Source
from curate.work.progress import Progress, Watch

ID = "material_id"
GROWTH = ((200_000, 25), (20_000, 5))  # from so many entries on a shard has so many times as many
LARGEST_SHARD = 5_000
log = logging.getLogger(__name__)


def fetch(
    run: Run, source: Source, config: BuildConfig, ids: set[str] | None, watch: Watch
) -> None:
    """Write the source's entries into the run folder, shard by shard.

    Where the source can go on after an entry, an interrupted call is resumed.

    Raises:
        InputError: An id occurs twice or is missing, or a property has the name of a dataset column.
    """
    with seen_keys(run.folder) as seen:
        frozen = FrozenEntries(seen, tuple(getattr(source, "unique_by", ())))
        position = frozen.resume(run) if isinstance(source, ResumableSource) else None
        wanted = selected(source, position, frozen, config, ids)
        while batch := list(islice(wanted, entries_of_shard(frozen.n_entries, config.shard_size))):
            frozen.write(run, [entry for _, entry in batch])
            if (last := batch[-1][0]) is not None:
                run.record_reading(frozen.n_shards, last)
            watch(Progress("reading", frozen.n_entries, config.limit))
    if not frozen.n_entries:
        raise InputError("the source holds no entries")
    summary = {
        "entries": frozen.n_entries,
        "shards": frozen.n_shards,
        "sizes": [astuple(size) for size in frozen.sizes],
        "properties": frozen.types,
        "units": dict(getattr(source, "units", {})),  # where the database tells them
        "benchmarks": frozen.listing.tasks,
        "read_on": date.today().isoformat(),
    }
    run.finish_fetching(summary)


def entries_of_shard(n_before: int, least: int) -> int:
    """How many entries the next shard has: more in a large source, which would have too many files.

    Args:
        n_before: Entries in the shards before it.
        least: Entries of the first shards.
    """
    times = next((times for n, times in GROWTH if n_before >= n), 1)
    return max(least, min(times * least, LARGEST_SHARD))


class FrozenEntries:
    """What is known of the entries that are written: how many, their ids, the types of their properties,
    which benchmarks list them."""

    def __init__(self, seen: SeenKeys, unique_by: tuple[str, ...]):
        self.seen = seen
        self.unique_by = unique_by  # ID, and properties; what comes again is left out
        self.n_entries = 0
        self.sizes: list[ShardSize] = []
        self.types: dict[str, str | None] = {}
        self.listing = ListingTasks()

    @property
    def n_shards(self) -> int:
        """How many shards are written."""
        return len(self.sizes)

    def write(self, run: Run, entries: list[Entry]) -> None:
        """Write the next shard."""
        table = run.write_structures(self.n_shards, entries)
        self._add_shard(table)

    def _add_shard(self, table: pa.Table) -> None:
        self.sizes.append(ShardSize.from_species(table[SPECIES]))
        self.listing.add(table[ID].to_pylist())

    def resume(self, run: Run) -> Position | None:
        """Count what an interrupted build wrote; the position that it ended at, None if there is none."""
        try:
            reading = run.reading
            if reading is None:
                return None
            run.check_shards(reading["shards"])
        except DamagedFile as error:
            log.warning("the source is read from its start: %s (%s)", error.path, error.reason)
            return None
        for number in range(reading["shards"]):
            table = run.structure_table(number, [ID, "status", "properties", SPECIES])
            for row in table.select([ID, "status", "properties"]).to_pylist():
                self._count(row[ID], json.loads(row["properties"]) if row["status"] is None else {})
            self._add_shard(table)
        log.info("%s entries are read already", f"{self.n_entries:,}")
        return reading["position"]

    def _count(self, material_id: str, properties: Mapping[str, Any]) -> None:
        self.n_entries += 1
        self.seen.add(ID, material_id, material_id)
        for name, value in properties.items():
            self.types[name] = wider(self.types.get(name), value)
            if name in self.unique_by and value is not None:
                self.seen.add(name, str(value), material_id)

    def take(self, entry: Entry) -> Entry:
        """The entry as it is written, or, where another had its id before, why it is left out.

        Raises:
            InputError: The source must not repeat an id, or a property has the name of a column.
        """
        if self.seen.has(ID, entry.material_id):
            if ID not in self.unique_by:
                raise InputError(f"the source holds two entries with the id {entry.material_id}")
            name = f"{entry.material_id}#{self.n_entries + 1}"
            while self.seen.has(ID, name):
                name += "#"
            reason = f"an earlier entry has the id {entry.material_id}"
            entry = SkippedEntry(name, "left_out", "RepeatedId", reason)
        if isinstance(entry, StructureRecord):
            entry = self._unless_repeated(entry)
        self._count(
            entry.material_id, entry.properties if isinstance(entry, StructureRecord) else {}
        )
        return entry

    def _unless_repeated(self, record: StructureRecord) -> Entry:
        """The record, or why it is left out where another had one of its properties before."""
        for name, value in record.properties.items():
            check_name(name, record.material_id)
            is_unique = name in self.unique_by and value is not None
            if is_unique and (first := self.seen.first(name, str(value))):
                reason = f"{first} has the same {name}"
                return SkippedEntry(record.material_id, "left_out", "RepeatedFingerprint", reason)
        return record


def selected(
    source: Source,
    position: Position | None,
    frozen: FrozenEntries,
    config: BuildConfig,
    wanted: set[str] | None,
) -> Iterator[tuple[Position | None, Entry]]:
    """The entries behind a position that the build wants; InputError where an id is missing."""
    placed: Iterator[tuple[Position | None, Entry]]
    if isinstance(source, ResumableSource):
        placed = source.entries_after(position)
    else:
        placed = ((None, entry) for entry in source.records())
    while config.limit is None or frozen.n_entries < config.limit:
        place, entry = next(placed, (None, None))
        if entry is None:
            break
        entry = storable_entry(entry)
        if wanted is None or entry.material_id in wanted:
            yield place, frozen.take(entry)
    else:
        return
    if wanted and (missing := {each for each in wanted if not frozen.seen.has(ID, each)}):
        raise InputError(f"--ids {config.ids}: the source has no entry {named(missing)}")


def check_name(name: str, material_id: str) -> None:
    """InputError where a property has no name or that of a column which the dataset has anyway."""
    if not name:
        raise InputError(f"{material_id} has a property without a name; give it one")
    if name in DATASET or name.startswith(SPLIT):
        raise InputError(
            f"property {name} has the name of a dataset column (of {material_id}); rename it"
        )


def storable_entry(entry: Entry) -> Entry:
    """The entry with all its texts such that a file can hold them."""
    changed: dict[str, Any] = storable_texts(vars(entry))
    if isinstance(entry, StructureRecord):
        names = {name: storable(name) for name in entry.properties if not name.isascii()}
        texts = storable_texts(entry.properties)
        if names or texts:
            properties = {**entry.properties, **texts}
            changed["properties"] = {
                names.get(name, name): value for name, value in properties.items()
            }
    return replace(entry, **changed) if changed else entry


def storable_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Those of the values that are texts and may not be what a file can hold, such that it can."""
    return {
        name: storable(value)
        for name, value in values.items()
        if isinstance(value, str) and not value.isascii()
    }


def storable(text: str) -> str:
    """The text with halves of surrogate pairs, which UTF-8 has not, written as their numbers."""
    return text.encode(errors="backslashreplace").decode()


def wider(type_name: str | None, value: Any) -> str | None:
    """The column type that holds the values so far and this one: boolean, number or string."""
    if value is None:
        return type_name
    found = {bool: "boolean", int: "number", float: "number"}.get(type(value), "string")
    return found if type_name in (None, found) else "string"
