"""What every source has in common: the snapshot it reads and the records it yields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from curate.record import Refusal, StructureRecord


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
    """A database that yields records; reading it twice yields the same records in the same order."""

    def snapshot(self) -> Snapshot:
        """What will be read; raises InputError where there is nothing to read."""

    def records(self) -> Iterator[StructureRecord | Refusal]:
        """Entry by entry; an entry that can't become a record is a Refusal."""
