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
from dataclasses import asdict, fields, replace
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
from model.experiments.composition_baseline import Compositions, fit_baseline
from model.experiments.report import Plan, write_report
from model.experiments.variants import Variant, baselines, variants
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
            settings = {
                **shared,
                "network": sized(config.network, variant.encoder),
                "modality": variant.modality,
                "text": variant.text,
                "train_fraction": variant.train_fraction,
                "equal_updates": variant.train_fraction < 1,
                "fraction_of_labels": variant.train_fraction < 1,
            }
            out = folder_of(config, target, variant, seed, fold)
            yield variant, TrainConfig(target=target, seed=seed, fold=fold, out=out, **settings)


def folder_of(
    config: ExperimentConfig, target: str, variant: Variant, seed: int, fold: str | None
) -> Path:
    """Folder of one training."""
    name = f"{target}-{variant.slug}-{seed}" + ("" if fold is None else f"-fold-{fold}")
    return config.out / "runs" / name.replace(" ", "_").replace("/", "_")


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
    networks = list(trainings(config))
    train_all([training for _, training in networks], config.parallel)
    planned = [*baseline_fits(config, networks), *networks]
    answer = config.out / config.kind
    (answer / "predictions").mkdir(parents=True, exist_ok=True)
    rows = [row_of(variant, training, config.out) for variant, training in planned]
    for _, training in planned:
        name = f"{training.out.name}.csv"
        shutil.copyfile(training.out / PREDICTIONS, answer / "predictions" / name)
    write_csv(answer / "results.csv", COLUMNS, ([row[name] for name in COLUMNS] for row in rows))
    write_report(config, answer, planned, rows)
    write_json(answer / "made.json", made_by([training.out for _, training in networks], rows))
    return answer


def baseline_fits(
    config: ExperimentConfig, networks: Plan
) -> Iterator[tuple[Variant, TrainConfig]]:
    """Fit the composition baseline on the training crystals of each target, seed, fold and share."""
    compositions = Compositions.of(config.data)
    for baseline in baselines(config):
        share = baseline.train_fraction
        alike = [t for v, t in networks if v.modality == "graph" and v.train_fraction == share]
        # several networks of one target, seed and fold have the same crystals
        chosen = {(t.target, t.seed, t.fold): t for t in reversed(alike)}
        for (target, seed, fold), network in chosen.items():
            out = folder_of(config, target, baseline, seed, fold)
            fit_baseline(compositions, network.out, out, seed, config.log_target)
            yield baseline, replace(network, out=out)


def made_by(folders: list[Path], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the numbers cost and what they were made with; apart from them, for they repeat and it varies."""
    origins = [ModelFolder(folder).training for folder in folders]
    return {
        "command": shlex.join(["crysmmnet", *sys.argv[1:]]),
        "data_sha256": different(origins, "contents_sha256"),
        "texts": different(origins, "texts"),
        "code_sha256": different(origins, "code_sha256"),
        "trainings": len(folders),
        "hours": round(sum(row["seconds"] for row in rows) / 3600, 2),
        "hardware": sorted({origin["hardware"] for origin in origins}),
        "versions": different(origins, "versions"),
    }


def different(origins: list[dict[str, Any]], name: str) -> list[Any]:
    """The different values that trainings recorded under a name; earlier versions recorded fewer names."""
    values = (origin[name] for origin in origins if origin.get(name) is not None)
    return [json.loads(value) for value in sorted({json.dumps(value) for value in values})]


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
