"""Text embeddings on disk: each text is encoded once for an encoder and its recipe."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from curate.batches import in_batches
from model.text.encoder import TextEncoder

log = logging.getLogger(__name__)

LOOKED_UP_AT_ONCE = 500


class EmbeddingCache:
    """Embeddings on disk, one file for all encoders, keyed by text and recipe."""

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / "text.sqlite"

    def embed(self, texts: Iterable[str], encoder: TextEncoder) -> np.ndarray:
        """(n_texts, width) float32, mapped from disk; only texts never seen with this recipe are encoded."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        recipe, keys = encoder.recipe, []
        with closing(sqlite3.connect(self.path, timeout=60)) as cache:
            cache.execute(
                "CREATE TABLE IF NOT EXISTS embedding (key BLOB PRIMARY KEY, vector BLOB)"
            )
            new: dict[bytes, str] = {}
            for some in in_batches(texts, LOOKED_UP_AT_ONCE):
                theirs = {_key(text, recipe): text for text in some}
                known = _look_up(cache, list(theirs))
                new.update({key: text for key, text in theirs.items() if key not in known})
                keys += [_key(text, recipe) for text in some]
            if new:
                log.info("encoding %d texts with %s, once", len(new), encoder.name)
                new_keys, new_texts = list(new), list(new.values())
                for done, (position, vector) in enumerate(encoder.encode(new_texts), 1):
                    row = (new_keys[position], vector.tobytes())
                    cache.execute("INSERT OR REPLACE INTO embedding VALUES (?, ?)", row)
                    if done % 64 == 0:  # an interrupted encoding keeps what it has
                        cache.commit()
                cache.commit()
            if not keys:
                return np.zeros((0, encoder.width), np.float32)
            with TemporaryFile(dir=self.path.parent) as file:
                vectors = np.memmap(file, np.float32, "w+", shape=(len(keys), encoder.width))
            for start in range(0, len(keys), LOOKED_UP_AT_ONCE):
                asked = keys[start : start + LOOKED_UP_AT_ONCE]
                found = _look_up(cache, asked)
                vectors[start : start + len(asked)] = [found[key] for key in asked]
        return np.asarray(vectors)


def _look_up(cache: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
    wanted = list(dict.fromkeys(keys))
    marks = ",".join("?" * len(wanted))
    rows = cache.execute(f"SELECT key, vector FROM embedding WHERE key IN ({marks})", wanted)
    return {key: np.frombuffer(vector, np.float32) for key, vector in rows}


def _key(text: str, recipe: dict[str, str | int]) -> bytes:
    return hashlib.sha256(repr((text, sorted(recipe.items()))).encode()).digest()
