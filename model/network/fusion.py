"""Fusion: from what the model sees of a crystal, projected to one width, to one vector for each crystal.

A new fusion is a class here, a name in `FusionName` (model/config.py), and a test.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from curate.errors import InputError
from model.config import FusionName, Modality
from model.network.message_passing import Segments

HEADS = 4  # of cross-attention


@dataclass(frozen=True)
class Seen:
    """What the model sees of a batch, projected to one width; None where it does not see it."""

    graph: Tensor | None = None  # (n_crystals, width) of the readout
    text: Tensor | None = None  # (n_crystals, width); of tokens (n_crystals, n_tokens, width)
    descriptors: Sequence[Tensor] = ()  # (n_crystals, width) of each descriptor
    atoms: Tensor | None = None  # (n_atoms, width), for fusions that read atoms
    atoms_of: Segments | None = None  # the crystal of each atom, and how many it stands for
    mask: Tensor | None = None  # (n_crystals, n_tokens) True where there is a token and no padding

    @property
    def vectors(self) -> list[Tensor]:
        """(n_crystals, width) of the graph, of a text without tokens, and of each descriptor."""
        found = (self.graph, self.text, *self.descriptors)
        return [vector for vector in found if vector is not None]


class Fusion(nn.Module, ABC):
    """Joins what the model sees of a crystal; the head reads the result.

    Args:
        width: Of all that is projected.
        n_vectors: How many the model sees: graph, text, and each descriptor.
    """

    reads_atoms: ClassVar[bool]  # of the graph: each atom beside the vector of the crystal
    reads_tokens: ClassVar[bool]  # of the text: each token; else one vector for each text
    width: int  # of the joined vectors

    @abstractmethod
    def __init__(self, width: int, n_vectors: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, seen: Seen) -> Tensor:
        """What is seen of a batch to (n_crystals, self.width)."""


class ConcatFusion(Fusion):
    """The vectors side by side; the vector itself where there is one."""

    reads_atoms, reads_tokens = False, False

    def __init__(self, width: int, n_vectors: int) -> None:
        super().__init__(width, n_vectors)
        self.width = n_vectors * width

    def forward(self, seen: Seen) -> Tensor:
        """(n_crystals, n_vectors · width)"""
        return torch.cat(seen.vectors, dim=1)


class CrossAttentionFusion(Fusion):
    """Atoms ask, the tokens of their crystal's text answer; what they found is added to the atoms.

    Beside the crystal's vector and that of its descriptors stands the mean of the changed atoms. Lee et
    al., "CAST: Cross Attention based multimodal fusion of Structure and Text for materials property
    prediction", arXiv 2502.06836 (2025), have the idea; there both are tokens of one transformer.
    """

    reads_atoms, reads_tokens = True, True

    def __init__(self, width: int, n_vectors: int) -> None:
        super().__init__(width, n_vectors)
        if width % HEADS:
            raise InputError(
                f"--fusion cross-attention needs a --projection-width that {HEADS} divides, not {width}"
            )
        self.width = n_vectors * width
        self.ask = nn.Linear(width, width)
        self.answer = nn.Linear(width, 2 * width)  # keys and values
        self.join = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, seen: Seen) -> Tensor:
        """(n_crystals, n_vectors · width): the vectors but the text's, then the mean of the changed atoms."""
        atoms, of, tokens, mask = seen.atoms, seen.atoms_of, seen.text, seen.mask
        assert atoms is not None and of is not None and tokens is not None and mask is not None
        assert of.sizes is not None
        n_rows = of.sizes  # atoms lie crystal after crystal
        place = (
            torch.arange(len(atoms), device=atoms.device) - (n_rows.cumsum(0) - n_rows)[of.group]
        )
        query = self.ask(atoms)
        n_most = int(n_rows.max()) if of.largest is None else of.largest
        padded = query.new_zeros(of.n_groups, n_most, query.shape[1])
        padded = padded.index_put((of.group, place), query)
        query, key, value = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2)
            for part in (padded, *self.answer(tokens).chunk(2, dim=2))
        )  # (n_crystals, HEADS, n_atoms or n_tokens, width / HEADS) each
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None])
        found = found.transpose(1, 2).flatten(2)[of.group, place]  # (n_atoms, width)
        changed = of.mean(self.norm(atoms + self.join(found)))
        beside = [vector for vector in (seen.graph, *seen.descriptors) if vector is not None]
        return torch.cat([*beside, changed], dim=1)


FUSIONS: dict[FusionName, type[Fusion]] = {
    "concat": ConcatFusion,
    "cross-attention": CrossAttentionFusion,
}


def fusion_class(name: FusionName, modality: Modality) -> type[Fusion]:
    """The fusion of this name; without graph or text the vectors that there are stand side by side.

    Raises InputError where there is none of this name.
    """
    if name not in FUSIONS:
        raise InputError(f"no fusion {name!r}; known: {', '.join(FUSIONS)}")
    return FUSIONS[name] if modality == "both" else ConcatFusion
