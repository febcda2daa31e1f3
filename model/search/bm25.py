"""BM25: texts ranked by the words of a query that they hold, the rare ones weighed more.

Robertson and Zaragoza, Foundations and Trends in Information Retrieval 3, 333 (2009). What a word adds to the
score of a text does not depend on the query, so it is computed once (Lù, arXiv:2407.03618), and a query adds
up the columns of its words.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from model.search.words import words_of

K1, B = 1.5, 0.75  # how soon a repeated word counts no more; how far a text's length counts
TERMS, STARTS, TEXTS, WEIGHTS = "terms.json", "starts.npy", "texts.npy", "weights.npy"
FILES = (TERMS, STARTS, TEXTS, WEIGHTS)


class BM25:
    """The words of n texts, each with the texts that hold it.

    Args:
        terms: All words.
        starts: (n_terms + 1,) int64, where the entries of each word begin.
        texts: (n_entries,) int32, numbers of the texts that hold a word.
        weights: (n_entries,) float32, what the word adds to their scores.
        n_texts: How many texts there are.
    """

    def __init__(
        self,
        terms: list[str],
        starts: np.ndarray,
        texts: np.ndarray,
        weights: np.ndarray,
        n_texts: int,
    ) -> None:
        self.terms, self.starts, self.texts, self.weights = terms, starts, texts, weights
        self.n_texts = n_texts
        self.numbers = {term: number for number, term in enumerate(terms)}

    @classmethod
    def fit(cls, texts: Iterable[str]) -> BM25:
        """Count the words of these texts."""
        numbers: dict[str, int] = {}
        columns, times, ends, lengths = array("i"), array("f"), array("q", [0]), array("f")
        for text in texts:
            counts = Counter(words_of(text))
            columns.extend(numbers.setdefault(word, len(numbers)) for word in counts)
            times.extend(counts.values())
            ends.append(len(columns))
            lengths.append(counts.total())
        n_texts, n_terms = len(lengths), len(numbers)
        counted = csr_array(
            (np.frombuffer(times, np.float32), np.frombuffer(columns, np.int32), np.array(ends)),
            shape=(n_texts, n_terms),
        ).tocsc()
        starts, places = counted.indptr.astype(np.int64), counted.indices.astype(np.int32)
        weights = counted.data.astype(np.float32)
        having = np.diff(starts)
        idf = np.log1p((n_texts - having + 0.5) / (having + 0.5)).astype(np.float32)
        relative = np.frombuffer(lengths, np.float32) if n_texts else np.zeros(0, np.float32)
        relative = K1 * (1 - B + B * relative / max(float(relative.mean() if n_texts else 1), 1e-9))
        for number in range(n_terms):  # one word after another: no second copy of all of them
            some = slice(starts[number], starts[number + 1])
            weights[some] *= idf[number] * (K1 + 1) / (weights[some] + relative[places[some]])
        return cls(list(numbers), starts, places, weights, n_texts)

    def scores(self, query: Mapping[str, float]) -> np.ndarray:
        """(n_texts,) float32 scores; 0 where a text holds no word of the query.

        Args:
            query: Words, as `words_of` gives them, with their weights.
        """
        found = np.zeros(self.n_texts, np.float32)
        for word, weight in query.items():
            number = self.numbers.get(word)
            if number is not None:
                some = slice(self.starts[number], self.starts[number + 1])
                found[self.texts[some]] += np.float32(weight) * self.weights[some]
        return found

    def rarity(self, word: str) -> float:
        """How much a word tells: its inverse document frequency; 0 for one that no text holds."""
        number = self.numbers.get(word)
        if number is None:
            return 0.0
        having = self.starts[number + 1] - self.starts[number]
        return float(np.log1p((self.n_texts - having + 0.5) / (having + 0.5)))

    def save(self, folder: Path) -> None:
        """Write the files of FILES."""
        (folder / TERMS).write_text(json.dumps(self.terms), encoding="utf-8")
        for name, values in (
            (STARTS, self.starts),
            (TEXTS, self.texts),
            (WEIGHTS, self.weights),
        ):
            np.save(folder / name, values, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, n_texts: int) -> BM25:
        """What `save` wrote, mapped from disk."""
        terms = json.loads((folder / TERMS).read_text(encoding="utf-8"))
        starts, texts, weights = (
            np.load(folder / name, mmap_mode="r", allow_pickle=False)
            for name in (STARTS, TEXTS, WEIGHTS)
        )
        return cls(terms, np.asarray(starts), texts, weights, n_texts)
