"""Packed graphs come back with every number and type as they were."""

from dataclasses import fields, replace

import numpy as np
import pytest

from curate.sources.sample import Sample
from model.config import GraphConfig
from model.graphs.build import build_graphs
from model.graphs.crystal_graph import CrystalGraph
from model.graphs.packed import PackedGraphs, packed
from model.graphs.quotient import QuotientGraph

LOW_SYMMETRY = "JVASP-5824"  # it has no quotient


@pytest.fixture(scope="module")
def records():
    some = list(Sample().records())
    return [*some[:40], *(record for record in some if record.material_id == LOW_SYMMETRY)]


@pytest.mark.parametrize(
    "rules", [GraphConfig(), GraphConfig(graph="full"), GraphConfig(exact_shell=True)]
)
def test_what_is_unpacked_is_what_was_built(records, rules):
    built = list(build_graphs(records, rules))
    kinds = {type(graph) for graph in built}
    assert kinds == ({CrystalGraph} if rules.graph == "full" else {CrystalGraph, QuotientGraph})
    found = PackedGraphs(packed(built))
    assert len(found) == len(built)
    for one, other in zip(found, built, strict=True):
        assert type(one) is type(other)
        for field in fields(one):
            value, wanted = getattr(one, field.name), getattr(other, field.name)
            assert np.array_equal(value, wanted), field.name
            assert getattr(value, "dtype", None) == getattr(wanted, "dtype", None), field.name


def test_packing_leaves_less_than_half_of_the_bytes(records):
    built = list(build_graphs(records, GraphConfig()))
    before = sum(
        value.nbytes for graph in built for value in vars(graph).values() if not np.isscalar(value)
    )
    assert sum(array.nbytes for array in packed(built).values()) < before / 2


def test_what_could_not_come_back_is_refused(records):
    graph = next(g for g in build_graphs(records, GraphConfig()) if isinstance(g, QuotientGraph))
    with pytest.raises(ValueError, match="after of a graph is not sorted"):
        packed([replace(graph, after=graph.after[::-1])])
    with pytest.raises(ValueError, match="lengths of a graph is float64, not f4"):
        packed([replace(graph, lengths=graph.lengths.astype(np.float64))])
