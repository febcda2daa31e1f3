"""Counts of a run: how many crystals are described, how many failed and why, how long it took."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from curate.run.folder import Run

DESCRIBED = "described"  # the status of a crystal that has a text
COUNTED = ("material_id", "status", "error_type", "seconds")  # columns


@dataclass(frozen=True)
class Counts:
    """How many entries are described, failed or left; fetched = described + failed + left."""

    fetched: int
    described: int
    failed: Counter[str] = field(default_factory=Counter)  # by status
    reasons: Counter[str] = field(default_factory=Counter)  # "status: error type"
    seconds: Sequence[float] = ()  # of each finished entry, ascending
    slowest: str | None = None  # material id

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
    tables = (run.description_table(number, list(COUNTED)) for number in run.described_shards())
    return tally(run, tables)


def tally(run: Run, tables: Iterable[pa.Table]) -> Counts:
    """Counts of a run by the columns COUNTED of its finished entries.

    Args:
        run: The run.
        tables: The entries, in the run's order.

    Raises:
        ValueError: There are more entries than the source has.
    """
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    seconds = [np.empty(0)]
    slowest: tuple[float, str | None] = (-1.0, None)
    for table in tables:
        kinds = table.group_by(["status", "error_type"], use_threads=False)
        for row in kinds.aggregate([([], "count_all")]).to_pylist():
            statuses[row["status"]] += row["count_all"]
            if row["status"] != DESCRIBED:
                reasons[f"{row['status']}: {row['error_type']}"] += row["count_all"]
        seconds.append(table["seconds"].to_numpy())
        if len(seconds[-1]) and seconds[-1].max() > slowest[0]:
            place = int(seconds[-1].argmax())
            slowest = (seconds[-1][place], table["material_id"][place].as_py())
    described = statuses.pop(DESCRIBED, 0)
    counts = Counts(
        fetched=run.fetched["entries"] if run.fetched else 0,
        described=described,
        failed=statuses,
        reasons=reasons,
        seconds=array("d", np.sort(np.concatenate(seconds)).tobytes()),
        slowest=slowest[1],
    )
    if counts.left < 0:
        raise ValueError(f"{run.folder}: {-counts.left} descriptions belong to no entry")
    return counts
