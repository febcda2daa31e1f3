"""Message passing by DGL and by torch: the same numbers, bit for bit."""

import sys

import pytest
import torch
from small import batch, network
from torch.nn import functional as F  # noqa: N812

from curate.sources.sample import Sample
from model.config import GraphConfig
from model.network import message_passing as passing
from model.network.message_passing import Graph

FULL = GraphConfig(graph="full")


@pytest.fixture(scope="module")
def records():
    return list(Sample().records())[:12]


def on(backend, batch):
    """The same batch with its message passing on this backend."""
    parts = {
        name: Graph(
            graph.src, graph.dst, graph.n_nodes, graph.node_counts, graph.edge_counts, backend
        )
        for name, graph in (("graph", batch.graph), ("line_graph", batch.line_graph))
    }
    return type(batch)(**{**vars(batch), **parts})


@pytest.mark.dgl
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_operation_and_its_gradient_is_bit_equal(records, dtype):
    graph = batch(records).line_graph
    results = {}
    for backend in ("dgl", "torch"):
        g = Graph(
            graph.src, graph.dst, graph.n_nodes, graph.node_counts, graph.edge_counts, backend
        )
        chance = torch.Generator().manual_seed(0)
        nodes = torch.randn(g.n_nodes, 8, generator=chance, dtype=dtype, requires_grad=True)
        edges = torch.randn(len(g.dst), 8, generator=chance, dtype=dtype, requires_grad=True)
        gathered = passing.gather(g, nodes, 2 * nodes)
        averaged = passing.weighted_mean(g, nodes, torch.sigmoid(edges * gathered))
        averaged.square().sum().backward()
        results[backend] = (gathered, averaged, nodes.grad, edges.grad)
    for by_dgl, by_torch in zip(*results.values(), strict=True):
        assert torch.equal(by_dgl, by_torch)


@pytest.mark.dgl
def test_the_whole_network_is_bit_equal_in_outputs_and_gradients(records):
    results = {}
    for backend in ("dgl", "torch"):
        model, whole = network().train(), on(backend, batch(records))
        model.graph_projection.dropout.p = model.text_projection.dropout.p = 0.0
        output = model(whole)
        F.mse_loss(output, whole.target).backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        results[backend] = [output, *gradients]
    assert len(results["dgl"]) > 50
    for by_dgl, by_torch in zip(*results.values(), strict=True):
        assert torch.equal(by_dgl, by_torch)


@pytest.mark.dgl
def test_the_batch_is_what_dgl_batches(records):
    import dgl

    whole = batch(records, FULL)
    singles = [batch([record], FULL) for record in records]
    bonds = dgl.batch([single.graph.dgl for single in singles])
    angles = dgl.batch([single.line_graph.dgl for single in singles])
    assert torch.equal(torch.stack(whole.graph.dgl.edges()), torch.stack(bonds.edges()))
    assert torch.equal(torch.stack(whole.line_graph.dgl.edges()), torch.stack(angles.edges()))
    assert whole.n_atoms.tolist() == bonds.batch_num_nodes().tolist()


@pytest.mark.dgl
def test_the_readout_is_dgls_average(records):
    import dgl

    whole = batch(records, FULL)
    bonds = dgl.batch([batch([record], FULL).graph.dgl for record in records])
    x = torch.randn(bonds.num_nodes(), 5)
    expected = dgl.nn.AvgPooling()(bonds, x)
    assert torch.allclose(whole.atoms.mean(x), expected, atol=1e-6)


def test_sums_of_16_bits_are_made_in_32():
    star = Graph(torch.arange(1, 401), torch.zeros(400, dtype=torch.int64), 401)
    ones = torch.ones(400, 1, dtype=torch.bfloat16)
    values = torch.cat([torch.zeros(1, 1), torch.arange(400)[:, None] % 2]).bfloat16()
    mean = passing.weighted_mean(star, values, ones)
    assert mean[0].item() == pytest.approx(0.5)  # bfloat16 would stop counting at 256


def test_dgl_runs_where_it_has_a_wheel_and_its_build_can():
    assert passing.backend_for("cpu") == ("dgl" if sys.version_info < (3, 12) else "torch")
    assert passing.backend_for("meta") == "torch"
