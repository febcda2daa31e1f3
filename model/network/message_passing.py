"""Message-passing primitives with DGL and PyTorch backends.

An edge points from its source node, src, to its destination node, dst. Values of nodes are gathered
onto edges, and values of edges are summed onto their dst.

Nodes and edges may be classes of a quotient graph, with counts of their members: sums, means and
batch statistics are then those of the whole graph. Without counts each stands for itself.

DGL does it where it is installed and its build supports the device, torch's index operations
elsewhere. DGL's wheels on PyPI know the CPU and Python up to 3.11 only, so on a GPU or a later Python
it is torch. With edges sorted by dst both add the same numbers in the same order: outputs and
gradients are equal bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from dgl import DGLGraph

Backend = Literal["dgl", "torch"]


class Graph:
    """Directed edges between nodes, sorted by dst."""

    def __init__(
        self,
        src: Tensor,
        dst: Tensor,
        n_nodes: int,
        node_counts: Tensor | None = None,
        edge_counts: Tensor | None = None,
        backend: Backend | None = None,
    ) -> None:
        self.src, self.dst = src, dst  # (n_edges,) int64 each
        self.n_nodes = n_nodes
        self.node_counts = node_counts  # (n_nodes,) members of each class; None: one of each
        self.edge_counts = edge_counts  # (n_edges,)
        self.backend: Backend = backend or backend_for(src.device.type)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Graph:
        """The same graph on another device, with the backend that works there."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Graph:
        """The same graph in memory that a GPU can read by itself."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Graph:
        counts = (self.node_counts, self.edge_counts)
        nodes, edges = (None if tensor is None else change(tensor) for tensor in counts)
        # DGL may not know the new device
        kept: Backend | None = "torch" if self.backend == "torch" else None
        return Graph(change(self.src), change(self.dst), self.n_nodes, nodes, edges, kept)

    @cached_property
    def weights(self) -> Tensor | None:
        """(n_edges, 1): how many edges of a class arrive at one member of its dst; None: one."""
        if self.edge_counts is None or self.node_counts is None:
            return None
        return (self.edge_counts / self.node_counts[self.dst])[:, None]

    @cached_property
    def dgl(self) -> DGLGraph:
        """The same graph as DGL's; ImportError where DGL is not installed."""
        return import_dgl().graph((self.src, self.dst), num_nodes=self.n_nodes)


@lru_cache
def backend_for(device: str) -> Backend:
    """DGL where it is installed and its build supports the device type, torch elsewhere."""
    try:
        import_dgl().graph(([0], [0])).to(device)
    except Exception:  # absent, or made for another torch or device: each fails in its own way
        return "torch"
    return "dgl"


@lru_cache
def import_dgl() -> Any:
    """The module dgl; raises what its import raises."""
    os.environ.setdefault("DGLBACKEND", "pytorch")  # else DGL writes a settings file into the home
    import dgl

    return dgl


def gather(graph: Graph, from_src: Tensor, from_dst: Tensor) -> Tensor:
    """(n_edges, d): on each edge, the value of its src plus that of its dst; both are (n_nodes, d)."""
    if graph.backend == "dgl":
        return import_dgl().ops.u_add_v(graph.dgl, from_src, from_dst)
    return from_src.index_select(0, graph.src) + from_dst.index_select(0, graph.dst)


def at_src(graph: Graph, on_nodes: Tensor) -> Tensor:
    """(n_edges, ...): on each edge, the value (n_nodes, ...) of its src."""
    return on_nodes.index_select(0, graph.src)


def at_dst(graph: Graph, on_nodes: Tensor) -> Tensor:
    """(n_edges, ...): on each edge, the value (n_nodes, ...) of its dst."""
    return on_nodes.index_select(0, graph.dst)


