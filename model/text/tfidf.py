"""TF-IDF as a text encoder: which words a text has, weighed by how rare they are, in a few numbers.

It is fitted on the training texts alone and lies in the model's folder, so that a prediction needs
nothing else. Words keep their case and what joins them (`Fm-3m`, `2.95`, `edge-sharing`), and single
letters are words: they are elements.

Salton and Buckley, Inf. Process. Manag. 24, 513 (1988); the reduction is latent semantic analysis,
Deerwester et al., J. Am. Soc. Inf. Sci. 41, 391 (1990).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from curate.batches import in_batches
from curate.errors import InputError, first_line
from curate.files import whole_file
from model.text.encoder import NORMALISATION, normalise

TFIDF = "tfidf"  # its name in --text-encoder
WORD = re.compile(r"\w+(?:[./+-]\w+)*")
MIN_TEXTS = 3  # a term that fewer training texts have is left out
MAX_TERMS = 20_000  # those that most texts have
N_COMPONENTS = 128
SMALLEST = 1e-6  # singular value, relative to the largest, of a component that is kept
TEXTS_AT_ONCE = 1_000


class TfidfEncoder:
    """Words and pairs of neighbouring words of a text, weighed and reduced to one vector.

    A term that stands n times in a text weighs (1 + ln n)(1 + ln((1 + N) / (1 + N_t))), where N_t of the N
    training texts have it. The weights of a text have length 1 before they are reduced.

    Args:
        terms: Words, and pairs of words with a space between them.
        idf: (n_terms,) float32, 1 + ln((1 + N) / (1 + N_t)).
        components: (n_terms, width) float32 that reduces the weights; the vectors of the training texts
            have a mean square of 1.
    """

    name, commit, pooling = TFIDF, None, TFIDF

    def __init__(self, terms: Sequence[str], idf: np.ndarray, components: np.ndarray) -> None:
        self.terms, self.idf, self.components = list(terms), idf, components
        self.numbers = {term: number for number, term in enumerate(self.terms)}

    @classmethod
    def fit(cls, texts: Iterable[str]) -> TfidfEncoder:
        """The encoder of these training texts.

        Raises:
            InputError: No word stands in at least three of them.
        """
        counts = [Counter(terms_of(text)) for text in texts]
        n_texts = Counter(term for count in counts for term in count)
        known = [(-n, term) for term, n in n_texts.items() if n >= MIN_TEXTS]
        terms = sorted(term for _, term in sorted(known)[:MAX_TERMS])
        if not terms:
            raise InputError(
                f"--text-encoder {TFIDF}: no word stands in {MIN_TEXTS} of the {len(counts)} training "
                "texts; it needs more texts"
            )
        having = np.array([n_texts[term] for term in terms])
        idf = (1 + np.log((1 + len(counts)) / (1 + having))).astype(np.float32)
        unreduced = cls(terms, idf, np.zeros((len(terms), 0), np.float32))
        components = principal_directions(unreduced.weights(counts).astype(np.float64))
        return cls(terms, idf, components.astype(np.float32))

    @property
    def width(self) -> int:
        """Size of the vectors."""
        return self.components.shape[1]

    @cached_property
    def recipe(self) -> dict[str, str | int]:
        """All that changes a vector besides the text."""
        total = hashlib.sha256(json.dumps(self.terms).encode())
        for array in (self.idf, self.components):
            total.update(np.ascontiguousarray(array).tobytes())
        return {
            "encoder": total.hexdigest(),
            "normalisation": NORMALISATION,
            "pooling": self.pooling,
        }

    def vectors(self, texts: Iterable[str]) -> np.ndarray:
        """(n_texts, width) float32; a text without a known term is the vector of zeros."""
        parts = [
            self.weights([Counter(terms_of(text)) for text in some]) @ self.components
            for some in in_batches(texts, TEXTS_AT_ONCE)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.width), np.float32)

    def weights(self, counts: Sequence[Counter[str]]) -> csr_array:
        """(n_texts, n_terms) float32 weights of the terms in each text, of length 1."""
        values, columns, ends = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)], [0]
        for count in counts:
            found = sorted(
                (self.numbers[term], n) for term, n in count.items() if term in self.numbers
            )
            numbers = np.array([number for number, _ in found], np.int64)
            times = np.array([n for _, n in found], np.float32)
            weighed = (1 + np.log(times)) * self.idf[numbers]
            values.append(weighed / (np.linalg.norm(weighed) or 1.0))
            columns.append(numbers)
            ends.append(ends[-1] + len(found))
        shape = (len(counts), len(self.terms))
        return csr_array((np.concatenate(values), np.concatenate(columns), ends), shape=shape)

    def save(self, path: Path) -> None:
        """Write it to a file of safetensors, whole or not at all; the terms stand in its header."""
        arrays = {"idf": self.idf, "components": np.ascontiguousarray(self.components)}
        with whole_file(path) as partial:
            save_file(arrays, partial, metadata={"terms": json.dumps(self.terms)})

    @classmethod
    def load(cls, path: Path) -> TfidfEncoder:
        """The encoder of a file; InputError where it holds another thing."""
        try:
            with safe_open(path, "numpy") as file:
                terms = json.loads(file.metadata()["terms"])
                idf, components = file.get_tensor("idf"), file.get_tensor("components")
            if not len(terms) == len(idf) == len(components):
                raise ValueError("terms and arrays of different lengths")
        except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
            raise InputError(
                f"{path} is not the text encoder of a model ({first_line(error)}); copy or train the "
                "model anew"
            ) from error
        return cls(terms, idf, components)


def terms_of(text: str) -> Iterator[str]:
    """The words of a text, and the pairs of words that stand side by side."""
    words = WORD.findall(normalise(text))
    yield from words
    yield from map(" ".join, pairwise(words))


def principal_directions(weights: csr_array) -> np.ndarray:
    """(n_terms, width) the directions in which the rows (n_texts, n_terms) are largest, all scaled by one
    number that brings the mean square of what they give to 1."""
    if min(weights.shape) <= N_COMPONENTS:
        _, values, directions = np.linalg.svd(weights.toarray(), full_matrices=False)
    else:
        start = np.ones(min(weights.shape))  # chance would give other bits each time
        _, values, directions = svds(weights, k=N_COMPONENTS, v0=start)
        values, directions = values[::-1], directions[::-1]
    directions = directions[values > SMALLEST * values[0]].T
    largest = np.abs(directions).argmax(
        0
    )  # a direction and its opposite are one: the largest is positive
    directions = directions * np.sign(directions[largest, np.arange(directions.shape[1])])
    return directions / np.sqrt(np.mean((weights @ directions) ** 2))
