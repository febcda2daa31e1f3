"""Dataset in, trained model with its scores and predictions out."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from curate.errors import InputError
from model.config import TrainConfig
from model.crysmmnet import CrysMMNet, CrysMMNetConfig
from model.data import (
    Example,
    Material,
    Split,
    build_graphs,
    load_rows,
    read_materials,
    split_of,
    usable,
)
from model.files import write_csv, write_json
from model.inference import infer
from model.memory import keep_large_blocks
from model.metrics import scores
from model.preprocessing import Preprocessing, scale_of, unit
from model.text import EmbeddingCache, TextEncoder
from model.trainer import CrysMMNetTrainer, history_of, make_trainer, on_cpu, train_or_resume

log = logging.getLogger(__name__)

NO_MATTER = ("data", "out", "cache", "tensorboard")  # the data count by their contents
CONTENTS = "contents of the dataset"
PARTS = ("train", "val", "test")


def train(config: TrainConfig) -> dict[str, Any]:
    """Train, choose by validation, read the test set once; the content of metrics.json.

    A finished model of the same settings is left as it is.
    """
    keep_large_blocks()
    finished = config.out / "metrics.json"
    with PartialState(cpu=on_cpu(), timeout=timedelta(days=1)).main_process_first():
        # of several processes the first writes the question and encodes the texts, for all
        official = config.split == "official"
        materials = read_materials(load_rows(config.data), config.target, official)
        ask(config, materials)
        if finished.exists():
            log.info("%s is already trained with these settings", config.out)
            return json.loads(finished.read_text())
        examples, split, preprocessing = prepare(config, materials)
    embedding = next(iter(examples.values())).text
    text_width = 0 if embedding is None else len(embedding)
    network = CrysMMNetConfig.of(config.network, config.modality, text_width)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = CrysMMNet(network)
    parts = {part: [examples[name] for name in getattr(split, part)] for part in PARTS}
    trainer = make_trainer(
        model, parts["train"], parts["val"], config, preprocessing.std, learned_unit(preprocessing)
    )
    train_or_resume(trainer)
    if trainer.is_world_process_zero():
        write_model(config, trainer, parts, split, preprocessing, materials)
    trainer.accelerator.wait_for_everyone()
    return json.loads(finished.read_text())


def ask(config: TrainConfig, materials: Sequence[Material]) -> None:
    """Write the training's settings and data into OUT, or check that they are those already there."""
    settings = {key: value for key, value in asdict(config).items() if key not in NO_MATTER}
    nested = settings.pop("graph") | settings.pop("network")
    question = {**settings, **nested, CONTENTS: digest(materials)}
    note = config.out / "question.json"
    if note.exists():
        asked = json.loads(note.read_text())
        differing = [
            f"{name} changed"
            if name == CONTENTS
            else f"{name} was {asked.get(name)!r}, now {question.get(name)!r}"
            for name in sorted(asked.keys() | question.keys())
            if asked.get(name) != question.get(name)
        ]
        if differing:
            raise InputError(
                f"{config.out} was started with other settings ({'; '.join(differing)}); "
                "use a new --out"
            )
    elif config.out.exists() and any(config.out.iterdir()):
        raise InputError(f"{config.out} holds other files; use a new --out")
    else:
        config.out.mkdir(parents=True, exist_ok=True)
        write_json(note, question)


def digest(materials: Sequence[Material]) -> str:
    """SHA-256 of all that a training reads of a dataset."""
    total = hashlib.sha256()
    for material in materials:
        record = material.record
        cell = (record.lattice_vectors, record.species_at_sites, record.cartesian_site_positions)
        row = (material.id, material.target, material.split, record.description, cell)
        total.update(repr(row).encode())
    return total.hexdigest()


