"""Training step and inference on whole graphs and on their quotients, side by side.

    OMP_NUM_THREADS=1 python benchmarks/quotient.py --data jarvis=RUN --data mp=RUN

Network of the paper (4 ALIGNN and 4 gated graph convolutions, width 256), graph only, 256 crystals of
each dataset drawn with a seed, in batches of 64; the same weights and batches for every way, the
allocator set alike for all (model/training/allocator.py). Each line is measured in a process of its own: CPU
seconds of all threads for a batch, over all four, the better of two passes after a first one. Then,
of every crystal: how many times fewer atoms, bonds and angles the quotient has, by crystal system;
and of 512 crystals: how far outputs in 32 bits and gradients in 64 bits, batch statistics among them,
are from those of the whole graph, for every encoder. Writes results/quotient.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import get_args

import torch
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from setting import peak_gib, setting
from torch.nn import functional as F  # noqa: N812
from training import chosen_records, new_model

from curate.batches import in_batches
from curate.files import write_json
from curate.run.schema import record_of_row
from model.config import EncoderName, GraphConfig
from model.data.materials import load_rows
from model.graphs.build import build_graphs
from model.network.batch import Example, collate
from model.network.encoders import encoder_class
from model.training.allocator import tune_glibc_malloc

WAYS = ("full DGL", "full torch", "quotient DGL", "quotient torch")
KINDS = ("training step", "inference")
N_CRYSTALS, N_COMPARED, BATCH = 256, 512, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", action="append", required=True, help="NAME=RUN, once a dataset")
    parser.add_argument("--only", nargs=2, metavar=("KIND", "WAY"))
    arguments = parser.parse_args()
    places = dict(pair.split("=", 1) for pair in arguments.data)
    if arguments.only:
        print(json.dumps(measure(*arguments.only, next(iter(places.values())))))
        return
    results = Path(__file__).parent / "results" / "quotient.json"
    partial = results.with_name("quotient.unfinished.json")  # an interrupted benchmark goes on
    found = json.loads(partial.read_text()) if partial.exists() else {"setting": setting()}
    for name, place in places.items():
        ways = found.setdefault(name, {kind: {} for kind in KINDS})
        for kind, way in product(KINDS, WAYS):
            if way not in ways[kind]:
                ways[kind][way] = in_own_process(place, kind, way)
                write_json(partial, found)
                print(name, kind, way, ways[kind][way], flush=True)
        ways["times_faster"] = {kind: compare(ways[kind]) for kind in KINDS}
        ways["reduction"] = ways.get("reduction") or reduction(place)
        agreements = ways.setdefault("agreement", {})
        for encoder in get_args(EncoderName):
            agreements[encoder] = agreements.get(encoder) or agreement(place, encoder)
            print(encoder, agreements[encoder], flush=True)
            write_json(partial, found)
        print(ways["times_faster"], ways["reduction"]["all"], flush=True)
    partial.replace(results)


def in_own_process(place: str, kind: str, way: str) -> dict:
    command = [sys.executable, __file__, "--data", f"data={place}", "--only", kind, way]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(ways: dict) -> dict:
    """Quotient against whole graph on the same backend: seconds and peak memory."""
    return {
        backend: {
            "seconds": round(
                ways[f"full {backend}"]["seconds"] / ways[f"quotient {backend}"]["seconds"], 2
            ),
            "memory_above_start": round(
                ways[f"full {backend}"]["added_gib"] / ways[f"quotient {backend}"]["added_gib"], 2
            ),
            "peak_memory": round(
                ways[f"full {backend}"]["peak_gib"] / ways[f"quotient {backend}"]["peak_gib"], 2
            ),
        }
        for backend in ("DGL", "torch")
    }


def agreement(place: str, encoder: EncoderName) -> dict:
    """Largest difference of an output, and of a parameter's gradient relative to its norm."""
    records = chosen_records(place, N_COMPARED)
    self_bonds = encoder_class(encoder).self_bonds
    graphs = [
        list(build_graphs(records, GraphConfig(graph=kind, self_bonds=self_bonds)))
        for kind in ("full", "quotient")
    ]
    worst, spread, n_compared = {}, [], 0
    for start in range(0, N_COMPARED, BATCH):
        batches = [as_batch(some[start : start + BATCH]) for some in graphs]
        for dtype in (torch.float32, torch.float64):
            full, folded = (outcome(batch, encoder, dtype) for batch in batches)
            differences = {
                f"output, {dtype}": float((full[0] - folded[0]).abs().max()),
                f"gradient, {dtype}": max(
                    float((one - other).norm() / one.norm())
                    for one, other in zip(full[1], folded[1], strict=True)
                    if one.norm() > 1e-6  # biases before a batch norm have none
                ),
            }
            for what, difference in differences.items():
                worst[what] = max(worst.get(what, 0.0), difference)
        spread.append(float(full[0].std()))
        n_compared += len(full[0])
    rounded = {what.replace("torch.", ""): float(f"{value:.1e}") for what, value in worst.items()}
    return {"crystals": n_compared, **rounded, "spread of outputs": round(max(spread), 2)}


