"""The batches of a training: drawn, collated, and on the device before they are needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from model.network.batch import Batch, Example, collate, within_angles
from model.network.message_passing import Backend

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


def collated(
    examples: Sequence[Example],
    angles: bool,
    max_angles: int | None,
    backend: Backend | None,
    number: int = 0,
    n_processes: int = 1,
) -> TrainingBatch:
    """This process's share of a batch; the mean over processes of its loss is that of the batch.

    A last batch with less than one crystal for each process is computed by all of them.
    """
    n_crystals: float = len(examples)
    if len(examples) >= n_processes > 1:
        examples, n_crystals = examples[number::n_processes], len(examples) / n_processes
    parts = [collate(part, angles, backend) for part in within_angles(examples, max_angles)]
    return TrainingBatch(parts, n_crystals)


def loader(
    examples: Sequence[Example],
    batches: Sampler[list[int]] | Sequence[list[int]],
    make: Callable[[Sequence[Example]], TrainingBatch],
    device: torch.device,
) -> DataLoader:
    """Collated batches; for a GPU, processes of their own collate them into memory that it can read."""
    elsewhere = device.type != "cpu"
    n_workers = min(WORKERS, len(os.sched_getaffinity(0)) - 1) if elsewhere else 0
    return DataLoader(
        cast(Dataset, examples),  # for the loader, what has a length and items is one
        batch_sampler=batches,
        collate_fn=make,
        num_workers=n_workers,
        persistent_workers=n_workers > 0,
        pin_memory=device.type == "cuda",
    )


def on_device(batches: DataLoader, device: torch.device) -> Iterator[TrainingBatch]:
    """The batches, each sent to the device while the one before it is computed."""
    ahead: TrainingBatch | None = None
    for batch in batches:
        sent = batch.to(device)
        if ahead is not None:
            yield ahead
        ahead = sent
    if ahead is not None:
        yield ahead
