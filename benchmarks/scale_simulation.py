"""Corpora of 5.3 and 110 million crystals on 1,000 cores, simulated with what results/scale.json measured.

    python benchmarks/scale_simulation.py

Nodes of 32 cores, as many as have 1,000. The source, a dataset on the Hub, is frozen by one process with the
workers of its node, its shards are described by all nodes, the parts of the dataset are written by all cores,
and one process puts the dataset together. Seconds of processor for each row are those of the largest build,
for freezing those of the step `freeze-hub`; a crystal takes those of the step `describe`, a shard the sum of
its crystals, drawn with their mean and deviation. A node can give out no more crystals than
its first process can hand to workers. Starts of workers and waiting for disks are left out.

Nodes may be slow (every step takes so many times as long) or be lost (at a moment drawn from the time that
the describing would take without); means of several draws. `claimed`: each node claims the next shard when it
is free, and then helps with what is not finished, at most three on a shard (`curate.work.claims`); where all
that claimed a shard are lost, it is left to the next job, counted in `left`. `fixed`: a share for each node
(`curate.work.load_balance`); what a lost node leaves is done by one other when the rest is done.
Writes results/scale_simulation.json.
"""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from pathlib import Path
from statistics import mean

import numpy as np
from setting import setting

from curate.dataset.parts import ENTRIES_PER_FILE
from curate.run.folder import ShardSize
from curate.work.claims import MOST_CLAIMS
from curate.work.freeze import entries_of_shard
from curate.work.load_balance import shares

RESULTS = Path(__file__).parent / "results"
CORPORA = {"LeMat-Bulk": 5_335_299, "OMat24": 110_000_000}
CORES, WORKERS, SHARD, DRAWS = 1_000, 32, 200, 5


@dataclass(frozen=True)
class Fault:
    """What goes wrong with some nodes."""

    slow: float = 0.0  # share of the nodes
    times: float = 3.0  # as long
    lost: float = 0.0  # share of the nodes


FAULTS = {
    "no faults": Fault(),
    "a tenth slow": Fault(slow=0.1),
    "a tenth lost": Fault(lost=0.1),
    "a tenth slow, a tenth lost": Fault(slow=0.1, lost=0.1),
}


@dataclass(frozen=True)
class Costs:
    """Seconds of processor for one row or crystal."""

    freezing: float  # by the first process
    freezing_in_workers: float
    freezing_alone: float  # by one process, without workers
    describing: float
    deviation: float  # of the seconds of a crystal
    handing_out: float  # to a worker, by the first process of a node
    parts: float
    dataset: float


@dataclass(frozen=True)
class Node:
    """How a node behaves."""

    times: float  # as long as others
    lost_at: float  # s


