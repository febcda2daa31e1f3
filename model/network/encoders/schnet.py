"""SchNet, continuous-filter convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.encoder_settings import SchNetSettings
from model.graphs.elements import LAST_ELEMENT
from model.network import message_passing as passing
from model.network.batch import Batch
from model.network.encoders.graph_encoder import GraphEncoder
from model.network.encoders.layers import RadialBasis, ShiftedSoftplus, perceptron
from model.network.message_passing import Graph
from model.network.readout import AtomwiseReadout, GraphFeatures, MeanReadout, Readout

LONGEST_BOND = 10.0  # Å, end of the radial functions


class SchNetEncoder(GraphEncoder):
    """Atoms updated by filters that are functions of distance alone, then the mean.

    As PyTorch Geometric has it: one activation in a filter, and a cosine that fades the filters out towards
    the longest bond. Models of earlier versions are as the paper's figure: two activations, no cosine.
    """

    settings = SchNetSettings
    reference = "Schütt et al., J. Chem. Phys. 148, 241722 (2018)"
    reads_angles, self_bonds = False, False
    updates_bonds = False

    def __init__(self, sizes: SchNetSettings) -> None:
        super().__init__()
        self.width, self.readout = sizes.width, MeanReadout(sizes.width)
        self.atom_embedding = nn.Embedding(LAST_ELEMENT + 1, sizes.width)
        per_angstrom = (sizes.distance_bins - 1) / LONGEST_BOND
        gamma = per_angstrom**2 / 2
        self.distances = RadialBasis(0, LONGEST_BOND, sizes.distance_bins, gamma=gamma)
        self.layers = nn.ModuleList(
            Interaction(sizes.width, sizes.distance_bins, faded=sizes.encoder_version > 1)
            for _ in range(sizes.layers)
        )

    def published_readout(self) -> Readout:
        """The mean of a layer on each atom: what the last, linear layer makes of it is the mean of theirs."""
        self.of_each_atom = perceptron(self.width, self.width // 2, activation=ShiftedSoftplus)
        return AtomwiseReadout(self.width // 2, self.of_each_atom)

    def published_head(self) -> nn.Module:
        """The last layer."""
        return nn.Linear(self.width // 2, 1)

    def forward(self, batch: Batch) -> GraphFeatures:
        """Atoms (n_atoms, width)."""
        x = self.atom_embedding(batch.atomic_numbers)
        y = self.distances(batch.lengths)
        for layer in self.layers:
            x = x + layer(batch.graph, x, y, batch.lengths)
        return GraphFeatures(x, batch.atoms)


class Interaction(nn.Module):
    """W₃ ssp(W₂ Σ_j (W₁ x_j) ⊙ f(r_ij)), f two layers on the radial functions, faded by a cosine."""

    def __init__(self, width: int, distance_bins: int, faded: bool) -> None:
        super().__init__()
        self.filter = perceptron(distance_bins, width, width, activation=ShiftedSoftplus)
        self.faded = faded
        if faded:
            self.filter.pop(-1)
        self.into = nn.Linear(width, width, bias=False)
        self.out = nn.Sequential(
            nn.Linear(width, width), ShiftedSoftplus(), nn.Linear(width, width)
        )

    def forward(self, graph: Graph, x: Tensor, y: Tensor, lengths: Tensor) -> Tensor:
        """The change of the atoms (n_atoms, width)"""
        filters = self.filter(y)
        if self.faded:
            share = (lengths / LONGEST_BOND).clamp(max=1)
            filters = filters * (0.5 * (torch.cos(torch.pi * share) + 1))[:, None]
        messages = passing.at_src(graph, self.into(x)) * filters
        return self.out(passing.sum_at_dst(graph, messages))
