"""Outputs of an ensemble of networks that differ in their seed (Lakshminarayanan et al., NeurIPS 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.network.batch import Example
from model.network.crysmmnet import CrysMMNet
from model.network.inference import infer, infer_and_embed


@dataclass(frozen=True)
class EnsembleOutputs:
    """What the networks say of n crystals, standardised as they learned it."""

    means: np.ndarray  # (n,)
    spreads: np.ndarray | None  # (n,) standard deviations over the networks; None of one network
    vectors: np.ndarray  # (n, width) what the head of the first network reads


def ensemble_outputs(
    networks: Sequence[CrysMMNet], examples: Sequence[Example], batch_size: int
) -> EnsembleOutputs:
    """Run all networks over examples.

    Args:
        networks: One or more of the same sizes.
        examples: Crystals with the modalities that the networks see.
        batch_size: Crystals computed at once.
    """
    first, *others = networks
    outputs, vectors = infer_and_embed(first, examples, batch_size)
    every = np.stack([outputs, *(infer(one, examples, batch_size) for one in others)])
    every = every.astype(float)  # (n_networks, n)
    return EnsembleOutputs(every.mean(axis=0), every.std(axis=0) if others else None, vectors)
