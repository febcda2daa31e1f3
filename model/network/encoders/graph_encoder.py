"""What every graph network is: from a batch of crystal graphs to features of atoms and bonds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import nn

from model.network.batch import Batch
from model.network.readout import GraphFeatures, Readout


class GraphEncoder(nn.Module, ABC):
    """A graph network. It is made from its settings alone.

    It passes messages through `message_passing` only, so that it works on quotient graphs, where a
    row stands for a class of equal atoms or bonds.
    """

    settings: ClassVar[type[Any]]  # dataclass of its sizes; the defaults are the published ones
    reference: ClassVar[str]
    published_with: ClassVar[str] = ""  # flags of the published training that are not our defaults
    reads_angles: ClassVar[bool]  # whether it needs the line graph
    self_bonds: ClassVar[bool]  # whether it needs bonds of each atom to its own images
    updates_bonds: ClassVar[bool]  # whether its features of a crystal include those of the bonds
    width: int  # features of an atom
    readout: Readout  # its own way from these features to one vector a crystal

    @abstractmethod
    def published_head(self) -> nn.Module:
        """New layers from one vector a crystal to one number, (n, d) to (n, 1), as they were published.

        They read `readout`, or `published_readout` where that is another one.
        """

    def published_readout(self) -> Readout:
        """The readout before those layers; layers of its own become the encoder's."""
        return self.readout

    @abstractmethod
    def forward(self, batch: Batch) -> GraphFeatures:
        """Features of all atoms, of the bonds where they are updated, and of the crystals if any."""
