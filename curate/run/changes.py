"""Compare the entries of two runs of one source: what is new, changed or withdrawn, and which texts stay.

Entries are compared value by value, by digests; dates and versions of the source play no part.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import zip_longest
from typing import Any

from curate.batches import in_batches
from curate.record import SkippedEntry, StructureRecord
from curate.run.folder import Run
from curate.run.schema import GEOMETRY, RECORD_FIELDS
from curate.run.seen_keys import disk_table

CHANGES_OF_UPDATES = ("new", "structure", "text", "properties", "withdrawn")
LEFT_OUT = "left_out"  # status of an entry that the source names and does not give
OWN_TEXT = ("description", "description_origin")
TEXT_DEPENDS_ON = (*GEOMETRY, *OWN_TEXT, "note", "status", "error_type", "error_message")
OWN = tuple(name for name in RECORD_FIELDS if name not in ("material_id", "properties"))
ROWS_PER_FILE = 20_000
FEW = 5  # ids that a card names
SHARDS_IN_MEMORY = 4  # of the run before, while its texts are taken over

Entry = StructureRecord | SkippedEntry


def content(entry: Entry) -> dict[str, str]:
    """What an entry says, as JSON by name: fields that have a value, and such properties behind a dot."""
    if isinstance(entry, SkippedEntry):
        said = {name: getattr(entry, name) for name in ("status", "error_type", "error_message")}
    else:
        said = {name: getattr(entry, name) for name in OWN}
        said |= {f".{name}": value for name, value in entry.properties.items()}
    return {name: json.dumps(value) for name, value in said.items() if value is not None}


def digest_of_entry(entry: Entry) -> bytes:
    """A digest of an entry's id and content, whatever the order of its properties."""
    named = json.dumps([entry.material_id, sorted(content(entry).items())])
    return hashlib.blake2b(named.encode(), digest_size=16).digest()


def entries_of(run: Run) -> Iterator[tuple[int, Entry]]:
    """Every entry of a run with the number of its shard, in the source's order."""
    for number in run.shards():
        for entry in run.read_structures(number):
            yield number, entry


def are_equal(one: Run, other: Run) -> bool:
    """Whether two runs hold the same entries in the same order."""
    return all(
        a is not None and b is not None and digest_of_entry(a[1]) == digest_of_entry(b[1])
        for a, b in zip_longest(entries_of(one), entries_of(other))
    )


def changed_names(old: Entry, new: Entry) -> list[str]:
    """The names in the content of an entry whose values have changed."""
    before, now = content(old), content(new)
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]


def difference(old: Entry, new: Entry, names: list[str]) -> tuple[str, list[str]] | None:
    """What has changed of an entry, as one of CHANGES_OF_UPDATES and the names of what differs.

    None where nothing has, and where the source gave the crystal neither before nor now.

    Args:
        old: The entry as it was.
        new: As it is.
        names: Those of `changed_names`.
    """
    if not is_given(old) or not is_given(new):
        if is_given(old) == is_given(new):
            return None
        return ("new" if is_given(new) else "withdrawn"), []
    if not names:
        return None
    if isinstance(old, SkippedEntry) or isinstance(new, SkippedEntry):
        return "structure", ["status"]  # or the reason why it has no text
    fields = [name.removeprefix(".") for name in names]
    if not set(GEOMETRY).isdisjoint(names):
        return "structure", fields
    return ("text" if not set(OWN_TEXT).isdisjoint(names) else "properties"), fields


def is_given(entry: Entry) -> bool:
    """Whether the source gives the crystal, readable or not."""
    return not isinstance(entry, SkippedEntry) or entry.status != LEFT_OUT


