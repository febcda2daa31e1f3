"""MEGNet, graph networks with a state of the whole crystal."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.encoder_settings import MEGNetSettings
from model.graphs.elements import LAST_ELEMENT
from model.network import message_passing as passing
from model.network.batch import Batch
from model.network.encoders.graph_encoder import GraphEncoder
from model.network.encoders.layers import (
    PairLinear,
    RadialBasis,
    ShiftedSoftplus,
    perceptron,
)
from model.network.readout import GraphFeatures, Set2Set, Set2SetReadout

ELEMENT_WIDTH = 16  # of the embedded element
STATE_WIDTH = 2  # of the crystal's state before the first block
STEPS = 3  # of Set2Set
HIDDEN = (32, 16)  # widths of the published head


class MEGNetEncoder(GraphEncoder):
    """Bonds, atoms and a state of the whole crystal updated in turn, then read out by Set2Set."""

    settings = MEGNetSettings
    reference = "Chen et al., Chem. Mater. 31, 3564 (2019)"
    reads_angles, self_bonds = False, False
    updates_bonds = True

    def __init__(self, sizes: MEGNetSettings) -> None:
        super().__init__()
        width = sizes.width
        pooled = max(1, width // 2)
        self.width = width
        self.atom_embedding = nn.Embedding(LAST_ELEMENT + 1, ELEMENT_WIDTH)
        self.distances = RadialBasis(0, 5, sizes.distance_bins, gamma=4.0)  # width 0.5 Å
        first = (ELEMENT_WIDTH, sizes.distance_bins, STATE_WIDTH)
        self.blocks = nn.ModuleList(
            Block(first if number == 0 else (width, width, width), width)
            for number in range(sizes.layers)
        )
        self.pool_atoms = nn.Linear(width, pooled)
        self.pool_bonds = nn.Linear(width, pooled)
        self.read_atoms = Set2Set(pooled, STEPS)
        self.read_bonds = Set2Set(pooled, STEPS)
        self.readout = Set2SetReadout(
            4 * pooled + width,
            (self.pool_atoms, self.read_atoms),
            (self.pool_bonds, self.read_bonds),
        )

    def published_head(self) -> nn.Module:
        """Two hidden layers."""
        hidden = perceptron(self.readout.width, *HIDDEN, activation=ShiftedSoftplus)
        return nn.Sequential(*hidden, nn.Linear(HIDDEN[-1], 1))

    def forward(self, batch: Batch) -> GraphFeatures:
        """Atoms (n_atoms, width), bonds (n_bonds, width), and states (n_crystals, width)."""
        x = self.atom_embedding(batch.atomic_numbers)
        y = self.distances(batch.lengths)
        u = x.new_zeros(len(batch.n_atoms), STATE_WIDTH)
        for block in self.blocks:
            x, y, u = block(batch, x, y, u)
        return GraphFeatures(x, batch.atoms, y, batch.bonds, u)


class Block(nn.Module):
    """Two layers for each of atoms, bonds and state; then each learns from the others, residually."""

    def __init__(self, widths: tuple[int, int, int], width: int) -> None:
        super().__init__()
        wide, activation = 2 * width, ShiftedSoftplus
        self.is_first = widths != (width, width, width)
        self.before = nn.ModuleList(
            perceptron(own, wide, width, activation=activation) for own in widths
        )
        self.of_pairs = PairLinear(width, width, wide)
        self.of_state = nn.Linear(width, wide, bias=False)
        self.bond_update = nn.Sequential(
            activation(), *perceptron(wide, wide, width, activation=activation)
        )
        self.atom_update = perceptron(3 * width, wide, wide, width, activation=activation)
        self.state_update = perceptron(3 * width, wide, wide, width, activation=activation)

    def forward(
        self, batch: Batch, x: Tensor, y: Tensor, u: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Atoms, bonds and states (n_crystals, width), each updated."""
        graph, atoms, bonds = batch.graph, batch.atoms, batch.bonds
        x1, y1, u1 = (layers(old) for layers, old in zip(self.before, (x, y, u), strict=True))
        pairs = self.of_pairs(graph, x1, y1) + bonds.expand(self.of_state(u1))
        y2 = self.bond_update(pairs)
        arrived = passing.mean_at_dst(graph, y2)
        x2 = self.atom_update(torch.cat((arrived, x1, atoms.expand(u1)), dim=1))
        u2 = self.state_update(torch.cat((bonds.mean(y2), atoms.mean(x2), u1), dim=1))
        if self.is_first:  # what came in has other widths
            x, y, u = x1, y1, u1
        return x + x2, y + y2, u + u2
