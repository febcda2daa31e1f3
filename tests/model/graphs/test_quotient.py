"""The quotient of a crystal graph: the same function of the crystal, in fewer numbers."""

import copy
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from small import NETWORK, network, reordered, rotated, supercell
from torch.nn import functional as F  # noqa: N812

from curate.errors import InputError
from curate.sources.sample import Sample
from model.config import GraphConfig
from model.graphs.build import build_graphs
from model.graphs.color_refinement import same_values
from model.graphs.crystal_graph import CrystalGraph, build_graph
from model.graphs.quotient import QuotientGraph, quotients, side_by_side, unfolded
from model.network.batch import Example, collate
from model.network.batch_norm import BatchNorm, WeightedNorm
from model.network.crysmmnet import refuse_randomness

KINDS = ("full", "quotient")


@pytest.fixture(scope="module")
def sample():
    return list(Sample().records())[:96]


def quotient(record) -> QuotientGraph:
    (found,) = quotients([build_graph(record)])
    return found if isinstance(found, QuotientGraph) else unfolded(found)


def batch_of(records, kind, dtype=torch.float32):
    graphs = build_graphs(records, GraphConfig(graph=kind))
    targets = torch.randn(len(records), generator=torch.Generator().manual_seed(4)).tolist()
    batch = collate(
        [
            Example(record.material_id, graph, None, target)
            for record, graph, target in zip(records, graphs, targets, strict=True)
        ]
    )
    return replace(
        batch, **{n: getattr(batch, n).to(dtype) for n in ("lengths", "cosines", "target")}
    )


def test_counts_by_hand(silicon, rock_salt):
    """Every atom, bond or angle of diamond and of rock salt with nearest neighbours is like another."""
    (diamond,) = build_graphs([silicon], GraphConfig(max_neighbors=4))
    assert diamond.atomic_numbers.tolist() == [14] and diamond.atom_counts.tolist() == [2]
    assert diamond.bond_counts.tolist() == [8]  # four from each atom
    cosines = [round(cosine, 4) for cosine in diamond.cosines.tolist()]
    found = dict(zip(cosines, diamond.angle_counts.tolist(), strict=True))
    assert found == {1.0: 8, -0.3333: 24}  # back again, and to the three others
    (salt,) = build_graphs([rock_salt], GraphConfig(max_neighbors=6))
    assert sorted(salt.atomic_numbers.tolist()) == [11, 17]
    assert salt.n_bonds == 2 and salt.n_angles == 6  # 0, 90 and 180 degrees at Na and at Cl
    by_cosine = Counter()
    for cosine, count in zip(salt.cosines.tolist(), salt.angle_counts, strict=True):
        by_cosine[round(cosine, 4) + 0.0] += count / salt.bond_counts.sum()
    assert by_cosine == {1.0: 1, -1.0: 1, 0.0: 4}


def test_the_partition_is_equitable(sample):
    """Segments of a class have equally many bonds or angles of every class: so the sums are equal."""
    n_smaller = 0
    for record in sample:
        full, small = unfolded(build_graph(record)), quotient(record)
        for owners, counts, members in (
            (small.dst, small.bond_counts, small.atom_counts),
            (small.after, small.angle_counts, small.bond_counts),
        ):
            assert (counts % members[owners] == 0).all(), record.material_id
            assert (np.diff(owners) >= 0).all()
        for name in ("atom_counts", "bond_counts", "angle_counts"):
            assert getattr(small, name).sum() == len(getattr(full, name))
        n_smaller += small.n_angles < full.n_angles
        weighted = np.average(small.cosines, weights=small.angle_counts)
        assert weighted == pytest.approx(full.cosines.mean(), abs=1e-6)
    assert n_smaller > 80


def test_outputs_gradients_and_batch_statistics_are_those_of_the_whole_graph(sample):
    results = {}
    for kind in KINDS:
        model = network("graph", text_width=0).double().train()
        model.graph_projection.dropout.p = 0.0
        batch = batch_of(sample, kind, torch.float64)
        for graph in (batch.graph, batch.line_graph):
            if graph.node_counts is not None:
                graph.node_counts = graph.node_counts.double()
                graph.edge_counts = graph.edge_counts.double()
        output = model(batch)
        F.mse_loss(output, batch.target).backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        buffers = {name: value for name, value in model.named_buffers() if "running" in name}
        results[kind] = output.detach(), gradients, buffers
    (full, gradients, buffers), (small, gradients_small, buffers_small) = results.values()
    assert torch.allclose(full, small, atol=1e-6, rtol=0)
    assert len(gradients) > 50
    largest = max(gradient.norm() for gradient in gradients.values())
    for name, gradient in gradients.items():
        if gradient.norm() > 1e-9 * largest:  # a bias before a batch norm has none
            error = (gradient - gradients_small[name]).norm() / gradient.norm()
            assert error < 1e-4, name
    for name, value in buffers.items():
        assert torch.allclose(value, buffers_small[name], rtol=1e-5, atol=1e-6), name


def test_three_epochs_end_with_the_same_losses(sample):
    histories = {}
    for kind in KINDS:
        model = network("graph", text_width=0).train()
        model.graph_projection.dropout.p = 0.0
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        losses = []
        for _ in range(3):
            for start in range(0, len(sample), 24):
                batch = batch_of(sample[start : start + 24], kind)
                optimizer.zero_grad()
                loss = F.mse_loss(model(batch), batch.target)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        histories[kind] = losses
    assert histories["full"][-1] < histories["full"][0]
    assert histories["quotient"] == pytest.approx(histories["full"], rel=1e-4)


