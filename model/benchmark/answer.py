"""The answer of a benchmark: predictions of every model, fold and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.benchmark.folds import Fold
from model.benchmark.inputs import Inputs
from model.config import TextInput
from model.statistics.paired_difference import Errors

BLENDS = {"blend without text": "", "blend": "text", "blend, shuffled text": "shuffled text"}
NETWORKS: Mapping[str, tuple[str, TextInput]] = {
    "network, graph": ("graph", "description"),
    "network, graph and text": ("both", "description"),
    "network, graph and shuffled text": ("both", "shuffled"),
}


@dataclass(frozen=True)
class Answer:
    """All predictions of a benchmark. A model's name is that of a member, a blend or a network."""

    inputs: Inputs
    folds: Sequence[Fold]
    seeds: Sequence[int]
    models: Sequence[str]
    by_seed: Mapping[tuple[str, str, int], np.ndarray]  # model, fold, seed: (n_test,)
    chosen: Mapping[str, Any]  # by blend and fold: shares; by member, fold and seed: settings
    seconds: Mapping[str, float]  # by model

    def test(self, model: str, fold: Fold) -> np.ndarray:
        """(n_test,) predictions, the mean over the seeds."""
        return np.mean([self.by_seed[model, fold.name, seed] for seed in self.seeds], axis=0)

    def fold_maes(self, model: str) -> list[float]:
        """Mean absolute error of each fold."""
        targets = self.inputs.targets
        return [
            float(np.abs(self.test(model, fold) - targets[fold.test]).mean()) for fold in self.folds
        ]

    def errors(self, model: str) -> Errors:
        """Absolute error of each training, its seed and fold, and crystal."""
        targets, ids = self.inputs.targets, self.inputs.ids
        return {
            ((seed, fold.name), ids[row]): abs(float(value) - float(targets[row]))
            for fold in self.folds
            for seed in self.seeds
            for row, value in zip(fold.test, self.by_seed[model, fold.name, seed], strict=True)
        }
