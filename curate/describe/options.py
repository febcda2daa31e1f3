"""How a crystal is put into words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DescribeOptions:
    """How a crystal is put into words; every choice changes the text and is part of a run's question."""

    describer: Literal["fast", "stock"] = "fast"
    """curate's own faster steps, or Robocrystallographer as released; the texts are the same."""
    text_format: Literal["raw", "unicode", "html", "latex"] = "raw"
    """How formulas and space groups are written; raw loses nothing in a text encoder."""
    site_labels: bool = True
    """Number inequivalent sites: Ti(1), O(1)."""
    conventional_cell: bool = True
    """Describe the conventional standard cell rather than the cell as given."""
    oxidation_states: bool = False
    """Guess oxidation states first, as the texts of the Materials Project do."""
    molecule_names: Literal["formula", "bundled", "pubchem"] = "formula"
    """Name molecules by formula, by Robocrystallographer's own table, or by asking PubChem
    (network); the last two need openbabel."""
