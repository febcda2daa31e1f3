"""The words that texts and queries are compared by, and the sentences of a text that match a query."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from curate.describe.text_views import SENTENCE_END
from model.text.encoder import normalise
from model.text.tfidf import WORD

LABEL = re.compile(r"\(\d+\)")  # of a site: Ti(1)
PREPOSITION = re.compile(r"(?:^|(?<=\. ))In (?=(?:the|each|one|two|three|four|five|\w+ of the)\b)")
SHAPE = re.compile(r"hedr(?:a|al|on|ons|ally)$")  # octahedra, octahedral, octahedron


def words_of(text: str) -> Iterator[str]:
    """The words of a text.

    Symbols and formulas keep their case; other words are compared without case, plural, and the endings of
    the names of polyhedra. A compound, as edge-sharing, counts as itself and as its parts. Whole numbers
    are left out, and so is the preposition that looks like indium.
    """
    for found in WORD.findall(PREPOSITION.sub("", LABEL.sub(" ", normalise(text)))):
        if found.isdigit():  # of an angle or a direction; descriptions count in words
            continue
        word = stem(found)
        yield word
        if "-" in word and word.replace("-", "").isalpha() and word.islower():
            yield from map(stem, word.split("-"))


def stem(word: str) -> str:
    """A word as it is compared."""
    letters = word.replace("-", "")
    if len(word) < 3 or not letters.isalpha() or not letters[1:].islower():
        return word
    word = SHAPE.sub("hedr", word.lower())
    if word.startswith("pyramid"):
        return "pyramid"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def matching_sentences(text: str, weights: Mapping[str, float], most: int = 2) -> tuple[str, ...]:
    """The sentences of a text that hold most of the weight of a query's words, in the text's order; one that
    stands twice in the text counts once."""
    sentences = list(dict.fromkeys(filter(None, SENTENCE_END.split(text.strip()))))
    held = [sum(weights.get(word, 0.0) for word in set(words_of(one))) for one in sentences]
    best = sorted(range(len(sentences)), key=lambda n: (-held[n], n))[:most]
    return tuple(sentences[n] for n in sorted(best) if held[n] > 0)
