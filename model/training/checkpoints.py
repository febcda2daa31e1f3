"""Checkpoints: all that a training needs to go on as if it had never been stopped.

    OUT/checkpoints/checkpoint-N/model.safetensors   after N updates
                                 optimizer.pt, scheduler.pt, scaler.pt, rng_state.pth
                                 trainer_state.json  the history; the last that is written

The names, and what the files hold, are those of transformers' Trainer, by which earlier versions trained:
a training that they began goes on here.
"""

from __future__ import annotations

import codecs
import json
import pickle
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from curate.files import sync, sync_tree
from model.torch_files import load_data

WEIGHTS, STATE = "model.safetensors", "trainer_state.json"
OPTIMIZER, SCHEDULE, SCALER = "optimizer.pt", "scheduler.pt", "scaler.pt"
# Of the arrays in the random states that earlier versions wrote.
ARRAY_PARTS = [
    np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    np.ndarray,
    np.dtype,
    type(np.dtype(np.uint32)),
    codecs.encode,
]


@dataclass
class State:
    """How far a training is."""

    global_step: int = 0  # updates
    best_global_step: int | None = None  # after which validation was best
    best_metric: float | None = None  # the validation error there
    log_history: list[dict[str, float]] = field(default_factory=list)

    @property
    def epochs(self) -> list[dict[str, float]]:
        """Loss, validation MAE, learning rate and seconds of each epoch."""
        epochs: dict[int, dict[str, float]] = {}
        for row in self.log_history:
            number = round(row["epoch"])
            if "loss" in row:
                rate = row["learning_rate"]
                epochs[number] = {"epoch": number, "train_loss": row["loss"], "learning_rate": rate}
            elif "eval_mae" in row:
                epochs[number]["val_mae"] = row["eval_mae"]
            elif "seconds" in row:
                epochs[number]["seconds"] = row["seconds"]
        return [epochs[number] for number in sorted(epochs)]

    @property
    def epochs_since_best(self) -> int:
        """Epochs without a better validation error."""
        lowest, since = float("inf"), 0
        for epoch in self.epochs:
            since = 0 if epoch["val_mae"] < lowest else since + 1
            lowest = min(lowest, epoch["val_mae"]) if since == 0 else lowest
        return since

    @classmethod
    def read(cls, checkpoint: Path) -> State:
        """That of a checkpoint."""
        stored = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        return cls(**{name: stored[name] for name in cls.__dataclass_fields__ if name in stored})


def place(folder: Path, step: int | None) -> Path:
    """The checkpoint after so many updates."""
    return folder / f"checkpoint-{step}"


def write(
    folder: Path,
    state: State,
    weights: nn.Module,
    others: dict[str, Any],
    random_states: list[dict[str, Any]],
) -> None:
    """Write a checkpoint, then remove all but it and the best.

    Args:
        folder: Of the checkpoints.
        state: How far the training is.
        weights: The network.
        others: What else has a state_dict, by the name of its file.
        random_states: Of each process.
    """
    partial, whole = folder / "unfinished", place(folder, state.global_step)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    values = {name: value.contiguous() for name, value in weights.state_dict().items()}
    save_file(values, partial / WEIGHTS, metadata={"format": "pt"})
    for name, other in others.items():
        torch.save(other.state_dict(), partial / name)
    for number, random_state in enumerate(random_states):
        torch.save(random_state, partial / random_file(number, len(random_states)))
    (partial / STATE).write_text(json.dumps(vars(state), indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(whole, ignore_errors=True)
    sync_tree(partial)
    partial.rename(whole)
    sync(folder)
    kept = {whole, place(folder, state.best_global_step)}
    for path in folder.glob("checkpoint-*"):
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def random_file(number: int, n: int) -> str:
    """Name of the file with the random states of a process."""
    return "rng_state.pth" if n == 1 else f"rng_state_{number}.pth"


def random_state(device: torch.device) -> dict[str, Any]:
    """The random states of this process."""
    states: dict[str, Any] = {"cpu": torch.random.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_state(checkpoint: Path, number: int, n: int, device: torch.device) -> None:
    """Draw on as the process did that wrote the checkpoint; nothing where other processes wrote it."""
    path = checkpoint / random_file(number, n)
    if not path.is_file():
        return
    with torch.serialization.safe_globals(ARRAY_PARTS):
        states = load_data(path, checkpoint)
    torch.random.set_rng_state(states["cpu"])
    if device.type == "cuda" and isinstance(of_device := states.get("cuda"), torch.Tensor):
        torch.cuda.set_rng_state(of_device, device)


def restore(checkpoint: Path, weights: nn.Module, others: dict[str, Any]) -> None:
    """Bring network, optimiser and schedule to where they were; InputError where a file holds code."""
    weights.load_state_dict(load_file(checkpoint / WEIGHTS))
    for name, other in others.items():
        if (checkpoint / name).is_file():
            other.load_state_dict(load_data(checkpoint / name, checkpoint))


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
        json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        safetensors.deserialize((checkpoint / WEIGHTS).read_bytes())
    except (OSError, ValueError, safetensors.SafetensorError):
        return False
    states = [*checkpoint.glob("*.pt"), *checkpoint.glob("*.pth")]
    return all(zipfile.is_zipfile(path) or _is_pickle(path) for path in states)


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == pickle.PROTO
