"""MAE of graph only, text only and both, on real crystals, at a size that a CPU can train.

    OMP_NUM_THREADS=1 python benchmarks/accuracy.py --data mp20=RUN --data jarvis=RUN

Each dataset, property, modality and seed is one training of `crysmmnet train`; finished ones are
kept in --work, so an interrupted benchmark goes on. The seed draws the split, 80/10/10, and the
initial weights: within a seed all modalities see the same crystals. Test is read once a training.
Writes results/accuracy.csv (a row a training) and results/accuracy.json (mean and spread).
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import asdict
from itertools import product
from pathlib import Path
from statistics import mean, stdev

from setting import setting
from transformers.utils import logging as transformers_logging

from model.config import GraphConfig, NetworkConfig, TrainConfig
from model.data import known_targets, load_rows
from model.files import write_csv, write_json
from model.train import train

TARGETS = (
    "formation_energy_per_atom",
    "band_gap",
    "formation_energy_peratom",
    "optb88vdw_bandgap",
)
MODALITIES = ("graph", "text", "both")
SEEDS = (1, 2, 3)
GRAPH = GraphConfig(max_neighbors=8)
NETWORK = NetworkConfig(width=64, alignn_layers=1, gcn_layers=2, embedding_width=32)
EPOCHS, BATCH_SIZE = 20, 32
SCORES = ("mae", "mad", "mad_mae", "rmse")
COLUMNS = (
    "dataset",
    "target",
    "unit",
    "modality",
    "seed",
    "n_train",
    "n_val",
    "n_test",
    "chosen_epoch",
    "val_mae",
    "test_mae",
    "test_mad",
    "test_mad_mae",
    "test_rmse",
    "cpu_seconds",
)


def main() -> None:
    arguments = read_arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    transformers_logging.disable_progress_bar()
    rows = []
    for name, place in (pair.split("=", 1) for pair in arguments.data):
        offered = known_targets(load_rows(place))
        targets = [target for target in TARGETS if target in offered]
        for target, modality, seed in product(targets, MODALITIES, SEEDS):
            rows.append(one_training(arguments, name, place, target, modality, seed))
            write(arguments.results, rows)


def one_training(arguments, name, place, target, modality, seed) -> dict:
    """One row of the table; the training is skipped where it is already there."""
    out = arguments.work / f"{name}-{target}-{modality}-{seed}".replace(" ", "_")
    config = TrainConfig(
        data=place,
        target=target,
        out=out,
        modality=modality,
        text_encoder=arguments.text_encoder,
        seed=seed,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        cache=arguments.work / "cache",
        graph=GRAPH,
        network=NETWORK,
    )
    started = time.process_time()
    metrics = train(config)
    spent = out / "cpu_seconds.json"
    if not spent.exists():
        write_json(spent, round(time.process_time() - started, 1))
    row = {
        "dataset": name,
        "target": target,
        "unit": metrics["unit"],
        "modality": modality,
        "seed": seed,
        **{f"n_{part}": metrics[part]["n"] for part in ("train", "val", "test")},
        "chosen_epoch": metrics["chosen_epoch"],
        "val_mae": round(metrics["val"]["mae"], 5),
        **{f"test_{score}": round(metrics["test"][score], 5) for score in SCORES},
        "cpu_seconds": json.loads(spent.read_text()),
    }
    logging.info("%s", row)
    return row


def write(results: Path, rows: list[dict]) -> None:
    """Both files, whole, after every training."""
    write_csv(results / "accuracy.csv", COLUMNS, ([row[name] for name in COLUMNS] for row in rows))
    summary = []
    for key in dict.fromkeys((row["dataset"], row["target"], row["modality"]) for row in rows):
        chosen = [r for r in rows if (r["dataset"], r["target"], r["modality"]) == key]
        maes = [row["test_mae"] for row in chosen]
        summary.append(
            {
                "dataset": key[0],
                "target": key[1],
                "modality": key[2],
                "unit": chosen[0]["unit"],
                "seeds": len(chosen),
                "n_train": chosen[0]["n_train"],
                "n_test": chosen[0]["n_test"],
                "test_mae": round(mean(maes), 4),
                "test_mae_spread": round(stdev(maes), 4) if len(maes) > 1 else None,
                "test_mad_mae": round(mean(row["test_mad_mae"] for row in chosen), 3),
            }
        )
    write_json(
        results / "accuracy.json",
        {
            "summary": summary,
            "text_cost_and_gain": gains(rows),
            "graph": asdict(GRAPH),
            "network": asdict(NETWORK),
            "epochs": EPOCHS,
            "batch_size": BATCH_SIZE,
            "cpu_seconds": round(sum(row["cpu_seconds"] for row in rows)),
            "setting": setting(),
        },
    )


def gains(rows: list[dict]) -> list[dict]:
    """Change of the test MAE when text is added to the graph: same crystals, same seed."""
    mae = {(r["dataset"], r["target"], r["modality"], r["seed"]): r["test_mae"] for r in rows}
    changes = []
    for dataset, target in dict.fromkeys((row["dataset"], row["target"]) for row in rows):
        pairs = [
            (mae[dataset, target, "graph", seed], mae[dataset, target, "both", seed])
            for seed in SEEDS
            if (dataset, target, "both", seed) in mae
        ]
        if pairs:
            percent = [round(100 * (both - graph) / graph, 1) for graph, both in pairs]
            changes.append(
                {"dataset": dataset, "target": target, "both_against_graph_percent": percent}
            )
    return changes


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", action="append", required=True, help="NAME=RUN, once a dataset")
    parser.add_argument("--text-encoder", default="minilm")
    parser.add_argument("--work", type=Path, default=Path("runs/accuracy"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
