"""Tune a text encoder on the property itself, before its vectors are read beside the graph.

The encoder with one linear layer on its pooled vector learns the standardised target from the training texts;
the epoch with the least error on the validation texts is kept. LoRA: Hu et al., ICLR 2022, by the package
peft; its changes are added to the weights at the end, so that the result is an encoder like any other.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from curate.errors import InputError
from curate.files import sync_tree, whole_file, write_json
from model.text.encoder import TextEncoder, normalise, pooled
from model.torch_files import load_data

log = logging.getLogger(__name__)

BATCH = 16
RATES = {"full": 5e-5, "lora": 5e-4}  # peak of the learning rate
WARM_UP = 0.1  # share of the updates
RANK = 8  # of LoRA's changes
TUNED = "tuned"  # name of such an encoder in the record of a model
STATE = "state.pt"  # of a tuning that goes on: tensors and numbers
RECORD = "tuning.json"  # errors of each epoch, and what was tuned; written last


@dataclass(frozen=True)
class TunedOn:
    """What an encoder is tuned on."""

    texts: Sequence[str]
    targets: np.ndarray  # (n_texts,) standardised
    is_training: np.ndarray  # (n_texts,) bool
    is_validation: np.ndarray  # (n_texts,) bool


def tuned_encoder(
    encoder: TextEncoder,
    data: TunedOn,
    folder: Path,
    *,
    way: Literal["full", "lora"],
    epochs: int,
    seed: int,
) -> TextEncoder:
    """The encoder after it has learned the target from the texts; a folder that has one is read.

    A tuning that was interrupted goes on after its last whole epoch.

    Args:
        encoder: What is tuned; its pooling is kept.
        data: Texts of the training and the validation part, with the standardised target.
        folder: Where the tuned encoder lies: configuration, tokenizer, weights in safetensors.
        way: `full` for all weights, `lora` for changes of low rank of the attention's queries and values.
        epochs: Passes over the training texts.
        seed: Of the order of the texts, of the linear layer and of LoRA.

    Raises:
        InputError: LoRA is asked for without peft, or the encoder keeps tokens.
    """
    if encoder.pooling == "tokens":
        raise InputError("--tune-text is for one vector a text: leave --fusion cross-attention out")
    if not (folder / RECORD).is_file():
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            _Tuning(encoder, data, folder, way, epochs, seed).run()
    return TextEncoder(str(folder), pooling=encoder.pooling)


class _Tuning:
    def __init__(
        self, encoder: TextEncoder, data: TunedOn, folder: Path, way: str, epochs: int, seed: int
    ) -> None:
        self.data, self.folder, self.way = data, folder, way
        self.epochs, self.seed = epochs, seed
        self.name, self.max_tokens, self.pooling = encoder.name, encoder.max_tokens, encoder.pooling
        self.tokenizer, model = encoder.trainable()
        self.device = next(model.parameters()).device
        self.model: Any = with_lora(model) if way == "lora" else model
        self.head = nn.Linear(encoder.width, 1).to(self.device)
        learned: list[Tensor] = [value for value in self.model.parameters() if value.requires_grad]
        self.optimizer = torch.optim.AdamW([*learned, *self.head.parameters()], lr=RATES[way])
        self.training = np.flatnonzero(data.is_training)
        self.n_updates = epochs * -(-len(self.training) // BATCH)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self.rate)
        self.errors: list[float] = []

    def rate(self, update: int) -> float:
        """Share of the peak: a line up, then a line down."""
        warm = max(1, round(WARM_UP * self.n_updates))
        return min((update + 1) / warm, (self.n_updates - update) / max(1, self.n_updates - warm))

    def run(self) -> None:
        """All epochs that are missing, then the folder."""
        working = self.folder.with_name(self.folder.name + ".tuning")
        working.mkdir(parents=True, exist_ok=True)
        best = self.go_on(working / STATE)
        for epoch in range(len(self.errors), self.epochs):
            self.learn(epoch)
            self.errors.append(self.error())
            log.info(
                "tuning %s, epoch %d of %d: validation error %.4f standard deviations",
                *(self.name, epoch + 1, self.epochs, self.errors[-1]),
            )
            if self.errors[-1] == min(self.errors):
                best = self.weights()
            self.keep(working / STATE, best)
        self.write(best)
        shutil.rmtree(working)

    def learn(self, epoch: int) -> None:
        """One pass over the training texts, in an order that the seed and the epoch draw."""
        self.model.train()
        torch.manual_seed(self.seed * 10_007 + epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.training)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            wanted = torch.tensor(self.data.targets[chosen], dtype=torch.float32).to(self.device)
            self.optimizer.zero_grad()
            F.l1_loss(self.predicted(chosen), wanted).backward()
            self.optimizer.step()
            self.schedule.step()

    def predicted(self, chosen: np.ndarray) -> Tensor:
        """(n,) standardised targets that the texts of these numbers are taken to have."""
        batch = self.tokenizer(
            [normalise(self.data.texts[number]) for number in chosen],
            padding="longest",
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        ).to(self.device)
        hidden = self.model(**batch).last_hidden_state
        return self.head(pooled(hidden, batch["attention_mask"], self.pooling)).squeeze(1)

    def error(self) -> float:
        """Mean absolute error of the validation texts, in standard deviations of the target."""
        self.model.eval()
        chosen = np.flatnonzero(self.data.is_validation)
        with torch.inference_mode():
            found = [
                self.predicted(chosen[start : start + BATCH]).cpu().numpy()
                for start in range(0, len(chosen), BATCH)
            ]
        return float(np.abs(np.concatenate(found) - self.data.targets[chosen]).mean())

    def weights(self) -> dict[str, Tensor]:
        """A copy of what is learned of the encoder."""
        named = self.model.named_parameters()
        return {name: value.detach().clone() for name, value in named if value.requires_grad}

    def keep(self, path: Path, best: dict[str, Tensor]) -> None:
        """All that the next epoch needs, whole or not at all."""
        state = {
            "asked": self.asked(),
            "errors": self.errors,
            "best": best,
            "now": self.weights(),
            "head": self.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "updates": self.schedule.last_epoch,
        }
        with whole_file(path) as partial:
            torch.save(state, partial)

    def go_on(self, path: Path) -> dict[str, Tensor]:
        """Take up a tuning of the same settings; the best weights so far."""
        if not path.is_file():
            return {}
        state = load_data(path, path, self.device)
        if state["asked"] != self.asked():
            return {}
        self.errors = state["errors"]
        self.put(state["now"])
        self.head.load_state_dict(state["head"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.last_epoch = state["updates"]
        log.info("tuning %s goes on after epoch %d", self.name, len(self.errors))
        return state["best"]

    def asked(self) -> str:
        """What the state belongs to."""
        return json.dumps([self.name, self.way, self.epochs, self.seed, len(self.training)])

    def put(self, weights: dict[str, Tensor]) -> None:
        """Set what is learned of the encoder."""
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                if name in weights:
                    value.copy_(weights[name])

    def write(self, best: dict[str, Tensor]) -> None:
        """The folder of the encoder; its record is written last."""
        self.put(best)
        model = self.model.merge_and_unload() if self.way == "lora" else self.model
        shutil.rmtree(self.folder, ignore_errors=True)
        model.save_pretrained(self.folder)
        self.tokenizer.save_pretrained(self.folder)
        sync_tree(self.folder)
        write_json(
            self.folder / RECORD,
            {
                "tuned": self.name,
                "way": self.way,
                "epochs": self.epochs,
                "chosen_epoch": int(np.argmin(self.errors)) + 1,
                "validation_errors": self.errors,
                "seed": self.seed,
                "training_texts": len(self.training),
            },
        )


def with_lora(model: nn.Module) -> Any:
    """The encoder with changes of low rank to learn, and nothing else."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise InputError("--tune-text lora needs peft: pip install 'crysmmnet[lora]'") from error
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=["query", "value"])
    return get_peft_model(model, config)
