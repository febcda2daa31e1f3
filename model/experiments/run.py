"""A question about text in, many trainings, and the answer as tables, predictions and plots out."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

from curate.files import write_json
from model.config import (
    ExperimentConfig,
    NetworkConfig,
    TextInput,
    TrainConfig,
    TrainSettings,
    View,
)
from model.files import read_csv, read_json, write_csv
from model.training.provenance import FILE as TRAINING

log = logging.getLogger(__name__)

NULLS: tuple[TextInput, ...] = ("shuffled", "constant", "spacegroup")
COLUMNS = (
    "target",
    "encoder",
    "modality",
    "text",
    "train_fraction",
    "seed",
    "split",
    "unit",
    "n_train",
    "n_val",
    "n_test",
    "val_mae",
    "mae",
    "mad_mae",
    "rmse",
    "chosen_epoch",
    "seconds",
    "checkpoint",
)


@dataclass(frozen=True)
class Variant:
    """One row of an experiment's table: what is trained, apart from target and seed."""

    encoder: str
    modality: str = "both"
    text: TextInput = "description"
    train_fraction: float = 1.0

    @property
    def name(self) -> str:
        """As in `graph`, `both`, `both, shuffled`."""
        told = self.modality if self.text == "description" else f"{self.modality}, {self.text}"
        return told

    @property
    def slug(self) -> str:
        """Of folder names."""
        network = "" if self.modality == "text" else f"-{self.encoder}"
        text = "" if self.text == "description" else f"-{self.text}"
        share = "" if self.train_fraction == 1 else f"-{self.train_fraction:g}"
        return f"{self.modality}{network}{text}{share}"


def variants(config: ExperimentConfig) -> list[Variant]:
    """The rows of the table; each has its graph-only counterpart among them."""
    own = config.network.encoder
    graph, both = Variant(own, "graph"), Variant(own)
    match config.kind:
        case "modality":
            nulls = [replace(both, text=null) for null in NULLS]
            return [graph, Variant(own, "text"), both, *nulls]
        case "encoder":
            return [Variant(name, seen) for name in config.encoders for seen in ("graph", "both")]
        case "text":
            return [graph, both, *(replace(both, text=part) for part in get_args(View))]
        case "low-data":
            shares = sorted(config.fractions)
            return [replace(v, train_fraction=share) for share in shares for v in (graph, both)]


def counterpart(variant: Variant) -> Variant:
    """The graph-only model that a model is compared with."""
    return replace(variant, modality="graph", text="description")


def trainings(config: ExperimentConfig) -> Iterator[tuple[Variant, TrainConfig]]:
    """All trainings, those of one seed together."""
    shared = {field.name: getattr(config, field.name) for field in fields(TrainSettings)}
    for target in config.targets:
        for seed in config.seeds:
            for variant in variants(config):
                folder = f"{target}-{variant.slug}-{seed}".replace(" ", "_").replace("/", "_")
                settings = {
                    **shared,
                    "network": sized(config.network, variant.encoder),
                    "modality": variant.modality,
                    "text": variant.text,
                    "train_fraction": variant.train_fraction,
                }
                yield (
                    variant,
                    TrainConfig(
                        target=target, seed=seed, out=config.out / "runs" / folder, **settings
                    ),
                )


def sized(network: NetworkConfig, encoder: str) -> NetworkConfig:
    """The sizes given, as far as this encoder has them."""
    from model.network.encoders import NOT_THE_ENCODERS, encoder_class

    known = {field.name for field in fields(encoder_class(encoder).settings)}
    kept = {
        name: value
        for name, value in asdict(network).items()
        if name in known or name in NOT_THE_ENCODERS
    }
    return NetworkConfig(**{**kept, "encoder": encoder})


def run(config: ExperimentConfig) -> Path:
    """Train what is missing and write the answer; its folder."""
    from model.experiments.report import write_report

    planned = list(trainings(config))
    train_all([training for _, training in planned], config.parallel)
    answer = config.out / config.kind
    (answer / "predictions").mkdir(parents=True, exist_ok=True)
    rows = [row_of(variant, training, config.out) for variant, training in planned]
    for _, training in planned:
        name = f"{training.out.name}.csv"
        shutil.copyfile(training.out / "predictions.csv", answer / "predictions" / name)
    write_csv(answer / "results.csv", COLUMNS, ([row[name] for name in COLUMNS] for row in rows))
    write_report(config, answer, planned, rows)
    write_json(answer / "made.json", made_by([training.out for _, training in planned], rows))
    return answer


def made_by(folders: list[Path], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the numbers cost and what they were made with; apart from them, for they repeat and it varies."""
    origins = [read_json(folder, TRAINING) for folder in folders]
    return {
        "command": shlex.join(["crysmmnet", *sys.argv[1:]]),
        "trainings": len(rows),
        "hours": round(sum(row["seconds"] for row in rows) / 3600, 2),
        "hardware": sorted({origin["hardware"] for origin in origins}),
        "versions": [json.loads(v) for v in sorted({json.dumps(o["versions"]) for o in origins})],
    }


def train_all(configs: list[TrainConfig], parallel: int) -> None:
    """Each training, unless it is finished already; `parallel` of them side by side."""
    missing = [config for config in configs if not (config.out / "metrics.json").exists()]
    log.info("%d trainings, %d of them done", len(configs), len(configs) - len(missing))
    if parallel == 1:
        for number, config in enumerate(configs, 1):
            log.info("%d of %d: %s", number, len(configs), config.out.name)
            one_training(config)
        return
    first, *others = configs  # alone: it encodes the texts and builds the graphs for all
    one_training(first)
    context = multiprocessing.get_context("spawn")
    threads = max(1, len(os.sched_getaffinity(0)) // parallel)
    with ProcessPoolExecutor(parallel, context, prepare_worker, (threads,)) as pool:
        try:
            for number, name in enumerate(pool.map(one_training, others), 2):
                log.info("%d of %d: %s", number, len(configs), name)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def prepare_worker(threads: int) -> None:
    """A worker with its share of the processor, which leaves Ctrl-C to its parent."""
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)


def one_training(config: TrainConfig) -> str:
    """Train; the name of its folder."""
    from model.training.train import train

    train(config)
    return config.out.name


def row_of(variant: Variant, training: TrainConfig, out: Path) -> dict[str, Any]:
    """One row of results.csv, from what the training wrote."""
    metrics = read_json(training.out, "metrics.json")
    seconds = read_json(training.out, TRAINING)["seconds"]
    test = metrics["test"]
    return {
        "target": training.target,
        **asdict(variant),
        "seed": training.seed,
        "split": training.split,
        "unit": metrics["unit"],
        **{f"n_{part}": metrics[part]["n"] for part in ("train", "val", "test")},
        "val_mae": metrics["val"]["mae"],
        "mae": test["mae"],
        "mad_mae": test["mad_mae"],
        "rmse": test["rmse"],
        "chosen_epoch": metrics["chosen_epoch"],
        "seconds": round(seconds, 1),
        "checkpoint": str(training.out.relative_to(out)),
    }


def test_rows(folder: Path) -> dict[str, tuple[float, float]]:
    """Target and prediction of each test crystal of a trained model."""
    return {
        row["id"]: (float(row["target"]), float(row["prediction"]))
        for row in read_csv(folder / "predictions.csv")
        if row["split"] == "test"
    }
