"""Does torch.compile pay on quotient graphs? Batches of 64 crystals, default network, as it is and compiled.

    OMP_NUM_THREADS=1 python benchmarks/compiled.py --data RUN

Every batch has other numbers of atoms, bonds and angles, so compiled code must take any (`dynamic=True`), and
message passing goes through torch, which the compiler sees into, not DGL, which it does not. Seconds of
processor for forward, backward and AdamW: the best of three after a first step, then the mean of three other
batches that the compiled code has not seen. Writes results/compiled.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from setting import setting
from training import chosen_records, new_model, update

from model.config import GraphConfig
from model.graphs.build import build_graphs
from model.network import message_passing as passing
from model.network.batch import Batch, Example, collate
from model.training.allocator import tune_glibc_malloc

RESULT = Path(__file__).parent / "results" / "compiled.json"
N, TEXT_WIDTH = 64, 768


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="run or dataset folder, or OWNER/NAME")
    arguments = parser.parse_args()
    tune_glibc_malloc()
    records = chosen_records(arguments.data, 4 * N)
    result = {
        "DGL": measured(batches(records, "dgl"), compiled=False),
        "torch": measured(batches(records, "torch"), compiled=False),
        "torch, compiled": measured(batches(records, "torch"), compiled=True),
        "setting": setting(),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(RESULT.read_text())


def batches(records: list, backend: passing.Backend) -> list[Batch]:
    """Four batches of 64 with random texts."""
    passing.backend_for = lambda device: backend
    graphs = list(build_graphs(records, GraphConfig()))
    text = torch.randn(len(records), TEXT_WIDTH, generator=torch.Generator().manual_seed(0))
    examples = [
        Example(record.material_id, graph, vector.numpy(), 0.5)
        for record, graph, vector in zip(records, graphs, text, strict=True)
    ]
    return [collate(examples[start : start + N]) for start in range(0, len(examples), N)]


def measured(some: list[Batch], compiled: bool) -> dict[str, float | str]:
    """Seconds of the first step, of further ones, and of batches of other sizes."""
    model = new_model().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-5)
    network = torch.compile(model, dynamic=True) if compiled else model

    def step(batch: Batch) -> float:
        began = time.process_time()
        update(network, optimizer, [batch], N)
        return time.process_time() - began

    wall = time.perf_counter()
    try:
        first = step(some[0])
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {str(error).splitlines()[0][:300]}"}
    return {
        "first_step_s": round(first, 2),
        "first_step_wall_s": round(time.perf_counter() - wall, 2),
        "step_s": round(min(step(some[0]) for _ in range(3)), 2),
        "other_batches_s": round(sum(step(batch) for batch in some[1:]) / 3, 2),
    }


if __name__ == "__main__":
    main()
