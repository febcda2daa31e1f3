"""How far a crystal is from all training crystals, in what the network makes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load_file, save_file

from curate.files import whole_file
from model.model_folder import NEIGHBORHOOD, ModelFolder

MOST_KEPT = 10_000  # training crystals; of more, as many are drawn
WITHIN = 0.99  # share of the validation crystals that is not far
AT_ONCE = 1_000  # crystals compared with all kept ones


@dataclass(frozen=True)
class Neighborhood:
    """Training crystals as the network sees them, and how far from them validation crystals are.

    Distances are one minus the cosine of the angle to the nearest training crystal.
    """

    vectors: np.ndarray  # (n, width) float32, of length 1
    validation: np.ndarray  # (n_val,) distances, rising

    @classmethod
    def measure(cls, training: np.ndarray, validation: np.ndarray, seed: int) -> Neighborhood:
        """Keep training crystals and measure the validation crystals' distances.

        Args:
            training: (n_train, width) vectors of training crystals.
            validation: (n_val, width) of validation crystals.
            seed: Of the draw, where there are more than MOST_KEPT.
        """
        if len(training) > MOST_KEPT:
            order = np.random.default_rng(seed).permutation(len(training))
            training = training[np.sort(order[:MOST_KEPT])]
        kept = cls(of_length_one(training), np.zeros(0, np.float32))
        return cls(kept.vectors, np.sort(kept.distances(validation)))

    def distances(self, vectors: np.ndarray) -> np.ndarray:
        """(n,) distances of crystals, (n, width), from the nearest training crystal."""
        found = [
            1 - (of_length_one(vectors[start : start + AT_ONCE]) @ self.vectors.T).max(axis=1)
            for start in range(0, len(vectors), AT_ONCE)
        ]
        return np.concatenate(found) if found else np.zeros(0, np.float32)

    @property
    def limit(self) -> float:
        """The distance beyond which a crystal is far: that of 99 % of the validation crystals, or of all of
        them where they are few."""
        n = len(self.validation)
        return float(self.validation[min(math.ceil(WITHIN * (n + 1)), n) - 1])

    def save(self, folder: ModelFolder) -> None:
        """Write it beside the weights."""
        tensors = {"vectors": self.vectors, "validation": self.validation.astype(np.float32)}
        with whole_file(folder.path / NEIGHBORHOOD) as partial:
            save_file(tensors, partial)

    @classmethod
    def load(cls, folder: ModelFolder) -> Neighborhood | None:
        """That of a model folder; None in one of an earlier version."""
        if not folder.has(NEIGHBORHOOD):
            return None
        return cls(**load_file(folder.path / NEIGHBORHOOD))


def of_length_one(vectors: np.ndarray) -> np.ndarray:
    """(n, width) vectors over their lengths."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
