"""The columns of all tables that a run writes: name, Arrow type, unit and meaning, in one place.

A new column is one line in `COLUMNS` and its name in the tables that have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import pyarrow as pa

from curate.record import Description, StructureRecord

VECTORS = pa.list_(pa.list_(pa.float64()))


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""


COLUMNS: Mapping[str, Column] = {
    column.name: column
    for column in (
        Column("material_id", pa.string(), "the source's own id"),
        Column("source", pa.string(), "database the entry comes from"),
        Column("license", pa.string(), "of the entry"),
        Column(
            "chemical_formula_reduced",
            pa.string(),
            "elements in alphabetical order, coprime counts",
        ),
        Column("nsites", pa.int32(), "atoms in the cell"),
        Column("lattice_vectors", VECTORS, "3×3, rows a, b, c", "Å"),
        Column("cartesian_site_positions", VECTORS, "nsites×3", "Å"),
        Column("species_at_sites", pa.list_(pa.string()), "chemical symbols, one a site"),
        Column("spacegroup_number", pa.int32(), "the source's"),
        Column("properties", pa.string(), "by the source's own names, as JSON"),
        Column("description", pa.string(), "the text"),
        Column(
            "condensed_structure",
            pa.string(),
            "Robocrystallographer's middle form as JSON; `curate.describe.render` makes texts",
        ),
        Column("description_origin", pa.string(), "what wrote the text"),
        Column("note", pa.string(), "what was changed on reading or describing"),
        Column("status", pa.string(), "`described`, or the kind of failure"),
        Column("stage", pa.string(), "where it failed: read, check, condense, render, worker"),
        Column("error_type", pa.string(), "of a failure"),
        Column("error_message", pa.string(), "of a failure"),
        Column("seconds", pa.float64(), "spent on describing", "s"),
        Column("symprec", pa.float64(), "symmetry tolerance that worked", "Å"),
        Column("text", pa.string(), "the description"),
        Column("origin", pa.string(), "what wrote the description"),
        Column("update", pa.int32(), "number of the update, from 1"),
        Column("date", pa.string(), "day on which the source was read again"),
        Column("version", pa.string(), "of the source on that day"),
        Column("change", pa.string(), "`new`, `structure`, `text`, `properties` or `withdrawn`"),
        Column("fields", pa.list_(pa.string()), "what differs: columns and properties"),
    )
}


def schema_of(names: Iterable[str]) -> pa.Schema:
    """The Arrow schema of a table with these columns."""
    return pa.schema([(name, COLUMNS[name].type) for name in names])


# RUN/structures: a structure record, or why an entry became none
STRUCTURES = schema_of(
    (
        *("material_id", "source", "license", "lattice_vectors", "cartesian_site_positions"),
        *("species_at_sites", "spacegroup_number", "properties", "description"),
        *("description_origin", "note", "status", "error_type", "error_message"),
    )
)
# RUN/descriptions: a description
DESCRIPTIONS = schema_of(
    (
        *("material_id", "status", "text", "condensed_structure", "origin", "symprec", "seconds"),
        *("stage", "error_type", "error_message", "note"),
    )
)
# the dataset's config `manifest`: one row for every requested id
MANIFEST = schema_of(
    (
        *("material_id", "status", "stage", "error_type", "error_message", "seconds", "symprec"),
        "note",
    )
)
# RUN/changes and the dataset's config `changes`: one row for every entry that an update changed
CHANGES = schema_of(("update", "date", "version", "material_id", "change", "fields"))
# the dataset's config `default`: one row for every description; properties and splits follow
DATASET = (
    *("material_id", "source", "chemical_formula_reduced", "nsites", "lattice_vectors"),
    *("cartesian_site_positions", "species_at_sites", "spacegroup_number", "description"),
    *("condensed_structure", "description_origin", "license"),
)
SPLIT = "split_"  # how the columns of official splits begin
# columns of DATASET that come from the description, by its attribute; the others from the record
OF_DESCRIPTION = {
    "description": "text",
    "condensed_structure": "condensed_structure",
    "description_origin": "origin",
}
GEOMETRY = ("lattice_vectors", "cartesian_site_positions", "species_at_sites")
RECORD_FIELDS = tuple(field.name for field in fields(StructureRecord))
# columns of DATASET that make a structure record again
OF_RECORD = tuple(name for name in DATASET if name in RECORD_FIELDS)


def dataset_row(record: StructureRecord, description: Description) -> dict[str, Any]:
    """The columns of DATASET for one crystal, its properties after them."""
    own = {
        name: getattr(description, OF_DESCRIPTION[name])
        if name in OF_DESCRIPTION
        else getattr(record, name)
        for name in DATASET
    }
    return {**own, **record.properties}


def record_of_row(row: Mapping[str, Any]) -> StructureRecord:
    """The structure record that a row with the columns OF_RECORD was made of.

    Args:
        row: A row of a table, as Python lists and numbers; optional columns may be missing.
    """
    known = {name: row[name] for name in OF_RECORD if row.get(name) is not None}
    known["species_at_sites"] = tuple(row["species_at_sites"])
    for name in ("lattice_vectors", "cartesian_site_positions"):
        known[name] = tuple(map(tuple, row[name]))
    return StructureRecord(**known)
