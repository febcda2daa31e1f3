"""Readouts: from the features of a crystal's atoms and bonds to one vector for each crystal.

A readout is no module of its own. Its layers, if it has any, belong to the encoder that chose it and
keep the names under which trained models store their weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.network.message_passing import Segments


@dataclass(frozen=True)
class GraphFeatures:
    """What a graph encoder makes of a batch, before any readout."""

    atoms: Tensor  # (n_atoms, width)
    atoms_of: Segments  # which crystal each atom belongs to
    bonds: Tensor | None = None  # (n_bonds, width); None where the encoder updates no bonds
    bonds_of: Segments | None = None  # which crystal each bond belongs to
    crystals: Tensor | None = None  # (n_crystals, d) features of the whole crystal; None without


class Readout(ABC):
    """One vector for each crystal, whatever the order and number of its atoms."""

    width: int  # of the vectors

    @abstractmethod
    def __call__(self, features: GraphFeatures) -> Tensor:
        """Features of a batch to (n_crystals, width)."""


class MeanReadout(Readout):
    """The mean over a crystal's atoms."""

    def __init__(self, width: int) -> None:
        self.width = width

    def __call__(self, features: GraphFeatures) -> Tensor:
        return features.atoms_of.mean(features.atoms)


class AtomwiseReadout(Readout):
    """The mean over a crystal's atoms of what a layer makes of each.

    Args:
        width: Of what it makes.
        layer: From the features of an atom to that.
    """

    def __init__(self, width: int, layer: nn.Module) -> None:
        self.width, self.layer = width, layer

    def __call__(self, features: GraphFeatures) -> Tensor:
        return features.atoms_of.mean(self.layer(features.atoms))


class AtomsAndBondsReadout(Readout):
    """The mean over a crystal's atoms, and beside it the mean over its bonds.

    Where all neighbours of an atom are alike, a network with normalised gates gives the atoms the same
    features at any distance and for any number of neighbours; the bonds still know the lengths.
    """

    def __init__(self, width: int) -> None:
        self.width = 2 * width

    def __call__(self, features: GraphFeatures) -> Tensor:
        assert features.bonds is not None and features.bonds_of is not None
        atoms = features.atoms_of.mean(features.atoms)
        return torch.cat((atoms, features.bonds_of.mean(features.bonds)), dim=1)


class AttentionReadout(Readout):
    """The sum over a crystal's atoms, weighted by a softmax over scores.

    The score of an atom depends on its features and on those of the whole crystal.

    Args:
        width: Features of an atom.
        score: From the features of an atom and of its crystal, side by side, to one number.
    """

    def __init__(self, width: int, score: nn.Module) -> None:
        self.width, self.score = width, score

    def __call__(self, features: GraphFeatures) -> Tensor:
        x, atoms = features.atoms, features.atoms_of
        assert features.crystals is not None
        scores = self.score(torch.cat((x, atoms.expand(features.crystals)), dim=1))
        return atoms.sum(atoms.softmax(scores) * x)


class Set2SetReadout(Readout):
    """Set2Set over the atoms and over the bonds, beside the features of the whole crystal.

    Args:
        width: Of the joined vectors.
        atoms: A linear layer on the atoms, and the Set2Set that reads what it gives.
        bonds: The same for the bonds.
    """

    def __init__(
        self, width: int, atoms: tuple[nn.Linear, Set2Set], bonds: tuple[nn.Linear, Set2Set]
    ) -> None:
        self.width = width
        self.atoms, self.bonds = atoms, bonds

    def __call__(self, features: GraphFeatures) -> Tensor:
        assert features.bonds is not None and features.bonds_of is not None
        assert features.crystals is not None
        (pool_atoms, read_atoms), (pool_bonds, read_bonds) = self.atoms, self.bonds
        atoms = read_atoms(pool_atoms(features.atoms), features.atoms_of)
        bonds = read_bonds(pool_bonds(features.bonds), features.bonds_of)
        return torch.cat((atoms, bonds, features.crystals), dim=1)


class Set2Set(nn.Module):
    """An LSTM that looks at all members of a group a few times, as a vector that knows no order.

    Vinyals et al., ICLR 2016.
    """

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.lstm = nn.LSTMCell(2 * width, width)

    def forward(self, x: Tensor, members: Segments) -> Tensor:
        """(n, width) to (n_groups, 2 width)"""
        hidden = cell = x.new_zeros(members.n_groups, x.shape[1])
        seen = torch.cat((hidden, hidden), dim=1)
        for _ in range(self.steps):
            hidden, cell = self.lstm(seen, (hidden, cell))
            scores = (x * members.expand(hidden)).sum(1, keepdim=True)
            found = members.sum(members.softmax(scores) * x)
            seen = torch.cat((hidden, found), dim=1)
        return seen
