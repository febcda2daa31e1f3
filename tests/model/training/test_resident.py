"""Batches gathered on the device are those that the host collates, and no step waits for the device."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from small import example
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from model.config import GraphConfig
from model.network.batch import Batch
from model.network.message_passing import Graph
from model.training import resident
from model.training.batches import (
    BatchRules,
    CollatedBatches,
    EpochSampler,
    ResidentBatches,
    batches_of,
)
from model.training.processes import Processes
from model.training.resident import ResidentExamples
from model.training.train import new_model, open_data, train
from model.training.trainer import Trainer

CPU, ELSEWHERE = torch.device("cpu"), torch.device("meta")
RULES = BatchRules(angles=True, max_angles=None, backend="torch")


def values(batch: Batch) -> dict:
    """Everything that a batch holds, by name."""
    found = {}
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Graph):
            found |= {f"{field.name}.{name}": one for name, one in vars(value).items()}
        else:
            found[field.name] = value
    return found


def assert_equal(one, other) -> None:
    for name, value in values(one).items():
        there = values(other)[name]
        if isinstance(value, Tensor):
            assert value.dtype == there.dtype and torch.equal(value, there), name
        else:
            assert value == there, name


@pytest.fixture(scope="module")
def kinds(crystals) -> dict[str, list]:
    """Examples of every kind that is trained on, by name."""
    chance = np.random.default_rng(0)
    records = list(crystals.values()) * 3
    folded = [example(record) for record in records]
    whole = [example(record, GraphConfig(graph="full")) for record in records]
    tokens = [chance.standard_normal((n % 4 + 1, 12)).astype(np.float16) for n in range(15)]
    numbers = chance.standard_normal((15, 5)).astype(np.float32)
    return {
        "classes": folded,
        "whole": whole,
        "some whole": folded[:7] + whole[7:],
        "graph alone": [replace(one, text=None) for one in folded],
        "text alone": [replace(one, graph=None) for one in folded],
        "tokens": [replace(one, text=text) for one, text in zip(folded, tokens, strict=True)],
        "descriptors": [
            replace(one, text=None, descriptors=row)
            for one, row in zip(folded, numbers, strict=True)
        ],
    }


NAMES = ("classes", "whole", "some whole", "graph alone", "text alone", "tokens", "descriptors")


@pytest.mark.parametrize("angles", [True, False])
@pytest.mark.parametrize("max_angles", [None, 200])
@pytest.mark.parametrize("kind", NAMES)
def test_gathered_batches_are_the_collated_ones(kinds, kind, max_angles, angles, monkeypatch):
    """In parts of bounded size, shared by two processes, sent to the device four crystals at once."""
    monkeypatch.setattr(resident, "CRYSTALS_AT_ONCE", 4)
    examples = kinds[kind]
    for number in (0, 1):
        rules = replace(RULES, angles=angles, max_angles=max_angles, number=number, n_processes=2)
        order = EpochSampler(len(examples), 7, seed=1)
        there = ResidentExamples.fitting(examples, angles, "torch", CPU)
        gathered = list(ResidentBatches(there, order, rules))
        collated = list(CollatedBatches(examples, order, rules, CPU))
        assert len(gathered) == len(collated) == 3
        for one, other in zip(gathered, collated, strict=True):
            assert one.n_crystals == other.n_crystals
            for part, its in zip(one.parts, other.parts, strict=True):
                assert_equal(part, its)
        if max_angles and kind == "whole":
            assert len(gathered[0].parts) > 1


def test_what_does_not_fit_is_collated(kinds, monkeypatch):
    found = batches_of(kinds["whole"], [[0]], RULES, CPU)
    assert isinstance(found, ResidentBatches)
    monkeypatch.setattr(resident, "CPU_BYTES", found.examples.n_bytes - 1)
    assert isinstance(batches_of(kinds["whole"], [[0]], RULES, CPU), CollatedBatches)
    monkeypatch.setattr(resident, "CPU_BYTES", found.examples.n_bytes)
    assert isinstance(batches_of(kinds["whole"], [[0]], RULES, CPU), ResidentBatches)


def test_examples_of_which_some_lack_a_text_are_collated(kinds, monkeypatch):
    mixed = kinds["classes"][:8] + kinds["graph alone"][8:]
    assert isinstance(batches_of(mixed, [[0]], RULES, CPU), CollatedBatches)
    monkeypatch.setattr(resident, "CRYSTALS_AT_ONCE", 8)
    assert isinstance(batches_of(mixed, [[0]], RULES, CPU), CollatedBatches)


@pytest.mark.parametrize("changed", [{}, {"modality": "text"}, {"max_angles": 3000}])
def test_a_training_on_resident_examples_is_the_one_on_collated_batches(
    tmp_path, settings, changed, monkeypatch
):
    """Weights and history, byte by byte, with dropout."""
    train(settings(tmp_path / "resident", **changed))
    monkeypatch.setattr(resident, "CPU_BYTES", 0)
    train(settings(tmp_path / "collated", **changed))
    for name in ("model.safetensors", "predictions.csv", "history.csv"):
        one, other = ((tmp_path / way / name).read_bytes() for way in ("resident", "collated"))
        assert one == other, name


class Waiting(AssertionError):
    """An operation for which the host would wait, or which it would send numbers for."""


ALWAYS = {
    "_local_scalar_dense",  # .item(), float(), `if tensor`
    "nonzero",
    "masked_select",
    "equal",
    "bincount",
    "_unique2",
    "unique_consecutive",
    "lift_fresh",  # torch.tensor of numbers of the host
}


class NeverWaits(TorchDispatchMode):
    """Raises Waiting where values leave the device, or come to it, or decide a shape."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = operation.overloadpacket.__name__
        waits = name in ALWAYS
        if name in ("index", "index_put", "index_put_"):
            waits = any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
        elif name == "repeat_interleave":
            waits = kwargs.get("output_size") is None
        elif name == "_to_copy":
            waits = kwargs.get("device") not in (None, args[0].device)
        elif name == "copy_":
            waits = args[0].device != args[1].device
        if waits:
            raise Waiting(name)
        return operation(*args, **kwargs)


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: bool(x[0] > 0),
        lambda x: x.repeat_interleave(torch.ones(3).long()),
        lambda x: x + torch.tensor([1.0, 2.0, 3.0]),
    ],
)
def test_a_step_that_waits_would_be_seen(ask):
    with pytest.raises(Waiting), NeverWaits():
        ask(torch.ones(3))