def outcome(batch, encoder: EncoderName, dtype: torch.dtype) -> tuple:
    """Outputs in training mode and the gradients of all parameters."""
    model = new_model("graph", encoder).to(dtype).train()
    model.graph_projection.dropout.p = 0.0
    tensors = {
        name: value.to(dtype)
        for name, value in vars(batch).items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }
    for graph in (batch.graph, batch.line_graph):
        if graph.node_counts is not None:
            graph.node_counts = graph.node_counts.to(dtype)
            graph.edge_counts = graph.edge_counts.to(dtype)
            vars(graph).pop("weights", None)  # cached in the other precision
    output = model(replace(batch, **tensors))
    F.mse_loss(output, tensors["target"]).backward()
    return output.detach(), [p.grad for p in model.parameters() if p.grad is not None]


def as_batch(graphs: list):
    return collate(
        [Example(str(number), graph, None, 0.01 * number) for number, graph in enumerate(graphs)]
    )


def measure(kind: str, way: str, place: str) -> dict:
    tune_glibc_malloc()
    graph, backend = way.split()
    records = chosen_records(place, N_CRYSTALS)
    started = time.process_time()
    graphs = list(build_graphs(records, GraphConfig(graph=graph)))
    building = time.process_time() - started
    examples = [
        Example(record.material_id, graph, None, 0.01 * number)
        for number, (record, graph) in enumerate(zip(records, graphs, strict=True))
    ]
    batches = [collate(some) for some in in_batches(examples, BATCH)]
    for batch in batches:
        batch.graph.backend = batch.line_graph.backend = backend.lower()
    model = new_model("graph")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    at_start = peak_gib()

    def train(batch) -> None:
        optimizer.zero_grad()
        F.mse_loss(model(batch), batch.target).backward()
        optimizer.step()

    def infer(batch) -> None:
        with torch.inference_mode():
            model(batch)

    once = train if kind == "training step" else infer
    model.train(kind == "training step")
    seconds = []
    for _ in range(3):
        started = time.process_time()
        for batch in batches:
            once(batch)
        seconds.append((time.process_time() - started) / len(batches))
    return {
        "seconds": round(min(seconds[1:]), 3),
        "peak_gib": peak_gib(),
        "added_gib": round(peak_gib() - at_start, 2),
        "atoms": sum(batch.graph.n_nodes for batch in batches),
        "bonds": sum(len(batch.lengths) for batch in batches),
        "angles": sum(len(batch.cosines) for batch in batches),
        "milliseconds_a_graph": round(1000 * building / len(records), 2),
    }


def reduction(place: str) -> dict:
    """Members a class has on average, by crystal system; all described crystals of the dataset."""
    records = [record_of_row(row) for row in load_rows(place)]
    totals: dict[str, list[int]] = {}
    pairs = zip(
        records,
        build_graphs(records, GraphConfig(graph="full")),
        build_graphs(records, GraphConfig()),
        strict=True,
    )
    for record, full, folded in pairs:
        if isinstance(full, str):
            continue
        sizes = [1, full.n_atoms, folded.n_atoms, full.n_bonds, folded.n_bonds]
        sizes += [full.n_angles, folded.n_angles]
        for group in (crystal_system(record), "all"):
            known = totals.setdefault(group, [0] * 7)
            totals[group] = [old + new for old, new in zip(known, sizes, strict=True)]
    return {
        group: {
            "crystals": total[0],
            "atoms": round(total[1] / total[2], 2),
            "bonds": round(total[3] / total[4], 2),
            "angles": round(total[5] / total[6], 2),
        }
        for group, total in sorted(totals.items())
    }


def crystal_system(record) -> str:
    """By spglib at 0.01 Å, as the descriptions have it."""
    analyzer = SpacegroupAnalyzer(record.to_pymatgen(), symprec=0.01)
    return analyzer.get_crystal_system()


if __name__ == "__main__":
    main()
