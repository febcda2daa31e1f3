"""The training loop: transformers' Trainer with the released schedule and batches."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import time
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from accelerate import PartialState
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from curate.errors import InputError
from model.config import LossName, TrainConfig
from model.data.prepare import Prepared
from model.network.batch import Batch, Example, collate, within_angles
from model.network.batch_norm import join_statistics
from model.network.crysmmnet import CrysMMNet

log = logging.getLogger(__name__)


LOSSES: dict[LossName, Callable[..., Tensor]] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "huber": F.huber_loss,  # its bend is at one standard deviation of the target
}


class CrysMMNetTrainer(Trainer):
    """Trainer with the released optimiser groups and schedule, and parts bounded by angles."""

    loss_name: LossName = "mse"  # as released

    def get_train_dataloader(self) -> DataLoader:
        """The batches of one process; of several, each is given them all and takes its share of each.

        accelerate would deal out whole batches and fill up the last ones with crystals seen before.
        """
        if self.args.world_size == 1:
            return super().get_train_dataloader()
        collate = self.data_collator
        self.data_collator = partial(_share_of, self.args, collate)
        loader = super().get_train_dataloader()
        self.data_collator = collate
        dealt: Any = loader.batch_sampler
        dealt.num_processes, dealt.process_index, dealt.even_batches = 1, 0, False
        return loader

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Mean loss over the whole batch, of which `parts` may be a part."""
        parts: list[Batch] = inputs["parts"]
        prediction = torch.cat([model(part) for part in parts]).float()  # (n_crystals,)
        total = LOSSES[self.loss_name](prediction, inputs["target"], reduction="sum")
        loss = total / inputs["n_crystals"]
        if model.training and not torch.isfinite(loss):
            ids = ", ".join(name for part in parts for name in part.ids)
            raise InputError(
                f"the loss became {loss.item()} in update {self.state.global_step + 1}; "
                f"the batch holds {ids}"
            )
        return (loss, {"prediction": prediction}) if return_outputs else loss

    def training_step(self, model, inputs, num_items_in_batch=None) -> Tensor:
        """Forward and backward, part by part; the gradients add up to those of the batch."""
        *first, last = inputs["parts"]
        total = torch.zeros((), device=self.args.device)
        for part in (*first, last):
            piece = {**inputs, "parts": [part], "target": part.target}
            waiting = nullcontext() if part is last else self.accelerator.no_sync(model)
            with waiting:  # devices exchange gradients once a batch
                total += super().training_step(model, piece, num_items_in_batch)
        return total

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """All but biases and the parameters of norms."""
        norms = (nn.BatchNorm1d, nn.LayerNorm)
        return [
            f"{name}.{own}" if name else own
            for name, module in model.named_modules()
            if not isinstance(module, norms)
            for own, _ in module.named_parameters(recurse=False)
            if own != "bias"
        ]

    def create_scheduler(self, num_training_steps: int, optimizer=None):
        """One cycle to the peak over the first 30 % of all updates, then down."""
        if self.lr_scheduler is None:
            schedule = OneCycleLR(
                optimizer or self.optimizer,  # type: ignore[arg-type]
                max_lr=self.args.learning_rate,
                total_steps=num_training_steps,
                pct_start=0.3,
            )
            self.lr_scheduler, self._created_lr_scheduler = schedule, True  # type: ignore[assignment]
        return self.lr_scheduler


def _share_of(arguments: TrainingArguments, collate, examples: list[Example]) -> dict:
    """This process's part of the batch; its loss is scaled so that the mean over processes is the batch's.

    A last batch with less than one crystal for each process is computed by all of them.
    """
    n = arguments.world_size
    if len(examples) < n:
        return collate(examples)
    share = collate(examples[arguments.process_index :: n])
    return {**share, "n_crystals": len(examples) / n}


class EpochSeconds(TrainerCallback):
    """The duration of each epoch, kept in the checkpoints: a resumed training knows its whole one."""

    def on_epoch_begin(self, args, state, control, **kwargs) -> None:
        self.began = time.monotonic()

    def on_evaluate(self, args, state, control, **kwargs) -> None:
        seconds = time.monotonic() - self.began
        state.log_history.append({"epoch": state.epoch, "seconds": seconds})


class EpochLine(TrainerCallback):
    """One line of the log for each epoch."""

    def __init__(self, unit: str) -> None:
        self.unit = unit

    def on_evaluate(self, args, state, control, metrics=None, **kwargs) -> None:
        loss = next((row["loss"] for row in reversed(state.log_history) if "loss" in row), None)
        if state.is_world_process_zero and metrics and loss is not None:
            log.info(
                "epoch %d of %d  loss %.4f  val MAE %.4f %s",
                round(state.epoch or 0),
                args.num_train_epochs,
                loss,
                metrics["eval_mae"],
                self.unit,
            )


