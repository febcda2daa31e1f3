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
from model.data.neighborhood import Neighborhood
from model.data.prepared_folder import PreparedFolder
from model.data.splits import PARTS
from model.files import write_csv
from model.graphs.elements import atom_features_from
from model.model_folder import (
    HISTORY,
    METRICS,
    PREDICTIONS,
    SPREAD,
    TEXT_ENCODER,
    TRAINING,
    ModelFolder,
)
from model.network.crysmmnet import CrysMMNet, CrysMMNetConfig, refuse_randomness
from model.network.encoders import refuse_readout
from model.network.ensemble import ensemble_outputs
from model.training.allocator import tune_glibc_malloc
from model.training.batches import backend_of
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
    passing = message_passing(backend_of(config.compile, processes.device))
    origin = {**provenance(data.origin, passing, 0.0), "texts": texts_record(prepared)}
    with nullcontext() if elements is None else atom_features_from(elements):
        for number in range(1, config.members + 1):
            train_member(config, number, prepared, origin, processes)
        if processes.is_first:
            write_model(config, prepared, data.overlap(prepared), processes.device)
    processes.wait()
    return folder.metrics


def train_member(
    config: TrainConfig,
    number: int,
    prepared: Prepared,
    origin: dict[str, Any],
    processes: Processes,
) -> None:
    """Train one network of the ensemble into its own folder, unless that was done before.

    Args:
        config: Of the whole ensemble.
        number: Of the member, from 1; its seed is that of the settings and `number` - 1 more.
        prepared: The examples, which all members share with their split.
        origin: What training.json says besides the duration.
        processes: Those that train it together.
    """
    out = ModelFolder(config.out).member(number)
    if out.is_trained:
        shutil.rmtree(out.path / "checkpoints", ignore_errors=True)  # of a killed process
        return
    config = replace(config, out=out.path, seed=config.seed + number - 1)
    if config.members > 1:
        log.info("network %d of %d, seed %d", number, config.members, config.seed)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = new_model(config, prepared)
    trainer = Trainer(model, prepared, with_equal_updates(config, prepared), processes)
    if processes.is_first and config.modality != "text":
        log.info("message passing by %s", origin["message_passing"])
    trainer.train()
    if processes.is_first:
        seconds = round(sum(epoch.get("seconds", 0.0) for epoch in trainer.state.epochs), 3)
        write_json(out.path / TRAINING, {**origin, "seconds": seconds})
        write_member(trainer, out.path)
    processes.wait()


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


def write_member(trainer: Trainer, out: Path) -> None:
    """Write a trained network. history.csv is written last and says that it need not be trained again."""
    save_weights(trainer.model, out)
    epochs = ([epoch[name] for name in EPOCH] for epoch in trainer.state.epochs)
    write_csv(out / HISTORY, EPOCH, epochs)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)


def write_model(
    config: TrainConfig,
    prepared: Prepared,
    overlap: dict[str, dict[str, int]],
    device: torch.device,
) -> None:
    """Write what the trained networks say together. metrics.json is written last and marks the folder
    complete."""
    folder = ModelFolder(config.out)
    members = [folder.member(number) for number in range(1, config.members + 1)]
    networks = [CrysMMNet.from_pretrained(member.path).to(device) for member in members]
    preprocessing = prepared.preprocessing
    rows: list[tuple[Any, ...]] = []
    result: dict[str, Any] = {}
    vectors: dict[str, np.ndarray] = {}
    for part, examples in prepared.parts.items():
        found = ensemble_outputs(networks, examples, config.batch_size)
        predicted = preprocessing.restore(found.means)
        vectors[part] = found.vectors
        wanted = [prepared.targets[example.id] for example in examples]
        if part in PARTS:
            result[part] = scores(wanted, predicted, preprocessing.guess)
            if preprocessing.log10:
                result[part]["mae_log10"] = float(np.abs(np.log10(predicted / wanted)).mean())
        names = [example.id for example in examples]
        columns = [names, [part] * len(names), wanted, predicted.tolist()]
        if found.spreads is not None:
            columns.append(preprocessing.restore_spread(found.spreads, predicted).tolist())
        rows += list(zip(*columns, strict=True))
    header = ("id", "split", "target", "prediction", *([SPREAD] if config.members > 1 else []))
    write_csv(config.out / PREDICTIONS, header, rows)
    Neighborhood.measure(vectors["train"], vectors["val"], config.seed).save(folder)
    preprocessing.save(folder)
    if isinstance(prepared.encoder, FittedEncoder):
        prepared.encoder.save(config.out / TEXT_ENCODER)
    if config.members > 1:
        spent = [member.training["seconds"] for member in members[1:]]
        # of the first alone, also where a process was killed after writing the sum
        first = folder.training.get("seconds_by_member", [folder.training["seconds"]])[0]
        seconds = {"seconds": round(first + sum(spent), 3), "seconds_by_member": [first, *spent]}
        write_json(config.out / TRAINING, {**folder.training, **seconds})
    chosen = [best_epoch(member) for member in members]
    together = {"members": config.members, "chosen_epochs": chosen} if config.members > 1 else {}
    metrics = {
        "target": preprocessing.target,
        "unit": preprocessing.unit,
        "learned": "log10" if preprocessing.log10 else "as is",
        "split": config.split,
        "folds": config.folds,
        "fold": config.fold,
        "seed": config.seed,
        "modality": config.modality,
        "chosen_epoch": chosen[0],
        "epochs": len(folder.history),
        **together,
        **result,
        "shared_with_training": overlap,
        "dropped": {reason: len(names) for reason, names in prepared.dropped.items()},
        "dropped_ids": prepared.dropped,
    }
    write_json(config.out / METRICS, metrics)


def best_epoch(member: ModelFolder) -> int:
    """The epoch that validation chose for a network."""
    best = min(member.history, key=lambda epoch: float(epoch["val_mae"]))
    return int(best["epoch"])


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
