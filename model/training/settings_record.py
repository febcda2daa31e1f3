"""Record of the settings and data of a training. A model folder belongs to one such record."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import InputError
from curate.files import sweep, write_json
from model.config import BEFORE_RECORDED, GraphConfig, NetworkConfig, TrainConfig, flag
from model.encoder_settings import VERSION
from model.model_folder import SETTINGS, ModelFolder
from model.network.encoders import encoder_settings

if TYPE_CHECKING:
    from model.data.materials import Material

log = logging.getLogger(__name__)

IGNORED_FIELDS = ("data", "out", "cache", "tensorboard")  # the data count by their contents
CONTENTS = "contents of the dataset"


def settings_of(config: TrainConfig, contents: str) -> dict[str, Any]:
    """All that changes a number of the model, by name; `contents` is the digest of the dataset."""
    settings = {key: value for key, value in asdict(config).items() if key not in IGNORED_FIELDS}
    nested = settings.pop("graph") | settings.pop("network") | encoder_settings(config.network)
    return {**settings, **nested, CONTENTS: contents}


def check_settings(folder: ModelFolder, settings: dict[str, Any]) -> None:
    """Raise InputError where the folder holds anything but a training of these settings."""
    if not is_started(folder.path, SETTINGS):
        return
    settings = json.loads(json.dumps(settings))  # as the record has it: a tuple as a list
    recorded = json.loads(json.dumps(with_defaults(folder.settings, settings)))
    differing = [
        f"{name} changed"
        if name == CONTENTS
        else f"{name} was {recorded.get(name)!r}, now {settings.get(name)!r}"
        for name in sorted(recorded.keys() | settings.keys())
        if recorded.get(name) != settings.get(name)
    ]
    if differing:
        raise InputError(
            f"{folder.path} was started with other settings ({'; '.join(differing)}); use a new --out"
        )


def is_started(folder: Path, name: str) -> bool:
    """Whether a folder holds the record of this name; InputError where it holds other files without it.

    What killed processes left of files that they were writing is removed.
    """
    sweep(folder)
    if (folder / name).is_file():
        return True
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} holds other files; use a new --out")
    return False


def as_started(config: TrainConfig, folder: ModelFolder) -> TrainConfig:
    """The same settings, but for those at their default which the folder's own version had otherwise: a
    training that was started before goes on as it was started."""
    if not folder.has(SETTINGS):
        return config
    recorded, now = folder.settings, config.graph
    earlier = {
        name: value
        for name, value in BEFORE_RECORDED.items()
        if name not in recorded and getattr(now, name) == getattr(GraphConfig(), name) != value
    }
    for name, value in earlier.items():
        if now.self_bonds or name != "self_bond_translations":  # else it has no meaning
            log.info(
                "%s was started with %s %s and goes on with it", folder.path, flag(name), value
            )
    return replace(config, graph=replace(now, **earlier))


def with_defaults(recorded: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """A record with the defaults of those settings that its version of this package did not know."""
    known = (field for kind in (GraphConfig, NetworkConfig, TrainConfig) for field in fields(kind))
    defaults = {field.name: field.default for field in known if field.default is not MISSING}
    defaults |= {**BEFORE_RECORDED, VERSION: 1}
    return {name: defaults[name] for name in settings if name in defaults} | recorded


def write_settings(folder: ModelFolder, settings: dict[str, Any]) -> None:
    """Make the folder, with the record in it."""
    folder.path.mkdir(parents=True, exist_ok=True)
    write_json(folder.path / SETTINGS, settings)


def digest(materials: Sequence[Material]) -> str:
    """SHA-256 of all that a training reads of a dataset."""
    total = hashlib.sha256()
    for material in materials:
        record = material.record
        cell = (record.lattice_vectors, record.species_at_sites, record.cartesian_site_positions)
        row = (material.id, material.target, material.label, record.description, cell)
        total.update(repr(row).encode())
    return total.hexdigest()
