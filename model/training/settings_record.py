"""What a training was asked: settings and data. A model folder answers one question and no other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.files import write_json
from model.config import TrainConfig
from model.data.materials import Material
from model.network.encoders import encoder_settings

FILE = "question.json"
NO_MATTER = ("data", "out", "cache", "tensorboard")  # the data count by their contents
CONTENTS = "contents of the dataset"


def question_of(config: TrainConfig, materials: Sequence[Material]) -> dict[str, Any]:
    """All that changes a number of the model, by name."""
    settings = {key: value for key, value in asdict(config).items() if key not in NO_MATTER}
    nested = settings.pop("graph") | settings.pop("network") | encoder_settings(config.network)
    return {**settings, **nested, CONTENTS: digest(materials)}


def check_folder(folder: Path, question: dict[str, Any]) -> None:
    """InputError where the folder holds anything but an answer to this question."""
    note = folder / FILE
    if not note.exists():
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"{folder} holds other files; use a new --out")
        return
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
            f"{folder} was started with other settings ({'; '.join(differing)}); use a new --out"
        )


def write_question(folder: Path, question: dict[str, Any]) -> None:
    """The folder with the question in it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, question)


def digest(materials: Sequence[Material]) -> str:
    """SHA-256 of all that a training reads of a dataset."""
    total = hashlib.sha256()
    for material in materials:
        record = material.record
        cell = (record.lattice_vectors, record.species_at_sites, record.cartesian_site_positions)
        row = (material.id, material.target, material.split, record.description, cell)
        total.update(repr(row).encode())
    return total.hexdigest()
