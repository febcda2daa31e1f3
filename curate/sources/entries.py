"""What databases and files write for one crystal, turned into a structure record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from curate.record import DummySpecies, Refusal, StructureRecord, Value, rows

MISSING = {"", "na", "n/a", "nan", "none", "null"}
ID_KEYS = ("material_id", "jid", "id")


def record_of(entry: Any, default_id: str, fields: Mapping[str, Any]) -> StructureRecord | Refusal:
    """A record from a pymatgen Structure, a pymatgen dict, a jarvis `atoms` dict, or a row with one."""
    material_id, structure, properties = default_id, entry, {}
    try:
        if isinstance(entry, tuple):
            structure, properties = entry
        if isinstance(entry, dict):
            material_id = next((str(entry[k]) for k in ID_KEYS if entry.get(k)), default_id)
        if isinstance(entry, dict) and not {"lattice", "lattice_mat"} & entry.keys():
            structure = entry.get("structure") or entry.get("atoms")
            if not isinstance(structure, dict):
                raise ValueError("neither a pymatgen structure nor a jarvis atoms dictionary")
            properties = {
                k: v for k, v in entry.items() if k not in (*ID_KEYS, "structure", "atoms")
            }
        targets = {
            name: value_of(value)
            for name, value in properties.items()
            if isinstance(value, bool | int | float | str)
        }
        if isinstance(structure, dict) and "lattice_mat" in structure:
            return record_of_atoms(structure, material_id, properties=targets, **fields)
        if isinstance(structure, dict):
            from pymatgen.core import Structure

            structure = Structure.from_dict(structure)
        return StructureRecord.from_pymatgen(structure, material_id, properties=targets, **fields)
    except Exception as error:  # a broken entry costs itself only
        return Refusal.of(material_id, error)


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
