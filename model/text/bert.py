"""The forward pass of a BERT encoder, read from its own files.

Importing the modelling code of transformers takes longer than encoding a hundred descriptions
(benchmarks/results/startup.json), and a prediction for one crystal encodes one. This is the same
computation on the same weights: outputs are equal bit for bit on a CPU. Encoders of another kind, or
without weights in safetensors beside their configuration, go through transformers.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
NAACL 2019.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

# What the computation below takes for granted; anything else goes through transformers.
EXPECTED = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}


class Bert:
    """A frozen BERT encoder.

    Args:
        folder: holds config.json and model.safetensors.
    """

    def __init__(self, folder: Path) -> None:
        config = _config(folder)
        self.n_layers = int(config["num_hidden_layers"])
        self.n_heads = int(config["num_attention_heads"])
        self.eps = float(config.get("layer_norm_eps", 1e-12))
        weights = load_file(folder / "model.safetensors")
        self.weights = {
            name.removeprefix("bert."): value.float() for name, value in weights.items()
        }
        self.device = torch.device("cpu")

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether the folder holds an encoder that this class computes."""
        if not all((folder / name).is_file() for name in ("config.json", "model.safetensors")):
            return False
        config = _config(folder)
        return "model_type" in config and all(
            config.get(name, expected) == expected for name, expected in EXPECTED.items()
        )

    def to(self, device: torch.device | str) -> Bert:
        """The same encoder with its weights on another device."""
        self.device = torch.device(device)
        self.weights = {name: value.to(device) for name, value in self.weights.items()}
        return self

    def __call__(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> SimpleNamespace:
        """The last layer.

        Args:
            input_ids: (n_texts, n_tokens) numbers of tokens.
            attention_mask: (n_texts, n_tokens) 1 at tokens, 0 at padding.
            token_type_ids: (n_texts, n_tokens); all zero where it is left out.

        Returns:
            An object with `last_hidden_state`, (n_texts, n_tokens, width).
        """
        kinds = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        x = self._embedded("word", input_ids) + self._embedded("token_type", kinds)
        x = self._norm("embeddings", x + self._embedded("position", positions))
        mask = None  # (n_texts, 1, n_tokens, n_tokens) where a token may look
        if not attention_mask.all():
            n_tokens = input_ids.shape[1]
            mask = attention_mask.bool()[:, None, None, :].expand(-1, 1, n_tokens, -1)
        for number in range(self.n_layers):
            x = self._layer(f"encoder.layer.{number}", x, mask)
        return SimpleNamespace(last_hidden_state=x)

    def _layer(self, name: str, x: Tensor, mask: Tensor | None) -> Tensor:
        """Self-attention and feed-forward, each with a residual and a norm."""
        query, key, value = (
            self._linear(f"{name}.attention.self.{part}", x)
            .unflatten(2, (self.n_heads, -1))
            .transpose(1, 2)
            for part in ("query", "key", "value")
        )  # (n_texts, n_heads, n_tokens, width / n_heads) each
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        seen = seen.transpose(1, 2).flatten(2)
        seen = self._linear(f"{name}.attention.output.dense", seen)
        x = self._norm(f"{name}.attention.output", seen + x)
        inner = F.gelu(self._linear(f"{name}.intermediate.dense", x))
        return self._norm(f"{name}.output", self._linear(f"{name}.output.dense", inner) + x)

    def _embedded(self, kind: str, numbers: Tensor) -> Tensor:
        return F.embedding(numbers, self.weights[f"embeddings.{kind}_embeddings.weight"])

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = (self.weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return F.layer_norm(x, weight.shape, weight, bias, self.eps)


def _config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))
