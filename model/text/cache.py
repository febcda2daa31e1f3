"""Text embeddings on disk: each text is encoded once for an encoder and its recipe."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from curate.batches import in_batches
from model.text.encoder import TextEncoder
from model.text.tfidf import TfidfEncoder
from model.text.token_embeddings import TokenEmbeddings

log = logging.getLogger(__name__)

LOOKED_UP_AT_ONCE = 500


AnyEncoder = TextEncoder | TfidfEncoder
TextEmbeddings = np.ndarray | TokenEmbeddings  # an item is (width,), or (n_tokens, width)


class EmbeddingCache:
    """Embeddings on disk, one file for all encoders, keyed by text and recipe."""

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / "text.sqlite"

    def embed(self, texts: Iterable[str], encoder: AnyEncoder) -> TextEmbeddings:
        """Embed texts; only those never seen with this encoder's recipe are encoded.

        TF-IDF is faster than the cache and passes it by.

        Returns:
            (n_texts, width) float32, or the float16 embeddings of the tokens where the encoder keeps
            them; mapped from disk.
        """
        if isinstance(encoder, TfidfEncoder):
            return encoder.vectors(texts)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        recipe, keys = encoder.recipe, []
        with closing(sqlite3.connect(self.path, timeout=60)) as cache:
            cache.execute(
                "CREATE TABLE IF NOT EXISTS embedding (key BLOB PRIMARY KEY, vector BLOB)"
            )
            new: dict[bytes, str] = {}
            for some in in_batches(texts, LOOKED_UP_AT_ONCE):
                theirs = {_key(text, recipe): text for text in some}
                known = _n_bytes(cache, list(theirs))
                new.update({key: text for key, text in theirs.items() if key not in known})
                keys += [_key(text, recipe) for text in some]
            if new:
                _encode(cache, new, encoder)
            flat, ends = self._read(cache, keys, encoder.width, encoder.dtype)
        return TokenEmbeddings(flat, ends) if encoder.pooling == "tokens" else flat

    def _read(
        self, cache: sqlite3.Connection, keys: list[bytes], width: int, dtype: np.dtype
    ) -> tuple[np.ndarray, np.ndarray]:
        """(n_vectors, width) of all texts, and the (n_texts,) ends of each text's vectors."""
        if not keys:
            return np.zeros((0, width), dtype), np.zeros(0, np.int64)
        size = width * dtype.itemsize
        lengths = np.empty(len(keys), np.int64)
        for start in range(0, len(keys), LOOKED_UP_AT_ONCE):
            asked = keys[start : start + LOOKED_UP_AT_ONCE]
            known = _n_bytes(cache, asked)
            lengths[start : start + len(asked)] = [known[key] // size for key in asked]
        ends = np.cumsum(lengths)
        with TemporaryFile(dir=self.path.parent) as file:
            flat = np.memmap(file, dtype, "w+", shape=(int(ends[-1]), width))
        for start in range(0, len(keys), LOOKED_UP_AT_ONCE):
            asked = keys[start : start + LOOKED_UP_AT_ONCE]
            found = _look_up(cache, asked, dtype)
            for key, end, length in zip(asked, ends[start:], lengths[start:], strict=False):
                flat[end - length : end] = found[key].reshape(length, width)
        return np.asarray(flat), ends


def _encode(cache: sqlite3.Connection, new: dict[bytes, str], encoder: TextEncoder) -> None:
    log.info("encoding %d texts with %s, once", len(new), encoder.name)
    keys, texts = list(new), list(new.values())
    for done, (position, embedding) in enumerate(encoder.encode(texts), 1):
        row = (keys[position], embedding.tobytes())
        cache.execute("INSERT OR REPLACE INTO embedding VALUES (?, ?)", row)
        if done % 64 == 0:  # an interrupted encoding keeps what it has
            cache.commit()
    cache.commit()


def _n_bytes(cache: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, int]:
    """How many bytes are kept under each of the keys that are known."""
    return dict(_select(cache, "length(vector)", keys))


def _look_up(
    cache: sqlite3.Connection, keys: Sequence[bytes], dtype: np.dtype
) -> dict[bytes, np.ndarray]:
    found = _select(cache, "vector", keys)
    return {key: np.frombuffer(vector, dtype) for key, vector in found}


def _select(cache: sqlite3.Connection, what: str, keys: Sequence[bytes]) -> Iterator[tuple]:
    wanted = list(dict.fromkeys(keys))
    marks = ",".join("?" * len(wanted))
    return cache.execute(f"SELECT key, {what} FROM embedding WHERE key IN ({marks})", wanted)


def _key(text: str, recipe: dict[str, str | int]) -> bytes:
    return hashlib.sha256(repr((text, sorted(recipe.items()))).encode()).digest()
