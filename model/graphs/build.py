"""Build the graph of each structure record, as a quotient where symmetry allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from curate.batches import in_batches
from curate.geometry import unphysical
from curate.record import StructureRecord
from model.config import GraphConfig
from model.graphs.crystal_graph import CrystalGraph, build_graph
from model.graphs.quotient import QuotientGraph, quotients

AnyGraph = CrystalGraph | QuotientGraph
CRYSTALS_PER_QUOTIENT = 64  # whose symmetry is sought together


def build_graphs(
    records: Iterable[StructureRecord], config: GraphConfig
) -> Iterator[AnyGraph | str]:
    """The graph of each record, or the reason why it has none."""
    for some in in_batches(records, CRYSTALS_PER_QUOTIENT):
        made = [_graph_or_reason(record, config) for record in some]
        found = [graph for graph in made if isinstance(graph, CrystalGraph)]
        folded = iter(found if config.graph == "full" else quotients(found))
        for graph in made:
            yield graph if isinstance(graph, str) else next(folded)


def _graph_or_reason(record: StructureRecord, config: GraphConfig) -> CrystalGraph | str:
    if reason := unphysical(record):
        return f"no graph: {reason[1]}"
    try:
        return build_graph(record, config)
    except ValueError as error:
        return f"no graph: {error}"
