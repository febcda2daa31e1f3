"""Turn structures in OPTIMADE's JSON into structure records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from curate.record import (
    DisorderedStructure,
    DummySpecies,
    SkippedEntry,
    StructureRecord,
    Value,
)
from curate.sources.entries import record_of_atoms, value_of

STRUCTURE = (  # OPTIMADE's own properties that a record is made of
    "lattice_vectors",
    "cartesian_site_positions",
    "species_at_sites",
    "species",
    "dimension_types",
    "structure_features",
    "space_group_it_number",
)
FIELD = re.compile(r"_[A-Za-z0-9_]{1,99}")  # a provider's own property
NESTED = re.compile(r"[A-Za-z0-9_+-]{1,60}")  # a key within one
DEEPEST = 3  # dictionaries within dictionaries
MOST_NESTED = 500  # values within the dictionaries of a structure
IMPLIED = {"implicit_atoms", "site_attachments", "unknown_positions"}  # atoms without a place


def record_of_entry(
    entry: Mapping[str, Any], database: str, license: str
) -> StructureRecord | SkippedEntry:
    """A structure of OPTIMADE's JSON as a record, or as a SkippedEntry with the reason."""
    material_id = str(entry["id"])
    try:
        attributes = entry["attributes"]
        number = attributes.get("space_group_it_number")
        properties = dict(numbers_in(attributes))
        return record_of_atoms(
            atoms_of(attributes),
            material_id,
            source=database,
            license=license,
            spacegroup_number=number if number in range(1, 231) else None,
            properties=properties,
        )
    except Exception as error:  # a broken entry costs itself only
        return SkippedEntry.from_error(material_id, error)


def numbers_in(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    """The provider's own numbers, those within its dictionaries by the names on the way to them:
    `_mp_stability.r2scan.energy_above_hull`; ValueError for more than MOST_NESTED of these."""
    waiting = [(name, value, 0) for name, value in attributes.items() if FIELD.fullmatch(name)]
    n_nested = 0
    while waiting:
        name, value, depth = waiting.pop(0)
        if isinstance(value, bool | int | float):
            yield name, value_of(value)
        elif isinstance(value, Mapping) and depth < DEEPEST:
            inner = [(key, part) for key, part in value.items() if NESTED.fullmatch(key)]
            n_nested += len(inner)
            if n_nested > MOST_NESTED:
                raise ValueError(f"its own properties hold more than {MOST_NESTED} values")
            waiting[:0] = [(f"{name}.{key}", part, depth + 1) for key, part in inner]


def atoms_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """A structure's attributes as jarvis' `atoms`; ValueError if it is not a plain ordered crystal."""
    features = set(attributes.get("structure_features") or ())
    if "assemblies" in features:
        raise DisorderedStructure("it describes several arrangements of atoms (assemblies)")
    if implied := features & IMPLIED:
        raise ValueError(f"it has atoms without positions ({', '.join(sorted(implied))})")
    periodic = attributes.get("dimension_types")
    if periodic is not None and list(periodic) != [1, 1, 1]:
        raise ValueError(f"it is periodic in {sum(periodic)} of 3 directions")
    for name in ("lattice_vectors", "cartesian_site_positions", "species_at_sites"):
        if attributes.get(name) is None:
            raise ValueError(f"the server gives no {name}")
    kinds = {kind["name"]: kind for kind in attributes.get("species") or ()}
    return {
        "lattice_mat": attributes["lattice_vectors"],
        "coords": attributes["cartesian_site_positions"],
        "cartesian": True,
        "elements": [
            element_of(number, kinds.get(name, {"chemical_symbols": [name]}))
            for number, name in enumerate(attributes["species_at_sites"])
        ],
    }


def element_of(number: int, kind: Mapping[str, Any]) -> str:
    """The one element of a site's species."""
    symbols = kind["chemical_symbols"]
    shares = kind.get("concentration") or [1.0] * len(symbols)
    if len(symbols) != 1 or symbols == ["vacancy"] or abs(shares[0] - 1.0) > 1e-6:
        names = ", ".join(f"{s}:{share:g}" for s, share in zip(symbols, shares, strict=True))
        raise DisorderedStructure(f"site {number} holds {names}")
    if kind.get("attached"):
        raise ValueError(f"site {number} has attached atoms without positions")
    if symbols[0] == "X":
        raise DummySpecies(f"site {number} holds X, an element that is not known")
    return str(symbols[0])
