"""Questions about crystals whose answer is known: a description with what would give it away masked, and the
same crystal told from its condensed structure in other words.

A paraphrase shares no sentence with a description and as few words as it can: elements by name, numbers as
digits, lengths to a tenth of an ångström, figures that are outlined and touch where polyhedra share. It names
neither formula nor space group, crystal system or mineral.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from statistics import mean
from typing import Any

from curate.describe.render import rendered_parts
from curate.describe.text_views import MASK, NUMBER
from curate.vocabulary import ELEMENT_NAMES

NAMES = {symbol: name for name, symbol in reversed(ELEMENT_NAMES.items())}
SYMBOL = re.compile(r"\b(?:[A-Z][a-z]?(?:\(\d+(?:,\d+)*\))?\d*)+(?![a-z]|-shaped)")
RANGE = re.compile(r"[\d.]+-(?=[\d.]+ ?[°Å])")
WORDS_LIKE_SYMBOLS = {"In", "I"}
DIMENSIONS = {
    0: "Separate molecules that touch each other only weakly.",
    1: "Strands that run side by side.",
    2: "A layered material whose slabs hold together weakly.",
    3: "Everything is linked in all directions of space.",
}
SHAPES = {
    "octahedral": "an octahedron",
    "tetrahedral": "a tetrahedron",
    "cuboctahedral": "a cuboctahedron",
    "body-centered cubic": "a cube",
    "linear": "a straight line",
    "trigonal planar": "a flat triangle",
    "trigonal non-coplanar": "a triangle it lies above",
    "trigonal pyramidal": "a low pyramid over a triangle",
    "trigonal bipyramidal": "a double pyramid over a triangle",
    "pentagonal pyramidal": "a pyramid over a pentagon",
    "pentagonal bipyramidal": "a double pyramid over a pentagon",
    "hexagonal bipyramidal": "a double pyramid over a hexagon",
    "pentagonal planar": "a flat pentagon",
    "hexagonal planar": "a flat hexagon",
    "square pyramidal": "a pyramid over a square",
    "square co-planar": "a flat square",
    "rectangular see-saw-like": "a seesaw",
    "see-saw-like": "a seesaw",
    "T-shaped": "a letter T",
    "L-shaped": "a right angle",
    "water-like": "the angle of water",
    "q6": "a hexagonal close packing",
    "single-bond": "one contact",
}
TOUCHING = {"corner": "vertices", "edge": "ridges", "face": "sides"}


def masked(condensed: str) -> str:
    """The description without formula and space group: both, the crystal system, and the formulas of
    components are masked."""
    found, parts = json.loads(condensed), rendered_parts(condensed)
    formulas = {found["formula"], *(one["formula"] for one in found["components"].values())}
    mineral = parts["mineral"].replace(
        f"the {found['crystal_system']} {found['spg_symbol']} space group", "[space group]"
    )
    mineral = mineral.replace(found["formula"], "[formula]", 1)
    rest = " ".join(filter(None, (parts["component_makeup"], parts["components"])))
    for formula in sorted(formulas, key=len, reverse=True):
        rest = re.sub(rf"(?<![\w(-]){re.escape(formula)}(?![\w(-])", "[formula]", rest)
    return f"{mineral} {rest}".strip()


def bare(condensed: str) -> str:
    """The same without mineral, elements, lengths and angles: what is left is geometry."""
    text = re.sub(r"^\[formula\] is .*? structured and", "[formula]", masked(condensed))
    text = SYMBOL.sub(lambda found: found[0] if is_word(found) else "[element]", text)
    return NUMBER.sub(MASK, RANGE.sub("", text))


def is_word(found: re.Match[str]) -> bool:
    """Whether what looks like a symbol begins a sentence: `In the first`."""
    return found[0] in WORDS_LIKE_SYMBOLS and found.string[found.end() :][:1] == " "


def paraphrase(condensed: str) -> str:
    """The crystal in other words."""
    found = json.loads(condensed)
    sites = found["sites"]
    elements = list(dict.fromkeys(site["element"] for site in sites.values()))
    told = [f"A compound of {listed([name(symbol) for symbol in elements])}."]
    told.append(DIMENSIONS.get(found["dimensionality"], ""))
    told += list(dict.fromkeys(place(found, key, site) for key, site in sites.items()))
    return " ".join(filter(None, told))


def place(found: dict[str, Any], key: str, site: dict[str, Any]) -> str:
    """The surroundings of one kind of atom."""
    sites = found["sites"]
    neighbors = Counter(sites[str(number)]["element"] for number in site["nn"])
    near = listed([f"{n} {name(symbol)}" for symbol, n in neighbors.items()])
    lengths = [length for some in found["distances"].get(key, {}).values() for length in some]
    kind = site["geometry"]["type"]
    shape = SHAPES.get(kind, "no regular figure" if kind.endswith("coordinate") else kind)
    crooked = "a crooked version of " if site["geometry"]["likeness"] < 0.6 else ""
    said = f"Around {name(site['element'])}: {near or 'nothing near'}"
    said += f", some {mean(lengths):.1f} Å away" if lengths else ""
    said += f"; they outline {crooked}{shape}" if neighbors else ""
    touching = [TOUCHING[how] for how in TOUCHING if site["poly_formula"] and site["nnn"].get(how)]
    said += f", and such figures touch at {listed(touching)}" if touching else ""
    return said + "."


def name(symbol: str) -> str:
    return NAMES.get(symbol, symbol)


def listed(words: list[str]) -> str:
    """`a, b and c`"""
    return (
        ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + (words[-1] if words else "")
    )
