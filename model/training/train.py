"""Train a model on a dataset and write its folder."""

from __future__ import annotations

import logging
import math
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from curate.files import sync, sync_tree, write_json
from model.config import TrainConfig
from model.data.materials import label_column, load_rows, read_materials
from model.data.overlap import Overlap, overlap_with_training
from model.data.prepare import Prepared, prepare
from model.data.splits import PARTS
from model.files import write_csv
from model.model_folder import HISTORY, METRICS, PREDICTIONS, TEXT_ENCODER, TRAINING, ModelFolder
from model.network.crysmmnet import CrysMMNet, CrysMMNetConfig, refuse_randomness
from model.network.encoders import encoder_class, refuse_readout
from model.network.inference import infer
from model.text.tfidf import TfidfEncoder
from model.training.allocator import tune_glibc_malloc
from model.training.metrics import scores
from model.training.provenance import message_passing, provenance
from model.training.settings_record import (
    CONTENTS,
    as_started,
    check_settings,
    settings_of,
    write_settings,
)
from model.training.trainer import (
    CrysMMNetTrainer,
    history_of,
    make_trainer,
    on_cpu,
    train_or_resume,
)

log = logging.getLogger(__name__)

EPOCH = ("epoch", "train_loss", "val_mae", "learning_rate")


def train(config: TrainConfig) -> dict[str, Any]:
    """Train a model, choose its epoch by validation, and test it once.

    An interrupted training of the same settings continues; a finished one is left as it is.

    Args:
        config: Data, target, network and every other choice.

    Returns:
        The content of metrics.json: scores of train, val and test in the property's own unit, the
        chosen epoch, and the ids that were left out, by reason.

    Raises:
        InputError: The folder holds something else, or the dataset cannot be learned from.
    """
    tune_glibc_malloc()
    config = with_wanted_bonds(config)
    if config.modality != "text":
        refuse_readout(config.network.encoder, config.network.readout)
    folder = ModelFolder(config.out)
    config = as_started(config, folder)
    with PartialState(cpu=on_cpu(), timeout=timedelta(days=1)).main_process_first():
        # of several processes the first encodes the texts and writes the settings, for all
        rows = load_rows(config.data)
        labels = label_column(rows, config.target, config.split, config.folds)
        materials = read_materials(rows, config.target, labels)
        settings = settings_of(config, materials)
        check_settings(folder, settings)
        if folder.is_finished:
            log.info("%s is already trained with these settings", config.out)
            shutil.rmtree(config.out / "checkpoints", ignore_errors=True)  # of a killed process
            return folder.metrics
        if config.tune_text != "no":  # what is tuned lies in the folder
            write_settings(folder, settings)
        prepared = prepare(config, materials)
        write_settings(folder, settings)
    sizes = CrysMMNetConfig.from_settings(
        config.network, config.modality, prepared.text_width, prepared.descriptor_widths
    )
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = CrysMMNet(sizes)
        if config.graph.graph == "quotient" and config.modality != "text":
            refuse_randomness(model)
    trainer = make_trainer(model, prepared, with_equal_updates(config, prepared))
    if trainer.is_world_process_zero() and config.modality != "text":
        log.info("message passing by %s", message_passing())
    train_or_resume(trainer)
    if trainer.is_world_process_zero():
        seconds = sum(epoch.get("seconds", 0.0) for epoch in history_of(trainer))
        origin = provenance(config.data, rows, settings[CONTENTS], seconds)
        write_json(config.out / TRAINING, {**origin, "texts": texts_record(prepared)})
        write_model(config, trainer, prepared, overlap_with_training(materials, prepared.ids))
    trainer.accelerator.wait_for_everyone()
    return folder.metrics


def with_wanted_bonds(config: TrainConfig) -> TrainConfig:
    """The same settings with the self-bonds that the graph network asks for."""
    wanted = config.graph.self_bonds or encoder_class(config.network.encoder).self_bonds
    return replace(config, graph=replace(config.graph, self_bonds=wanted))


def texts_record(prepared: Prepared) -> dict[str, Any] | None:
    """Which texts were read, by whom they were written, and what encoded them; None without texts."""
    preprocessing = prepared.preprocessing
    if prepared.texts_sha256 is None:
        return None
    return {
        "sha256": prepared.texts_sha256,
        "written_by": preprocessing.description_origins,
        "encoder": preprocessing.text_encoder,
        "recipe": preprocessing.text_recipe,
    }


def with_equal_updates(config: TrainConfig, prepared: Prepared) -> TrainConfig:
    """The same settings with as many epochs as give the updates of the whole training part.

    Epochs and patience grow alike; nothing changes where the whole part is learned from.
    """
    if not config.equal_updates or config.train_fraction == 1:
        return config
    of_share = len(prepared.ids["train"])
    of_whole = round(of_share / config.train_fraction)
    growth = updates(of_whole, config) / updates(of_share, config)
    patience = None if config.patience is None else math.ceil(config.patience * growth)
    return replace(config, epochs=math.ceil(config.epochs * growth), patience=patience)


def updates(n: int, config: TrainConfig) -> int:
    """Updates of one epoch of n crystals on one device."""
    return math.ceil(math.ceil(n / config.batch_size) / config.accumulate)


def write_model(
    config: TrainConfig, trainer: CrysMMNetTrainer, prepared: Prepared, overlap: Overlap
) -> None:
    """Write the model folder. metrics.json is written last and marks it complete."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    preprocessing = prepared.preprocessing
    rows, result = [], {}
    for part, examples in prepared.parts.items():
        predicted = preprocessing.restore(infer(model, examples, config.batch_size))
        wanted = [prepared.targets[example.id] for example in examples]
        if part in PARTS:
            result[part] = scores(wanted, predicted, preprocessing.guess)
            if preprocessing.log10:
                result[part]["mae_log10"] = float(np.abs(np.log10(predicted / wanted)).mean())
        rows += [
            (example.id, part, value, float(guessed))
            for example, value, guessed in zip(examples, wanted, predicted, strict=True)
        ]
    history = history_of(trainer)
    best = min(history, key=lambda epoch: epoch["val_mae"])
    epochs = ([epoch[name] for name in EPOCH] for epoch in history)
    write_csv(config.out / HISTORY, EPOCH, epochs)
    write_csv(config.out / PREDICTIONS, ("id", "split", "target", "prediction"), rows)
    preprocessing.save(ModelFolder(config.out))
    if isinstance(prepared.encoder, TfidfEncoder):
        prepared.encoder.save(config.out / TEXT_ENCODER)
    save_weights(model, config.out)
    metrics = {
        "target": preprocessing.target,
        "unit": preprocessing.unit,
        "learned": "log10" if preprocessing.log10 else "as is",
        "split": config.split,
        "folds": config.folds,
        "fold": config.fold,
        "seed": config.seed,
        "modality": config.modality,
        "chosen_epoch": best["epoch"],
        "epochs": len(history),
        **result,
        "shared_with_training": overlap,
        "dropped": {reason: len(names) for reason, names in prepared.dropped.items()},
        "dropped_ids": prepared.dropped,
    }
    write_json(config.out / METRICS, metrics)
    shutil.rmtree(config.out / "checkpoints", ignore_errors=True)


def save_weights(model: CrysMMNet, folder: Path) -> None:
    """config.json and model.safetensors, each whole or not at all."""
    partial = folder / "weights.partial"
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    sync_tree(partial)
    for path in partial.iterdir():
        path.replace(folder / path.name)
    partial.rmdir()
    sync(folder)
