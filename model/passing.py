"""The seam to message passing: values of nodes gathered onto edges, values of edges summed onto heads.

Nodes and edges may be classes of a quotient graph, with counts of their members: sums, means and
batch statistics are then those of the whole graph. Without counts each stands for itself.

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
        self,
        tails: Tensor,
        heads: Tensor,
        n_nodes: int,
        node_counts: Tensor | None = None,
        edge_counts: Tensor | None = None,
        backend: Backend | None = None,
    ) -> None:
        self.tails, self.heads = tails, heads  # (n_edges,) int64 each
        self.n_nodes = n_nodes
        self.node_counts = node_counts  # (n_nodes,) members of each class; None: one of each
        self.edge_counts = edge_counts  # (n_edges,)
        self.backend: Backend = backend or backend_for(tails.device.type)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Graph:
        """The same graph on another device, with the backend that works there."""
        tensors = (self.tails, self.heads, self.node_counts, self.edge_counts)
        tails, heads, nodes, edges = (
            None if tensor is None else tensor.to(device, non_blocking=non_blocking)
            for tensor in tensors
        )
        assert tails is not None and heads is not None
        return Graph(tails, heads, self.n_nodes, nodes, edges)

    @cached_property
    def weights(self) -> Tensor | None:
        """(n_edges, 1): how many edges of a class arrive at one member of its head; None: one."""
        if self.edge_counts is None or self.node_counts is None:
            return None
        return (self.edge_counts / self.node_counts[self.heads])[:, None]

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


def weighted_mean(graph: Graph, from_tails: Tensor, gates: Tensor) -> Tensor:
    """(n_nodes, d): the mean of the tails' values (n_nodes, d) at each head, weighted by gates
    (n_edges, d); 1e-6 is added to the gates' sum."""
    from_tails, gates = _at_least_float32(from_tails), _at_least_float32(gates)
    if graph.weights is not None:
        gates = gates * graph.weights
    if graph.backend == "dgl":
        total = ops.u_mul_e_sum(graph.dgl, from_tails, gates)
    else:
        total = _sum_at_heads(graph, from_tails.index_select(0, graph.tails) * gates)
    return total / (_sum_at_heads(graph, gates) + 1e-6)


def _sum_at_heads(graph: Graph, on_edges: Tensor) -> Tensor:
    if graph.backend == "dgl":
        return ops.copy_e_sum(graph.dgl, on_edges)
    return on_edges.new_zeros(graph.n_nodes, on_edges.shape[1]).index_add(0, graph.heads, on_edges)


def mean_by_crystal(graph: Graph, on_atoms: Tensor, n_atoms: Tensor) -> Tensor:
    """(n_crystals, d): mean over each crystal's atoms; they lie one crystal after another."""
    crystal = torch.repeat_interleave(
        torch.arange(len(n_atoms), device=n_atoms.device), n_atoms, output_size=len(on_atoms)
    )
    on_atoms, members = _at_least_float32(on_atoms), n_atoms
    if graph.node_counts is not None:
        on_atoms = on_atoms * graph.node_counts[:, None]
        members = graph.node_counts.new_zeros(len(n_atoms))
        members = members.index_add(0, crystal, graph.node_counts)
    total = on_atoms.new_zeros(len(n_atoms), on_atoms.shape[1]).index_add(0, crystal, on_atoms)
    return total / members[:, None]


def _at_least_float32(values: Tensor) -> Tensor:
    """Sums over many neighbours lose too much in 16 bits."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
