"""A network and examples in, its outputs out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from model.batch import Example, collate, within_angles
from model.crysmmnet import CrysMMNet

ANGLES_AT_ONCE = 200_000  # bound of memory where nothing is kept for gradients


def infer(
    model: CrysMMNet,
    examples: Sequence[Example],
    batch_size: int,
    max_angles: int | None = ANGLES_AT_ONCE,
) -> np.ndarray:
    """(n,) standardised outputs in the examples' order, in eval mode."""
    was_training = model.training
    model.eval()
    outputs: list[np.ndarray] = []
    with torch.inference_mode():
        for start in range(0, len(examples), batch_size):
            for part in within_angles(examples[start : start + batch_size], max_angles):
                batch = collate(part, model.reads_angles).to(model.device)
                outputs.append(model(batch).float().cpu().numpy())
    model.train(was_training)
    return np.concatenate(outputs) if outputs else np.zeros(0, np.float32)
