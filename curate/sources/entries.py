"""jarvis `Atoms.to_dict()` and JARVIS property values in, the fields of a structure record out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from curate.record import DummySpecies, StructureRecord, Value, rows

MISSING = {"", "na", "n/a", "nan", "none", "null"}


def record_of_atoms(atoms: dict[str, Any], material_id: str, **fields) -> StructureRecord:
    """A record from `lattice_mat` (Å, rows a b c), `coords` (fractional, or Å with `cartesian`)
    and `elements`; ValueError where these do not fit together."""
    lattice = np.array(atoms["lattice_mat"], float)
    elements = [str(element).strip() for element in atoms["elements"]]
    coordinates = np.array(atoms["coords"], float).reshape(-1, 3)
    if lattice.shape != (3, 3) or len(coordinates) != len(elements):
        raise ValueError(
            f"lattice of shape {lattice.shape}, {len(coordinates)} positions, {len(elements)} elements"
        )
    if not all(element.isalpha() for element in elements):
        raise DummySpecies(f"{sorted(set(elements))} are not all chemical elements")
    positions = coordinates if atoms.get("cartesian") else coordinates @ lattice
    note = "deuterium read as hydrogen" if "D" in elements else None
    return StructureRecord(
        material_id=material_id,
        lattice_vectors=rows(lattice),
        species_at_sites=tuple("H" if element == "D" else element for element in elements),
        cartesian_site_positions=rows(positions),
        note=note,
        **fields,
    )


def value_of(raw: Any) -> Value:
    """A property's value; None for what databases write when there is none ("na", NaN, empty)."""
    if isinstance(raw, str):
        text = raw.strip()
        if text.lower() in MISSING:
            return None
        try:
            raw = float(text)
        except ValueError:
            return text
    if isinstance(raw, float) and not math.isfinite(raw):
        return None
    return raw if isinstance(raw, bool | int | float) else None
