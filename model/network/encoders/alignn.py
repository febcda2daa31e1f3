"""ALIGNN, message passing on the crystal graph and on its line graph.

With the settings of CrysMMNet.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model.encoder_settings import ALIGNNSettings
from model.network import message_passing as passing
from model.network.batch import Batch
from model.network.batch_norm import BatchNorm
from model.network.encoders.graph_encoder import GraphEncoder
from model.network.encoders.layers import AtomFeatures, Embedding, LinearNormSiLU, RadialBasis
from model.network.message_passing import Graph
from model.network.readout import GraphFeatures, MeanReadout

LONGEST_BOND = 8.0  # Å, end of the radial functions


class ALIGNNEncoder(GraphEncoder):
    """Atoms, bonds and angles updated in turn; the readout is the mean over atoms."""

    settings = ALIGNNSettings
    reference = "Choudhary and DeCost, npj Comput. Mater. 7, 185 (2021)"
    reads_angles, self_bonds = True, False
    updates_bonds = True

    def __init__(self, sizes: ALIGNNSettings) -> None:
        super().__init__()
        width, between = sizes.width, sizes.embedding_width
        self.width, self.readout = width, MeanReadout(width)
        self.atom_features = AtomFeatures()
        self.atom_embedding = LinearNormSiLU(AtomFeatures.width, width)
        self.bond_embedding = Embedding(
            RadialBasis(0, LONGEST_BOND, sizes.distance_bins),
            LinearNormSiLU(sizes.distance_bins, between),
            LinearNormSiLU(between, width),
        )
        self.angle_embedding = Embedding(
            RadialBasis(-1, 1, sizes.angle_bins),
            LinearNormSiLU(sizes.angle_bins, between),
            LinearNormSiLU(between, width),
        )
        self.alignn_layers = nn.ModuleList(ALIGNNConv(width) for _ in range(sizes.alignn_layers))
        self.gcn_layers = nn.ModuleList(EdgeGatedGraphConv(width) for _ in range(sizes.gcn_layers))

    def published_head(self) -> nn.Module:
        """One linear layer."""
        return nn.Linear(self.width, 1)

    def forward(self, batch: Batch) -> GraphFeatures:
        """Atoms (n_atoms, width) and bonds (n_bonds, width)."""
        graph, line_graph = batch.graph, batch.line_graph
        atoms, bonds, angles = graph.node_counts, graph.edge_counts, line_graph.edge_counts
        x = self.atom_embedding(self.atom_features(batch.atomic_numbers), atoms)  # (n_atoms, width)
        y = self.bond_embedding(batch.lengths, bonds)  # (n_bonds, width)
        z = self.angle_embedding(batch.cosines, angles) if len(self.alignn_layers) else None
        for layer in self.alignn_layers:
            x, y, z = layer(graph, line_graph, x, y, z)
        for layer in self.gcn_layers:
            x, y = layer(graph, x, y)
        return GraphFeatures(x, batch.atoms, y, batch.bonds)


class ALIGNNConv(nn.Module):
    """Crystal graph, then line graph: bonds carry what atoms learned to the angles."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.node_update = EdgeGatedGraphConv(width)
        self.edge_update = EdgeGatedGraphConv(width)

    def forward(
        self, graph: Graph, line_graph: Graph, x: Tensor, y: Tensor, z: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Atoms (n_atoms, width), bonds (n_bonds, width), angles (n_angles, width), each updated."""
        x, m = self.node_update(graph, x, y)
        y, z = self.edge_update(line_graph, m, z)
        return x, y, z


class EdgeGatedGraphConv(nn.Module):
    """x_i + SiLU(BN(W_src x_i + Σ_j σ(m_ij) ⊙ W_dst x_j / Σ_j σ(m_ij))) for nodes,
    y_ij + SiLU(BN(m_ij)) for edges, m_ij = A x_i + B x_j + C y_ij."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.src_gate = nn.Linear(width, width)
        self.dst_gate = nn.Linear(width, width)
        self.edge_gate = nn.Linear(width, width)
        self.bn_edges = BatchNorm(width)
        self.src_update = nn.Linear(width, width)
        self.dst_update = nn.Linear(width, width)
        self.bn_nodes = BatchNorm(width)

    def forward(self, graph: Graph, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Nodes (n_nodes, width) and edges (n_edges, width), each updated."""
        m = passing.gather(graph, self.src_gate(x), self.dst_gate(x)) + self.edge_gate(y)
        h = passing.weighted_mean(graph, self.dst_update(x), torch.sigmoid(m))
        x = x + F.silu(self.bn_nodes(self.src_update(x) + h, graph.node_counts))
        y = y + F.silu(self.bn_edges(m, graph.edge_counts))
        return x, y