def test_a_step_that_sends_or_fetches_would_be_seen():
    with pytest.raises(Waiting), NeverWaits():
        torch.ones(3).to(ELSEWHERE)
    with pytest.raises(Waiting), NeverWaits():
        torch.ones(3, device=ELSEWHERE).copy_(torch.ones(3))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("max_angles", [None, 3000])
def test_no_step_waits_for_the_device(tmp_path, settings, max_angles, precision, monkeypatch):
    """From the gathering of a batch to the update of the weights; torch passes messages and AdamW is one
    kernel, as on a GPU."""
    monkeypatch.setattr("model.training.trainer.backend_of", lambda *_: "torch")
    config = settings(tmp_path / "m", batch_size=10, max_angles=max_angles, precision=precision)
    prepared, _ = open_data(config).read()
    made = Trainer(new_model(config, prepared), prepared, config, Processes(1, 0, CPU))
    for group in made.optimizer.param_groups:
        group["fused"] = True
    batches = iter(made.training_batches)
    next(batches)  # before which the order of the epoch is sent
    before = [value.clone() for value in made.model.parameters()]
    for _ in range(3):
        with NeverWaits():
            for _ in made.gradients([next(batches)]):
                pass
            made.update()
    after = made.model.parameters()
    assert any(not torch.equal(*pair) for pair in zip(before, after, strict=True))


@pytest.mark.parametrize("kind", NAMES)
def test_a_batch_is_made_of_what_lies_on_the_device_alone(kinds, kind):
    """On a device without values: nothing is sent, and nothing of the host's is mixed in."""
    there = ResidentExamples.fitting(kinds[kind], True, "torch", CPU).to(ELSEWHERE)
    numbers = np.array([3, 1, 4])
    index = there.index(numbers)
    assert all(one.is_meta for table in there.tables.values() for one in table.on_device)
    with NeverWaits():
        batch = there.batch(numbers, index)
    for name, value in values(batch).items():
        assert not isinstance(value, Tensor) or value.is_meta, name
