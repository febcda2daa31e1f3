"""Lengths and repeats of a dataset's texts, for its card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.dataset.token_lengths import TokenLengths, load_tokenizer

ROWS_AT_ONCE = 1_000
DIGEST = 16  # bytes
# what is kept of each text
TEXTS = pa.schema([("digest", pa.binary(DIGEST)), ("tokens", pa.int32())])


@dataclass(frozen=True)
class TextFacts:
    """Lengths of a dataset's texts, and how many occur more than once."""

    tokens: TokenLengths | None  # None without texts or without a tokenizer
    n_different: int  # texts
    n_sharing: int  # materials with a text that another material has too
    seen: Mapping[str, int]  # task → val and test materials with the text of a train material


def measured_texts(path: Path, tokenizer_name: str) -> pa.Table:
    """Digest and number of tokens of each text in the column `description` of a Parquet file.

    Args:
        path: The file, which is read piece by piece.
        tokenizer_name: As for `load_tokenizer`.
    """
    tokenizer = load_tokenizer(tokenizer_name)
    pieces = []
    for batch in pq.ParquetFile(path).iter_batches(ROWS_AT_ONCE, columns=["description"]):
        texts = batch["description"].to_pylist()
        digests = [hashlib.blake2b(text.encode(), digest_size=DIGEST).digest() for text in texts]
        tokens: list[int | None] = [None] * len(texts)
        if tokenizer is not None:
            tokens = [len(encoding) for encoding in tokenizer.encode_batch(texts)]
        pieces.append(pa.table([digests, tokens], schema=TEXTS))
    return pa.concat_tables(pieces) if pieces else TEXTS.empty_table()


def text_facts(default: Path, texts: Sequence[pa.Table], tokenizer_name: str) -> TextFacts:
    """Facts about the texts of the Parquet files in a folder.

    Args:
        default: The folder.
        texts: What `measured_texts` returns for each of its files, in their order.
        tokenizer_name: What tokens were counted with.
    """
    labelled: dict[str, tuple[list[bytes], list[str]]] = {}
    for path, table in zip(sorted(default.glob("*.parquet")), texts, strict=True):
        file = pq.ParquetFile(path)
        for name in file.schema_arrow.names:
            if name.startswith("split_"):
                digests, labels = labelled.setdefault(name.removeprefix("split_"), ([], []))
                column = file.read([name])[name]
                is_labelled = column.is_valid()
                labels += column.filter(is_labelled).to_pylist()
                digests += table["digest"].filter(is_labelled).to_pylist()
    lengths = [table["tokens"].drop_null().to_numpy() for table in texts]
    tokens = np.sort(np.concatenate(lengths)) if lengths else np.empty(0)
    times = repeats(texts)
    return TextFacts(
        tokens=TokenLengths(tokenizer_name, tokens) if len(tokens) else None,
        n_different=len(times),
        n_sharing=int(times[times > 1].sum()),
        seen={task: seen(*pairs) for task, pairs in labelled.items()},
    )


def repeats(texts: Sequence[pa.Table]) -> np.ndarray:
    """How often each different text occurs."""
    columns = [chunk.cast(pa.binary(DIGEST)) for table in texts for chunk in table["digest"].chunks]
    halves = [
        np.frombuffer(column.buffers()[1], dtype=np.uint64)[
            2 * column.offset : 2 * (column.offset + len(column))
        ]
        for column in columns
        if len(column)
    ]
    if not halves:
        return np.empty(0, dtype=np.int64)
    first, second = np.concatenate(halves).reshape(-1, 2).T
    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    is_new = np.append(True, (first[1:] != first[:-1]) | (second[1:] != second[:-1]))
    return np.diff(np.append(np.flatnonzero(is_new), len(order)))


def seen(digests: Sequence[bytes], split: Sequence[str | None]) -> int:
    """How many val and test materials have the text of a train material."""
    rows = list(zip(digests, split, strict=True))
    train = {digest for digest, label in rows if label == "train"}
    return sum(digest in train for digest, label in rows if label in ("val", "test"))
