"""Run a network over examples without gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from model.network.batch import Batch, Example, collate, within_angles
from model.network.crysmmnet import CrysMMNet

ANGLES_AT_ONCE = 200_000  # bound of memory where nothing is kept for gradients


def infer(
    model: CrysMMNet,
    examples: Sequence[Example],
    batch_size: int,
    max_angles: int | None = ANGLES_AT_ONCE,
) -> np.ndarray:
    """Outputs of a network, in eval mode.

    Args:
        model: The network; its mode is restored afterwards.
        examples: Crystals with the modalities that the network sees.
        batch_size: Crystals computed at once.
        max_angles: Bond angles computed at once, a bound of memory; None for no bound.

    Returns:
        (n,) standardised outputs in the examples' order; `Preprocessing.restore` gives them a unit.
    """
    outputs = _in_batches(model, model, examples, batch_size, max_angles)
    return np.concatenate(outputs) if outputs else np.zeros(0, np.float32)


def embed(model: CrysMMNet, examples: Sequence[Example], batch_size: int) -> np.ndarray:
    """(n, width) what the head reads of each crystal, in eval mode; see `CrysMMNet.fused`."""
    return np.concatenate(_in_batches(model, model.fused, examples, batch_size, ANGLES_AT_ONCE))


def embed_graphs(model: CrysMMNet, examples: Sequence[Example], batch_size: int) -> np.ndarray:
    """(n, width) the readout of each crystal's graph, in eval mode, whatever else the model reads."""

    def readout(batch: Batch) -> Tensor:
        return model.readout(model.graph_encoder(batch))

    return np.concatenate(_in_batches(model, readout, examples, batch_size, ANGLES_AT_ONCE))


def _in_batches(
    model: CrysMMNet,
    function: Callable[[Batch], Tensor],
    examples: Sequence[Example],
    batch_size: int,
    max_angles: int | None,
) -> list[np.ndarray]:
    was_training = model.training
    model.eval()
    outputs: list[np.ndarray] = []
    with torch.inference_mode():
        for start in range(0, len(examples), batch_size):
            for part in within_angles(examples[start : start + batch_size], max_angles):
                # torch, which gives DGL's numbers: without gradients DGL saves no memory, and
                # importing it takes longer than predicting a few crystals
                batch = collate(part, model.reads_angles, "torch").to(model.device)
                outputs.append(function(batch).float().cpu().numpy())
    model.train(was_training)
    return outputs
