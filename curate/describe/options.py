"""How a crystal is put into words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from curate.errors import InputError


@dataclass(frozen=True)
class DescribeOptions:
    """How a crystal is put into words; every choice changes the text and is part of a run's question."""

    describer: Literal["fast", "stock"] = "fast"
    """curate's own faster steps, or Robocrystallographer as released; the texts are the same."""
    text_format: Literal["raw", "unicode", "html", "latex", "unicode-or-html"] = "raw"
    """How formulas and space groups are written; raw loses nothing in a text encoder. The last is what the
    Materials Project does: HTML where a formula has a decimal point, which Unicode can't write as index."""
    site_labels: bool = True
    """Number inequivalent sites: Ti(1), O(1)."""
    conventional_cell: bool = True
    """Describe the conventional standard cell rather than the cell as given."""
    oxidation_states: bool = False
    """Guess oxidation states first, as the texts of the Materials Project do."""
    molecule_names: Literal["formula", "bundled", "pubchem"] = "formula"
    """Name molecules by formula, by Robocrystallographer's own table, or by asking PubChem
    (network); the last two need openbabel."""


TextDialect = Literal["own", "mp"]
# What a dialect chooses of the options.
DIALECTS: Mapping[TextDialect, Mapping[str, Any]] = {
    "own": {},
    "mp": {"text_format": "unicode-or-html", "site_labels": False, "oxidation_states": True},
}


def in_dialect(options: DescribeOptions, dialect: TextDialect) -> DescribeOptions:
    """The options as a dialect has them.

    Raises:
        InputError: Another choice was made of an option that the dialect chooses.
    """
    for known in fields(DescribeOptions):
        chosen = DIALECTS[dialect].get(known.name, known.default)
        given = getattr(options, known.name)
        if known.name in DIALECTS[dialect] and given not in (known.default, chosen):
            flag = known.name.replace("_", "-")
            raise InputError(f"--text-dialect {dialect} chooses --{flag} itself; leave it out")
    return replace(options, **DIALECTS[dialect])
