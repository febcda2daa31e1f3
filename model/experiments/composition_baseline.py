"""The composition baseline of an experiment: what the formula alone tells, by extra trees.

A model that sees the crystal or its text has to be better than this on the same crystals; on small data it
often is not. Extremely randomised trees: Geurts, Ernst and Wehenkel, Machine Learning 63, 3 (2006);
statistics of elemental properties: Ward et al., npj Computational Materials 2, 16028 (2016).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curate.files import write_json
from model.config import DescriptorName
from model.data.materials import load_rows, read_materials
from model.data.splits import PARTS
from model.descriptors import DESCRIPTORS, descriptor_values
from model.files import write_csv
from model.model_folder import METRICS, PREDICTIONS, SETTINGS, TRAINING, ModelFolder
from model.training.metrics import scores
from model.training.provenance import versions

DESCRIPTORS_READ: tuple[DescriptorName, ...] = ("composition", "magpie")
N_TREES = 300


@dataclass(frozen=True)
class Compositions:
    """Numbers of the formula of each crystal of a dataset."""

    values: np.ndarray  # (n_crystals, n_columns)
    places: Mapping[str, int]  # of each id in it

    @classmethod
    def of(cls, data: str) -> Compositions:
        """Those of all rows of a dataset."""
        materials = read_materials(load_rows(data), None)
        values = descriptor_values(DESCRIPTORS_READ, materials)
        return cls(np.nan_to_num(values), {m.id: place for place, m in enumerate(materials)})

    def of_ids(self, ids: list[str]) -> np.ndarray:
        """(n, n_columns), a row for each id."""
        return self.values[[self.places[name] for name in ids]]


def fit_baseline(
    compositions: Compositions, network: Path, out: Path, seed: int, log_target: bool
) -> None:
    """Fit the trees on the crystals that a network learned from, and predict those it predicted.

    What is written has the form of a training's folder, without weights. A folder of the same crystals is
    left as it is.

    Args:
        compositions: Of the dataset.
        network: Folder of the finished training, whose predictions name the crystals of each part.
        out: Folder of the baseline.
        seed: Of the trees.
        log_target: Whether log10 of the target is learned.
    """
    trained = ModelFolder(network)
    rows = trained.predictions
    settings = settings_of(rows, seed, log_target)
    folder = ModelFolder(out)
    if folder.is_finished and folder.has(SETTINGS) and folder.settings == settings:
        return
    started = time.monotonic()
    targets = np.array([float(row["target"]) for row in rows])
    learned = np.array([row["split"] == "train" for row in rows])
    predicted = trees_predictions(
        compositions.of_ids([row["id"] for row in rows]), targets, learned, seed, log_target
    )
    out.mkdir(parents=True, exist_ok=True)
    guess = float(targets[learned].mean())
    parts = {part: np.array([row["split"] == part for row in rows]) for part in PARTS}
    lines = zip(rows, targets.tolist(), predicted.tolist(), strict=True)
    write_csv(
        out / PREDICTIONS,
        ("id", "split", "target", "prediction"),
        ((row["id"], row["split"], target, found) for row, target, found in lines),
    )
    write_json(out / SETTINGS, settings)
    write_json(
        out / TRAINING,
        {
            "seconds": round(time.monotonic() - started, 3),
            "hardware": trained.training["hardware"],
            "versions": versions(("numpy", "scikit-learn")),
        },
    )
    metrics = trained.metrics
    write_json(
        out / METRICS,
        {
            **{name: metrics.get(name) for name in ("target", "unit", "learned", "split")},
            "seed": seed,
            "chosen_epoch": None,
            **{part: scores(targets[own], predicted[own], guess) for part, own in parts.items()},
            "dropped": metrics["dropped"],
        },
    )


def trees_predictions(
    values: np.ndarray, targets: np.ndarray, learned: np.ndarray, seed: int, log_target: bool
) -> np.ndarray:
    """Predictions of extra trees for all crystals.

    Args:
        values: (n, n_columns) numbers of each crystal.
        targets: (n,) in the property's own unit; only those of `learned` are read.
        learned: (n,) whether the trees are fitted on the crystal.
        seed: Of the trees.
        log_target: Whether log10 of the target is learned.

    Returns:
        (n,) predictions in the property's own unit.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    known = np.log10(targets[learned]) if log_target else targets[learned]
    trees = ExtraTreesRegressor(N_TREES, random_state=seed, n_jobs=len(os.sched_getaffinity(0)))
    trees.fit(values[learned], known)
    trees.n_jobs = 1  # several threads add the trees up in any order
    found = trees.predict(values)
    return 10.0**found if log_target else found


def settings_of(rows: list[dict[str, str]], seed: int, log_target: bool) -> dict[str, Any]:
    """All that changes a prediction of the baseline."""
    seen = [(row["id"], row["split"], row["target"]) for row in rows]
    recipes = {name: dict(DESCRIPTORS[name].recipe) for name in DESCRIPTORS_READ}
    written = json.dumps([seen, recipes], default=list)
    return {
        "model": f"extra trees, {N_TREES}",
        "descriptors": list(DESCRIPTORS_READ),
        "seed": seed,
        "log_target": log_target,
        "crystals_and_descriptors_sha256": hashlib.sha256(written.encode()).hexdigest(),
    }