def make_trainer(model: CrysMMNet, prepared: Prepared, config: TrainConfig) -> CrysMMNetTrainer:
    """A trainer that keeps the checkpoint of the best and of the last epoch."""
    scale = prepared.preprocessing

    angles = model.reads_angles
    state = PartialState()
    if state.num_processes > 1 and config.max_angles is None:
        join_statistics(model)  # parts of a batch have statistics of their own in one process too

    def collated(examples: list[Example]) -> dict:
        parts = [collate(part, angles) for part in within_angles(examples, config.max_angles)]
        target = torch.cat([part.target for part in parts])
        return {"parts": parts, "target": target, "n_crystals": len(examples)}

    def mae(result: EvalPrediction) -> dict[str, float]:
        error = np.asarray(result.predictions) - np.asarray(result.label_ids)
        return {"mae": scale.std * float(np.abs(error).mean())}

    arguments = TrainingArguments(
        output_dir=str(config.out / "checkpoints"),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size * state.num_processes,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulate,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        max_grad_norm=0,  # released without clipping
        optim="adamw_torch",
        use_cpu=on_cpu(),
        bf16=config.precision == "bf16",
        fp16=config.precision == "fp16",
        seed=config.seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        logging_nan_inf_filter=False,
        load_best_model_at_end=True,
        metric_for_best_model="mae",
        greater_is_better=False,
        save_total_limit=1,  # and the best
        label_names=["target"],
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        accelerator_config={"non_blocking": torch.cuda.is_available()},
        disable_tqdm=True,
        report_to="none",
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several devices: one process each, by torchrun
    callbacks: list[TrainerCallback] = [EpochSeconds(), EpochLine(scale.learned_unit)]
    if config.tensorboard:
        callbacks.append(tensorboard(config.out / "tensorboard"))
    if config.patience:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=config.patience))
    trainer = CrysMMNetTrainer(
        model=model,
        args=arguments,
        train_dataset=prepared.parts["train"],
        eval_dataset=prepared.parts["val"],
        data_collator=collated,
        compute_metrics=mae,
        callbacks=callbacks,
    )
    trainer.loss_name = config.loss
    trainer.remove_callback(PrinterCallback)
    return trainer


def on_cpu() -> bool:
    """Whether there is nothing faster; said to accelerate, so that processes find each other."""
    return not torch.accelerator.is_available()


def tensorboard(folder: Path) -> TrainerCallback:
    """Loss, validation error and learning rate for TensorBoard."""
    if find_spec("tensorboard") is None:
        raise InputError("--tensorboard needs the package tensorboard: pip install tensorboard")
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    return TensorBoardCallback(SummaryWriter(str(folder)))


def train_or_resume(trainer: CrysMMNetTrainer) -> None:
    """Train to the end, from the last complete checkpoint if there is one."""
    checkpoint = last_checkpoint(Path(str(trainer.args.output_dir)))
    if checkpoint:
        log.info("continuing from %s", checkpoint.name)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{checkpoint} holds pickled code, which is never run; delete it to start anew"
        ) from error


def last_checkpoint(folder: Path) -> Path | None:
    """The latest checkpoint that was written to its end; torn ones are removed."""
    complete = []
    for path in folder.glob("checkpoint-*"):
        if is_complete(path):
            complete.append(path)
        else:
            shutil.rmtree(path)
    return max(complete, key=lambda path: int(path.name.split("-")[1]), default=None)


def is_complete(checkpoint: Path) -> bool:
    """Whether all files of a checkpoint were written to their ends; trainer_state.json is the last.

    A pickle is no torn file: that it is refused is said when it is read.
    """
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        weights = (checkpoint / "model.safetensors").read_bytes()
        safetensors.deserialize(weights)
    except (OSError, ValueError, safetensors.SafetensorError):
        return False
    states = [*checkpoint.glob("*.pt"), *checkpoint.glob("*.pth")]
    return all(zipfile.is_zipfile(path) or _is_pickle(path) for path in states)


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == pickle.PROTO


def history_of(trainer: CrysMMNetTrainer) -> list[dict[str, float]]:
    """Loss, validation MAE, learning rate and seconds of each epoch, resumed ones included."""
    epochs: dict[int, dict[str, float]] = {}
    for row in trainer.state.log_history:
        number = round(row["epoch"])
        if "loss" in row:
            rate = row["learning_rate"]
            epochs[number] = {"epoch": number, "train_loss": row["loss"], "learning_rate": rate}
        elif "eval_mae" in row:
            epochs[number]["val_mae"] = row["eval_mae"]
        elif "seconds" in row:
            epochs[number]["seconds"] = row["seconds"]
    return [epochs[number] for number in sorted(epochs)]
