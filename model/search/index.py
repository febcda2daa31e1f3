"""An index of the texts of a dataset, kept on disk, and the crystals that a question finds in it."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import platform
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.batches import in_batches
from curate.errors import InputError, first_line
from curate.files import ABANDONED, cache_folder, sha256_of, sync_tree, write_json
from curate.vocabulary import translated
from model.data.materials import load_rows
from model.data.rows import Rows
from model.search import bm25, crystals
from model.search.bm25 import BM25
from model.search.fusion import DEPTH, fused, ranking
from model.search.words import matching_sentences, words_of
from model.text.cache import AnyEncoder, EmbeddingCache
from model.text.encoder import NORMALISATION, TextEncoder
from model.text.tfidf import TFIDF, TfidfEncoder

log = logging.getLogger(__name__)

FORMAT = 1  # of the folder and of `words_of`: changes with either, and the index is made anew
WORDS_ALONE = "bm25"  # in place of an encoder
FOLDER = "search"  # in the cache
MANIFEST, CRYSTALS, VECTORS = "index.json", "crystals.arrow", "vectors.npy"
FITTED_ENCODER = "encoder.safetensors"  # of TF-IDF, which is fitted on the texts
FITTED_ON = 20_000  # texts that TF-IDF is fitted on, evenly taken where there are more
ROWS_AT_ONCE = 10_000
By = Literal["both", "words", "vectors"]


@dataclass(frozen=True)
class Match:
    """A crystal that was found."""

    id: str
    formula: str
    spacegroup: str  # symbol; empty where it is not known
    score: float  # of the joined rankings; it has no unit and compares answers to one question only
    sentences: tuple[str, ...] = ()  # of its text, those that hold most of the question's words
    properties: Mapping[str, float] = field(default_factory=dict)
    place_by_words: int | None = None  # from 1; None where it is not among the first thousand
    place_by_vectors: int | None = None


class SearchIndex:
    """The texts of n crystals by their words and, where there is an encoder, by their vectors.

    Args:
        table: (n rows) id, formula, space group, text and properties, as `crystals.SCHEMA`.
        words: The words of the texts.
        encoder: What turns a question into a vector; None to compare words alone.
        vectors: (n, width) float32 vectors of the texts, of length 1.
        cache: Folder where embeddings are kept.
    """

    def __init__(
        self,
        table: pa.Table,
        words: BM25,
        encoder: AnyEncoder | None = None,
        vectors: np.ndarray | None = None,
        cache: Path | None = None,
    ) -> None:
        self.table, self.words, self.encoder, self.vectors = table, words, encoder, vectors
        self.cache = EmbeddingCache(cache or cache_folder())

    @classmethod
    def open(
        cls, data: str, text_encoder: str | None = None, cache: Path | None = None
    ) -> SearchIndex:
        """The index of a dataset; made where there is none yet, or where texts or encoder have changed.

        Args:
            data: Folder of a run or dataset, or OWNER/NAME on the Hub.
            text_encoder: A name on the Hub, a folder, `minilm` (extra `demo`), `tfidf`, or `bm25` to compare
                words alone. None for `tfidf`.
            cache: Folder where index and embeddings are kept; the user's cache folder if None.

        Raises:
            InputError: There is no such dataset or encoder, or no crystal of the dataset has a text.
        """
        cache = cache or cache_folder()
        name = text_encoder or TFIDF
        encoder = None if name in (TFIDF, WORDS_ALONE) else TextEncoder(name, pooling="own")
        rows = load_rows(data)
        key = key_of(rows, name, encoder)
        folder = cache / FOLDER / key
        if (reason := damage(folder, key)) is not None:
            if folder.exists():
                log.warning("%s is made again (%s)", folder, reason)
            log.info("making the index of %d texts, once, for %s", len(rows), name)
            make(folder, key, rows, data, name, encoder, cache)
        return cls.load(folder, encoder, cache)

    @classmethod
    def load(cls, folder: Path, encoder: AnyEncoder | None, cache: Path) -> SearchIndex:
        """What `make` wrote."""
        table = crystals.read(folder / CRYSTALS)
        words = BM25.load(folder, table.num_rows)
        if (folder / FITTED_ENCODER).is_file():
            encoder = TfidfEncoder.load(folder / FITTED_ENCODER)
        vectors = None
        if encoder is not None:
            vectors = np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False)
        return cls(table, words, encoder, vectors, cache)

    def __len__(self) -> int:
        return self.table.num_rows

    def search(self, query: str, n: int = 10, by: By = "both") -> list[Match]:
        """The crystals whose texts answer a question best, best first.

        Args:
            query: Words, or a whole description. Words that no description has are read as those it has
                instead, as `curate.vocabulary.translated` tells.
            n: How many crystals, at most.
            by: Which ranking: by words, by vectors, or both, fused.

        Raises:
            InputError: The question is empty, or has no word that could be looked for.
        """
        if not query.strip():
            raise InputError("the question is empty: say in words what the crystals should be like")
        words, whole = asked(query)
        scores_of_words = None if by == "vectors" else self.words.scores(words)
        vector = None if by == "words" else vector_of(whole, self.encoder)
        if scores_of_words is not None and not scores_of_words.any():
            if vector is None:
                raise InputError(
                    f"no word of {query!r} stands in a text: ask with an element, a shape as octahedra, "
                    "a mineral or a space group"
                )
            log.warning("no word of %r stands in a text: ranked by the encoder alone", query)
        if vector is None and by == "vectors":
            raise InputError(f"{query!r} has no word that the encoder knows")
        return self.matches(words, scores_of_words, vector, n)

    def like(self, material_id: str, n: int = 10, by: By = "both") -> list[Match]:
        """The crystals whose texts are most like that of one of them, without itself.

        Raises:
            InputError: There is no crystal with this id, or it has no text.
        """
        number = self.number_of(material_id)
        text = crystals.row_of(self.table, number)[crystals.TEXT]
        if not text:
            raise InputError(f"{material_id} has no text to compare with")
        words = weighed(words_of(text))
        by_words = None if by == "vectors" else self.words.scores(words)
        vector = None if by == "words" or self.vectors is None else np.array(self.vectors[number])
        found = self.matches(words, by_words, vector, n + 1)
        return [match for match in found if match.id != material_id][:n]

    def matches(
        self,
        words: Mapping[str, float],
        scores_of_words: np.ndarray | None,
        vector: np.ndarray | None,
        n: int,
    ) -> list[Match]:
        """The n best crystals by the scores of their words, by their vectors, or by both."""
        by_words = by_vectors = np.zeros(0, np.int64)
        if scores_of_words is not None:
            by_words = ranking(scores_of_words, DEPTH, above=0.0)
        if vector is not None and self.vectors is not None and vector.any():
            by_vectors = ranking(self.vectors @ vector, DEPTH)
        numbers, scores = fused([by_words, by_vectors])
        places = [
            {int(number): place for place, number in enumerate(one, 1)}
            for one in (by_words, by_vectors)
        ]
        weights = {word: self.words.rarity(word) for word in words}
        return [
            self.match(int(number), float(score), weights, places)
            for number, score in zip(numbers[:n], scores[:n], strict=True)
        ]

    def match(
        self,
        number: int,
        score: float,
        weights: Mapping[str, float],
        places: list[dict[int, int]],
    ) -> Match:
        """The crystal of a row as an answer."""
        row = crystals.row_of(self.table, number)
        return Match(
            row[crystals.ID],
            row[crystals.FORMULA],
            row[crystals.SPACEGROUP],
            score,
            matching_sentences(row[crystals.TEXT], weights),
            row[crystals.PROPERTIES],
            *(place.get(number) for place in places),
        )

    def number_of(self, material_id: str) -> int:
        """The row of a crystal; InputError where there is none."""
        number = pc.index(self.table[crystals.ID], material_id).as_py()
        if number < 0:
            first = self.table[crystals.ID][0].as_py()
            raise InputError(f"no crystal has the id {material_id!r}; ids are written as {first!r}")
        return number


def asked(query: str) -> tuple[dict[str, float], str]:
    """The words that a question looks for, and the question in the words of the descriptions."""
    whole, _ = translated(query)
    return weighed(words_of(whole)), whole


def weighed(words: Iterable[str]) -> dict[str, float]:
    """The words of a question with their weights: 1, and a little more for one that is repeated."""
    return {word: 1 + math.log(n) for word, n in Counter(words).items()}


def vector_of(query: str, encoder: AnyEncoder | None) -> np.ndarray | None:
    """(width,) the vector of a question, of length 1; None without an encoder, or where TF-IDF knows no word
    of it."""
    if encoder is None:
        return None
    if isinstance(encoder, TfidfEncoder):
        (vector,) = encoder.vectors([query])
    else:
        ((_, vector),) = encoder.encode([query])
    length = float(np.linalg.norm(vector))
    return vector / length if length else None


def key_of(rows: Rows, name: str, encoder: TextEncoder | None) -> str:
    """The name of an index's folder: all that changes what it holds."""
    recipe = name if encoder is None else sorted(encoder.recipe.items())
    whole = repr((FORMAT, NORMALISATION, recipe, crystals.digest(rows)))
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


