"""Counts of a run: how many crystals are described, how many failed and why, how long it took."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from curate.run.folder import Run


@dataclass(frozen=True)
class ShardCounts:
    """How many entries a finished shard has, and how many of them are described."""

    number: int
    entries: int
    described: int


@dataclass(frozen=True)
class Counts:
    """How many entries are described, failed or left; fetched = described + failed + left."""

    fetched: int
    described: int
    failed: Counter[str] = field(default_factory=Counter)  # by status
    reasons: Counter[str] = field(default_factory=Counter)  # "status: error type"
    seconds: Sequence[float] = ()  # of each finished entry, ascending
    slowest: str | None = None  # material id
    shards: tuple[ShardCounts, ...] = field(default=(), repr=False)  # the finished ones

    @property
    def left(self) -> int:
        """Entries that have no description and no reason yet."""
        return self.fetched - self.described - self.failed.total()

    def quantile(self, q: float) -> float:
        """The q-quantile of the seconds spent on an entry."""
        return self.seconds[min(int(q * len(self.seconds)), len(self.seconds) - 1)]


def count(run: Run) -> Counts:
    """Counts of the finished shards; DamagedFile where one can't be read, ValueError where entries are
    unaccounted for."""
    fetched = run.fetched["entries"] if run.fetched else 0
    failed: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    seconds = array("d")  # of millions of entries
    slowest: dict = {}
    shards = []
    columns = ["material_id", "status", "error_type", "seconds"]
    for number in run.described_shards():
        described, rows = 0, run.description_columns(number, columns)
        for row in rows:
            seconds.append(row["seconds"])
            slowest = max(slowest or row, row, key=lambda row: row["seconds"])
            if row["status"] == "described":
                described += 1
            else:
                failed[row["status"]] += 1
                reasons[f"{row['status']}: {row['error_type']}"] += 1
        shards.append(ShardCounts(number, len(rows), described))
    counts = Counts(
        fetched,
        sum(shard.described for shard in shards),
        failed,
        reasons,
        array("d", np.sort(seconds).tobytes()),
        slowest.get("material_id"),
        tuple(shards),
    )
    if counts.left < 0:
        raise ValueError(f"{run.folder}: {-counts.left} descriptions belong to no entry")
    return counts
