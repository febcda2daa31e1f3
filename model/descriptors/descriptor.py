"""What every descriptor is: from a crystal to a row of named numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from curate.record import StructureRecord


class Described(Protocol):
    """A crystal, and its condensed structure where one is known; a dataset's `Material` is one."""

    @property
    def record(self) -> StructureRecord:
        """The crystal."""

    @property
    def condensed(self) -> str | None:
        """Robocrystallographer's condensed structure as JSON; None where there is none."""


@dataclass(frozen=True)
class Crystal:
    """A crystal that comes from no dataset."""

    record: StructureRecord
    condensed: str | None = None


class Descriptor(ABC):
    """Numbers that are computed from a crystal without learning.

    A value that does not exist for a crystal is NaN; the network reads the training mean in its place.
    """

    version: ClassVar[int] = 1  # one more whenever `compute` gives other numbers
    reads_condensed: ClassVar[bool] = False  # whether it needs the condensed structure
    potential: ClassVar[str | None] = (
        None  # what it computes with for seconds a crystal; kept on disk
    )
    is_at_rest: ClassVar[bool] = False  # whether one pass of the potential on the crystal is enough
    names: tuple[str, ...]  # of the columns, in the order of the numbers

    @abstractmethod
    def compute(self, material: Described) -> np.ndarray:
        """The numbers of one crystal.

        Args:
            material: The crystal, with its condensed structure where `reads_condensed` asks for it.

        Returns:
            (len(names),) float64; NaN where a number does not exist for this crystal.
        """

    @property
    def recipe(self) -> Mapping[str, Any]:
        """All that changes a number besides the crystal; kept beside the weights of a model."""
        kept: dict[str, Any] = {"version": self.version, "names": list(self.names)}
        return kept if self.potential is None else {**kept, "potential": self.potential}
