"""What every source has in common: its settings, the snapshot it reads, and the records it yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol, runtime_checkable

from curate.record import SkippedEntry, StructureRecord


@dataclass(frozen=True)
class Snapshot:
    """What exactly was read; recorded in run.json and on the dataset's card."""

    database: str
    version: str
    sha256: str  # of the bytes that were read; empty for a service
    license: str
    citation: str
    url: str = ""


@dataclass(frozen=True)
class PreviousRun:
    """What a run folder was read from before, for sources that a resumed run need not ask again."""

    snapshot: Snapshot
    is_complete: bool  # whether all structures are in the folder


class Source(Protocol):
    """A database that yields records; reading it twice yields the same records in the same order.

    A source that learns units from its database has them in `units`, by property, after `snapshot`. One
    whose database may name a crystal twice has in `unique_by` what no two of its records may share:
    "material_id", and names of properties. What comes again is then left out with the reason; in the
    other sources an id that comes again is an InputError. One whose snapshot's version fixes every entry,
    as a commit does, has `is_fixed = True`.
    """

    def snapshot(self) -> Snapshot:
        """What will be read; raises InputError where there is nothing to read."""

    def records(self) -> Iterator[StructureRecord | SkippedEntry]:
        """Entry by entry; an entry that can't become a record is a SkippedEntry."""


Entry = StructureRecord | SkippedEntry
Position = Mapping[str, Any]  # of an entry in its source, as JSON


@runtime_checkable
class ResumableSource(Source, Protocol):
    """A source that an interrupted build goes on with after the last entry that it wrote."""

    def entries_after(self, position: Position | None) -> Iterator[tuple[Position, Entry]]:
        """The entries behind a position, or all of them, each with its own.

        Raises InputError where the position is none of this source.
        """


class Page(Protocol):
    """Some rows of a source in the order that they have there; each is an entry."""

    def __len__(self) -> int:
        """How many rows there are."""

    def entries(self) -> list[Entry]:
        """The entries of all rows."""

    def position(self, number: int) -> Position | None:
        """The position of the entry of a row, which counts from 0; None where the source has none."""


class RawPage(Page, Protocol):
    """A page of rows as they came, of which any process can make the entries: it can be pickled."""

    def row(self, number: int) -> RawPage:
        """A page of one of its rows alone."""

    def name(self, number: int) -> str:
        """What a row is called if no entry can be made of it."""


@runtime_checkable
class PagedSource(ResumableSource, Protocol):
    """A resumable source whose entries can be made in several processes."""

    def pages_after(self, position: Position | None) -> Iterator[RawPage]:
        """The rows behind a position, or all of them; raises as `entries_after` does."""


Read = Callable[..., Iterator[Any]]  # what is in one of many parts of a source, as its entries
ReadEach = Callable[[Read, Sequence[tuple]], Iterator[tuple[int, Any]]]


def read_here(function: Read, tasks: Sequence[tuple]) -> Iterator[tuple[int, Any]]:
    """The number of each part and its entries, read in this process, without a limit of time."""
    for number, task in enumerate(tasks):
        for entry in function(*task):
            yield number, entry


@dataclass(frozen=True)
class Request:
    """What a build wants of a source beside the source's own settings."""

    ids: set[str] | None = None  # only these; None for all
    units: Mapping[str, str] = field(default_factory=dict)  # by property, as the user states them
    previous: PreviousRun | None = None
    watch: Callable[[int, int | None], None] = lambda done, total: None  # bytes of a download
    read_each: ReadEach = (
        read_here  # how local files are read; one that fails is a SkippedEntry without id
    )


# Metadata of a settings field whose effect the snapshot records by itself, such as the file to read.
IN_SNAPSHOT = {"in_snapshot": True}


@dataclass(frozen=True)
class SourceSettings:
    """The settings of one source: a frozen dataclass whose fields are the source's own flags.

    A subclass lies beside its source, has a line in `curate.sources.SOURCES`, and a default for each
    field. The docstring below a field is the flag's help.
    """

    db: ClassVar[str] = ""  # the source's name for --db

    def check(self) -> None:
        """Raise InputError where the settings do not fit together; nothing is read yet."""

    def open(self, request: Request) -> Source:
        """The source that these settings choose; raises InputError where it can't be read."""
        raise NotImplementedError

    def canonical_id(self, given: str) -> str:
        """A material id of the user's list in the spelling that the source's records have."""
        return given

    def recorded(self) -> dict[str, Any]:
        """The settings that define a run, for run.json: all but those that the snapshot tells."""
        return {
            known.name: getattr(self, known.name)
            for known in fields(self)
            if not known.metadata.get("in_snapshot")
        }
