"""What only a GPU shows: the network there gives the CPU's numbers, in every precision, and never waits.

These need torch, numpy and safetensors alone, so that benchmarks/gpu.py runs them on a bare machine.
`GPU_TESTS_ON=cpu` tries the tests themselves where there is no GPU.
"""

import os
from itertools import islice

import numpy as np
import pytest
import torch

from model.config import GraphConfig, NetworkConfig, TrainConfig
from model.data.examples import Prepared
from model.data.preprocessing import Preprocessing
from model.graphs.elements import LAST_ELEMENT, N_FEATURES, atom_features_from
from model.graphs.quotient import QuotientGraph
from model.network.batch import Example, collate
from model.network.crysmmnet import CrysMMNet, CrysMMNetConfig
from model.training.batches import CollatedBatches, ResidentBatches
from model.training.processes import Processes
from model.training.trainer import Trainer

pytestmark = pytest.mark.gpu
DEVICE = torch.device(os.environ.get("GPU_TESTS_ON", "cuda"))
TEXT_WIDTH = 12
ELEMENTS = np.eye(LAST_ELEMENT + 1, N_FEATURES, dtype=np.float32)


def made_up(number: int) -> Example:
    """A quotient graph of some classes of atoms, bonds and angles that fit together; a text; a target."""
    chance = np.random.default_rng(number)
    n_atoms, n_bonds = int(chance.integers(1, 5)), int(chance.integers(12, 40))
    dst = np.sort(chance.integers(0, n_atoms, n_bonds)).astype(np.int32)
    dst[:n_atoms] = np.arange(n_atoms)
    dst.sort()
    after = np.repeat(np.arange(n_bonds, dtype=np.int32), 8)
    graph = QuotientGraph(
        atomic_numbers=chance.integers(1, 90, n_atoms).astype(np.uint8),
        atom_counts=chance.integers(1, 4, n_atoms).astype(np.int32),
        src=chance.integers(0, n_atoms, n_bonds).astype(np.int32),
        dst=dst,
        lengths=chance.uniform(2, 7, n_bonds).astype(np.float32),
        bond_counts=chance.integers(1, 9, n_bonds).astype(np.int32),
        before=chance.integers(0, n_bonds, len(after)).astype(np.int32),
        after=after,
        cosines=chance.uniform(-1, 1, len(after)).astype(np.float32),
        angle_counts=chance.integers(1, 9, len(after)).astype(np.int32),
    )
    text = chance.standard_normal(TEXT_WIDTH).astype(np.float32)
    return Example(f"crystal {number}", graph, text, float(np.tanh(text.sum())))


def network(fusion: str = "concat") -> CrysMMNet:
    sizes = NetworkConfig(
        width=16, alignn_layers=1, gcn_layers=1, embedding_width=8, fusion=fusion, dropout=0.0
    )
    torch.manual_seed(0)
    with atom_features_from(ELEMENTS):
        return CrysMMNet(CrysMMNetConfig.from_settings(sizes, "both", TEXT_WIDTH))


def trainer(out, examples, **changed) -> Trainer:
    config = TrainConfig(
        **{"data": "", "target": "", "out": out, "batch_size": 8, "epochs": 12, **changed}
    )
    scale = Preprocessing(
        target="",
        unit="eV",
        log10=False,
        mean=0.0,
        std=1.0,
        guess=0.0,
        modality="both",
        graph=GraphConfig(),
        text="description",
        text_encoder=None,
        text_revision=None,
        text_recipe=None,
        description_origins=[],
    )
    prepared = Prepared({"train": examples[:32], "val": examples[32:]}, {}, {}, scale)
    return Trainer(network(), prepared, config, Processes(1, 0, DEVICE))


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return [made_up(number) for number in range(40)]


@pytest.mark.parametrize("fusion", ["concat", "cross-attention"])
def test_outputs_and_gradients_are_those_of_the_cpu(examples, fusion):
    batch = collate(examples, True, "torch")
    if fusion == "cross-attention":
        with_tokens = [
            Example(one.id, one.graph, np.stack([one.text, -one.text]), one.target)
            for one in examples
        ]
        batch = collate(with_tokens, True, "torch")
    found = []
    for device in ("cpu", DEVICE):
        model = network(fusion).to(device)
        pinned = batch.pin_memory() if DEVICE.type == "cuda" else batch
        there = pinned.to(device, non_blocking=True)
        outputs = model(there)
        (outputs - there.target).square().mean().backward()
        gradients = [p.grad.cpu() for p in model.parameters() if p.grad is not None]
        found.append([outputs.detach().cpu(), *gradients])
    for here, there in zip(*found, strict=True):
        assert torch.allclose(here, there, atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_it_learns_in_every_precision(tmp_path, examples, precision):
    if precision == "fp16" and DEVICE.type == "cpu":
        precision = "fp32"
    made = trainer(tmp_path / "m", examples, precision=precision, learning_rate=0.01)
    made.train()
    losses = [epoch["train_loss"] for epoch in made.state.epochs]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]


def test_an_update_never_waits_for_the_gpu(tmp_path, examples):
    made = trainer(tmp_path / "m", examples)
    batches = iter(made.training_batches)
    for batch in islice(batches, 2):
        list(made.gradients([batch]))  # the first allocates
        made.update()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches:
            list(made.gradients([batch]))
            made.update()
    finally:
        if DEVICE.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    assert all(torch.isfinite(p).all() for p in made.model.parameters())


def test_batches_are_gathered_on_the_gpu_as_the_host_collates_them(tmp_path, examples):
    made = trainer(tmp_path / "m", examples)
    assert isinstance(made.training_batches, ResidentBatches)
    rules, order = made.training_batches.rules, made.training_batches.order
    collated = CollatedBatches(examples[:32], order, rules, DEVICE)
    for gathered, sent in zip(made.training_batches, collated, strict=True):
        assert gathered.ids == sent.ids
        for one, other in zip(gathered.parts, sent.parts, strict=True):
            for name in ("atomic_numbers", "lengths", "cosines", "n_atoms", "text", "target"):
                assert getattr(one, name).device.type == DEVICE.type
                assert torch.equal(getattr(one, name), getattr(other, name)), name
            for graph, its in ((one.graph, other.graph), (one.line_graph, other.line_graph)):
                for name in ("src", "dst", "node_counts", "edge_counts"):
                    assert torch.equal(getattr(graph, name), getattr(its, name)), name


def test_stopped_after_an_epoch_it_goes_on_where_it_was(tmp_path, examples):
    made = trainer(tmp_path / "m", examples, epochs=4)
    for epoch in range(2):
        made.run_epoch(epoch)
    losses = [epoch["train_loss"] for epoch in made.state.epochs]
    resumed = trainer(tmp_path / "m", examples, epochs=4)
    resumed.train()
    assert [epoch["train_loss"] for epoch in resumed.state.epochs][:2] == losses
    assert len(resumed.state.epochs) == 4
