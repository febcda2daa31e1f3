"""Write a source's entries into the run folder, so that what is described no longer changes."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import astuple
from datetime import date
from itertools import islice

import pyarrow as pa

from curate.config import BuildConfig
from curate.dataset.splits import ListingTasks
from curate.errors import InputError, named
from curate.record import SkippedEntry
from curate.run.folder import SPECIES, Run, ShardSize, table_of
from curate.run.schema import DATASET, SPLIT
from curate.run.sealed import DamagedFile
from curate.run.seen_keys import SeenKeys, seen_keys
from curate.sources.base import Entry, Page, PagedSource, Position, ResumableSource, Source
from curate.work.frozen_pages import (
    FrozenPage,
    PlacedEntries,
    Shape,
    frozen_pages,
    frozen_raw_pages,
    type_of,
)
from curate.work.pool import Limits
from curate.work.progress import Progress, Watch
from curate.work.reading import TO_START

ID = "material_id"
GROWTH = ((200_000, 25), (20_000, 5))  # from so many entries on a shard has so many times as many
LARGEST_SHARD = 5_000
log = logging.getLogger(__name__)


def fetch(
    run: Run, source: Source, config: BuildConfig, ids: set[str] | None, watch: Watch
) -> None:
    """Write the source's entries into the run folder, shard by shard.

    Where the source can go on after an entry, an interrupted call is resumed. Of a source with pages,
    entries are made by all workers; what is written does not depend on how many there are.

    Raises:
        InputError: An id occurs twice or is missing, or a property has the name of a dataset column.
    """
    with seen_keys(run.folder) as seen:
        frozen = FrozenEntries(run, seen, tuple(getattr(source, "unique_by", ())), config)
        position = frozen.resume() if isinstance(source, ResumableSource) else None
        with closing(made(source, position, frozen, config)) as pages:
            while not frozen.is_at_limit:
                if (page := next(pages, None)) is None:
                    if ids and (missing := {each for each in ids if not seen.has(ID, each)}):
                        raise InputError(
                            f"--ids {config.ids}: the source has no entry {named(missing)}"
                        )
                    break
                frozen.add(*page, ids)
                while frozen.write_shard():
                    watch(Progress("reading", frozen.n_written, config.limit))
        if frozen.write_shard(is_last=True):
            watch(Progress("reading", frozen.n_written, config.limit))
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


def made(
    source: Source, position: Position | None, frozen: FrozenEntries, config: BuildConfig
) -> Generator[tuple[Page, FrozenPage], None, None]:
    """The pages of a source behind a position, and their entries as they are stored."""
    unique = tuple(name for name in frozen.unique_by if name != ID)
    if isinstance(source, PagedSource):
        limits = Limits(config.workers, TO_START + config.timeout, config.memory)
        yield from frozen_raw_pages(source.pages_after(position), unique, limits)
        return
    placed: Iterator[tuple[Position | None, Entry]]
    if isinstance(source, ResumableSource):
        placed = source.entries_after(position)
    else:
        placed = ((None, entry) for entry in source.records())
    yield from frozen_pages(in_pages(placed, lambda: frozen.n_missing), unique)


def in_pages(
    placed: Iterator[tuple[Position | None, Entry]], n_missing: Callable[[], int]
) -> Iterator[PlacedEntries]:
    """Entries, as many together as the next shard has room for, so that none is made in vain."""
    while page := list(islice(placed, n_missing())):
        yield PlacedEntries(page)


class FrozenEntries:
    """The entries that are frozen: what is known of them all, and those that fill no shard yet."""

    def __init__(self, run: Run, seen: SeenKeys, unique_by: tuple[str, ...], config: BuildConfig):
        self.run = run
        self.seen = seen
        self.unique_by = unique_by  # ID, and properties; what comes again is left out
        self.limit = config.limit
        self.shard_size = config.shard_size
        self.n_entries = 0
        self.n_written = 0
        self.sizes: list[ShardSize] = []
        self.types: dict[str, str | None] = {}
        self.listing = ListingTasks()
        self._waiting: deque[tuple[pa.Table, Page, list[int]]] = deque()  # table, rows of the page

    @property
    def n_shards(self) -> int:
        """How many shards are written."""
        return len(self.sizes)

    @property
    def n_missing(self) -> int:
        """How many entries fill the next shard, or the limit."""
        n = self.n_written + entries_of_shard(self.n_written, self.shard_size)
        return (n if self.limit is None else min(n, self.limit)) - self.n_entries

    @property
    def is_at_limit(self) -> bool:
        """Whether no more entries are wanted."""
        return self.limit is not None and self.n_entries >= self.limit

    def resume(self) -> Position | None:
        """Count what an interrupted build wrote; the position that it ended at, None if there is none."""
        try:
            reading = self.run.reading
            if reading is None:
                return None
            self.run.check_shards(reading["shards"])
        except DamagedFile as error:
            log.warning("the source is read from its start: %s (%s)", error.path, error.reason)
            return None
        for number in range(reading["shards"]):
            table = self.run.structure_table(number, [ID, "status", "properties", SPECIES])
            firsts: dict[str, dict[str, str]] = {name: {} for name in (ID, *self.unique_by)}
            for row in table.select([ID, "status", "properties"]).to_pylist():
                firsts[ID][row[ID]] = row[ID]
                if row["status"] is not None:
                    continue
                for name, value in json.loads(row["properties"]).items():
                    self.types[name] = wider(self.types.get(name), type_of(value))
                    if name in firsts and value is not None:
                        firsts[name].setdefault(str(value), row[ID])
            for name, known in firsts.items():
                self.seen.add(name, known)
            self.n_entries += len(table)
            self._count_shard(table)
        log.info("%s entries are read already", f"{self.n_entries:,}")
        return reading["position"]

    def add(self, page: Page, entries: FrozenPage, wanted: set[str] | None) -> None:
        """Take the entries of a page that are wanted, up to the limit; one that another had the id or a
        unique property of is replaced by why it is left out.

        Raises:
            InputError: The source must not repeat an id, or a property has the name of a column.
        """
        ids = entries.table[ID].to_pylist()
        rows = [row for row, each in enumerate(ids) if wanted is None or each in wanted]
        if self.limit is not None:
            rows = rows[: self.limit - self.n_entries]
        if not rows:
            return
        known = {ID: self.seen.firsts(ID, (ids[row] for row in rows))}
        for name, keys in entries.keys.items():
            some = {key for row in rows if (key := keys[row]) is not None}
            known[name] = self.seen.firsts(name, some)
        left_out: dict[int, SkippedEntry] = {}
        shapes: set[int] = set()
        for row in rows:
            self.n_entries += 1
            material_id = ids[row]
            own = {
                name: key for name, keys in entries.keys.items() if (key := keys[row]) is not None
            }
            if reason := self._repeats(material_id, own, known):
                left_out[row] = reason
                material_id = reason.material_id
            else:
                if (shape := entries.shape_of[row]) not in shapes:
                    shapes.add(shape)
                    self._add_types(entries.shapes[shape], material_id)
                for name, key in own.items():
                    known[name][key] = material_id
            known[ID][material_id] = material_id
        for name, firsts in known.items():
            self.seen.add(name, firsts)
        table = entries.table
        if left_out:
            behind = {row: len(table) + n for n, row in enumerate(left_out)}
            both = pa.concat_tables([table, table_of(left_out.values())])
            table = both.take([behind.get(row, row) for row in rows])
        elif len(rows) < len(table):
            table = table.take(rows)
        self._waiting.append((table, page, rows))

    def write_shard(self, is_last: bool = False) -> bool:
        """Write the next shard, if there are entries enough, or it is the last; whether it was written."""
        n_waiting = self.n_entries - self.n_written
        n = entries_of_shard(self.n_written, self.shard_size)
        if n_waiting < n and not (is_last and n_waiting):
            return False
        table, position = self._take(min(n, n_waiting))
        self.run.write_structures(self.n_shards, table)
        self._count_shard(table)
        if position is not None:
            self.run.record_reading(self.n_shards, position)
        return True

    def _take(self, n: int) -> tuple[pa.Table, Position | None]:
        """The first n entries that wait to be written, and the position of the last of them."""
        tables: list[pa.Table] = []
        while True:
            table, page, rows = self._waiting.popleft()
            if len(table) > n:
                self._waiting.appendleft((table.slice(n), page, rows[n:]))
                table, rows = table.slice(0, n), rows[:n]
            tables.append(table)
            n -= len(table)
            if not n:
                return pa.concat_tables(tables).combine_chunks(), page.position(rows[-1])

    def _count_shard(self, table: pa.Table) -> None:
        self.sizes.append(ShardSize.from_species(table[SPECIES]))
        self.listing.add(table[ID].to_pylist())
        self.n_written += len(table)

    def _repeats(
        self, material_id: str, keys: Mapping[str, str], known: Mapping[str, Mapping[str, str]]
    ) -> SkippedEntry | None:
        """Why an entry is left out; None unless another had its id or one of its keys before.

        Args:
            material_id: Its id.
            keys: Its values of the properties that no two entries may share.
            known: By `ID` and property, those that came before and the ids they came with.
        """
        if material_id in known[ID]:
            if ID not in self.unique_by:
                raise InputError(f"the source holds two entries with the id {material_id}")
            name = f"{material_id}#{self.n_entries}"
            while name in known[ID] or self.seen.has(ID, name):
                name += "#"
            reason = f"an earlier entry has the id {material_id}"
            return SkippedEntry(name, "left_out", "RepeatedId", reason)
        for name, key in keys.items():
            if key in known[name]:
                reason = f"{known[name][key]} has the same {name}"
                return SkippedEntry(material_id, "left_out", "RepeatedFingerprint", reason)
        return None

    def _add_types(self, shape: Shape, material_id: str) -> None:
        for name, type_name in shape:
            check_name(name, material_id)
            self.types[name] = wider(self.types.get(name), type_name)


def check_name(name: str, material_id: str) -> None:
    """InputError where a property has no name or that of a column which the dataset has anyway."""
    if not name:
        raise InputError(f"{material_id} has a property without a name; give it one")
    if name in DATASET or name.startswith(SPLIT):
        raise InputError(
            f"property {name} has the name of a dataset column (of {material_id}); rename it"
        )


def wider(one: str | None, other: str | None) -> str | None:
    """The column type that holds the values of two: boolean, number or string; None for no values."""
    if one is None or other is None:
        return one or other
    return one if one == other else "string"
