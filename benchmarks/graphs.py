"""Crystal graph and line graph: the released code's loops beside the package, on the same crystals.

    OMP_NUM_THREADS=1 python benchmarks/graphs.py

The loops are jarvis-tools' `Graph.atom_dgl_multigraph`, which the released CrysMMNet copied. Both
sides go from the structure to what the network is given: DGL graphs of 64 crystals each, with atom
features, bond vectors and the cosines of bond angles, for the 400 crystals of the embedded
JARVIS-DFT sample. Each side runs in a process of its own; seconds are CPU seconds. Writes
results/graphs.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from setting import peak_gib, setting

from curate.files import write_json
from curate.record import StructureRecord
from curate.sources.sample import Sample
from model.config import GraphConfig

SIDES = ("released", "package", "package, released rules")


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    found = {side: run(side) for side in SIDES}
    released, package = (np.array(found[side].pop("seconds")) for side in SIDES[:2])
    found[SIDES[2]].pop("seconds")
    result = {
        "crystals": len(released),
        "sides": found,
        "times_faster": {
            "all crystals": round(released.sum() / package.sum(), 1),
            "median crystal": round(float(np.median(released / package)), 1),
            "least": round(float((released / package).min()), 1),
        },
        "setting": setting(),
    }
    write_json(Path(__file__).parent / "results" / "graphs.json", result)
    print(json.dumps(result, indent=1))


def run(side: str) -> dict:
    done = subprocess.run([sys.executable, __file__, side], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(side: str) -> dict:
    """Milliseconds a crystal of each step, bonds and angles, and memory of one side."""
    records = list(Sample().records())
    build, batch = {
        "released": (released_graph, released_batch),
        "package": (package_graph, package_batch),
        "package, released rules": (
            lambda record: package_graph(record, GraphConfig(exact_shell=True)),
            package_batch,
        ),
    }[side]
    batch([build(records[0])])  # imports and tables
    seconds, graphs = [], []
    for record in records:
        started = time.process_time()
        graphs.append(build(record))
        seconds.append(time.process_time() - started)
    started = time.process_time()
    batches = [batch(graphs[start : start + 64]) for start in range(0, len(graphs), 64)]
    batching = time.process_time() - started
    return {
        "milliseconds_a_crystal": round(1e3 * (sum(seconds) + batching) / len(records), 2),
        "of_which_batching": round(1e3 * batching / len(records), 3),
        "bonds": sum(graph.num_edges() for graph, _ in batches),
        "angles": sum(line_graph.num_edges() for _, line_graph in batches),
        "peak_gib": peak_gib(),
        "seconds": [one + batching / len(records) for one in seconds],
    }


def released_graph(record: StructureRecord):
    from jarvis.core.atoms import Atoms
    from jarvis.core.graphs import Graph

    atoms = Atoms(
        lattice_mat=np.array(record.lattice_vectors),
        coords=np.array(record.cartesian_site_positions),
        elements=list(record.species_at_sites),
        cartesian=True,
    )
    return Graph.atom_dgl_multigraph(
        atoms, cutoff=8.0, max_neighbors=12, atom_features="cgcnn", use_canonize=True
    )


def released_batch(pairs: list):
    import dgl

    graphs, line_graphs = zip(*pairs, strict=True)
    return dgl.batch(graphs), dgl.batch(line_graphs)


def package_graph(record: StructureRecord, config: GraphConfig | None = None):
    from model.graphs.crystal_graph import build_graph
    from model.network.batch import Example

    return Example(record.material_id, build_graph(record, config), None)


def package_batch(examples: list):
    import torch

    from model.graphs.elements import atom_features
    from model.network.batch import collate

    batch = collate(examples)
    graph, line_graph = batch.graph.dgl, batch.line_graph.dgl
    graph.ndata["atom_features"] = torch.from_numpy(atom_features())[batch.atomic_numbers]
    graph.edata["length"] = batch.lengths
    line_graph.edata["h"] = batch.cosines
    return graph, line_graph


if __name__ == "__main__":
    main()
