"""The dataset of a training, read and turned into examples; and `crysmmnet prepare`, which keeps them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.config import PrepareConfig, TrainConfig
from model.data import prepared_folder
from model.data.examples import Prepared, with_wanted_bonds
from model.data.materials import Material, label_column, load_rows, read_materials
from model.data.overlap import overlap_with_training
from model.data.prepare import prepare
from model.data.prepared_folder import Origin
from model.graphs.elements import atom_features
from model.training.data_source import DataSource
from model.training.provenance import LIBRARIES, versions
from model.training.settings_record import digest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DatasetSource(DataSource):
    """A run, a dataset folder, or a dataset on the Hub."""

    config: TrainConfig
    materials: Sequence[Material]
    origin: Origin

    @classmethod
    def open(cls, config: TrainConfig) -> DatasetSource:
        """The dataset that the settings name.

        Raises:
            InputError: There is none, or it lacks the target or a column.
        """
        rows = load_rows(config.data)
        labels = label_column(rows, config.target, config.split, config.folds)
        materials = read_materials(rows, config.target, labels)
        data = None if Path(config.data).exists() else config.data
        return cls(
            config, materials, Origin(data, rows.revision, digest(materials), versions(LIBRARIES))
        )

    def read(self) -> tuple[Prepared, np.ndarray | None]:
        return prepare(self.config, self.materials), None

    def overlap(self, prepared: Prepared) -> dict[str, dict[str, int]]:
        return overlap_with_training(self.materials, prepared.ids)


def write_prepared(config: PrepareConfig) -> Prepared:
    """Write the folder that `crysmmnet train --data FOLDER` reads.

    Args:
        config: Dataset, target, split, and the rules of graph and text.

    Returns:
        The examples that it holds.

    Raises:
        InputError: The folder holds something, or the dataset cannot be learned from.
    """
    prepared_folder.refuse_full(config.out)
    training = config.training()
    source = DatasetSource.open(with_wanted_bonds(training))
    prepared, _ = source.read()
    elements = None if config.modality == "text" else atom_features()
    overlap = source.overlap(prepared)
    prepared_folder.write(config.out, prepared, training, source.origin, overlap, elements)
    return prepared
