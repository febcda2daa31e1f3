"""Describing by one and by two workers, and a night's work simulated on 1 to 64 nodes of 32 cores.

    OMP_NUM_THREADS=1 python benchmarks/throughput.py --run RUN

Efficiency: the same shards of RUN are described anew by one worker and by two, in turn, several times. A
worker's start (some 19 s, nearly all of it imports) is not counted: seconds run from the first finished
crystal to the last. `wall` is crystals a second with two workers over twice those with one; `cpu` compares
the seconds of processor a crystal takes, which other work on the machine disturbs least.

Simulation: shards are windows of 200 neighbours in RUN, drawn with a seed, each crystal with its atoms and
its measured seconds; a rank a node, 32 workers each, every worker taking the next crystal as soon as it is
free; means of several draws. Orders: `as they come` gives each node a run of shards and describes them in
the source's order; `within shards` is largest cell first in each shard; `balanced` is load_balance.py:
shares with as many atoms, shards by their largest cell, largest cell first in each; `by seconds` is that
with the true durations, which nobody knows before. `without the slowest` cuts the slowest 0.1 % of the
crystals down to the next. A worker's start comes on top, the same for every order.
Writes results/throughput.json.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import psutil
import pyarrow.parquet as pq
import tyro
from setting import setting

from curate.describe.description import describe
from curate.run.folder import Run, ShardSize
from curate.work import load_balance as shares
from curate.work.progress import Progress
from curate.work.shards import describe_shards

RESULT = Path(__file__).parent / "results" / "throughput.json"
N, SHARD, WORKERS, NODES, DRAWS = 150_000, 200, 32, (1, 2, 4, 8, 16, 32, 64), 5

Crystal = tuple[int, float]  # atoms, seconds
Order = Callable[[list[list[Crystal]], int], list[list[Crystal]]]  # shards, nodes → by node


@dataclass(frozen=True)
class Config:
    """What is measured."""

    run: Path
    """Finished run folder: its crystals, and the seconds each took."""
    n_shards: int = 3
    """Shards described for the efficiency."""
    times: int = 3
    """How often, in turn."""
    simulate_only: bool = False
    """Keep the efficiency of the last result."""


def main() -> None:
    """Measure, simulate, write."""
    config = tyro.cli(Config, description=__doc__)
    result = json.loads(RESULT.read_text()) if config.simulate_only else {}
    if not config.simulate_only:
        result["efficiency"] = efficiency(config)
    result |= {"simulation": simulation(config.run), "setting": setting(("pebble",))}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def efficiency(config: Config) -> dict:
    """Crystals a second with one and two workers."""
    rounds = []
    for _ in range(config.times):
        found = {str(workers): described(config, workers) for workers in (1, 2)}
        one, two = found["1"], found["2"]
        found["wall"] = round(two["per_second"] / (2 * one["per_second"]), 3)
        found["cpu"] = round(one["cpu_s_per_crystal"] / two["cpu_s_per_crystal"], 3)
        rounds.append(found)
        print(found, flush=True)
    medians = {name: round(median(found[name] for found in rounds), 3) for name in ("wall", "cpu")}
    return {**medians, "rounds": rounds}


def described(config: Config, workers: int) -> dict[str, float]:
    """One pass over the first shards, by that many workers."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")
        run.structures.mkdir(parents=True)
        shutil.copy(config.run / "run.json", run.settings_file)
        for number in range(config.n_shards):
            shutil.copy(config.run / "structures" / f"{number:05d}.parquet", run.structures)
        ends: list[float] = []

        def watch(step: Progress) -> None:
            if step.description is not None:
                ends.append(time.perf_counter())

        busy, before = processor_seconds(), workers_seconds()
        describe_shards(run, run.shards(), workers, describe, watch)
        spent = workers_seconds() - before
    return {
        "per_second": round((len(ends) - 1) / (ends[-1] - ends[0]), 2),
        "cpu_s_per_crystal": round(spent / len(ends), 5),
        "others_busy_cores": round((processor_seconds() - busy - spent) / (ends[-1] - ends[0]), 2),
    }


def workers_seconds() -> float:
    """Seconds of processor that ended workers took; they are children of the forkserver."""
    times = [child.cpu_times() for child in psutil.Process().children()]
    return sum(t.children_user + t.children_system for t in times)


