"""Turn pages of a source into the tables that are frozen, in worker processes where there are many rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from curate.record import SkippedEntry, StructureRecord
from curate.run.folder import table_of
from curate.sources.base import Entry, Page, Position, RawPage
from curate.work.pool import FailedTask, Limits, work

ROWS_ALONE = 20_000  # so many are frozen before workers are started, which costs a second or two
Shape = tuple[tuple[str, str | None], ...]  # names and types of an entry's properties


@dataclass(frozen=True)
class PlacedEntries:
    """A page of entries that this process has made."""

    placed: list[tuple[Position | None, Entry]]

    def __len__(self) -> int:
        return len(self.placed)

    def entries(self) -> list[Entry]:
        """The entries."""
        return [entry for _, entry in self.placed]

    def position(self, number: int) -> Position | None:
        """Where the entry is in its source."""
        return self.placed[number][0]


@dataclass(frozen=True)
class FrozenPage:
    """The entries of a page as they are stored, and what must be known of them to freeze others."""

    table: pa.Table
    shapes: list[Shape]  # that occur
    shape_of: list[int]  # of each entry, a place in `shapes`
    keys: Mapping[str, list[str | None]]  # of each entry, by property that no two may share


def freeze_page(page: Page, unique: tuple[str, ...]) -> FrozenPage:
    """Make the entries of a page.

    Args:
        page: Some rows of a source.
        unique: Properties that no two entries may share.
    """
    entries = [storable_entry(entry) for entry in page.entries()]
    shapes: dict[Shape, int] = {}
    shape_of = []
    keys: dict[str, list[str | None]] = {name: [] for name in unique}
    for entry in entries:
        properties = entry.properties if isinstance(entry, StructureRecord) else {}
        shape = tuple((name, type_of(value)) for name, value in properties.items())
        shape_of.append(shapes.setdefault(shape, len(shapes)))
        for name, values in keys.items():
            value = properties.get(name)
            values.append(None if value is None else str(value))
    return FrozenPage(table_of(entries), list(shapes), shape_of, keys)


def frozen_pages(
    pages: Iterable[Page], unique: tuple[str, ...]
) -> Iterator[tuple[Page, FrozenPage]]:
    """Each page and its frozen entries, made in this process as they are asked for."""
    for page in pages:
        yield page, freeze_page(page, unique)


def frozen_raw_pages(
    pages: Iterator[RawPage], unique: tuple[str, ...], limits: Limits
) -> Iterator[tuple[Page, FrozenPage]]:
    """The same, the first pages made in this process and the others in workers, a few ahead.

    A page whose worker crashes or exceeds the limits is made again row by row; a row that does so alone
    is a SkippedEntry. What reading the pages raises is raised when those before are given.
    """
    n_rows = 0
    while limits.workers == 1 or n_rows < ROWS_ALONE:
        page = next(pages, None)
        if page is None:
            return
        yield page, freeze_page(page, unique)
        n_rows += len(page)
    for page, value in made_in_workers(pages, unique, limits):
        if not isinstance(value, FailedTask):
            yield page, value
        elif value.status == "error":
            yield page, freeze_page(page, unique)  # raises what was raised
        else:
            yield from frozen_rows(page, unique, limits)


def frozen_rows(
    page: RawPage, unique: tuple[str, ...], limits: Limits
) -> Iterator[tuple[Page, FrozenPage]]:
    """Each row of a page in a page of its own; one that fails is a SkippedEntry."""
    for row, value in made_in_workers(map(page.row, range(len(page))), unique, limits):
        if isinstance(value, FailedTask):
            reason = SkippedEntry(row.name(0), value.status, value.error_type, value.error_message)
            value = freeze_page(PlacedEntries([(row.position(0), reason)]), unique)
        yield row, value


def made_in_workers(
    pages: Iterator[RawPage], unique: tuple[str, ...], limits: Limits
) -> Iterator[tuple[RawPage, FrozenPage | FailedTask]]:
    """Each page and what a worker made of it."""
    at_work: dict[int, RawPage] = {}
    raised: list[Exception] = []

    def tasks() -> Iterator[tuple[int, tuple]]:
        try:
            for number, page in enumerate(pages):
                at_work[number] = page
                yield number, (page, unique)
        except Exception as error:  # raised below, in its turn
            raised.append(error)

    for number, value in work(freeze_page, tasks(), limits, in_order=True):
        yield at_work.pop(number), value
    if raised:
        raise raised[0]


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


def type_of(value: Any) -> str | None:
    """The column type that holds a value: boolean, number or string; None where there is no value."""
    if value is None:
        return None
    return {bool: "boolean", int: "number", float: "number"}.get(type(value), "string")
