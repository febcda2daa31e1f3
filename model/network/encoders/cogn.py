"""coGN, the connectivity-optimised graph network."""

from __future__ import annotations

from torch import Tensor, nn

from model.encoder_settings import CoGNSettings
from model.network import message_passing as passing
from model.network.batch import Batch
from model.network.encoders.graph_encoder import GraphEncoder
from model.network.encoders.layers import AtomFeatures, PairLinear, RadialBasis, perceptron
from model.network.message_passing import Graph
from model.network.readout import GraphFeatures, MeanReadout

LONGEST_BOND = 8.0  # Å, end of the radial functions
BOND_UPDATE_DEPTH = 5  # linear maps of a bond's update


class CoGNEncoder(GraphEncoder):
    """Bonds updated by deep perceptrons, atoms by the sum of their bonds, then the mean.

    Each block reads the embedded bonds anew. On the quotient graph, which stands for the paper's asymmetric
    unit graph; 92 features of CGCNN stand for its own table of atomic properties. The published rate falls
    from 5e-4 to 1e-5 in a line.
    """

    settings = CoGNSettings
    reference = "Ruff et al., Digital Discovery 3, 594 (2024)"
    published_with = "--max-neighbors 24 --loss l1 --learning-rate 5e-4"
    reads_angles, self_bonds = False, False
    updates_bonds = True

    def __init__(self, sizes: CoGNSettings) -> None:
        super().__init__()
        width = sizes.width
        self.width, self.readout = width, MeanReadout(width)
        self.atom_features = AtomFeatures()
        self.atom_embedding = nn.Linear(AtomFeatures.width, width)
        self.hands_bonds_on = sizes.encoder_version == 1
        if self.hands_bonds_on:
            spacing = LONGEST_BOND / (sizes.distance_bins - 1)
            gamma = 1 / (2 * spacing**2)
            self.distances = RadialBasis(0, LONGEST_BOND, sizes.distance_bins, gamma=gamma)
        else:  # the variance of each function is the spacing of their centres
            spacing = LONGEST_BOND / sizes.distance_bins
            gamma = 1 / (2 * spacing)
            self.distances = RadialBasis(spacing, LONGEST_BOND, sizes.distance_bins, gamma=gamma)
        self.bond_embedding = nn.Linear(sizes.distance_bins, width)
        self.layers = nn.ModuleList(GraphNetwork(width) for _ in range(sizes.layers))

    def published_head(self) -> nn.Module:
        """One linear layer."""
        return nn.Linear(self.width, 1)

    def forward(self, batch: Batch) -> GraphFeatures:
        """Atoms (n_atoms, width) and bonds (n_bonds, width)."""
        x = self.atom_embedding(self.atom_features(batch.atomic_numbers))
        y = self.bond_embedding(self.distances(batch.lengths))
        read = y
        for layer in self.layers:
            x, y = layer(batch.graph, x, y if self.hands_bonds_on else read)
        return GraphFeatures(x, batch.atoms, y, batch.bonds)


class GraphNetwork(nn.Module):
    """y_ij = φ([y_ij, x_i, x_j]), then x_i + ψ(Σ_j y_ij)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pairs = PairLinear(width, width, width)
        self.bond_update = nn.Sequential(
            nn.SiLU(), *perceptron(*[width] * BOND_UPDATE_DEPTH, activation=nn.SiLU)
        )
        self.atom_update = perceptron(width, width, activation=nn.SiLU)

    def forward(self, graph: Graph, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Atoms (n_atoms, width) and bonds (n_bonds, width), each updated."""
        y = self.bond_update(self.pairs(graph, x, y))
        return x + self.atom_update(passing.sum_at_dst(graph, y)), y
