"""Train a model on a dataset, or on a folder prepared from one, and write the model's folder."""

from __future__ import annotations

import logging
import math
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curate.files import sync, sync_tree, write_json
from model.config import TrainConfig
from model.data.examples import FittedEncoder, Prepared, with_wanted_bonds
from model.data.prepared_folder import PreparedFolder
from model.data.splits import PARTS
from model.files import write_csv
from model.graphs.elements import atom_features_from
from model.model_folder import HISTORY, METRICS, PREDICTIONS, TEXT_ENCODER, TRAINING, ModelFolder
from model.network.crysmmnet import CrysMMNet, CrysMMNetConfig, refuse_randomness
from model.network.encoders import refuse_readout
from model.network.inference import infer
from model.training.allocator import tune_glibc_malloc
from model.training.data_source import DataSource, PreparedSource
from model.training.metrics import scores
from model.training.processes import Processes
from model.training.provenance import message_passing, provenance
from model.training.settings_record import (
    as_started,
    check_settings,
    settings_of,
    write_settings,
)
from model.training.trainer import Trainer

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
        InputError: The folder holds something else, the dataset cannot be learned from, or the folder
            of `crysmmnet prepare` was prepared with other settings.
    """
    tune_glibc_malloc()
    config = with_wanted_bonds(config)
    if config.modality != "text":
        refuse_readout(config.network.encoder, config.network.readout)
    folder = ModelFolder(config.out)
    config = as_started(config, folder)
    processes = Processes.joined()
    with processes.first_goes_first():
        # of several processes the first encodes the texts and writes the settings, for all
        data = open_data(config)
        settings = settings_of(config, data.origin.contents)
        check_settings(folder, settings)
        if folder.is_finished:
            log.info("%s is already trained with these settings", config.out)
            shutil.rmtree(config.out / "checkpoints", ignore_errors=True)  # of a killed process
            return folder.metrics
        if config.tune_text != "no":  # what is tuned lies in the folder
            write_settings(folder, settings)
        prepared, elements = data.read()
        write_settings(folder, settings)
    with (
        torch.random.fork_rng(),
        nullcontext() if elements is None else atom_features_from(elements),
    ):
        torch.manual_seed(config.seed)
        model = new_model(config, prepared)
    trainer = Trainer(model, prepared, with_equal_updates(config, prepared), processes)
    if processes.is_first and config.modality != "text":
        log.info("message passing by %s", message_passing())
    trainer.train()
    if processes.is_first:
        seconds = sum(epoch.get("seconds", 0.0) for epoch in trainer.state.epochs)
        origin = provenance(data.origin, seconds)
        write_json(config.out / TRAINING, {**origin, "texts": texts_record(prepared)})
        write_model(config, trainer, data.overlap(prepared))
    processes.wait()
    return folder.metrics


def open_data(config: TrainConfig) -> DataSource:
    """The data of a training.

    Raises:
        InputError: There are none, they have no such target, or they were prepared with other settings.
    """
    folder = PreparedFolder.find(config.data)
    if folder is not None:
        folder.refuse_others(config)
        return PreparedSource(folder, folder.origin)
    from model.training.dataset_source import DatasetSource  # needs libraries of all kinds

    return DatasetSource.open(config)


def new_model(config: TrainConfig, prepared: Prepared) -> CrysMMNet:
    """The network with the weights that the seed of torch draws."""
    sizes = CrysMMNetConfig.from_settings(
        config.network, config.modality, prepared.text_width, prepared.descriptor_widths
    )
    model = CrysMMNet(sizes)
    if config.graph.graph == "quotient" and config.modality != "text":
        refuse_randomness(model)
    return model


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


def write_model(config: TrainConfig, trainer: Trainer, overlap: dict[str, dict[str, int]]) -> None:
    """Write the model folder. metrics.json is written last and marks it complete."""
    model, prepared = trainer.model, trainer.prepared
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
    history = trainer.state.epochs
    best = min(history, key=lambda epoch: epoch["val_mae"])
    epochs = ([epoch[name] for name in EPOCH] for epoch in history)
    write_csv(config.out / HISTORY, EPOCH, epochs)
    write_csv(config.out / PREDICTIONS, ("id", "split", "target", "prediction"), rows)
    preprocessing.save(ModelFolder(config.out))
    if isinstance(prepared.encoder, FittedEncoder):
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
