"""`crysmmnet benchmark`: from a dataset with folds to scores, intervals and what a leaderboard takes."""

from __future__ import annotations

import json
import logging
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import InputError
from curate.files import write_json
from model.benchmark.answer import BLENDS, NETWORKS, Answer
from model.benchmark.blend import shares
from model.benchmark.folds import Fold, outer_folds
from model.benchmark.inputs import Inputs
from model.benchmark.members import Member, members
from model.benchmark.report import SHARED, write_answer
from model.benchmark.run import Fitted, fit_all
from model.config import BenchmarkConfig, TrainConfig, TrainSettings
from model.data.materials import Material, label_column, load_rows, read_materials, usable
from model.data.overlap import overlap_with_training
from model.data.preprocessing import unit
from model.data.text_inputs import shuffled_texts
from model.descriptors import descriptor_values
from model.model_folder import ModelFolder
from model.training.provenance import hardware
from model.training.settings_record import digest, is_started

log = logging.getLogger(__name__)

SETTINGS = "settings.json"
ASKED = (
    "target",
    "split",
    "folds",
    "descriptors",
    "seeds",
    "inner_folds",
)  # a network has its own record


def benchmark(config: BenchmarkConfig) -> Path:
    """Run what is missing of a benchmark and write the answer.

    Args:
        config: Dataset, folds, models and seeds.

    Returns:
        The folder with report.md, results.json and predictions.csv.

    Raises:
        InputError: The dataset has no such folds, or the folder holds another benchmark.
    """
    started = time.perf_counter()
    column = config.folds or config.split
    rows = load_rows(config.data)
    labels = label_column(rows, config.target, config.split, config.folds)
    if labels is None:
        raise InputError(
            f"a benchmark needs its folds: --folds COLUMN, or --split official or COLUMN, not {column}"
        )
    materials, dropped = usable(
        read_materials(rows, config.target, labels), False, needs_text=False
    )
    contents = digest(materials)
    check_settings(config, contents)
    folds = outer_folds([material.label for material in materials], column)
    inputs = read_inputs(config, materials, folds)
    fits = fit_all(members(), inputs, folds, config.seeds, config.inner_folds, config.out)
    networks = trained(config, folds, inputs) if config.networks else {}
    answer = answered(members(), fits, networks, inputs, folds, config.seeds)
    made = {
        "command": shlex.join(["crysmmnet", *sys.argv[1:]]),
        "hardware": hardware(),
        "contents_sha256": contents,
        "crystals": len(materials),
        "dropped": {reason: len(names) for reason, names in dropped.items()},
        SHARED: {fold.name: shared_with_training(materials, fold) for fold in folds},
        "without text": sum(not text for text in inputs.texts["text"]),
        "minutes of fitting": round(sum(answer.seconds.values()) / 60, 1),
        "minutes of this run": round((time.perf_counter() - started) / 60, 1),
    }
    write_answer(config, answer, unit(config.target, rows.schema) or "", made, labels)
    return config.out


def shared_with_training(materials: Sequence[Material], fold: Fold) -> dict[str, int]:
    """How many test crystals of a fold share formula, elements or structure with what it learns from."""
    rows = {"train": fold.learn, "test": fold.test}
    ids = {part: [materials[row].id for row in of_part] for part, of_part in rows.items()}
    return overlap_with_training(materials, ids)["test"]


def check_settings(config: BenchmarkConfig, contents: str) -> None:
    """Write what the folder answers; InputError where it holds the answer to something else."""
    asked = {name: getattr(config, name) for name in ASKED}
    asked = json.loads(json.dumps({**asked, "contents": contents}))
    path = config.out / SETTINGS
    if not is_started(config.out, SETTINGS):
        write_json(path, asked)
        return
    known = json.loads(path.read_text(encoding="utf-8"))
    if changed := [name for name in asked if known.get(name) != asked[name]]:
        raise InputError(
            f"{config.out} was started with other settings ({', '.join(changed)}); use a new --out"
        )


