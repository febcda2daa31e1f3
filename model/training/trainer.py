"""The training loop, with the released schedule and batches.

Within an update the host asks the device for no number: losses are added up there and read once an epoch,
so that a GPU is given its next kernels while it computes.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim.lr_scheduler import OneCycleLR

from curate.errors import InputError, named
from model.config import LossName, TrainConfig
from model.data.examples import Prepared
from model.network.batch import Batch
from model.network.batch_norm import join_statistics
from model.network.crysmmnet import CrysMMNet
from model.training import checkpoints
from model.training.batches import (
    BatchRules,
    EpochSampler,
    TrainingBatch,
    backend_of,
    batches_of,
    in_order,
)
from model.training.checkpoints import State
from model.training.processes import Processes

log = logging.getLogger(__name__)


LOSSES: dict[LossName, Callable[..., Tensor]] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "huber": F.huber_loss,  # its bend is at one standard deviation of the target
}
WARM_UP = 0.3  # share of the updates before the peak of the learning rate
DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Trainer:
    """Trains a network, and keeps the checkpoints of the best and the last epoch.

    Args:
        model: The network; it ends with the weights of the epoch that validation chose.
        prepared: The examples of train and val, and the scale of the target.
        config: Epochs, batches, optimiser, precision.
        processes: Those that train it together; found in the environment where it is None.

    Raises:
        InputError: The precision needs another device.
    """

    def __init__(
        self,
        model: CrysMMNet,
        prepared: Prepared,
        config: TrainConfig,
        processes: Processes | None = None,
    ) -> None:
        self.processes = processes = processes or Processes.joined()
        self.config, self.prepared = config, prepared
        self.device = device = processes.device
        if config.precision == "fp16" and device.type == "cpu":
            raise InputError("--precision fp16 needs a GPU; on a CPU take fp32 or bf16")
        torch.manual_seed(config.seed)  # of dropout
        self.model = model.to(device)
        if processes.n > 1 and config.max_angles is None:
            join_statistics(
                model
            )  # parts of a batch have statistics of their own in one process too
        self.network = self.wrapped(model)
        self.optimizer = torch.optim.AdamW(
            self.parameter_groups(),
            lr=config.learning_rate,
            fused=True if device.type == "cuda" else None,
        )
        train, val = prepared.parts["train"], prepared.parts["val"]
        alone = BatchRules(
            model.reads_angles, config.max_angles, backend_of(config.compile, device)
        )
        shared = replace(alone, number=processes.number, n_processes=processes.n)
        of_all = config.batch_size * processes.n
        self.sampler = EpochSampler(len(train), of_all, config.seed)
        self.training_batches = batches_of(train, self.sampler, shared, device)
        own = in_order(len(val), config.batch_size)[processes.number :: processes.n]
        self.validation_batches = batches_of(val, own, alone, device)
        self.updates_per_epoch = math.ceil(len(self.sampler) / config.accumulate)
        self.schedule = OneCycleLR(
            self.optimizer,
            max_lr=config.learning_rate,
            total_steps=config.epochs * self.updates_per_epoch,
            pct_start=WARM_UP,
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.folder = config.out / "checkpoints"
        self.state = State()
        self.writer = tensorboard(config.out / "tensorboard") if config.tensorboard else None

    def wrapped(self, model: CrysMMNet) -> nn.Module:
        """The network as it is called while learning: compiled, and in step with other processes."""
        network: Any = torch.compile(model, dynamic=True) if self.config.compile else model
        if self.processes.n == 1:
            return network
        ids = [self.device.index] if self.device.type == "cuda" else None
        # the last layers update bonds and angles that no readout reads
        return nn.parallel.DistributedDataParallel(network, ids, find_unused_parameters=True)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Weights, which decay, and biases and the parameters of norms, which do not."""
        decaying = decaying_parameters(self.model)
        named = list(self.model.named_parameters())
        return [
            {
                "params": [p for name, p in named if name in decaying],
                "weight_decay": self.config.weight_decay,
            },
            {"params": [p for name, p in named if name not in decaying], "weight_decay": 0.0},
        ]

    def train(self) -> None:
        """Train to the end, from the last complete checkpoint if there is one, and take the best weights."""
        checkpoint = None
        with self.processes.first_goes_first():
            checkpoint = checkpoints.last_checkpoint(self.folder)
        if checkpoint is not None:
            log.info("continuing from %s", checkpoint.name)
            checkpoints.restore(checkpoint, self.model, self.stateful)
            self.state = State.read(checkpoint)
        done = self.state.global_step // self.updates_per_epoch
        if checkpoint is not None:
            checkpoints.restore_random_state(
                checkpoint, self.processes.number, self.processes.n, self.device
            )
        for epoch in range(done, self.config.epochs):
            if self.config.patience and self.state.epochs_since_best >= self.config.patience:
                break
            self.run_epoch(epoch)
        self.processes.wait()
        if self.state.best_global_step is not None:
            best = checkpoints.place(self.folder, self.state.best_global_step)
            checkpoints.restore(best, self.model, {})

    @property
    def stateful(self) -> dict[str, Any]:
        """What goes into a checkpoint beside the weights, by the name of its file."""
        found = {checkpoints.OPTIMIZER: self.optimizer, checkpoints.SCHEDULE: self.schedule}
        return found | ({checkpoints.SCALER: self.scaler} if self.scaler.is_enabled() else {})

    def run_epoch(self, epoch: int) -> None:
        """One pass over the training crystals, validation, and a checkpoint."""
        began = time.monotonic()
        self.sampler.epoch = epoch
        batches = iter(self.training_batches)
        total = torch.zeros((), device=self.device)
        losses: list[Tensor] = []
        ids: list[list[str]] = []
        rate: Any = math.nan
        while group := list(islice(batches, self.config.accumulate)):
            for batch, loss in zip(group, self.gradients(group), strict=True):
                losses.append(loss)
                ids.append(batch.ids)
                total += loss
            rate = self.schedule.get_last_lr()[0]
            self.update()
            self.state.global_step += 1
        self.refuse_lost(losses, ids)
        of_all = float(np.mean(self.processes.gathered(total.item())))
        row = {"loss": of_all / self.updates_per_epoch, "learning_rate": rate}
        error = self.validation_error()
        if not math.isfinite(error):
            raise InputError(
                f"the validation error became {error} in epoch {epoch + 1}: lower --learning-rate, which is "
                f"{self.config.learning_rate:g}"
            )
        seconds = time.monotonic() - began
        self.note(epoch + 1, row, {"eval_mae": error}, {"seconds": seconds})
        if error < (math.inf if self.state.best_metric is None else self.state.best_metric):
            self.state.best_metric, self.state.best_global_step = error, self.state.global_step
        random_states = self.processes.gathered(checkpoints.random_state(self.device))
        if self.processes.is_first:
            checkpoints.write(self.folder, self.state, self.model, self.stateful, random_states)

    def note(self, epoch: int, *rows: dict[str, float]) -> None:
        """Keep the numbers of an epoch, and say them."""
        numbers: dict[str, float] = {}
        for row in rows:
            self.state.log_history.append(
                {**row, "epoch": float(epoch), "step": self.state.global_step}
            )
            numbers |= row
        if not self.processes.is_first:
            return
        log.info(
            "epoch %d of %d  loss %.4f  val MAE %.4f %s",
            epoch,
            self.config.epochs,
            numbers["loss"],
            numbers["eval_mae"],
            self.prepared.preprocessing.learned_unit,
        )
        if self.writer is not None:
            for name, value in numbers.items():
                self.writer.add_scalar(
                    name.replace("eval_", "validation/"), value, self.state.global_step
                )

    def gradients(self, group: Sequence[TrainingBatch]) -> Iterator[Tensor]:
        """Forward and backward, part by part; the gradients add up to those of an update.

        Yields:
            The loss of each batch, on the device.
        """
        self.network.train()
        for batch in group:
            total = torch.zeros((), device=self.device)
            for part in batch.parts:
                is_last = batch is group[-1] and part is batch.parts[-1]
                with nullcontext() if is_last or self.processes.n == 1 else self.network.no_sync():  # type: ignore[operator]
                    found = LOSSES[self.config.loss](
                        self.predicted(part), part.target, reduction="sum"
                    )
                    loss = found / batch.n_crystals / len(group)
                    self.scaler.scale(loss).backward()
                total += loss.detach()
            yield total

    def predicted(self, part: Batch, network: nn.Module | None = None) -> Tensor:
        """(n_crystals,) float32 outputs of the network in the precision of the training."""
        dtype = DTYPES[self.config.precision]
        with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            return (network or self.network)(part.settled()).float()

    def update(self) -> None:
        """Move the weights, and the learning rate."""
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if (
            self.scaler.get_scale() >= scale
        ):  # else gradients overflowed in 16 bits, and nothing moved
            self.schedule.step()
        self.optimizer.zero_grad()

    def refuse_lost(self, losses: list[Tensor], ids: list[list[str]]) -> None:
        """InputError where a loss of the epoch was no number, with the crystals of its batch."""
        first = self.state.global_step - math.ceil(len(losses) / self.config.accumulate) + 1
        for number, value in enumerate(torch.stack(losses).tolist()):
            if not math.isfinite(value):
                raise InputError(
                    f"the loss became {value} in update {first + number // self.config.accumulate}; "
                    f"lower --learning-rate, or look at the crystals of the batch: {named(set(ids[number]))}"
                )

    @torch.no_grad()
    def validation_error(self) -> float:
        """MAE of the validation crystals, in the unit that is learned."""
        self.model.eval()
        outputs, targets = [], []
        for batch in self.validation_batches:
            outputs += [self.predicted(part, self.model) for part in batch.parts]
            targets.append(batch.target)
        none = np.zeros(0, np.float32)
        own = tuple(
            torch.cat(values).cpu().numpy() if values else none for values in (outputs, targets)
        )
        found = self.processes.gathered(own)
        predicted, wanted = (np.concatenate(values) for values in zip(*found, strict=True))
        return self.prepared.preprocessing.std * float(np.abs(predicted - wanted).mean())


def decaying_parameters(model: nn.Module) -> set[str]:
    """Names of all parameters but biases and those of norms."""
    norms = (nn.BatchNorm1d, nn.LayerNorm)
    return {
        f"{name}.{own}" if name else own
        for name, module in model.named_modules()
        if not isinstance(module, norms)
        for own, _ in module.named_parameters(recurse=False)
        if own != "bias"
    }


def tensorboard(folder: Path) -> Any:
    """What logs for TensorBoard; InputError where it is not installed."""
    if find_spec("tensorboard") is None:
        raise InputError("--tensorboard needs the package tensorboard: pip install tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