def main() -> None:
    """Simulate, write."""
    found = json.loads((RESULTS / "scale.json").read_text())
    costs = measured(found)
    result = {
        "cores": CORES,
        "cores of a node": WORKERS,
        "draws": DRAWS,
        "measured with rows": max(map(int, found["build"])),
        "seconds of processor": {name: round(each, 7) for name, each in vars(costs).items()},
        "corpora": {name: simulated(n, costs) for name, n in CORPORA.items()},
        "setting": setting(),
    }
    (RESULTS / "scale_simulation.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["corpora"], indent=1))


def measured(found: dict) -> Costs:
    """Costs by the largest build and by the crystals that were described."""
    (frozen,) = found["freeze-hub"].values()
    by_workers = {name: frozen["workers"][f"{name}_ms_a_row"] / 1e3 for name in ("own_cpu", "cpu")}
    n, build = max(((int(n), row) for n, row in found["build"].items()), key=lambda pair: pair[0])
    (described,) = found["describe"].values()
    own = described["handing_out_own_cpu_s"] / described["handed_out"]
    in_workers = described["describing_cpu_s"] - described["describing_own_cpu_s"]
    each = in_workers / described["crystals"]
    return Costs(
        freezing=by_workers["own_cpu"],
        freezing_in_workers=by_workers["cpu"] - by_workers["own_cpu"],
        freezing_alone=frozen["alone"]["cpu_ms_a_row"] / 1e3,
        describing=each,
        deviation=each * described["deviation_s"] / described["mean_s"],
        handing_out=own,
        parts=build["parts_cpu_s"] / n,
        dataset=build["dataset_own_cpu_s"] / n,
    )


def simulated(n: int, costs: Costs) -> dict:
    """Seconds of each step, and of the describing with faults."""
    sizes = shard_sizes(n)
    n_parts = math.ceil(n / ENTRIES_PER_FILE)
    steps = {
        "freezing": n * max(costs.freezing, costs.freezing_in_workers / WORKERS),
        "describing": 0.0,
        "parts": math.ceil(n_parts / CORES) * min(n, ENTRIES_PER_FILE) * costs.parts,
        "dataset": n * costs.dataset,
    }
    faults = {}
    for name, fault in FAULTS.items():
        draws = [drawn(sizes, costs, fault, seed) for seed in range(DRAWS)]
        faults[name] = {key: round(mean(draw[key] for draw in draws), 1) for key in draws[0]}
    steps["describing"] = faults["no faults"]["claimed_s"]
    total = sum(steps.values())
    return {
        "crystals": n,
        "shards": len(sizes),
        "parts": n_parts,
        "seconds": {name: round(seconds, 1) for name, seconds in steps.items()},
        "total_s": round(total, 1),
        "sequential share": round((steps["freezing"] + steps["dataset"]) / total, 3),
        "freezing by one process_s": round(n * costs.freezing_alone, 1),
        "parts by one process_s": round(n * costs.parts, 1),
        "describing": faults,
    }


def shard_sizes(n: int) -> list[int]:
    """Entries of each shard."""
    sizes: list[int] = []
    done = 0
    while done < n:
        sizes.append(min(entries_of_shard(done, SHARD), n - done))
        done += sizes[-1]
    return sizes


def drawn(sizes: list[int], costs: Costs, fault: Fault, seed: int) -> dict[str, float]:
    """Seconds of describing with one draw of shards, slow and lost nodes."""
    chance = np.random.default_rng(seed)
    entries = np.array(sizes, float)
    work = chance.normal(entries * costs.describing, np.sqrt(entries) * costs.deviation)
    seconds = np.maximum(work / WORKERS, entries * costs.handing_out).clip(min=1e-6).tolist()
    n_nodes = CORES // WORKERS
    calm = claimed(seconds, [Node(1.0, math.inf)] * n_nodes)[0]
    order = random.Random(seed).sample(range(n_nodes), n_nodes)
    slow = set(order[: round(fault.slow * n_nodes)])
    lost = set(order[n_nodes - round(fault.lost * n_nodes) :])
    nodes = [
        Node(
            fault.times if number in slow else 1.0,
            calm * chance.random() if number in lost else math.inf,
        )
        for number in range(n_nodes)
    ]
    claimed_s, left = claimed(seconds, nodes)
    return {"claimed_s": claimed_s, "left": left, "fixed_s": fixed(seconds, sizes, nodes)}


def claimed(seconds: list[float], nodes: list[Node]) -> tuple[float, int]:
    """When the last shard is described, and how many are left, where nodes claim shards."""
    ends = [math.inf] * len(seconds)
    held: list[set[int]] = [set() for _ in seconds]  # nodes that claimed the shard
    free = [(0.0, number) for number in range(len(nodes))]
    heapify(free)
    level, place = [1] * len(nodes), [0] * len(nodes)  # where each node looks for its next claim
    while free:
        now, number = heappop(free)
        shard = None
        while level[number] <= MOST_CLAIMS and shard is None:
            if place[number] == len(seconds):
                level[number], place[number] = level[number] + 1, 0
                continue
            candidate = place[number]
            place[number] += 1
            is_open = ends[candidate] > now and number not in held[candidate]
            if is_open and len(held[candidate]) < level[number]:
                shard = candidate
        if shard is None:
            continue
        node = nodes[number]
        held[shard].add(number)
        end = now + seconds[shard] * node.times
        if end <= node.lost_at:
            ends[shard] = min(ends[shard], end)
            heappush(free, (ends[shard], number))  # free as soon as another has finished it
    described = [end for end in ends if end < math.inf]
    return max(described), len(ends) - len(described)


def fixed(seconds: list[float], sizes: list[int], nodes: list[Node]) -> float:
    """When the last shard is described, where each node has a share; another does what a lost one leaves."""
    divided = shares({n: ShardSize(size, size, 1) for n, size in enumerate(sizes)}, len(nodes))
    last, left = 0.0, 0.0
    for node, share in zip(nodes, divided, strict=True):
        now = 0.0
        for number in share:
            now += seconds[number] * node.times
            if now > node.lost_at:
                left += seconds[number]
            else:
                last = max(last, now)
    return last + left


if __name__ == "__main__":
    main()