def sum_at_dst(graph: Graph, on_edges: Tensor) -> Tensor:
    """(n_nodes, d): the sum of the values (n_edges, d) of all edges that arrive at a node."""
    on_edges = _at_least_float32(on_edges)
    return _sum_at_dst(graph, on_edges if graph.weights is None else on_edges * graph.weights)


def mean_at_dst(graph: Graph, on_edges: Tensor) -> Tensor:
    """(n_nodes, d): the mean of the values (n_edges, d) of all edges that arrive at a node."""
    return sum_at_dst(graph, on_edges) / sum_at_dst(graph, torch.ones_like(on_edges[:, :1]))


def softmax_at_dst(graph: Graph, scores: Tensor) -> Tensor:
    """(n_edges, d): each edge's share among those that arrive at the same node."""
    return _softmax(scores, graph.dst, graph.n_nodes, graph.weights)


def weighted_mean(graph: Graph, from_src: Tensor, gates: Tensor) -> Tensor:
    """(n_nodes, d): the mean of the values (n_nodes, d) of the src at each dst, weighted by gates
    (n_edges, d); 1e-6 is added to the gates' sum."""
    from_src, gates = _at_least_float32(from_src), _at_least_float32(gates)
    if graph.weights is not None:
        gates = gates * graph.weights
    if graph.backend == "dgl":
        total = import_dgl().ops.u_mul_e_sum(graph.dgl, from_src, gates)
    else:
        total = _sum_at_dst(graph, from_src.index_select(0, graph.src) * gates)
    return total / (_sum_at_dst(graph, gates) + 1e-6)


def _sum_at_dst(graph: Graph, on_edges: Tensor) -> Tensor:
    if graph.backend == "dgl":
        return import_dgl().ops.copy_e_sum(graph.dgl, on_edges)
    return on_edges.new_zeros(graph.n_nodes, on_edges.shape[1]).index_add(0, graph.dst, on_edges)


def _at_least_float32(values: Tensor) -> Tensor:
    """Sums over many neighbours lose too much in 16 bits."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


class Segments:
    """Rows that belong to groups, as atoms to crystals; a row may stand for several equal members."""

    def __init__(
        self,
        group: Tensor,
        n_groups: int,
        counts: Tensor | None,
        sizes: Tensor | None = None,
        largest: int | None = None,
    ) -> None:
        self.group, self.n_groups = group, n_groups  # (n,) int64
        self.sizes = sizes  # (n_groups,) rows of each group; None where nobody counted
        self.largest = largest  # of the sizes, where the host knows it: it need not ask a GPU
        self.counts = None if counts is None else counts[:, None]  # (n, 1); None: one of each

    def sum(self, values: Tensor) -> Tensor:
        """(n, d) to (n_groups, d)"""
        values = _at_least_float32(values)
        if self.counts is not None:
            values = values * self.counts
        return values.new_zeros(self.n_groups, values.shape[1]).index_add(0, self.group, values)

    def mean(self, values: Tensor) -> Tensor:
        """(n, d) to (n_groups, d)"""
        return self.sum(values) / self.sum(torch.ones_like(values[:, :1]))

    def expand(self, values: Tensor) -> Tensor:
        """(n_groups, d) to (n, d): each member with its group's value."""
        return values.index_select(0, self.group)

    def softmax(self, scores: Tensor) -> Tensor:
        """(n, d) to (n, d): the share of one member among all of its group."""
        return _softmax(scores, self.group, self.n_groups, self.counts)


def _softmax(scores: Tensor, group: Tensor, n_groups: int, counts: Tensor | None) -> Tensor:
    scores = _at_least_float32(scores)
    lowest = scores.new_full((n_groups, scores.shape[1]), -torch.inf)
    everywhere = group[:, None].expand_as(scores)
    highest = lowest.scatter_reduce(0, everywhere, scores.detach(), "amax")
    weights = torch.exp(scores - highest[group])
    counted = weights if counts is None else weights * counts
    total = weights.new_zeros(n_groups, weights.shape[1]).index_add(0, group, counted)
    return weights / total[group]
