"""Does a prediction depend on how many digits a CIF is written with?

    OMP_NUM_THREADS=1 python benchmarks/digits.py [--n 200] [--epochs 40]

Crystals of the embedded sample are written with fewer digits: lengths (Å) and angles (degrees) of the cell
and fractional coordinates, each with that many after the point. A small ALIGNN, trained on the formation
energy of the other crystals of the sample, predicts them as they are and as they were written, by graphs
of several rules. Writes results/digits.json: the share of crystals whose prediction moves by more than
5 meV/atom, and the largest move.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from pymatgen.core import Lattice
from setting import setting
from torch.nn import functional as F  # noqa: N812

from curate.record import StructureRecord
from curate.sources.sample import Sample
from model.config import GraphConfig, NetworkConfig
from model.data.preprocessing import scale_of
from model.graphs.build import build_graphs
from model.network.batch import Example, collate
from model.network.crysmmnet import CrysMMNet, CrysMMNetConfig
from model.network.inference import infer

RESULT = Path(__file__).parent / "results" / "digits.json"
TARGET = "formation_energy_peratom"
MOVED = 0.005  # eV/atom
DIGITS = (6, 5, 4)
RULES = {
    "shells of 1e-3": GraphConfig(shell_tolerance=1e-3),
    "shells of 1e-6": GraphConfig(shell_tolerance=1e-6),
    "released": GraphConfig(exact_shell=True),
}
SIZES = NetworkConfig(width=32, alignn_layers=1, gcn_layers=1, embedding_width=16)


@dataclass(frozen=True)
class Config:
    """How much is computed."""

    n: int = 200
    """Crystals that are written with fewer digits."""
    epochs: int = 40
    """Passes over the others."""
    seed: int = 0
    """Draws the crystals and the initial weights."""


def main(config: Config) -> None:
    records = list(Sample().records())
    random.Random(config.seed).shuffle(records)
    asked, others = records[: config.n], records[config.n :]
    found, learned = {}, []
    for name, rule in RULES.items():
        model, mean, std, error = trained(others, rule, config)
        whole = predicted(model, asked, rule) * std
        moves = {
            digits: np.abs(
                predicted(model, [written(r, digits) for r in asked], rule) * std - whole
            )
            for digits in DIGITS
        }
        found[name] = {
            digits: {
                "moved": round(100 * float((move > MOVED).mean()), 2),  # % of the crystals
                "largest": round(1000 * float(move.max()), 2),  # meV/atom
            }
            for digits, move in moves.items()
        }
        targets = np.array([float(r.properties[TARGET]) for r in asked])
        test = float(np.abs(whole + mean - targets).mean())
        learned.append({"rule": name, "MAE": round(test, 3), "seconds": round(error, 1)})
        print(name, found[name], learned[-1], flush=True)
    result = {
        "n": len(asked),
        "n_trained": len(others),
        "moved by more than": f"{MOVED} eV/atom",
        "unit": "moved: % of the crystals; largest: meV/atom; MAE: eV/atom on these crystals",
        "rules": found,
        "networks": learned,
        **setting(),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def trained(
    records: list[StructureRecord], rule: GraphConfig, config: Config
) -> tuple[CrysMMNet, float, float, float]:
    """A network of the graph alone, the mean and deviation of its target, and the seconds it took."""
    started = time.perf_counter()
    values = [float(record.properties[TARGET]) for record in records]
    mean, std = scale_of(values, log10=False)
    examples = [
        replace(example, target=(value - mean) / std)
        for example, value in zip(seen(records, rule), values, strict=True)
    ]
    torch.manual_seed(config.seed)
    model = CrysMMNet(CrysMMNetConfig.from_settings(SIZES, "graph", 0)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-5)
    chance = random.Random(config.seed)
    for _ in range(config.epochs):
        chance.shuffle(examples)
        for start in range(0, len(examples), 32):
            batch = collate(examples[start : start + 32])
            optimizer.zero_grad()
            F.mse_loss(model(batch), batch.target).backward()
            optimizer.step()
    return model.eval(), mean, std, time.perf_counter() - started


def predicted(model: CrysMMNet, records: list[StructureRecord], rule: GraphConfig) -> np.ndarray:
    """(n,) standardised."""
    return infer(model, seen(records, rule), batch_size=32)


def seen(records: list[StructureRecord], rule: GraphConfig) -> list[Example]:
    """The crystals by their graphs; each of the sample has one."""
    graphs = list(build_graphs(records, rule))
    assert not any(isinstance(graph, str) for graph in graphs)
    return [
        Example(record.material_id, graph, None)  # type: ignore[arg-type]
        for record, graph in zip(records, graphs, strict=True)
    ]


def written(record: StructureRecord, digits: int) -> StructureRecord:
    """The crystal as a CIF in P1 with that many digits after the point has it."""
    cell = Lattice(record.lattice_vectors)
    short = Lattice.from_parameters(*(round(value, digits) for value in cell.parameters))
    fractions = np.round(cell.get_fractional_coords(record.cartesian_site_positions), digits)
    return replace(
        record,
        lattice_vectors=tuple(map(tuple, short.matrix.tolist())),
        cartesian_site_positions=tuple(map(tuple, short.get_cartesian_coords(fractions).tolist())),
    )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
