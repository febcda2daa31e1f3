"""What databases and files write for one crystal, turned into a structure record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from curate.record import ISOTOPES, DummySpecies, SkippedEntry, StructureRecord, Value, rows

MISSING = {"", "na", "n/a", "nan", "none", "null"}
ID_KEYS = ("material_id", "jid", "id")
LARGEST_WHOLE = 2**53  # whole numbers up to here are floats exactly


@dataclass(frozen=True)
class Crystal:
    """One crystal as a file's reader gives it."""

    structure: Any  # pymatgen's Structure
    properties: Mapping[str, Any] = field(default_factory=dict)  # those that the file brings
    material_id: str | None = None  # the file's own, where it has one
    note: str | None = None  # what was guessed or changed on reading


def record_of(
    entry: Any, default_id: str, fields: Mapping[str, Any]
) -> StructureRecord | SkippedEntry:
    """A record from a Crystal, a pymatgen dict, a jarvis `atoms` dict, or a row with one; an exception
    is the reason why there is none."""
    material_id, structure, fields = default_id, entry, dict(fields)
    properties: Mapping[str, Any] = {}
    try:
        if isinstance(entry, Exception):
            raise entry
        if isinstance(entry, Crystal):
            structure, properties = entry.structure, entry.properties
            material_id = entry.material_id or default_id
            fields["note"] = "; ".join(filter(None, (fields.get("note"), entry.note))) or None
        elif isinstance(entry, dict):
            material_id = own_id(entry) or default_id
        else:
            raise ValueError(f"{str(entry)[:40]!r} is no JSON object")
        if isinstance(entry, dict) and not {"lattice", "lattice_mat"} & entry.keys():
            structure = entry.get("structure") or entry.get("atoms")
            if not isinstance(structure, dict):
                raise ValueError("neither a pymatgen structure nor a jarvis atoms dictionary")
            properties = {
                k: v for k, v in entry.items() if k not in (*ID_KEYS, "structure", "atoms")
            }
        targets = {}
        for name, value in properties.items():
            if isinstance(value, bool | int | float | str):
                try:
                    targets[name] = value_of(value)
                except ValueError as error:
                    raise ValueError(f"property {name} is {error}") from None
        if isinstance(structure, dict) and "lattice_mat" in structure:
            return record_of_atoms(structure, material_id, properties=targets, **fields)
        if isinstance(structure, dict):
            structure = safe_structure(structure)
        return StructureRecord.from_pymatgen(structure, material_id, properties=targets, **fields)
    except KeyError as error:
        return SkippedEntry.from_error(material_id, ValueError(f"its structure has no {error}"))
    except Exception as error:  # a broken entry costs itself only
        return SkippedEntry.from_error(material_id, error)


def own_id(entry: Mapping[str, Any]) -> str | None:
    """The id that an entry brings itself; 0 is one."""
    for key in ID_KEYS:
        if isinstance(entry.get(key), str | int | float) and str(entry[key]).strip():
            return str(entry[key])
    return None


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
    notes = [fields.pop("note", None)]
    notes += [f"{isotope} read as hydrogen" for s, isotope in ISOTOPES.items() if s in elements]
    return StructureRecord(
        material_id=material_id,
        lattice_vectors=rows(lattice),
        species_at_sites=tuple("H" if element in ISOTOPES else element for element in elements),
        cartesian_site_positions=rows(positions),
        note="; ".join(filter(None, notes)) or None,
        **fields,
    )


def safe_structure(written: Mapping[str, Any]) -> Any:
    """pymatgen's Structure of the dictionary it writes; only the cell, the species and their places are
    taken, for what else such a dictionary holds may name classes to import."""
    from pymatgen.core import Structure

    cell = written["lattice"]
    names = ("matrix", "pbc", "a", "b", "c", "alpha", "beta", "gamma")
    kept = {
        "lattice": {name: cell[name] for name in names if name in cell},
        "sites": [
            {
                "species": [
                    {
                        key: species[key]
                        for key in ("element", "occu", "oxidation_state")
                        if isinstance(species.get(key), str | int | float)
                    }
                    for species in site["species"]
                ],
                "abc": site["abc"],
            }
            for site in written["sites"]
        ],
    }
    return Structure.from_dict(kept)


def value_of(raw: Any) -> Value:
    """A property's value; None for what databases write when there is none ("na", NaN, empty).

    A whole number beyond 2^53, which tables can't keep exactly, becomes a float; one beyond any float
    is a ValueError.
    """
    if isinstance(raw, str):
        text = raw.strip()
        if text.lower() in MISSING:
            return None
        found = as_number(text)
        if found is None:
            return text
        raw = found
    if isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) > LARGEST_WHOLE:
        try:
            raw = float(raw)
        except OverflowError:
            raise ValueError("a whole number larger than any that can be stored") from None
    if isinstance(raw, float) and not math.isfinite(raw):
        return None
    return raw if isinstance(raw, bool | int | float) else None


def as_number(text: str) -> float | None:
    """The number that a text is; None where it is none, as `2_1` and digits of other scripts."""
    if "_" in text or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return None
