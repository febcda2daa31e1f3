"""Which ingredient pays: one change at a time to a small network, on each data set, fold by fold.

Every training is kept, so that the same command goes on where it was stopped; the results file is written
after each. Equal epochs and batches for all; validation chooses the epoch.

    OMP_NUM_THREADS=1 python benchmarks/ablation.py jdft2d=RUN jarvis=RUN --out FOLDER --results FILE
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from setting import setting

from curate.files import write_json
from model.config import GraphConfig, NetworkConfig, TrainConfig
from model.experiments.composition_baseline import Compositions, fit_baseline
from model.model_folder import ModelFolder
from model.statistics.paired_difference import Errors, paired_difference
from model.training.train import train

RESULT = Path(__file__).parent / "results" / "ablation.json"
TASKS: dict[str, dict[str, Any]] = {
    "jdft2d": {"target": "exfoliation_en", "folds": "fold_matbench_jdft2d"},
    "phonons": {"target": "last phdos peak", "folds": "fold_matbench_phonons"},
    "jarvis": {"target": "formation_energy_peratom"},
}
EPOCHS = 40
SMALL = NetworkConfig(width=64, embedding_width=32, alignn_layers=1, gcn_layers=2)
GRAPH = GraphConfig(max_neighbors=8)
TREES = "trees on the composition"
WHOLE = ("magpie", "cell", "condensed")


def variants() -> dict[str, dict[str, Any]]:
    """Changes to the paper's recipe by name; each is compared with the one named in BASES."""
    both = {"modality": "both"}
    return {
        "graph": {"modality": "graph"},
        "both": both,
        "both, l1": {**both, "loss": "l1"},
        "both, tfidf": {**both, "text_encoder": "tfidf"},
        "both, mean pooling": {**both, "text_pooling": "mean"},
        "both, gate": {**both, "network": replace(SMALL, fusion="gate")},
        "both, cross-attention": {**both, "network": replace(SMALL, fusion="cross-attention")},
        "both, modality dropout": {**both, "network": replace(SMALL, modality_dropout=0.2)},
        "graph, atoms+bonds": {"modality": "graph", "network": replace(SMALL, readout="atoms+bonds")},
        "graph, magpie": {"modality": "graph", "descriptors": ("magpie",)},
        "graph, descriptors": {"modality": "graph", "descriptors": WHOLE},
        "graph, l1, descriptors": {"modality": "graph", "loss": "l1", "descriptors": WHOLE},
        "both, l1, tfidf, descriptors": {
            **both, "loss": "l1", "text_encoder": "tfidf", "descriptors": WHOLE,
        },
        "shuffled, l1, tfidf, descriptors": {
            **both, "loss": "l1", "text_encoder": "tfidf", "descriptors": WHOLE, "text": "shuffled",
        },
    }  # fmt: skip


BASES = {
    TREES: "graph",
    "both": "graph",
    "graph, atoms+bonds": "graph",
    "graph, magpie": "graph",
    "graph, descriptors": "graph",
    "graph, l1, descriptors": "graph, descriptors",
    "both, l1, tfidf, descriptors": "graph, l1, descriptors",
    "shuffled, l1, tfidf, descriptors": "graph, l1, descriptors",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help=f"TASK=RUN, of {', '.join(TASKS)}")
    parser.add_argument("--out", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--results", type=Path, default=RESULT)
    parser.add_argument("--trainings", type=int, default=3, help="folds, or seeds, of each")
    given = parser.parse_args()
    tasks = dict(one.split("=", 1) for one in given.data)
    done: list[dict[str, Any]] = []
    compositions = {task: Compositions.of(data) for task, data in tasks.items()}
    for number in range(given.trainings):
        for name, changes in variants().items():
            for task, data in tasks.items():
                done.append(one_training(given.out, task, data, name, changes, number))
                if name == "graph":  # which crystals are in which part
                    done.append(baseline(given.out, task, compositions[task], number))
                write_json(given.results, answer(done))


def one_training(
    out: Path, task: str, data: str, name: str, changes: dict[str, Any], number: int
) -> dict[str, Any]:
    """Train, unless it is trained."""
    about = TASKS[task]
    folder = out / f"{task}-{name.replace(', ', '-').replace(' ', '-').replace('+', '-')}-{number}"
    settings = {
        "data": data, "out": folder, "epochs": EPOCHS, "batch_size": 16, "text_encoder": "minilm",
        "graph": GRAPH, "network": SMALL, "seed": number, **about, **changes,
    }  # fmt: skip
    if "folds" in about:
        settings["fold"] = str(number)
    train(TrainConfig(**settings))
    return row_of(folder, task, name, number)


def baseline(out: Path, task: str, compositions: Compositions, number: int) -> dict[str, Any]:
    """Extra trees on the formula, on the crystals of the network of this number."""
    folder = out / f"{task}-{TREES.replace(' ', '-')}-{number}"
    fit_baseline(compositions, out / f"{task}-graph-{number}", folder, number, False)
    return row_of(folder, task, TREES, number)


def row_of(folder: Path, task: str, name: str, number: int) -> dict[str, Any]:
    """Scores, seconds and the errors of the test crystals of a finished training."""
    model = ModelFolder(folder)
    errors = {
        row["id"]: abs(float(row["target"]) - float(row["prediction"]))
        for row in model.predictions
        if row["split"] == "test"
    }
    row = {"task": task, "variant": name, "training": number, "mae": model.metrics["test"]["mae"],
           "seconds": model.training["seconds"], "errors": errors}  # fmt: skip
    print(task, name, number, f"{row['mae']:.4f}", f"{row['seconds']:.0f} s", flush=True)
    return row


def answer(done: list[dict[str, Any]]) -> dict[str, Any]:
    """Means, and differences to the base with intervals over trainings and crystals."""
    tables: dict[str, Any] = {}
    for task in dict.fromkeys(row["task"] for row in done):
        errors: dict[str, Errors] = defaultdict(dict)
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in done:
            if row["task"] == task:
                rows[row["variant"]].append(row)
                for name, error in row["errors"].items():
                    errors[row["variant"]][row["training"], name] = error  # type: ignore[index]
        tables[task] = {
            name: {
                "mae": float(np.mean([row["mae"] for row in found])),
                "maes": [row["mae"] for row in found],
                "seconds": float(np.mean([row["seconds"] for row in found])),
                **difference(errors, name),
            }
            for name, found in rows.items()
        }
    return {
        **setting(),
        "epochs": EPOCHS,
        "tasks": tables,
    }


def difference(errors: dict[str, Errors], name: str) -> dict[str, Any]:
    base = BASES.get(name, "both")
    if name == base or base not in errors or name == "graph":
        return {}
    found = paired_difference(errors[base], errors[name])
    return {
        "base": base,
        "difference": found.mean,
        "interval": [found.low, found.high],
        "p": found.p,
    }


if __name__ == "__main__":
    main()