def read_inputs(
    config: BenchmarkConfig, materials: Sequence[Material], folds: Sequence[Fold]
) -> Inputs:
    """Formulas, descriptors and texts of all crystals; nothing is fitted."""
    ids = [material.id for material in materials]
    texts = [material.record.description or "" for material in materials]
    parts = {fold.name: [ids[row] for row in fold.test] for fold in folds}
    if len(folds) == 1:  # a split: what is learned from is tested by no other fold
        parts["learned"] = [ids[row] for row in folds[0].learn]
    values = descriptor_values(config.descriptors, materials, config.cache)
    return Inputs(
        ids=ids,
        targets=np.array([material.target for material in materials], float),
        numbers={
            "magpie": descriptor_values(["magpie"], materials),
            "descriptors": values,
        },
        texts={
            "text": texts,
            "shuffled text": shuffled_texts(ids, texts, 0, parts),
        },
    )


def answered(
    models: Sequence[Member],
    fits: Mapping[tuple[str, str, int], Fitted],
    networks: Mapping[tuple[str, str, int], tuple[np.ndarray, float]],
    inputs: Inputs,
    folds: Sequence[Fold],
    seeds: Sequence[int],
) -> Answer:
    """Predictions of the members, of their blends and of the networks."""
    by_seed = {key: fitted.test for key, fitted in fits.items()}
    by_seed |= {key: values for key, (values, _) in networks.items()}
    seconds = {
        model.name: sum(fits[model.name, f.name, s].seconds for f in folds for s in seeds)
        for model in models
    }
    for name, _, _ in networks:
        seconds[name] = sum(spent for key, (_, spent) in networks.items() if key[0] == name)
    chosen: dict[str, Any] = {
        f"{name}, fold {fold}, seed {seed}": fitted.chosen
        for (name, fold, seed), fitted in fits.items()
    }
    for blend, text in BLENDS.items():
        names = [model.name for model in models if model.text in ("", text)]
        for fold in folds:
            known = inputs.targets[fold.learn]
            found = blended(names, fits, fold, seeds, known)
            chosen[f"{blend}, fold {fold.name}"] = dict(zip(names, found.tolist(), strict=True))
            for seed in seeds:
                test = np.stack([fits[name, fold.name, seed].test for name in names], axis=1)
                by_seed[blend, fold.name, seed] = test @ found
    names = [*BLENDS, *(model.name for model in models), *dict.fromkeys(key[0] for key in networks)]
    return Answer(inputs, folds, seeds, names, by_seed, chosen, seconds)


def blended(
    names: Sequence[str],
    fits: Mapping[tuple[str, str, int], Fitted],
    fold: Fold,
    seeds: Sequence[int],
    targets: np.ndarray,
) -> np.ndarray:
    """(n_models,) shares chosen on the held-out predictions of one fold, each the mean over its seeds."""
    held_out = [np.mean([fits[n, fold.name, s].held_out for s in seeds], axis=0) for n in names]
    return shares(np.stack(held_out, axis=1), targets)


def trained(
    config: BenchmarkConfig, folds: Sequence[Fold], inputs: Inputs
) -> dict[tuple[str, str, int], tuple[np.ndarray, float]]:
    """Predictions of the networks for the test rows of each fold and seed, and the seconds of training."""
    from model.training.train import train

    shared = {field.name: getattr(config, field.name) for field in fields(TrainSettings)}
    found = {}
    for fold, seed, (name, (modality, text)) in product(folds, config.seeds, NETWORKS.items()):
        slug = f"{modality}-{text}-fold-{fold.slug}-seed-{seed}"
        training = TrainConfig(
            **shared,
            target=config.target,
            out=config.out / "networks" / slug,
            modality=modality,  # type: ignore[arg-type]
            text=text,
            fold=fold.name if config.folds else None,
            seed=seed,
        )
        if not ModelFolder(training.out).is_finished:
            log.info("training %s", slug)
        train(training)
        folder = ModelFolder(training.out)
        predicted = {row["id"]: float(row["prediction"]) for row in folder.predictions}
        values = np.array([predicted.get(inputs.ids[row], np.nan) for row in fold.test])
        if np.isnan(values).any():
            raise InputError(
                f"{training.out} has no prediction for some test crystals of fold {fold.name}"
            )
        found[name, fold.name, seed] = (values, float(folder.training["seconds"]))
    return found
