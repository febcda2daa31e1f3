"""CGCNN, the crystal graph convolutional network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model.encoder_settings import CGCNNSettings
from model.network import message_passing as passing
from model.network.batch import Batch
from model.network.batch_norm import BatchNorm
from model.network.encoders.graph_encoder import GraphEncoder
from model.network.encoders.layers import AtomFeatures, PairLinear, RadialBasis, perceptron
from model.network.message_passing import Graph
from model.network.readout import GraphFeatures, MeanReadout

HIDDEN = 128  # width of the published head


class CGCNNEncoder(GraphEncoder):
    """Atoms updated by gated convolutions over their bonds, then the mean."""

    settings = CGCNNSettings
    reference = "Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018)"
    reads_angles, self_bonds = False, False
    updates_bonds = False

    def __init__(self, sizes: CGCNNSettings) -> None:
        super().__init__()
        self.width, self.readout = sizes.width, MeanReadout(sizes.width)
        self.atom_features = AtomFeatures()
        self.atom_embedding = nn.Linear(AtomFeatures.width, sizes.width)
        per_angstrom = (sizes.distance_bins - 1) / 8
        self.distances = RadialBasis(0, 8, sizes.distance_bins, gamma=per_angstrom**2)
        self.layers = nn.ModuleList(
            CrystalConv(sizes.width, sizes.distance_bins) for _ in range(sizes.layers)
        )

    def published_head(self) -> nn.Module:
        """Softplus, and one hidden layer."""
        hidden = perceptron(self.width, HIDDEN, activation=nn.Softplus)
        return nn.Sequential(nn.Softplus(), *hidden, nn.Linear(HIDDEN, 1))

    def forward(self, batch: Batch) -> GraphFeatures:
        """Atoms (n_atoms, width)."""
        x = self.atom_embedding(self.atom_features(batch.atomic_numbers))
        y = self.distances(batch.lengths)
        for layer in self.layers:
            x = layer(batch.graph, x, y)
        return GraphFeatures(x, batch.atoms)


class CrystalConv(nn.Module):
    """softplus(x_i + BN(Σ_j σ(z_ij W_f) ⊙ softplus(z_ij W_s))), z_ij = [x_i, x_j, y_ij]; z W normed."""

    def __init__(self, width: int, distance_bins: int) -> None:
        super().__init__()
        self.pairs = PairLinear(width, distance_bins, 2 * width)
        self.bn_bonds = BatchNorm(2 * width)
        self.bn_atoms = BatchNorm(width)

    def forward(self, graph: Graph, x: Tensor, y: Tensor) -> Tensor:
        """Atoms (n_atoms, width) by bonds (n_bonds, distance_bins), updated."""
        z = self.bn_bonds(self.pairs(graph, x, y), graph.edge_counts)
        gate, core = z.chunk(2, dim=1)
        found = passing.sum_at_dst(graph, torch.sigmoid(gate) * F.softplus(core))
        return F.softplus(x + self.bn_atoms(found, graph.node_counts))
