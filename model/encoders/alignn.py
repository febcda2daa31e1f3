"""Batch of crystal graphs and line graphs in, one vector a crystal out: ALIGNN.

Choudhary and DeCost, npj Comput. Mater. 7, 185 (2021), with the settings of CrysMMNet.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model import passing
from model.elements import N_FEATURES, atom_features
from model.norm import BatchNorm
from model.passing import Graph

LONGEST_BOND = 8.0  # Å, end of the radial functions


class ALIGNNEncoder(nn.Module):
    """Atoms, bonds and angles updated in turn, then the mean over each crystal's atoms."""

    def __init__(
        self,
        width: int,
        alignn_layers: int,
        gcn_layers: int,
        distance_bins: int,
        angle_bins: int,
        embedding_width: int,
    ) -> None:
        super().__init__()
        self.features: Tensor
        self.register_buffer("features", torch.from_numpy(atom_features()).clone())
        self.atom_embedding = Layer(N_FEATURES, width)
        self.bond_embedding = Embedding(
            RadialBasis(0, LONGEST_BOND, distance_bins),
            Layer(distance_bins, embedding_width),
            Layer(embedding_width, width),
        )
        self.angle_embedding = Embedding(
            RadialBasis(-1, 1, angle_bins),
            Layer(angle_bins, embedding_width),
            Layer(embedding_width, width),
        )
        self.alignn_layers = nn.ModuleList(ALIGNNConv(width) for _ in range(alignn_layers))
        self.gcn_layers = nn.ModuleList(EdgeGatedGraphConv(width) for _ in range(gcn_layers))

    def forward(
        self,
        graph: Graph,  # atoms joined by bonds
        line_graph: Graph,  # bonds joined by angles
        atomic_numbers: Tensor,  # (n_atoms,)
        lengths: Tensor,  # (n_bonds,) Å
        cosines: Tensor,  # (n_angles,)
        n_atoms: Tensor,  # (n_crystals,)
    ) -> Tensor:
        """(n_crystals, width)"""
        atoms, bonds, angles = graph.node_counts, graph.edge_counts, line_graph.edge_counts
        x = self.atom_embedding(self.features[atomic_numbers], atoms)  # (n_atoms, width)
        y = self.bond_embedding(lengths, bonds)  # (n_bonds, width)
        z = self.angle_embedding(cosines, angles) if len(self.alignn_layers) else None
        for layer in self.alignn_layers:
            x, y, z = layer(graph, line_graph, x, y, z)
        for layer in self.gcn_layers:
            x, y = layer(graph, x, y)
        return passing.mean_by_crystal(graph, x, n_atoms)


class ALIGNNConv(nn.Module):
    """Crystal graph, then line graph: bonds carry what atoms learned to the angles."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.node_update = EdgeGatedGraphConv(width)
        self.edge_update = EdgeGatedGraphConv(width)

    def forward(
        self, graph: Graph, line_graph: Graph, x: Tensor, y: Tensor, z: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        x, m = self.node_update(graph, x, y)
        y, z = self.edge_update(line_graph, m, z)
        return x, y, z


class EdgeGatedGraphConv(nn.Module):
    """x_i + SiLU(BN(W_src x_i + Σ_j σ(m_ij) ⊙ W_dst x_j / Σ_j σ(m_ij))), and the edges' own update."""

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


class RadialBasis(nn.Module):
    """A number as its nearness to each of `bins` evenly spaced centres."""

    def __init__(self, low: float, high: float, bins: int) -> None:
        super().__init__()
        self.centers: Tensor
        self.register_buffer("centers", torch.linspace(low, high, bins))
        self.gamma = (bins - 1) / (high - low)  # the inverse spacing, not its square, as released

    def forward(self, values: Tensor) -> Tensor:
        """(n,) to (n, bins)"""
        return torch.exp(-self.gamma * (values[:, None] - self.centers) ** 2)


class Layer(nn.Module):
    """Linear, batch norm, SiLU."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width_in, width_out)
        self.bn = BatchNorm(width_out)

    def forward(self, x: Tensor, counts: Tensor | None) -> Tensor:
        return F.silu(self.bn(self.linear(x), counts))


class Embedding(nn.Sequential):
    """A radial basis, then layers."""

    def forward(self, values: Tensor, counts: Tensor | None) -> Tensor:  # type: ignore[override]
        """(n,) to (n, width)"""
        basis, *layers = self
        x = basis(values)
        for layer in layers:
            x = layer(x, counts)
        return x
