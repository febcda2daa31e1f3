"""Fusion: from the projected features of crystal and text to one vector for each crystal.

A new fusion is a class here, a name in `FusionName` (model/config.py), and a test.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from curate.errors import InputError
from model.config import FusionName, Modality
from model.network.message_passing import Segments


class Fusion(nn.Module, ABC):
    """Joins what the model sees of a crystal; the head reads the result.

    Args:
        width: Of the projected features of the graph and of the text.
        n_modalities: How many of the two the model sees.
    """

    reads_atoms: ClassVar[bool]  # of the graph: each atom; else one vector for each crystal
    reads_tokens: ClassVar[bool]  # of the text: each token; else one vector for each text
    width: int  # of the joined vectors

    @abstractmethod
    def __init__(self, width: int, n_modalities: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(
        self,
        graph: Tensor | None,
        text: Tensor | None,
        atoms_of: Segments | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Join the projected features of a batch.

        Args:
            graph: (n_atoms, width) where the fusion reads atoms, else (n_crystals, width); None
                where the model sees the text alone.
            text: (n_crystals, n_tokens, width) where the fusion reads tokens, else
                (n_crystals, width); None where the model sees the graph alone.
            atoms_of: Which crystal each atom belongs to, and how many atoms a row stands for.
            mask: (n_crystals, n_tokens), True where there is a token and no padding.

        Returns:
            (n_crystals, self.width)
        """


class ConcatFusion(Fusion):
    """The vectors side by side; the vector itself where there is one."""

    reads_atoms, reads_tokens = False, False

    def __init__(self, width: int, n_modalities: int) -> None:
        super().__init__(width, n_modalities)
        self.width = n_modalities * width

    def forward(
        self,
        graph: Tensor | None,
        text: Tensor | None,
        atoms_of: Segments | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        return torch.cat([seen for seen in (graph, text) if seen is not None], dim=1)


FUSIONS: dict[FusionName, type[Fusion]] = {"concat": ConcatFusion}


def fusion_class(name: FusionName, modality: Modality) -> type[Fusion]:
    """The fusion of this name; of a single modality there is nothing to join but its one vector.

    Raises InputError where there is none of this name.
    """
    if name not in FUSIONS:
        raise InputError(f"no fusion {name!r}; known: {', '.join(FUSIONS)}")
    return FUSIONS[name] if modality == "both" else ConcatFusion
