"""Graphs on disk: built once, in parallel, and memory-mapped.

    CACHE/graphs/KEY/index.json             types of the arrays, and why some records have no graph
    CACHE/graphs/KEY/kinds                  a byte for each record: which kind of graph it has
    CACHE/graphs/KEY/quotientgraph-tails    one flat array for each field of each kind of graph
    CACHE/graphs/KEY/quotientgraph-tails-ends   where each graph's part of it ends

A folder is written whole or not at all. Its key is of the crystals and the rules of the graph.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from curate.batches import in_batches
from curate.files import sync_tree, write_json
from curate.record import StructureRecord
from curate.work.pool import FailedTask, Limits, work
from model.config import GraphConfig
from model.graphs.build import CRYSTALS_PER_QUOTIENT, AnyGraph, build_graphs
from model.graphs.color_refinement import TOLERANCE, WIDEST
from model.graphs.crystal_graph import CrystalGraph
from model.graphs.quotient import QuotientGraph

FORMAT = 3  # one more whenever a graph of the same record, or its place, would be another
KINDS: dict[str, type] = {kind.__name__.lower(): kind for kind in (CrystalGraph, QuotientGraph)}
STORED_AS = {"src": "tails", "dst": "heads"}  # fields that have another name on disk
NONE = len(KINDS)  # the kind of a record without a graph
CRYSTALS_PER_TASK = 4 * CRYSTALS_PER_QUOTIENT  # of a worker process
PARALLEL_FROM = 4000  # crystals; starting workers takes some seconds
LIMITS = Limits(workers=len(os.sched_getaffinity(0)), timeout=600.0, memory=4.0)


def stored_graphs(
    records: Sequence[StructureRecord], config: GraphConfig, place: Path
) -> StoredGraphs:
    """The graph of each record, or the reason why it has none; built if not cached.

    Args:
        records: The crystals, in the order in which their graphs are wanted.
        config: The rules by which atoms are bonded.
        place: Folder of the cache; the graphs lie in a folder of it named by records and rules.

    Raises:
        OSError: The cache cannot be written.
    """
    folder = place / "graphs" / key_of(records, config)
    if not folder.exists():
        write(folder, made(records, config))
    return StoredGraphs(folder)


def key_of(records: Sequence[StructureRecord], config: GraphConfig) -> str:
    """Name of what these records give by these rules."""
    total = hashlib.sha256(repr((FORMAT, TOLERANCE, WIDEST, asdict(config))).encode())
    for r in records:
        cell = (r.lattice_vectors, r.species_at_sites, r.cartesian_site_positions)
        total.update(repr(cell).encode())
    return total.hexdigest()[:32]


def made(records: Sequence[StructureRecord], config: GraphConfig) -> Iterator[AnyGraph | str]:
    """Graphs in order, by several processes where there are many."""
    if len(records) < PARALLEL_FROM or LIMITS.workers == 1:
        yield from build_graphs(records, config)
        return
    some = enumerate(in_batches(records, CRYSTALS_PER_TASK))
    tasks = ((number, (portion, config)) for number, portion in some)
    waiting: dict[int, Any] = {}
    following = 0
    for number, outcome in work(_portion, tasks, LIMITS, preload="model.graphs.build"):
        waiting[number] = outcome
        while following in waiting:
            found = waiting.pop(following)
            if isinstance(found, FailedTask):
                n_failed = min(CRYSTALS_PER_TASK, len(records) - following * CRYSTALS_PER_TASK)
                found = [f"no graph: {found.error_message}"] * n_failed
            yield from found
            following += 1


def _portion(records: list[StructureRecord], config: GraphConfig) -> list[AnyGraph | str]:
    return list(build_graphs(records, config))


def write(folder: Path, graphs: Iterator[AnyGraph | str]) -> None:
    """A folder with the graphs' arrays, one after another."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=folder.name, suffix=".partial", dir=folder.parent))
    try:
        with ExitStack() as stack:
            write_json(partial / "index.json", _written(partial, graphs, stack))
        sync_tree(partial)
        partial.replace(folder)
    except OSError:
        if not folder.exists():  # else another process was faster with the same graphs
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def stored_name(kind: str, field: str) -> str:
    """Name of the file with a field's values."""
    return f"{kind}-{STORED_AS.get(field, field)}"


def _written(partial: Path, graphs: Iterator[AnyGraph | str], stack: ExitStack) -> dict:
    index: dict[str, Any] = {"dtypes": {}, "shapes": {}, "flags": {}, "reasons": {}}
    ends: dict[str, int] = {}

    @cache
    def file(name: str) -> BinaryIO:
        return stack.enter_context((partial / name).open("wb"))

    for number, graph in enumerate(graphs):
        if isinstance(graph, str):
            index["reasons"][number] = graph
            file("kinds").write(bytes([NONE]))
            continue
        kind = type(graph).__name__.lower()
        file("kinds").write(bytes([list(KINDS).index(kind)]))
        for field in fields(graph):
            name, value = stored_name(kind, field.name), getattr(graph, field.name)
            if not isinstance(value, np.ndarray):
                index["flags"][name] = value  # the same for all graphs of one configuration
                continue
            index["dtypes"][name], index["shapes"][name] = value.dtype.str, value.shape[1:]
            file(name).write(np.ascontiguousarray(value).tobytes())
            ends[name] = ends.get(name, 0) + len(value)
            file(f"{name}-ends").write(np.int64(ends[name]).tobytes())
    return index


class StoredGraphs(Sequence[AnyGraph | str]):
    """The graphs of a folder, each made when it is asked for; the arrays stay on disk."""

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text())
        self.flags: dict[str, Any] = index["flags"]
        self.reasons = {int(number): reason for number, reason in index["reasons"].items()}
        self.kinds = _mapped(folder / "kinds", "u1")
        self.numbers = np.zeros(len(self.kinds), np.int64)  # among the graphs of the same kind
        for kind in range(len(KINDS)):
            self.numbers[self.kinds == kind] = np.arange(np.count_nonzero(self.kinds == kind))
        self.arrays = {
            name: (
                _mapped(folder / name, dtype, index["shapes"][name]),
                _mapped(folder / f"{name}-ends", "i8"),
            )
            for name, dtype in index["dtypes"].items()
        }

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, position):
        if isinstance(position, slice):
            return [self[number] for number in range(*position.indices(len(self)))]
        if self.kinds[position] == NONE:
            return self.reasons[position]
        kind, number = list(KINDS)[self.kinds[position]], self.numbers[position]
        values = {}
        for field in fields(KINDS[kind]):
            name = stored_name(kind, field.name)
            if name in self.arrays:
                array, ends = self.arrays[name]
                values[field.name] = array[ends[number - 1] if number else 0 : ends[number]]
            else:
                values[field.name] = self.flags[name]
        return KINDS[kind](**values)


def _mapped(path: Path, dtype: str, shape: Sequence[int] = ()) -> np.ndarray:
    """A flat file as an array of rows of that shape, read where it is looked at."""
    if not path.stat().st_size:
        return np.zeros((0, *shape), dtype)
    return np.asarray(np.memmap(path, dtype, "r")).reshape(-1, *shape)
