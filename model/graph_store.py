"""Records in, their graphs out: built once, in parallel, and read from disk where they lie.

    CACHE/graphs/KEY/index.json             which graph is where, and why some records have none
    CACHE/graphs/KEY/quotientgraph-tails    one flat array for each field of each kind of graph

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
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from curate.batches import in_batches
from curate.pool import Limits, Lost, work
from curate.record import StructureRecord
from model.config import GraphConfig
from model.files import write_json
from model.graph import CrystalGraph
from model.graphs import CRYSTALS_AT_ONCE, AnyGraph, build_graphs
from model.quotient import QuotientGraph
from model.refinement import TOLERANCE, WIDEST

FORMAT = 1  # one more whenever a graph of the same record would be another
KINDS: dict[str, type] = {kind.__name__.lower(): kind for kind in (CrystalGraph, QuotientGraph)}
PARALLEL_FROM = 4000  # crystals; starting workers takes some seconds
LIMITS = Limits(workers=len(os.sched_getaffinity(0)), timeout=600.0, memory=4.0)


def stored_graphs(
    records: Sequence[StructureRecord], config: GraphConfig, cache: Path
) -> list[AnyGraph | str]:
    """The graph of each record, or the reason why it has none; built where the cache has them not."""
    folder = cache / "graphs" / key_of(records, config)
    if not folder.exists():
        write(folder, made(records, config))
    return read(folder)


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
    some = enumerate(in_batches(records, 4 * CRYSTALS_AT_ONCE))
    tasks = ((number, (portion, config)) for number, portion in some)
    waiting: dict[int, Any] = {}
    following = 0
    for number, outcome in work(_portion, tasks, LIMITS, preload="model.graphs"):
        waiting[number] = outcome
        while following in waiting:
            found = waiting.pop(following)
            if isinstance(found, Lost):
                n_lost = len(records[following * 4 * CRYSTALS_AT_ONCE :][: 4 * CRYSTALS_AT_ONCE])
                found = [f"no graph: {found.error_message}"] * n_lost
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
        partial.replace(folder)
    except OSError:
        if not folder.exists():  # else another process was faster with the same graphs
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _written(partial: Path, graphs: Iterator[AnyGraph | str], stack: ExitStack) -> dict:
    files: dict[str, BinaryIO] = {}
    index: dict[str, Any] = {"kinds": [], "dtypes": {}, "shapes": {}, "ends": {}, "flags": {}}
    for graph in graphs:
        if isinstance(graph, str):
            index["kinds"].append(graph)
            continue
        kind = type(graph).__name__.lower()
        index["kinds"].append(kind)
        for field in fields(graph):
            name, value = f"{kind}-{field.name}", getattr(graph, field.name)
            if not isinstance(value, np.ndarray):
                index["flags"][name] = value  # the same for all graphs of one configuration
                continue
            if name not in files:
                files[name] = stack.enter_context((partial / name).open("wb"))
                index["dtypes"][name], index["shapes"][name] = value.dtype.str, value.shape[1:]
                index["ends"][name] = [0]
            files[name].write(np.ascontiguousarray(value).tobytes())
            index["ends"][name].append(index["ends"][name][-1] + len(value))
    return index


def read(folder: Path) -> list[AnyGraph | str]:
    """The graphs of a folder; their arrays stay on disk until they are used."""
    index = json.loads((folder / "index.json").read_text())
    arrays = {}
    for name, ends in index["ends"].items():
        shape = (ends[-1], *index["shapes"][name])
        arrays[name] = np.asarray(np.memmap(folder / name, index["dtypes"][name], "r", shape=shape))
    numbers = dict.fromkeys(KINDS, 0)
    graphs: list[AnyGraph | str] = []
    for kind in index["kinds"]:
        if kind not in KINDS:
            graphs.append(kind)
            continue
        number = numbers[kind]
        numbers[kind] += 1
        values = {}
        for field in fields(KINDS[kind]):
            name = f"{kind}-{field.name}"
            if name in arrays:
                start, end = index["ends"][name][number : number + 2]
                values[field.name] = arrays[name][start:end]
            else:
                values[field.name] = index["flags"][name]
        graphs.append(KINDS[kind](**values))
    return graphs
