"""Lengths and repeats of a dataset's texts, for its card."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from curate.dataset.token_lengths import TokenLengths, load_tokenizer

ROWS_AT_ONCE = 1_000


@dataclass(frozen=True)
class TextFacts:
    """Lengths of a dataset's texts, and how many occur more than once."""

    tokens: TokenLengths | None  # None without texts or without a tokenizer
    n_different: int  # texts
    n_sharing: int  # materials with a text that another material has too
    seen: Mapping[str, int]  # task → val and test materials with the text of a train material


def text_facts(default: Path, tokenizer_name: str) -> TextFacts:
    """Facts about the column `description` of the Parquet files in a folder, read piece by piece.

    Args:
        default: The folder.
        tokenizer_name: As for `load_tokenizer`.
    """
    tokenizer = load_tokenizer(tokenizer_name)
    lengths: list[int] = []
    digests: list[bytes] = []
    labels: dict[str, list[str | None]] = {}
    for path in sorted(default.glob("*.parquet")):
        file = pq.ParquetFile(path)
        splits = [name for name in file.schema_arrow.names if name.startswith("split_")]
        for name in splits:
            labels.setdefault(name.removeprefix("split_"), [])
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=["description", *splits]):
            texts = batch["description"].to_pylist()
            digests += [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
            if tokenizer is not None:
                lengths += [len(encoding) for encoding in tokenizer.encode_batch(texts)]
            for name in splits:
                labels[name.removeprefix("split_")] += batch[name].to_pylist()
    times = Counter(digests)
    return TextFacts(
        tokens=TokenLengths(tokenizer_name, tuple(sorted(lengths))) if lengths else None,
        n_different=len(times),
        n_sharing=sum(n for n in times.values() if n > 1),
        seen={task: seen(digests, split) for task, split in labels.items()},
    )


def seen(digests: list[bytes], split: list[str | None]) -> int:
    """How many val and test materials have the text of a train material."""
    rows = list(zip(digests, split, strict=True))
    train = {digest for digest, label in rows if label == "train"}
    return sum(digest in train for digest, label in rows if label in ("val", "test"))
