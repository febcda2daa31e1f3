"""Run the trainings of an experiment and collect their results."""

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
from dataclasses import asdict, fields
from itertools import product
from pathlib import Path
from typing import Any

from curate.files import write_json
from model.config import (
    ExperimentConfig,
    NetworkConfig,
    TrainConfig,
    TrainSettings,
)
from model.data.materials import as_label, label_column, load_rows
from model.encoder_settings import ENCODERS, SIZES
from model.experiments.report import write_report
from model.experiments.variants import Variant, variants
from model.files import write_csv
from model.model_folder import PREDICTIONS, ModelFolder

log = logging.getLogger(__name__)

COLUMNS = (
    "target",
    "encoder",
    "modality",
    "text",
    "train_fraction",
    "seed",
    "split",
    "fold",
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


def trainings(config: ExperimentConfig) -> Iterator[tuple[Variant, TrainConfig]]:
    """All trainings, those of one seed and fold together."""
    shared = {field.name: getattr(config, field.name) for field in fields(TrainSettings)}
    folds = fold_labels(config.data, config.folds)
    for target, seed, fold in product(config.targets, config.seeds, folds):
        for variant in variants(config):
            name = f"{target}-{variant.slug}-{seed}" + ("" if fold is None else f"-fold-{fold}")
            settings = {
                **shared,
                "network": sized(config.network, variant.encoder),
                "modality": variant.modality,
                "text": variant.text,
                "train_fraction": variant.train_fraction,
            }
            out = config.out / "runs" / name.replace(" ", "_").replace("/", "_")
            yield variant, TrainConfig(target=target, seed=seed, fold=fold, out=out, **settings)


def fold_labels(data: str, folds: str | None) -> list[str] | list[None]:
    """The folds that a column of a dataset has, sorted; one None where the split has none."""
    if folds is None:
        return [None]
    rows = load_rows(data)
    column = label_column(rows, "", "random", folds)
    assert column is not None
    return sorted({label for label in map(as_label, rows.column(column)) if label is not None})


def sized(network: NetworkConfig, encoder: str) -> NetworkConfig:
    """The sizes given, as far as this encoder has them."""
    foreign = SIZES.keys() - {field.name for field in fields(ENCODERS[encoder])}
    kept = {name: value for name, value in asdict(network).items() if name not in foreign}
    return NetworkConfig(**{**kept, "encoder": encoder})


def run(config: ExperimentConfig) -> Path:
    """Train what is missing and write the answer; its folder."""
    planned = list(trainings(config))
    train_all([training for _, training in planned], config.parallel)
    answer = config.out / config.kind
    (answer / "predictions").mkdir(parents=True, exist_ok=True)
    rows = [row_of(variant, training, config.out) for variant, training in planned]
    for _, training in planned:
        name = f"{training.out.name}.csv"
        shutil.copyfile(training.out / PREDICTIONS, answer / "predictions" / name)
    write_csv(answer / "results.csv", COLUMNS, ([row[name] for name in COLUMNS] for row in rows))
    write_report(config, answer, planned, rows)
    write_json(answer / "made.json", made_by([training.out for _, training in planned], rows))
    return answer


def made_by(folders: list[Path], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the numbers cost and what they were made with; apart from them, for they repeat and it varies."""
    origins = [ModelFolder(folder).training for folder in folders]
    return {
        "command": shlex.join(["crysmmnet", *sys.argv[1:]]),
        "trainings": len(rows),
        "hours": round(sum(row["seconds"] for row in rows) / 3600, 2),
        "hardware": sorted({origin["hardware"] for origin in origins}),
        "versions": [json.loads(v) for v in sorted({json.dumps(o["versions"]) for o in origins})],
    }


def train_all(configs: list[TrainConfig], parallel: int) -> None:
    """Each training, unless it is finished already; `parallel` of them side by side."""
    missing = [config for config in configs if not ModelFolder(config.out).is_finished]
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
    model = ModelFolder(training.out)
    metrics, seconds = model.metrics, model.training["seconds"]
    test = metrics["test"]
    return {
        "target": training.target,
        **asdict(variant),
        "seed": training.seed,
        "split": training.split,
        "fold": training.fold,
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
