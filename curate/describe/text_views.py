"""Parts of a description, to see from which of them a text model learns."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from curate.describe.render import rendered_parts

SENTENCE_END = re.compile(r"(?<=[.])\s+(?=[A-Z])")
CONNECTIVITY = re.compile(r"-sharing|that share|tilt angle")
NUMBER = re.compile(r"\d+\.\d+|\d+(?=°)")
MASK = "[NUM]"


@dataclass(frozen=True)
class TextView:
    """A part of a description: what it holds, and how it comes from a condensed structure (JSON)."""

    meaning: str
    text: Callable[[str], str]


def view(condensed: str, name: str) -> str:
    """One part of the text of a crystal.

    Args:
        condensed: Robocrystallographer's condensed structure, as JSON.
        name: A key of VIEWS.

    Returns:
        The part; empty where it says nothing about the crystal.
    """
    if name not in VIEWS:
        raise ValueError(f"unknown view {name!r}; known: {', '.join(VIEWS)}")
    return VIEWS[name].text(condensed)


def formula(condensed: str) -> str:
    return str(json.loads(condensed)["formula"])


def whole_crystal(condensed: str) -> str:
    dimensionality = json.loads(condensed)["dimensionality"]
    shape = "molecular" if dimensionality == 0 else f"{dimensionality}D"
    return f"{rendered_parts(condensed)['mineral']} The structure is {shape}."


def connections(condensed: str) -> str:
    parts = rendered_parts(condensed)
    sentences = SENTENCE_END.split(parts["components"])
    connected = [sentence for sentence in sentences if CONNECTIVITY.search(sentence)]
    return " ".join(filter(None, (parts["component_makeup"], *connected)))


def surroundings(condensed: str) -> str:
    sentences = SENTENCE_END.split(rendered_parts(condensed)["components"])
    return " ".join(sentence for sentence in sentences if not CONNECTIVITY.search(sentence))


def masked(condensed: str) -> str:
    text = " ".join(text for text in rendered_parts(condensed).values() if text)
    return NUMBER.sub(MASK, text)


VIEWS = {
    "formula": TextView("the chemical formula", formula),
    "global": TextView("space group, mineral and dimensionality", whole_crystal),
    "semi-global": TextView("components and how polyhedra are connected", connections),
    "local": TextView("coordination and bond lengths", surroundings),
    "masked": TextView(f"all of it, with {MASK} for bond lengths and angles", masked),
}