def processor_seconds() -> float:
    """Seconds that all processors of the machine have worked so far."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    return sum(int(words[i]) for i in (0, 1, 2, 5, 6)) / os.sysconf("SC_CLK_TCK")


def simulation(folder: Path) -> dict:
    """Makespan and idle share of every order on every number of nodes."""
    crystals = measured(Run(folder))
    atoms, seconds = (np.array(values) for values in zip(*crystals, strict=True))
    limit = float(np.quantile(seconds, 0.999))
    cut = [(size, min(spent, limit)) for size, spent in crystals]
    found: dict[str, dict] = {}
    for name, order in ORDERS.items():
        found[name] = rows(crystals, order)
        found[f"{name}, without the slowest"] = rows(cut, order)
    for name, by_nodes in found.items():
        print(name, {n: (r["makespan_s"], r["idle"]) for n, r in by_nodes.items()}, flush=True)
    return {
        "crystals": len(crystals),
        "mean_s": round(float(seconds.mean()), 4),
        "p999_s": round(limit, 3),
        "slowest_s": round(float(seconds.max()), 3),
        "correlation_of_atoms_and_seconds": round(float(np.corrcoef(atoms, seconds)[0, 1]), 3),
        "draws": DRAWS,
        "orders": found,
    }


def rows(crystals: list[Crystal], order: Order) -> dict[str, dict[str, float]]:
    """Means over the draws, by number of nodes."""
    drawn = [in_shards(crystals, random.Random(seed)) for seed in range(DRAWS)]
    found = {}
    for n in NODES:
        some = [row(order(shards, n), n) for shards in drawn]
        found[str(n)] = {name: round(sum(one[name] for one in some) / DRAWS, 4) for name in some[0]}
    return found


def measured(run: Run) -> list[Crystal]:
    """Atoms and seconds of every crystal of a run."""
    crystals: list[Crystal] = []
    for number in run.shards():
        species = run.structure_table(number, ["species_at_sites"])["species_at_sites"].to_pylist()
        sizes = [len(each or ()) for each in species]
        path = run.descriptions / f"{number:05d}.parquet"
        seconds = pq.read_table(path, columns=["seconds"])["seconds"].to_pylist()
        crystals += [pair for pair in zip(sizes, seconds, strict=True) if pair[0]]
    return crystals


def in_shards(crystals: list[Crystal], chance: random.Random) -> list[list[Crystal]]:
    starts = (chance.randrange(len(crystals) - SHARD) for _ in range(N // SHARD))
    return [crystals[start : start + SHARD] for start in starts]


def as_they_come(shards: list[list[Crystal]], n: int) -> list[list[Crystal]]:
    portion = -(-len(shards) // n)
    starts = range(0, portion * n, portion)
    return [[c for shard in shards[start : start + portion] for c in shard] for start in starts]


def within_shards(shards: list[list[Crystal]], n: int) -> list[list[Crystal]]:
    return as_they_come([sorted(shard, key=lambda c: -c[0]) for shard in shards], n)


def by(weight: Callable[[Crystal], float]) -> Order:
    """The order of curate/work/load_balance.py with another idea of what a crystal costs."""

    def order(shards: list[list[Crystal]], n: int) -> list[list[Crystal]]:
        weights = {number: [weight(c) for c in shard] for number, shard in enumerate(shards)}
        sizes = {n: ShardSize(len(w), sum(w), max(w)) for n, w in weights.items()}
        return [
            [
                shards[number][position]
                for number in share
                for position in shares.longest_first(weights[number])
            ]
            for share in shares.shares(sizes, n)
        ]

    return order


balanced = by(lambda crystal: crystal[0])
ORDERS: dict[str, Order] = {
    "as they come": as_they_come,
    "within shards": within_shards,
    "balanced": balanced,
    "by seconds": by(lambda crystal: 1000 * crystal[1]),
}


def row(by_node: list[list[Crystal]], n: int) -> dict[str, float]:
    """When the last node is done, and the share of all cores' time that nothing was done in."""
    makespan = max(map(node_seconds, by_node))
    ideal = sum(seconds for crystals in by_node for _, seconds in crystals) / (n * WORKERS)
    return {"makespan_s": makespan, "ideal_s": ideal, "idle": 1 - ideal / makespan}


def node_seconds(crystals: list[Crystal]) -> float:
    """Of one node, whose workers take the next crystal as soon as they are free."""
    free = [0.0] * WORKERS
    for _, seconds in crystals:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)


if __name__ == "__main__":
    main()