def take_over_texts(old: Run, new: Run, watch: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    """Give the entries of the new run the descriptions of the old one that are theirs, unchanged.

    Args:
        old: A run that is described.
        new: The same source read again, without descriptions.
        watch: Called with the number of entries compared.

    Yields:
        What has changed: `material_id`, `change` and `fields` of each such entry, in the new run's order,
        those that are withdrawn last.
    """

    @lru_cache(SHARDS_IN_MEMORY)
    def old_entries(number: int) -> Mapping[str, Entry]:
        return {entry.material_id: entry for entry in old.read_structures(number)}

    @lru_cache(SHARDS_IN_MEMORY)
    def old_descriptions(number: int) -> Mapping[str, Any]:
        return {found.material_id: found for found in old.read_descriptions(number)}

    n_compared = 0
    columns = "id TEXT PRIMARY KEY, shard INT, digest BLOB, given INT, seen INT"
    with disk_table(new.folder / "entries", "entries", columns) as table:
        for number, entry in entries_of(old):
            row = (entry.material_id, number, digest_of_entry(entry), is_given(entry))
            table.execute("INSERT INTO entries VALUES (?, ?, ?, ?, 0)", row)
        for number in new.shards():
            kept, entries = [], new.read_structures(number)
            for entry in entries:
                material_id = entry.material_id
                n_compared += 1
                at = table.execute("SELECT shard, digest FROM entries WHERE id = ?", (material_id,))
                if (found := at.fetchone()) is None:
                    if is_given(entry):
                        yield {"material_id": material_id, "change": "new", "fields": []}
                    continue
                shard, digest = found
                table.execute("UPDATE entries SET seen = 1 WHERE id = ?", (material_id,))
                if digest != digest_of_entry(entry):
                    before = old_entries(shard)[material_id]
                    names = changed_names(before, entry)
                    if changed := difference(before, entry, names):
                        change, fields = changed
                        yield {"material_id": material_id, "change": change, "fields": fields}
                    if not set(TEXT_DEPENDS_ON).isdisjoint(names):
                        continue
                kept.append(old_descriptions(shard)[material_id])
            if len(kept) == len(entries):
                new.write_descriptions(number, kept)
            elif kept:
                new.keep_descriptions(number, kept)
            watch(n_compared)
        gone = table.execute(
            "SELECT id FROM entries WHERE NOT seen AND given ORDER BY shard, rowid"
        )
        for (material_id,) in gone:
            yield {"material_id": material_id, "change": "withdrawn", "fields": []}


def write_changes(
    old: Run, new: Run, watch: Callable[[int], None] = lambda done: None
) -> Counter[str]:
    """Take over the texts of a run, and write into the new one what has changed since.

    Args:
        old: A run that is described.
        new: The same source read again, without descriptions.
        watch: Called with the number of entries compared.

    Returns:
        How many entries there are of each of CHANGES_OF_UPDATES.
    """
    assert new.fetched is not None
    files = old.changes_shards()
    about = {
        "update": old.read_changes(files[-1])[-1]["update"] + 1 if files else 1,
        "date": new.fetched["read_on"],
        "version": new.settings_record["source"]["version"],
    }
    counts: Counter[str] = Counter()
    batches = in_batches(take_over_texts(old, new, watch), ROWS_PER_FILE)
    for number, rows in enumerate(batches, len(files)):
        counts.update(row["change"] for row in rows)
        new.write_changes(number, [{**about, **row} for row in rows])
    return counts


@dataclass
class Update:
    """What one update of a run changed."""

    number: int  # from 1
    date: str
    version: str  # of the source
    counts: Counter[str] = field(default_factory=Counter)  # by kind of change
    first: dict[str, list[str]] = field(default_factory=dict)  # the first ids of each kind


def updates_of(run: Run) -> list[Update]:
    """The updates of a run that changed entries, the first one first."""
    found: dict[int, Update] = {}
    for number in run.changes_shards():
        for row in run.read_changes(number):
            known = Update(row["update"], row["date"], row["version"])
            update = found.setdefault(row["update"], known)
            update.counts[row["change"]] += 1
            ids = update.first.setdefault(row["change"], [])
            if len(ids) < FEW:
                ids.append(row["material_id"])
    return list(found.values())
