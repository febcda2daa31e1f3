"""The processes that train one model: `torchrun` starts one for each device, else there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed as dist

TIMEOUT = timedelta(days=1)  # the first process may encode texts for hours while the others wait


@dataclass(frozen=True)
class Processes:
    """How many processes there are, which of them this is, and what it computes on."""

    n: int
    number: int
    device: torch.device

    @classmethod
    def joined(cls) -> Processes:
        """The processes that the launcher's environment names; they find each other at the first call."""
        n, number = (int(os.environ.get(name, "0")) for name in ("WORLD_SIZE", "RANK"))
        kind = accelerator()
        if n < 2:
            return cls(1, 0, torch.device(kind))
        device = (
            torch.device(kind, int(os.environ.get("LOCAL_RANK", "0"))) if kind == "cuda" else None
        )
        if device is not None:
            torch.cuda.set_device(device)
        if not dist.is_initialized():
            dist.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=TIMEOUT)
        return cls(n, number, device or torch.device(kind))

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.number == 0

    def wait(self) -> None:
        """Until all processes are here."""
        if self.n > 1:
            dist.barrier()

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """The block is run by the first process, then by the others, which find what it wrote."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()

    def gathered(self, value: Any) -> list[Any]:
        """The value of each process, in their order."""
        if self.n == 1:
            return [value]
        values: list[Any] = [None] * self.n
        dist.all_gather_object(values, value)
        return values


def accelerator() -> str:
    """The kind of device that trainings run on here: `cuda`, another accelerator's, or `cpu`."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return "cpu" if found is None else found.type