def make(
    folder: Path,
    key: str,
    rows: Rows,
    data: str,
    name: str,
    encoder: AnyEncoder | None,
    cache: Path,
) -> None:
    """Write the index of a dataset, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep_folders(folder.parent)
    partial = folder.with_name(f"{key}.{platform.node()}-{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        crystals.write(partial / CRYSTALS, crystals.crystals(rows))
        table = crystals.read(partial / CRYSTALS)
        if not any(crystals.texts_of(table)):
            raise InputError(
                f"no crystal of {data} has a text to search: describe them by `curate build`"
            )
        BM25.fit(crystals.texts_of(table)).save(partial)
        if name == TFIDF:
            encoder = fitted(table)
            encoder.save(partial / FITTED_ENCODER)
        if encoder is not None:
            write_vectors(partial / VECTORS, table, encoder, cache)
        files = {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path).hex()}
            for path in sorted(partial.iterdir())
        }
        write_json(
            partial / MANIFEST, {"format": FORMAT, "key": key, "encoder": name, "files": files}
        )
        del table
        sync_tree(partial)
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
        try:
            partial.rename(folder)
        except OSError:  # another process made it meanwhile
            if damage(folder, key) is not None:
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def fitted(table: pa.Table) -> TfidfEncoder:
    """TF-IDF of the texts, or of FITTED_ON of them."""
    step = -(-table.num_rows // FITTED_ON)
    return TfidfEncoder.fit(islice(crystals.texts_of(table), None, None, step))


def write_vectors(path: Path, table: pa.Table, encoder: AnyEncoder, cache: Path) -> None:
    """The vectors of all texts, of length 1, as float32."""
    shape = (table.num_rows, encoder.width)
    written = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    for start, vectors in _vectors(table, encoder, cache):
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        written[start : start + len(vectors)] = vectors / np.maximum(lengths, 1e-12)
    written.flush()


def _vectors(table: pa.Table, encoder: AnyEncoder, cache: Path) -> Iterator[tuple[int, np.ndarray]]:
    start = 0
    for texts in in_batches(crystals.texts_of(table), ROWS_AT_ONCE):
        yield start, np.asarray(EmbeddingCache(cache).embed(texts, encoder))
        start += len(texts)


def damage(folder: Path, key: str) -> str | None:
    """Why the folder is not a whole index; None where it is one."""
    path = folder / MANIFEST
    if not path.is_file():
        return f"it has no {MANIFEST}"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if (manifest["format"], manifest["key"]) != (FORMAT, key):
            return f"its {MANIFEST} is of another index"
        for name, known in manifest["files"].items():
            file = folder / name
            if not file.is_file():
                return f"it has no {name}"
            if file.stat().st_size != known["bytes"] or sha256_of(file).hex() != known["sha256"]:
                return f"the bytes of {name} do not fit their digest"
        if missing := {CRYSTALS, *bm25.FILES} - manifest["files"].keys():
            return f"it has no {min(missing)}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its {MANIFEST} can't be read: {first_line(error)}"
    return None


def sweep_folders(folder: Path) -> None:
    """Remove what killed processes left of indexes, an hour after they began."""
    for path in folder.glob("*.partial"):
        if path.is_dir() and time.time() - path.stat().st_mtime > ABANDONED:
            shutil.rmtree(path, ignore_errors=True)
