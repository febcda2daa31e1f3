"""Embeddings of the tokens of many texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class TokenEmbeddings(Sequence[np.ndarray]):
    """Embeddings of the tokens of many texts, in one flat array.

    Args:
        tokens: (n_tokens, width) float16, one text after another.
        ends: (n_texts,) int64, where each text's tokens end.
    """

    def __init__(self, tokens: np.ndarray, ends: np.ndarray) -> None:
        self.tokens, self.ends = tokens, ends

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, position):
        if isinstance(position, slice):
            return [self[number] for number in range(*position.indices(len(self)))]
        position = range(len(self))[position]
        return self.tokens[self.ends[position - 1] if position else 0 : self.ends[position]]
