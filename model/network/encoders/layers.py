"""Parts that several encoders share."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model.graphs.elements import N_FEATURES, atom_features
from model.network import message_passing as passing
from model.network.batch_norm import BatchNorm


class AtomFeatures(nn.Module):
    """Atomic numbers as CGCNN's 92 element features."""

    width = N_FEATURES

    def __init__(self) -> None:
        super().__init__()
        self.features: Tensor
        self.register_buffer("features", torch.from_numpy(atom_features()).clone())

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """(n_atoms,) to (n_atoms, 92)"""
        return self.features[atomic_numbers]


class RadialBasis(nn.Module):
    """A number as its nearness exp(-gamma (x - c)²) to each of `bins` evenly spaced centres c."""

    def __init__(self, low: float, high: float, bins: int, gamma: float | None = None) -> None:
        super().__init__()
        self.centers: Tensor
        self.register_buffer("centers", torch.linspace(low, high, bins))
        # ALIGNN's own code takes the inverse spacing, not its square
        self.gamma = gamma or (bins - 1) / (high - low)

    def forward(self, values: Tensor) -> Tensor:
        """(n,) to (n, bins)"""
        return torch.exp(-self.gamma * (values[:, None] - self.centers) ** 2)


class LinearNormSiLU(nn.Module):
    """Linear, batch norm, SiLU."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width_in, width_out)
        self.bn = BatchNorm(width_out)

    def forward(self, x: Tensor, counts: Tensor | None) -> Tensor:
        """(n, width_in) rows and how many each stands for, to (n, width_out)"""
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


class ShiftedSoftplus(nn.Module):
    """ln(½ eˣ + ½), which is 0 at 0."""

    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(x) - math.log(2)


def perceptron(*widths: int, activation: type[nn.Module]) -> nn.Sequential:
    """Linear layers of these widths, each with the activation after it."""
    return nn.Sequential(
        *(part for pair in pairwise(widths) for part in (nn.Linear(*pair), activation())),
    )


class PairLinear(nn.Module):
    """A linear map of [dst, src, bond], computed once an atom where it concerns atoms alone.

    The names `of_head` and `of_tail`, of dst and src, are those of the stored weights.
    """

    def __init__(self, atom_width: int, bond_width: int, width_out: int) -> None:
        super().__init__()
        self.of_head = nn.Linear(atom_width, width_out)
        self.of_tail = nn.Linear(atom_width, width_out, bias=False)
        self.of_bond = nn.Linear(bond_width, width_out, bias=False)
        joined = nn.Linear(2 * atom_width + bond_width, width_out)  # its spread is the joint one's
        parts = joined.weight.data.split((atom_width, atom_width, bond_width), dim=1)
        for part, weight in zip((self.of_head, self.of_tail, self.of_bond), parts, strict=True):
            part.weight.data.copy_(weight)
        self.of_head.bias.data.copy_(joined.bias.data)

    def forward(self, graph: passing.Graph, x: Tensor, y: Tensor) -> Tensor:
        """Atoms (n_atoms, atom_width) and bonds (n_bonds, bond_width) to (n_bonds, width_out)"""
        return passing.gather(graph, self.of_tail(x), self.of_head(x)) + self.of_bond(y)
