"""Condensed structure in, a part of its description out: what a text model may learn from which part."""

from __future__ import annotations

import json
import re

from curate.describe.render import rendered_parts

SENTENCE_END = re.compile(r"(?<=[.])\s+(?=[A-Z])")
CONNECTIVITY = re.compile(r"-sharing|that share|tilt angle")
NUMBER = re.compile(r"\d+\.\d+|\d+(?=°)")
MASK = "[NUM]"


def view(condensed: str, name: str) -> str:
    """A part of the text of a condensed structure (JSON).

    `formula`; `global`: space group, mineral, dimensionality; `semi-global`: components and how
    polyhedra are connected; `local`: coordination and bond lengths; `masked`: all of it, with `[NUM]`
    for bond lengths and angles. A part that says nothing about the crystal is empty.
    """
    if name == "formula":
        return str(json.loads(condensed)["formula"])
    parts = rendered_parts(condensed)
    if name == "global":
        dimensionality = json.loads(condensed)["dimensionality"]
        shape = "molecular" if dimensionality == 0 else f"{dimensionality}D"
        return f"{parts['mineral']} The structure is {shape}."
    if name == "masked":
        return NUMBER.sub(MASK, " ".join(text for text in parts.values() if text))
    sentences = SENTENCE_END.split(parts["components"])
    connected = [sentence for sentence in sentences if CONNECTIVITY.search(sentence)]
    if name == "semi-global":
        return " ".join(filter(None, (parts["component_makeup"], *connected)))
    if name == "local":
        return " ".join(sentence for sentence in sentences if sentence not in connected)
    raise ValueError(f"unknown view {name!r}")
