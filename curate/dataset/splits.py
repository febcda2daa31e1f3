"""Official JARVIS-Leaderboard splits by material id; the ids are shipped with the package."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

LISTED_ID = re.compile(r"(JVASP|mp|mvc)-(0|[1-9]\d{0,8})")  # the spellings that benchmarks use


def official_splits(ids: Iterable[str] | None = None) -> dict[str, dict[str, str]]:
    """Label of each material id, by task; provenance in curate/data/README.md.

    Args:
        ids: the materials that are asked for; None for all that a benchmark lists.

    Returns:
        A dictionary of the labels of those that are listed, for each task that lists any of them.
    """
    if ids is None:
        table = _table()
    else:
        wanted = _numbers(ids)
        if not wanted:  # most files of one's own: the table need not be read
            return {}
        table = _rows_of(wanted)
    tasks: dict[str, dict[str, str]] = {}
    names = ("task", "prefix", "number", "first", "last")
    once = table.group_by(["task", "prefix", "number"], use_threads=False).aggregate(
        [("split", "min"), ("split", "max")]
    )
    columns = (column.to_pylist() for column in once.rename_columns(names).columns)
    for task, prefix, number, first, last in zip(*columns, strict=True):
        label = first if first == last else "leak"
        tasks.setdefault(task, {})[f"{prefix}-{number}"] = label
    return tasks


class ListingTasks:
    """The benchmarks that list any of the ids added so far; not the ids themselves are kept."""

    def __init__(self) -> None:
        self._found: set[str] = set()

    def add(self, ids: Iterable[str]) -> None:
        """Add ids."""
        for prefix, numbers in _numbers(ids).items():
            for task, listed in _listed().get(prefix, {}).items():
                if task not in self._found and not listed.isdisjoint(numbers):
                    self._found.add(task)

    @property
    def tasks(self) -> list[str]:
        """Names of the benchmarks, in the order of `official_splits`."""
        return sorted(self._found)


def task_sizes() -> dict[str, int]:
    """How many materials each task lists."""
    once = _table().group_by(["task", "prefix", "number"], use_threads=False).aggregate([])
    return {row["values"]: row["counts"] for row in pc.value_counts(once["task"]).to_pylist()}


def ids_in_split(task: str, split: str) -> list[str]:
    """Ids in a split of a task, as the benchmark lists them, those in two splits included."""
    table = _table()
    chosen = table.filter(pc.and_(pc.equal(table["task"], task), pc.equal(table["split"], split)))
    columns = (chosen[name].to_pylist() for name in ("prefix", "number"))
    return [f"{prefix}-{number}" for prefix, number in zip(*columns, strict=True)]


def _numbers(ids: Iterable[str]) -> dict[str, list[int]]:
    """The numbers of the ids that a benchmark could list, by prefix."""
    wanted: dict[str, list[int]] = {}
    for matched in map(LISTED_ID.fullmatch, ids):
        if matched:
            wanted.setdefault(matched[1], []).append(int(matched[2]))
    return wanted


@cache
def _listed() -> dict[str, dict[str, frozenset[int]]]:
    """The numbers that each benchmark lists, by prefix and task."""
    numbers: dict[str, dict[str, list[int]]] = {}
    table = _table()
    columns = (table[name].to_pylist() for name in ("prefix", "task", "number"))
    for prefix, task, number in zip(*columns, strict=True):
        numbers.setdefault(prefix, {}).setdefault(task, []).append(number)
    return {
        prefix: {task: frozenset(each) for task, each in tasks.items()}
        for prefix, tasks in numbers.items()
    }


def _rows_of(wanted: dict[str, list[int]]) -> pa.Table:
    """The table's rows of the wanted numbers, by prefix."""
    table = _table()
    chosen = [
        pc.and_(
            pc.equal(table["prefix"], prefix),
            pc.is_in(table["number"], pa.array(numbers, pa.int32())),
        )
        for prefix, numbers in wanted.items()
    ]
    mask = chosen[0]
    for other in chosen[1:]:
        mask = pc.or_(mask, other)
    return table.filter(mask)


def _table() -> pa.Table:
    """Columns task, prefix, number and split, a row for each time that a benchmark lists an id."""
    table = pq.read_table(Path(str(files("curate") / "data" / "benchmark_splits.parquet")))
    texts = {
        name: table[name].cast(pa.string())
        for name in table.column_names
        if pa.types.is_dictionary(table.schema.field(name).type)
    }
    for name, column in texts.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table
