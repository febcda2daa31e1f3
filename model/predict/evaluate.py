"""Compare the predictions of a trained model with the labels of a dataset."""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.errors import InputError
from model.config import EvaluateConfig
from model.data.materials import load_rows, read_materials, usable
from model.data.prepare import counted
from model.files import write_csv
from model.model_folder import ModelFolder
from model.predict.predictor import Predictor
from model.statistics.conformal import LEVEL
from model.training.metrics import scores

UNSEEN = "new"  # crystals that neither trained, chose nor tested the model
NOT_LEARNED = ("test", UNSEEN)  # whose errors made no margin


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Score a trained model on a labelled dataset.

    Args:
        config: Model, dataset, and where predictions are written.

    Returns:
        Target, unit, the scores of train, val and test as the model knew them and of crystals new to
        it, in the property's own unit, with how many of test and new lie within their margins (`held`, of
        the `level`; left out where the validation part is too small), and how many crystals were left out,
        by reason, with their ids.

    Raises:
        InputError: Model or dataset cannot be read, or no crystal has a usable label.
    """
    folder = ModelFolder.find(config.model)
    predictor = Predictor.from_pretrained(folder.path, config.cache)
    preprocessing = predictor.preprocessing
    needs_text = preprocessing.modality != "graph"
    materials = read_materials(load_rows(config.data), preprocessing.target)
    kept, dropped = usable(materials, preprocessing.log10, needs_text)
    known = {row["id"]: row["split"] for row in folder.predictions}
    predictions = predictor.predict([material.record for material in kept], config.batch_size)
    rows = []
    for material, found in zip(kept, predictions, strict=True):
        if found.value is None:
            dropped.setdefault(str(found.error), []).append(material.id)
        else:
            part = known.get(material.id, UNSEEN)
            rows.append((material.id, part, material.target, found.value, found.margin))
    if not rows:
        raise InputError(
            f"{config.data} has no crystal with a usable {preprocessing.target!r}"
            + counted(dropped)
        )
    if config.out:
        header = ("id", "split", "target", "prediction")
        write_csv(config.out, header, (row[: len(header)] for row in rows))
    result: dict[str, Any] = {"target": preprocessing.target, "unit": preprocessing.unit}
    for part in ("train", "val", "test", UNSEEN):
        chosen = [row for row in rows if row[1] == part]
        if chosen:
            _, _, wanted, predicted, margins = zip(*chosen, strict=True)
            result[part] = scores(wanted, predicted, preprocessing.guess)
            if part in NOT_LEARNED and None not in margins:
                errors = np.abs(np.subtract(predicted, wanted))
                result[part] |= {"held": int(np.sum(errors <= margins)), "level": LEVEL}
    counts = {reason: len(names) for reason, names in dropped.items()}
    return {**result, "dropped": counts, "dropped_ids": dropped}
