"""What databases and files write for one crystal, turned into a structure record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from curate.geometry import MIN_DISTANCE
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
            if isinstance(entry.get("structure"), dict) and isinstance(entry.get("atoms"), dict):
                raise ValueError("it holds both a structure and atoms")
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
            notes = [fields.get("note"), *contradictions(structure)]
            fields["note"] = "; ".join(filter(None, notes)) or None
            structure = safe_structure(structure)
        return StructureRecord.from_pymatgen(structure, material_id, properties=targets, **fields)
    except KeyError as error:
        return SkippedEntry.from_error(material_id, ValueError(f"its structure has no {error}"))
    except (TypeError, AttributeError) as error:
        reason = f"its structure is not written as pymatgen or jarvis-tools do ({error})"
        return SkippedEntry.from_error(material_id, ValueError(reason))
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
    lattice = floats(atoms["lattice_mat"])
    if isinstance(atoms["elements"], str):
        raise ValueError("its elements are one text, not a list")
    elements = [str(element).strip() for element in atoms["elements"]]
    coordinates = floats(atoms["coords"])
    if lattice.shape != (3, 3) or coordinates.shape != (len(elements), 3):
        raise ValueError(
            f"lattice of shape {lattice.shape}, positions of shape {coordinates.shape}, "
            f"{len(elements)} elements"
        )
    if not isinstance(atoms.get("cartesian", False), bool | int):
        raise ValueError(f"cartesian is {atoms['cartesian']!r}, not true or false")
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


def floats(written: Any) -> np.ndarray:
    """An array of numbers from lists of them; ValueError where one is something else, as `true` or `1_0`."""
    array = np.array(written, object)
    for value in array.ravel().tolist():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not is_number and as_number(str(value)) is None:
            raise ValueError(f"{str(value)[:40]!r} stands among its numbers")
    return array.astype(float)


def place(site: Mapping[str, Any], name: str) -> np.ndarray:
    """(3,) coordinates of a site."""
    found = floats(site[name])
    if found.shape != (3,):
        raise ValueError(f"{name} of a site has shape {found.shape}, not three numbers")
    return found


def contradictions(written: Mapping[str, Any]) -> Iterator[str]:
    """Notes on what a dictionary of pymatgen says of its structure beside what is read of it."""
    cell = written["lattice"]
    if not all(cell.get("pbc") or (True,)):
        yield f"periodic in {sum(map(bool, cell['pbc']))} directions by its pbc, read as periodic in three"
    if "matrix" not in cell:
        return
    matrix = floats(cell["matrix"]).reshape(3, 3)
    for axis, length in zip("abc", np.linalg.norm(matrix, axis=1), strict=True):
        said = cell.get(axis)
        if isinstance(said, int | float) and abs(said - length) > 0.01 * length:
            yield f"its {axis} is {said:g} Å and its vector {length:g} Å long; the vectors were used"
    for number, site in enumerate(written["sites"]):
        if site.get("xyz") is None:
            continue
        apart = np.linalg.norm(place(site, "abc") @ matrix - place(site, "xyz"))
        if apart > MIN_DISTANCE:
            yield (
                f"abc and xyz of site {number} are {apart:.2f} Å apart; fractional coordinates were used"
            )
            return


def safe_structure(written: Mapping[str, Any]) -> Any:
    """pymatgen's Structure of the dictionary it writes; only the cell, the species and their places are
    taken, for what else such a dictionary holds may name classes to import."""
    from pymatgen.core import Structure

    cell = written["lattice"]
    names = ("matrix", "pbc", "a", "b", "c", "alpha", "beta", "gamma")
    if "matrix" in cell:
        floats(cell["matrix"])
    kept = {
        "lattice": {name: cell[name] for name in names if name in cell},
        "sites": [
            {
                "species": [
                    {
                        "occu": floats([species["occu"]]).item(),
                        **{
                            key: species[key]
                            for key in ("element", "oxidation_state")
                            if isinstance(species.get(key), str | int | float)
                        },
                    }
                    for species in site["species"]
                ],
                "abc": place(site, "abc").tolist(),
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
        if math.isinf(found) and "inf" not in text.lower():
            raise ValueError("a number larger than any that can be stored")
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
