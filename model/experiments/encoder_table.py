"""Parameters and training time of each graph network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional as F  # noqa: N812
from torch.utils.benchmark import Timer

from curate.sources.sample import Sample
from model.config import GraphConfig, NetworkConfig
from model.encoder_settings import ENCODERS
from model.graphs.build import build_graphs
from model.network.batch import Example, collate
from model.network.crysmmnet import CrysMMNet, CrysMMNetConfig
from model.network.encoders import encoder_class, encoder_settings


@dataclass(frozen=True)
class EncoderRow:
    """A graph network at its published size."""

    name: str
    parameters: int
    milliseconds: float  # of a training step, a crystal
    sizes: str
    reads: str
    reference: str


def encoder_rows(n: int) -> Iterator[EncoderRow]:
    """A row for each encoder; its step is on n crystals of the sample, as quotients, without text."""
    records = list(Sample().records())[:n]
    for name in ENCODERS:
        kind = encoder_class(name)
        network = NetworkConfig(encoder=name)
        torch.manual_seed(0)
        model = CrysMMNet(CrysMMNetConfig.from_settings(network, "graph", 0)).train()
        graphs = build_graphs(records, GraphConfig(self_bonds=kind.self_bonds))
        examples = [
            Example(str(number), graph, None, 0.0)
            for number, graph in enumerate(graphs)
            if not isinstance(graph, str)
        ]
        sizes = encoder_settings(network)
        yield EncoderRow(
            name=name,
            parameters=sum(p.numel() for p in model.graph_encoder.parameters()),
            milliseconds=1000 * step_seconds(model, examples) / len(examples),
            sizes=", ".join(f"{key} {value}" for key, value in sizes.items()),
            reads="bonds and angles" if kind.reads_angles else "bonds",
            reference=kind.reference
            + (f"; published with {kind.published_with}" if kind.published_with else ""),
        )


def step_seconds(model: CrysMMNet, examples: list[Example]) -> float:
    """Seconds of forward, backward and update on one batch: the median over about a second."""
    batch = collate(examples, model.reads_angles)
    optimizer = torch.optim.AdamW(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        F.mse_loss(model(batch), batch.target).backward()
        optimizer.step()

    step()  # the first allocates what the others reuse
    timer = Timer("step()", globals={"step": step}, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=1).median
