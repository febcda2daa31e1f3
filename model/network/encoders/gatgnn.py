"""GATGNN, graph attention with a global attention readout."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model.encoder_settings import GATGNNSettings
from model.graphs.elements import LAST_ELEMENT
from model.network import message_passing as passing
from model.network.batch import Batch
from model.network.batch_norm import BatchNorm
from model.network.encoders.graph_encoder import GraphEncoder
from model.network.encoders.layers import AtomFeatures, RadialBasis, perceptron
from model.network.message_passing import Graph
from model.network.readout import AttentionReadout, GraphFeatures

HEADS = 4
SLOPE = 0.2  # of the leaky ReLU on bonds
ATTENTION_WIDTH = 32  # of the layer that weighs atoms


class GATGNNEncoder(GraphEncoder):
    """Atoms updated by attention to their neighbours, then summed by attention to the composition."""

    settings = GATGNNSettings
    reference = "Louis et al., Phys. Chem. Chem. Phys. 22, 18141 (2020)"
    reads_angles, self_bonds = False, False
    updates_bonds = False

    def __init__(self, sizes: GATGNNSettings) -> None:
        super().__init__()
        width = sizes.width
        self.width = width
        self.atom_features = AtomFeatures()
        self.atom_embedding = nn.Linear(AtomFeatures.width, width)
        per_angstrom = (sizes.distance_bins - 1) / 8
        self.distances = RadialBasis(0, 8, sizes.distance_bins, gamma=per_angstrom**2)
        self.bond_embedding = nn.Linear(sizes.distance_bins, width)
        self.layers = nn.ModuleList(AugmentedAttention(width) for _ in range(sizes.layers))
        self.norms = nn.ModuleList(BatchNorm(width) for _ in range(sizes.layers))
        n_elements = LAST_ELEMENT + 1
        self.weigh = nn.Sequential(
            nn.Linear(width + n_elements, ATTENTION_WIDTH),
            nn.Softplus(),
            nn.Linear(ATTENTION_WIDTH, 1),
        )
        self.readout = AttentionReadout(width, self.weigh)

    def published_head(self) -> nn.Module:
        """Two hidden layers."""
        hidden = perceptron(self.width, self.width, self.width, activation=nn.Softplus)
        return nn.Sequential(*hidden, nn.Linear(self.width, 1))

    def forward(self, batch: Batch) -> GraphFeatures:
        """Atoms (n_atoms, width), and the composition of each crystal (n_crystals, 101)."""
        graph, atoms = batch.graph, batch.atoms
        x = self.atom_embedding(self.atom_features(batch.atomic_numbers))
        y = F.leaky_relu(self.bond_embedding(self.distances(batch.lengths)), SLOPE)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = F.softplus(norm(layer(graph, x, y), graph.node_counts))
        elements = F.one_hot(batch.atomic_numbers, LAST_ELEMENT + 1).to(x.dtype)
        return GraphFeatures(x, atoms, crystals=atoms.mean(elements))


class AugmentedAttention(nn.Module):
    """Σ_j α_ij h_j with h = softplus([x, y_ij] W), α the softmax over neighbours of softplus(BN(…));
    the mean of the heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.of_atoms = nn.Linear(width, HEADS * width, bias=False)
        self.of_bonds = nn.Linear(width, HEADS * width, bias=False)
        self.attention = nn.Parameter(torch.empty(1, HEADS, 2 * width))
        self.bn = BatchNorm(HEADS)
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.xavier_uniform_(self.attention)

    def forward(self, graph: Graph, x: Tensor, y: Tensor) -> Tensor:
        """Atoms (n_atoms, width) and bonds (n_bonds, width) to atoms (n_atoms, width)"""
        atoms, bonds = self.of_atoms(x), self.of_bonds(y)
        own, others = (
            F.softplus(at(graph, atoms) + bonds).view(-1, HEADS, self.width)
            for at in (passing.at_dst, passing.at_src)
        )
        scores = (torch.cat((own, others), dim=2) * self.attention).sum(2)  # (n_bonds, HEADS)
        scores = F.softplus(self.bn(F.softplus(scores), graph.edge_counts))
        shares = passing.softmax_at_dst(graph, scores)
        messages = (others * shares[:, :, None]).mean(1)
        return passing.sum_at_dst(graph, messages) + self.bias
