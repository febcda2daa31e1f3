"""The batches of a training: drawn, collated, and on the device before they are needed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from model.network.batch import Batch, Example, collate, parts_within, within_angles
from model.network.message_passing import Backend, backend_for
from model.training.resident import ResidentExamples

T = TypeVar("T")
WORKERS = 4  # processes that collate, where the device is not the CPU


@dataclass(frozen=True)
class TrainingBatch:
    """Crystals of one update, in parts whose gradients add up."""

    parts: list[Batch]
    n_crystals: float  # that the loss is the mean over

    @property
    def ids(self) -> list[str]:
        """Of all crystals."""
        return [name for part in self.parts for name in part.ids]

    @property
    def target(self) -> Tensor:
        """(n_crystals,) standardised."""
        return torch.cat([part.target for part in self.parts])

    def to(self, device: torch.device) -> TrainingBatch:
        """The same batch on the device; the host does not wait until it is there."""
        if device.type == "cpu":
            return self
        return replace(self, parts=[part.to(device, non_blocking=True) for part in self.parts])

    def pin_memory(self) -> TrainingBatch:
        """The same batch in memory that a GPU can read by itself; the data loader calls this."""
        return replace(self, parts=[part.pin_memory() for part in self.parts])


class EpochSampler(Sampler[list[int]]):
    """Numbers of the crystals of each batch, in an order that is drawn anew for each epoch.

    Args:
        n: Crystals.
        size: Of a batch; the last one may be shorter.
        seed: Of the order; epochs count on from it.
    """

    def __init__(self, n: int, size: int, seed: int) -> None:
        self.n, self.size, self.seed, self.epoch = n, size, seed, 0

    def __len__(self) -> int:
        return -(-self.n // self.size)

    def __iter__(self) -> Iterator[list[int]]:
        chance = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(self.n, generator=chance).tolist()
        return (order[start : start + self.size] for start in range(0, self.n, self.size))


def in_order(n: int, size: int) -> list[list[int]]:
    """Numbers of the crystals of each batch, one after another."""
    return [list(range(start, min(start + size, n))) for start in range(0, n, size)]


@dataclass(frozen=True)
class BatchRules:
    """How crystals become the batches of this process."""

    angles: bool  # whether they get line graphs
    max_angles: int | None
    backend: Backend
    number: int = 0  # of this process among n_processes
    n_processes: int = 1

    def share(self, crystals: Sequence[T]) -> tuple[Sequence[T], float]:
        """This process's part of a batch, and how many crystals its loss is the mean over.

        The mean over processes of these losses is that of the batch. A last batch with less than one
        crystal for each process is computed by all of them.
        """
        if len(crystals) >= self.n_processes > 1:
            own = crystals[self.number :: self.n_processes]
            return own, len(crystals) / self.n_processes
        return crystals, len(crystals)


def backend_of(compiled: bool, device: torch.device) -> Backend:
    """What passes messages in a training: torch on a GPU and in compiled code, which knows no DGL."""
    return "torch" if compiled or device.type != "cpu" else backend_for("cpu")


def batches_of(
    examples: Sequence[Example],
    order: Sampler[list[int]] | Sequence[list[int]],
    rules: BatchRules,
    device: torch.device,
) -> Iterable[TrainingBatch]:
    """Batches on the device, the same in either way: gathered there where the examples fit, else collated.

    Args:
        examples: The crystals.
        order: Numbers of the crystals of each batch; gone through anew for each epoch.
        rules: How they become batches.
        device: Where they are computed.
    """
    resident = ResidentExamples.fitting(examples, rules.angles, rules.backend, device)
    if resident is None:
        return CollatedBatches(examples, order, rules, device)
    return ResidentBatches(resident, order, rules)


@dataclass(frozen=True)
class ResidentBatches:
    """Batches of examples that lie on the device; the order of an epoch is sent there at its beginning."""

    examples: ResidentExamples
    order: Sampler[list[int]] | Sequence[list[int]]
    rules: BatchRules

    def __iter__(self) -> Iterator[TrainingBatch]:
        torch.empty((), dtype=torch.int64).random_()  # as a data loader: dropout is drawn alike
        shares = [self.rules.share(numbers) for numbers in self.order]
        chosen = [np.array(own, np.int64) for own, _ in shares]
        if not chosen:
            return
        index = self.examples.index(np.concatenate(chosen)).split([len(own) for own in chosen])
        for own, there, (_, n_crystals) in zip(chosen, index, shares, strict=True):
            sizes = self.examples.n_angles[own].tolist()
            parts = parts_within(sizes, self.rules.max_angles)
            yield TrainingBatch(
                [self.examples.batch(own[part], there[part]) for part in parts], n_crystals
            )


class CollatedBatches:
    """Batches that the host collates, each sent to the device while the one before it is computed.

    For a GPU, processes of their own collate them into memory that it can read.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        order: Sampler[list[int]] | Sequence[list[int]],
        rules: BatchRules,
        device: torch.device,
    ) -> None:
        elsewhere = device.type != "cpu"
        n_workers = min(WORKERS, len(os.sched_getaffinity(0)) - 1) if elsewhere else 0
        self.rules, self.device = rules, device
        self.loader = DataLoader(
            cast(Dataset, examples),  # for the loader, what has a length and items is one
            batch_sampler=order,
            collate_fn=partial(collated, rules=rules),
            num_workers=n_workers,
            persistent_workers=n_workers > 0,
            pin_memory=device.type == "cuda",
        )

    def __iter__(self) -> Iterator[TrainingBatch]:
        ahead: TrainingBatch | None = None
        for batch in self.loader:
            sent = batch.to(self.device)
            if ahead is not None:
                yield ahead
            ahead = sent
        if ahead is not None:
            yield ahead


def collated(examples: Sequence[Example], rules: BatchRules) -> TrainingBatch:
    """This process's share of a batch."""
    own, n_crystals = rules.share(examples)
    parts = within_angles(own, rules.max_angles)
    return TrainingBatch([collate(part, rules.angles, rules.backend) for part in parts], n_crystals)
