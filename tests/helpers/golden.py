"""Weights that anyone can write down again, so that the output of another code needs no file of weights."""

import torch
from torch import nn


def set_weights(module: nn.Module) -> None:
    """Weights by a formula: for parameter number n in the order of names, sin(12.9898 k + n) of its k-th
    number, over the root of the inputs; a tenth of it for vectors, around 1 for weights of layer norms."""
    with torch.no_grad():
        for number, (name, weight) in enumerate(sorted(module.named_parameters())):
            wave = torch.sin(12.9898 * torch.arange(weight.numel(), dtype=torch.float64) + number)
            if weight.ndim == 1:
                wave = (wave + 10 * ("norm" in name and name.endswith("weight"))) / 10
            else:
                wave = wave / weight.shape[-1] ** 0.5
            weight.copy_(wave.reshape(weight.shape))