def prepare(
    config: TrainConfig, materials: Sequence[Material]
) -> tuple[dict[str, Example], Split, Preprocessing]:
    """Examples by id, the split they belong to, and how they were made."""
    needs_graph, needs_text = config.modality != "text", config.modality != "graph"
    labelled, unlabelled = usable(materials, config.log_target, needs_text=False)
    split = split_of(labelled, config)  # the same for every modality
    kept, textless = usable(labelled, config.log_target, needs_text)
    records = [material.record for material in kept]
    graphs = list(build_graphs(records, config.graph)) if needs_graph else [None] * len(kept)
    failed = {m.id: graph for m, graph in zip(kept, graphs, strict=True) if isinstance(graph, str)}
    texts = encoder = None
    if needs_text:
        encoder = TextEncoder(config.text_encoder)
        descriptions = [record.description or "" for record in records]
        texts = EmbeddingCache(config.cache).embed(descriptions, encoder)
    dropped = _merged(unlabelled, textless, _by_reason(failed), split.dropped)
    lost = {name for names in dropped.values() for name in names}
    split = Split(
        **{part: [name for name in getattr(split, part) if name not in lost] for part in PARTS},
        dropped=dropped,
    )
    _check_parts(split, config)
    values = {material.id: material.target for material in kept}
    mean, std = scale_of([_known(values[name]) for name in split.train], config.log_target)
    preprocessing = Preprocessing(
        target=config.target,
        unit=unit(config.target),
        log10=config.log_target,
        mean=mean,
        std=std,
        modality=config.modality,
        graph=config.graph,
        text_encoder=config.text_encoder if encoder else None,
        text_revision=getattr(encoder.config, "_commit_hash", None) if encoder else None,
        text_recipe=encoder.recipe if encoder else None,
        description_origins=sorted({record.description_origin or "unknown" for record in records}),
    )
    examples = {}
    for position, material in enumerate(kept):
        if material.id not in lost:
            graph = graphs[position]
            assert not isinstance(graph, str)
            text = texts[position] if texts is not None else None
            target = float(preprocessing.standardise([_known(material.target)])[0])
            examples[material.id] = Example(material.id, graph, text, target)
    return examples, split, preprocessing


def write_model(
    config: TrainConfig,
    trainer: CrysMMNetTrainer,
    parts: dict[str, list[Example]],
    split: Split,
    preprocessing: Preprocessing,
    materials: Sequence[Material],
) -> None:
    """Everything of MODEL; metrics.json last, so that it says that the rest is there."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    targets = {material.id: material.target for material in materials}
    rows, result = [], {}
    guess = 10.0**preprocessing.mean if preprocessing.log10 else preprocessing.mean
    for part, examples in parts.items():
        predicted = preprocessing.restore(infer(model, examples, config.batch_size))
        wanted = [_known(targets[example.id]) for example in examples]
        result[part] = scores(wanted, predicted, guess)
        if preprocessing.log10:
            result[part]["mae_log10"] = float(np.abs(np.log10(predicted / wanted)).mean())
        names = (example.id for example in examples)
        rows += [
            (name, part, value, float(guessed))
            for name, value, guessed in zip(names, wanted, predicted, strict=True)
        ]
    history = history_of(trainer)
    best = min(history, key=lambda epoch: epoch.get("val_mae", math.inf))
    columns = ("epoch", "train_loss", "val_mae", "learning_rate")
    write_csv(
        config.out / "history.csv",
        columns,
        ([row.get(name) for name in columns] for row in history),
    )
    write_csv(config.out / "predictions.csv", ("id", "split", "target", "prediction"), rows)
    preprocessing.save(config.out)
    save_weights(model, config.out)
    write_json(
        config.out / "metrics.json",
        {
            "target": preprocessing.target,
            "unit": preprocessing.unit,
            "learned": "log10" if preprocessing.log10 else "as is",
            "split": config.split,
            "seed": config.seed,
            "modality": config.modality,
            "chosen_epoch": best["epoch"],
            "epochs": len(history),
            **result,
            "dropped": {reason: len(names) for reason, names in split.dropped.items()},
            "dropped_ids": split.dropped,
        },
    )
    shutil.rmtree(config.out / "checkpoints", ignore_errors=True)


def save_weights(model: CrysMMNet, folder: Path) -> None:
    """config.json and model.safetensors, each whole or not at all."""
    partial = folder / "weights.partial"
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    for path in partial.iterdir():
        path.replace(folder / path.name)
    partial.rmdir()


def learned_unit(preprocessing: Preprocessing) -> str:
    """The unit of the error by which validation chooses."""
    return f"log10({preprocessing.unit})" if preprocessing.log10 else preprocessing.unit


def _check_parts(split: Split, config: TrainConfig) -> None:
    for part in PARTS:
        if not getattr(split, part):
            reasons = ", ".join(f"{len(names)} {reason}" for reason, names in split.dropped.items())
            raise InputError(
                f"no material is left for {part} of {config.target!r}, split {config.split}"
                + (f" ({reasons})" if reasons else "")
            )


def _by_reason(failed: dict[str, Any]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for name, reason in failed.items():
        reasons.setdefault(reason, []).append(name)
    return reasons


def _merged(*counts: dict[str, list[str]]) -> dict[str, list[str]]:
    """Ids by reason; an id lost twice counts for the first reason."""
    merged: dict[str, list[str]] = {}
    seen: set[str] = set()
    for reasons in counts:
        for reason, names in reasons.items():
            new = [name for name in names if name not in seen]
            seen.update(new)
            if new:
                merged.setdefault(reason, []).extend(new)
    return merged


def _known(value: float | None) -> float:
    assert value is not None
    return value
