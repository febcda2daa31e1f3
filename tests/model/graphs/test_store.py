"""Graphs kept on disk are the graphs that were built."""

from dataclasses import fields, replace

import numpy as np
import pytest

from curate.sources.sample import Sample
from model.config import GraphConfig
from model.graphs import store as graph_store
from model.graphs.build import build_graphs
from model.graphs.store import key_of, stored_graphs


@pytest.fixture(scope="module")
def records(silicon):
    odd = replace(silicon, material_id="odd", species_at_sites=("Lr", "Si"))
    return [*list(Sample().records())[:40], odd, silicon]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert type(one) is type(other)
        if isinstance(one, str):
            assert one == other
            continue
        for field in fields(one):
            value, wanted = getattr(one, field.name), getattr(other, field.name)
            assert np.array_equal(value, wanted)
            assert getattr(value, "dtype", None) == getattr(wanted, "dtype", None)


@pytest.mark.parametrize("kind", ["quotient", "full"])
def test_what_is_read_back_is_what_was_built(records, kind, tmp_path):
    config = GraphConfig(graph=kind)
    built = list(build_graphs(records, config))
    assert [graph for graph in built if isinstance(graph, str)] == [built[40]]
    assert_same(stored_graphs(records, config, tmp_path), built)
    (folder,) = (tmp_path / "graphs").iterdir()
    arrays = {path.name.split("-")[1] for path in folder.iterdir() if "-" in path.name}
    assert {"tails", "heads"} <= arrays  # as earlier versions wrote them
    assert not {"src", "dst"} & arrays
    written = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert_same(stored_graphs(records, config, tmp_path), built)  # this time from the disk
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == written


def test_workers_build_the_same_in_the_same_order(records, tmp_path, monkeypatch):
    many = (records * 8)[:300]
    expected = list(build_graphs(many, GraphConfig()))
    monkeypatch.setattr(graph_store, "PARALLEL_FROM", 300)
    assert_same(stored_graphs(many, GraphConfig(), tmp_path), expected)


def test_other_crystals_or_rules_have_another_key(records):
    keys = {
        key_of(records, GraphConfig()),
        key_of(records, GraphConfig(graph="full")),
        key_of(records, GraphConfig(max_neighbors=8)),
        key_of(records[:-1], GraphConfig()),
        key_of(records[::-1], GraphConfig()),
    }
    assert len(keys) == 5


def test_an_interrupted_write_leaves_nothing_that_looks_finished(records, tmp_path):
    def broken():
        yield from build_graphs(records[:3], GraphConfig())
        raise KeyboardInterrupt

    folder = tmp_path / "graphs" / "key"
    with pytest.raises(KeyboardInterrupt):
        graph_store.write(folder, broken())
    assert list(folder.parent.iterdir()) == []
    graph_store.write(folder, build_graphs(records, GraphConfig()))
    assert_same(graph_store.StoredGraphs(folder), list(build_graphs(records, GraphConfig())))