@pytest.mark.parametrize("way", [rotated, reordered])
def test_quotient_does_not_depend_on_how_the_crystal_is_written(sample, way):
    for record in sample[:40]:
        assert contents(quotient(way(record))) == contents(quotient(record)), record.material_id


def test_a_supercell_has_the_quotient_of_its_primitive_cell(sample, silicon, rutile):
    for record in (silicon, rutile, *sample[:20]):
        small = quotient(record)
        for times in ((2, 1, 1), (1, 2, 2)):
            larger = quotient(supercell(record, times))
            assert contents(larger, int(np.prod(times))) == contents(small), record.material_id


def contents(graph: QuotientGraph, times: int = 1) -> tuple:
    """Sizes, and the elements, bonds and angles with their counts in one primitive cell."""
    bonds = zip(
        graph.atomic_numbers[graph.src],
        graph.atomic_numbers[graph.dst],
        graph.bond_counts,
        strict=True,
    )
    return (
        sorted(
            zip(graph.atomic_numbers.tolist(), (graph.atom_counts / times).tolist(), strict=True)
        ),
        sorted((int(a), int(b), count / times) for a, b, count in bonds),
        sorted((graph.angle_counts / times).tolist()),
        round(float(graph.lengths.sum()), 1),
    )


def test_a_crystal_without_symmetry_stays_its_graph(silicon):
    moved = np.random.default_rng(1).normal(scale=0.1, size=(8, 3))
    cell = supercell(silicon, (2, 2, 1))
    places = np.array(cell.cartesian_site_positions) + moved
    crooked = replace(cell, cartesian_site_positions=tuple(map(tuple, places.tolist())))
    graph = build_graph(crooked)
    (found,) = quotients([graph])
    assert found is graph
    (alone,) = build_graphs([crooked], GraphConfig())
    batch = collate([Example("crooked", alone, None, 0.0)])
    assert batch.graph.weights is None and batch.line_graph.weights is None


def test_several_at_once_are_each_its_own(sample):
    together = list(quotients([build_graph(record) for record in sample[:30]]))
    for record, found in zip(sample[:30], together, strict=True):
        (alone,) = quotients([build_graph(record)])
        assert type(alone) is type(found)
        for field in fields(found):
            assert np.array_equal(getattr(alone, field.name), getattr(found, field.name))
    joined = side_by_side([graph for graph in together if isinstance(graph, QuotientGraph)])
    assert (np.diff(joined.dst) >= 0).all() and (np.diff(joined.after) >= 0).all()


def test_values_are_one_by_steps_and_never_too_far_apart():
    crystal = np.zeros(6, np.int64)
    same = same_values(np.array([1.0, 1.000004, 1.00002, 2.0, 1.0, 0.5]), crystal)
    assert len(set(same)) == 4
    assert same[0] == same[1] == same[4] != same[2]
    chain = same_values(np.arange(100) * 5e-6, np.zeros(100, np.int64))
    widths = [np.ptp(np.flatnonzero(chain == number) * 5e-6) for number in set(chain)]
    assert max(widths) <= 1e-4 and len(widths) == 5
    assert len(set(same_values(np.array([1.0, 1.0]), np.array([0, 1])))) == 2


def test_batch_norm_of_counted_rows_is_that_of_the_rows_written_out():
    torch.manual_seed(0)
    rows, counts = torch.randn(5, 3), torch.tensor([1.0, 4.0, 2.0, 1.0, 7.0])
    weighted, plain = BatchNorm(3).train(), BatchNorm(3).train()
    written_out = rows.repeat_interleave(counts.long(), 0)
    expected = plain(written_out)[torch.cumsum(counts, 0).long() - 1]
    assert torch.allclose(weighted(rows, counts), expected, atol=1e-6)
    assert torch.allclose(weighted.running_var, plain.running_var, atol=1e-6)
    assert torch.allclose(weighted.running_mean, plain.running_mean, atol=1e-6)
    assert weighted.num_batches_tracked == plain.num_batches_tracked == 1
    before = copy.deepcopy(weighted.state_dict())
    one = torch.randn(1, 3)
    assert torch.isfinite(weighted(one, torch.tensor([1.0]))).all()  # no spread: running statistics
    assert all(torch.equal(before[name], value) for name, value in weighted.state_dict().items())


def test_gradients_of_the_weighted_norm_are_those_of_its_formula():
    torch.manual_seed(0)
    share = torch.rand(6, 1, dtype=torch.float64)
    share /= share.sum()
    x, weight, bias = (
        torch.randn(size, dtype=torch.float64, requires_grad=True) for size in ((6, 3), 3, 3)
    )

    def normed(x, weight, bias):
        return WeightedNorm.apply(x, share, weight, bias, 1e-5, False)[0]

    assert torch.autograd.gradcheck(normed, (x, weight, bias))


def test_an_encoder_with_dropout_is_refused():
    model = network("graph", text_width=0, sizes=NETWORK)
    refuse_randomness(model)
    model.graph_encoder.atom_dropout = torch.nn.Dropout(0.1)
    with pytest.raises(InputError, match=r"atom_dropout.*--graph full"):
        refuse_randomness(model)


def test_full_graphs_are_quotients_with_all_counts_one(sample):
    (graph,) = build_graphs(sample[:1], GraphConfig(graph="full"))
    assert isinstance(graph, CrystalGraph)
    whole = unfolded(graph)
    assert whole.n_angles == graph.n_angles
    for counts in (whole.atom_counts, whole.bond_counts, whole.angle_counts):
        assert (counts == 1).all()
