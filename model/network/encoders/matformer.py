"""Matformer, a transformer on crystal graphs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model.encoder_settings import MatformerSettings
from model.network import message_passing as passing
from model.network.batch import Batch
from model.network.batch_norm import BatchNorm
from model.network.encoders.graph_encoder import GraphEncoder
from model.network.encoders.layers import AtomFeatures, RadialBasis
from model.network.message_passing import Graph
from model.network.readout import GraphFeatures, MeanReadout

HEADS = 4
HIDDEN = 128  # width of the published head
LONGEST_BOND = 8.0  # Å, end of the radial functions


class MatformerEncoder(GraphEncoder):
    """Atoms updated by attention without softmax, bonds to their own images included; the mean."""

    settings = MatformerSettings
    reference = "Yan et al., NeurIPS 2022"
    reads_angles, self_bonds = False, True
    updates_bonds = False

    def __init__(self, sizes: MatformerSettings) -> None:
        super().__init__()
        width = sizes.width
        self.width, self.readout = width, MeanReadout(width)
        self.atom_features = AtomFeatures()
        self.atom_embedding = nn.Linear(AtomFeatures.width, width)
        self.bond_embedding = nn.Sequential(
            RadialBasis(0, LONGEST_BOND, sizes.distance_bins),
            nn.Linear(sizes.distance_bins, width),
            nn.Softplus(),
            nn.Linear(width, width),
        )
        self.layers = nn.ModuleList(MatformerConv(width) for _ in range(sizes.layers))

    def published_head(self) -> nn.Module:
        """One hidden layer."""
        return nn.Sequential(nn.Linear(self.width, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, 1))

    def forward(self, batch: Batch) -> GraphFeatures:
        """Atoms (n_atoms, width)."""
        x = self.atom_embedding(self.atom_features(batch.atomic_numbers))
        y = self.bond_embedding(batch.lengths)
        for layer in self.layers:
            x = layer(batch.graph, x, y)
        return GraphFeatures(x, batch.atoms)


class MatformerConv(nn.Module):
    """W x_i + SiLU(BN(W_c Σ_j LN(W_m (σ(LN(α)) ⊙ W_u [v_i, v_j, e_ij])))) with heads side by side,
    α = q_i ⊙ [k_i, k_j, e_ij] / √(3 width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.query = nn.Linear(width, HEADS * width)
        self.key = nn.Linear(width, HEADS * width)
        self.value = nn.Linear(width, HEADS * width)
        self.bond = nn.Linear(width, HEADS * width, bias=False)
        self.norm = nn.LayerNorm(3 * width)
        self.update = nn.Linear(3 * width, 3 * width)
        self.message = nn.Sequential(nn.Linear(3 * width, width), nn.LayerNorm(width))
        self.join = nn.Linear(HEADS * width, width)
        self.bn = BatchNorm(width)
        self.skip = nn.Linear(width, width)

    def forward(self, graph: Graph, x: Tensor, y: Tensor) -> Tensor:
        """Atoms (n_atoms, width) by bonds (n_bonds, width), updated."""
        n = self.width
        query, key, value = (
            linear(x).view(-1, HEADS, n) for linear in (self.query, self.key, self.value)
        )
        bond = self.bond(y).view(-1, HEADS, n)
        asked = passing.at_dst(graph, query)
        own = passing.at_dst(graph, query * key)
        alpha = torch.cat((own, asked * passing.at_src(graph, key), asked * bond), dim=2)
        gates = torch.sigmoid(self.norm(alpha / math.sqrt(3 * n)))  # (n_bonds, HEADS, 3 width)
        of_dst, of_src, of_bond = self.update.weight.split(n, dim=1)
        from_dst = F.linear(value, of_dst, self.update.bias).flatten(1)
        atoms = passing.gather(graph, F.linear(value, of_src).flatten(1), from_dst)
        updated = atoms.view(-1, HEADS, 3 * n) + F.linear(bond, of_bond)
        messages = self.message(gates * updated).flatten(1)  # (n_bonds, HEADS width)
        found = self.join(passing.sum_at_dst(graph, messages))
        return self.skip(x) + F.silu(self.bn(found, graph.node_counts))
