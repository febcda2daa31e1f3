"""Where a training reads: a dataset, or a folder that was prepared from one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from model.data.examples import Prepared
from model.data.prepared_folder import Origin, PreparedFolder


class DataSource(ABC):
    """What a training reads, with where it came from."""

    origin: Origin

    @abstractmethod
    def read(self) -> tuple[Prepared, np.ndarray | None]:
        """The examples, and (101, 92) features of the elements where they come with them."""

    @abstractmethod
    def overlap(self, prepared: Prepared) -> dict[str, dict[str, int]]:
        """What the crystals of each other part share with the training crystals."""


@dataclass(frozen=True)
class PreparedSource(DataSource):
    """A folder of `crysmmnet prepare`."""

    folder: PreparedFolder
    origin: Origin

    def read(self) -> tuple[Prepared, np.ndarray | None]:
        return self.folder.read()

    def overlap(self, prepared: Prepared) -> dict[str, dict[str, int]]:
        return self.folder.overlap
