"""The seam to message passing: values of nodes gathered onto edges, values of edges summed onto heads.

DGL does it wherever its build supports the device, torch's index operations elsewhere. DGL's wheels
on PyPI know the CPU only, so on a GPU it is torch. With edges sorted by head both add the same
numbers in the same order: outputs and gradients are equal bit for bit.
"""

from __future__ import annotations

import os
from functools import cached_property, lru_cache
from typing import Literal

import torch
from torch import Tensor

os.environ.setdefault("DGLBACKEND", "pytorch")  # else DGL writes a settings file into the home
import dgl
from dgl import ops

Backend = Literal["dgl", "torch"]


class Graph:
    """Directed edges between nodes, sorted by head."""

    def __init__(
        self, tails: Tensor, heads: Tensor, n_nodes: int, backend: Backend | None = None
    ) -> None:
        self.tails, self.heads = tails, heads  # (n_edges,) int64 each
        self.n_nodes = n_nodes
        self.backend: Backend = backend or backend_for(tails.device.type)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Graph:
        """The same graph on another device, with the backend that works there."""
        tails = self.tails.to(device, non_blocking=non_blocking)
        return Graph(tails, self.heads.to(device, non_blocking=non_blocking), self.n_nodes)

    @cached_property
    def dgl(self) -> dgl.DGLGraph:
        """The same graph as DGL's."""
        return dgl.graph((self.tails, self.heads), num_nodes=self.n_nodes)


@lru_cache
def backend_for(device: str) -> Backend:
    """DGL where its build supports the device type, torch elsewhere."""
    try:
        dgl.graph(([0], [0])).to(device)
    except Exception:  # DGL's own errors differ between builds; any of them means "not here"
        return "torch"
    return "dgl"


def gather(graph: Graph, from_tails: Tensor, from_heads: Tensor) -> Tensor:
    """(n_edges, d): on each edge, its tail's value plus its head's; both are (n_nodes, d)."""
    if graph.backend == "dgl":
        return ops.u_add_v(graph.dgl, from_tails, from_heads)
    return from_tails.index_select(0, graph.tails) + from_heads.index_select(0, graph.heads)


def reduce_messages(graph: Graph, from_tails: Tensor, weights: Tensor) -> Tensor:
    """(n_nodes, d): the values of the tails (n_nodes, d) times weights (n_edges, d), summed at heads."""
    from_tails, weights = _at_least_float32(from_tails), _at_least_float32(weights)
    if graph.backend == "dgl":
        return ops.u_mul_e_sum(graph.dgl, from_tails, weights)
    return reduce(graph, from_tails.index_select(0, graph.tails) * weights)


def reduce(graph: Graph, on_edges: Tensor) -> Tensor:
    """(n_nodes, d): values of edges (n_edges, d) summed at their heads."""
    on_edges = _at_least_float32(on_edges)
    if graph.backend == "dgl":
        return ops.copy_e_sum(graph.dgl, on_edges)
    return on_edges.new_zeros(graph.n_nodes, on_edges.shape[1]).index_add(0, graph.heads, on_edges)


def mean_by_crystal(on_atoms: Tensor, n_atoms: Tensor) -> Tensor:
    """(n_crystals, d): mean over each crystal's atoms; they lie one crystal after another."""
    crystal = torch.repeat_interleave(
        torch.arange(len(n_atoms), device=n_atoms.device), n_atoms, output_size=len(on_atoms)
    )
    on_atoms = _at_least_float32(on_atoms)
    total = on_atoms.new_zeros(len(n_atoms), on_atoms.shape[1]).index_add(0, crystal, on_atoms)
    return total / n_atoms[:, None]


def _at_least_float32(values: Tensor) -> Tensor:
    """Sums over many neighbours lose too much in 16 bits."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
