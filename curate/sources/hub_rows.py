"""Turn rows with OPTIMADE's columns into structure records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from curate.errors import InputError
from curate.record import SkippedEntry, StructureRecord, Value
from curate.run.schema import DATASET, GEOMETRY, SPLIT
from curate.sources.base import Entry, Position
from curate.sources.entries import record_of_atoms, value_of
from curate.sources.optimade import has_id
from curate.sources.optimade_entries import atoms_of

IDS = ("immutable_id", "material_id", "id")  # the first that a dataset has names its crystals
SPACE_GROUPS = ("space_group_it_number", "spacegroup_number")
FINGERPRINTS = ("entalpic_fingerprint", "bawl_fingerprint")
CHECKS = (
    "species",
    "dimension_types",
    "structure_features",
)  # what says that it is no ordered crystal
OF_ROW = ("source", "license", "description", "description_origin")
# OPTIMADE's other properties of a structure, which follow from the crystal or name it
DERIVED = {
    *("type", "elements", "nelements", "elements_ratios", "nsites", "nperiodic_dimensions"),
    *("chemical_formula_descriptive", "chemical_formula_reduced", "chemical_formula_anonymous"),
    *("chemical_formula_hill", "last_modified", "space_group_hall", "space_group_symbol_hall"),
    *("space_group_symbol_hermann_mauguin", "space_group_symbol_hermann_mauguin_extended"),
}
LONGEST_SPECIES = 1_000_000  # characters of JSON; those of a thousand sites have a tenth of it


@dataclass(frozen=True)
class Columns:
    """The columns of a dataset that are read."""

    id: str
    spacegroup: str | None
    fingerprint: str | None
    properties: tuple[str, ...]
    others: tuple[str, ...]  # geometry, checks, and what the row says of itself
    units: Mapping[str, str]  # by property, where the file tells them

    @property
    def names(self) -> list[str]:
        """All of them."""
        single = [name for name in (self.id, self.spacegroup) if name]
        return list(dict.fromkeys((*single, *self.others, *self.properties)))


def columns_of(schema: pa.Schema, dataset: str) -> Columns:
    """The columns that a record is made of.

    Args:
        schema: Of a file of the dataset.
        dataset: OWNER/NAME, for messages.

    Raises:
        InputError: A column that a crystal needs is missing or of another kind.
    """
    names = schema.names
    material_id = next((name for name in IDS if name in names), None)
    missing = [name for name in GEOMETRY if name not in names]
    if material_id is None:
        missing.insert(0, " or ".join(IDS))
    if missing:
        known = ", ".join(names[:30]) + " …" * (len(names) > 30)
        raise InputError(
            f"{dataset} has no column {', '.join(missing)}: --db hub reads datasets with OPTIMADE's "
            f"columns; this one has {known}"
        )
    for name, is_right, what in (
        ("lattice_vectors", is_vectors, "lists of three numbers"),
        ("cartesian_site_positions", is_vectors, "lists of three numbers"),
        ("species_at_sites", lambda kind: is_list(kind) and is_text(kind.value_type), "texts"),
    ):
        if not is_right(schema.field(name).type):
            kind = schema.field(name).type
            raise InputError(f"{dataset}: its column {name} is {kind}, not a list of {what}")
    spacegroup = next((name for name in SPACE_GROUPS if name in names), None)
    taken = {*IDS, *SPACE_GROUPS, *GEOMETRY, *CHECKS, *DERIVED, *DATASET}
    properties = tuple(
        field.name
        for field in schema
        if field.name not in taken and not field.name.startswith(SPLIT) and is_value(field.type)
    )
    return Columns(
        id=material_id or "",
        spacegroup=spacegroup,
        fingerprint=next((name for name in FINGERPRINTS if name in names), None),
        properties=properties,
        others=(
            *(name for name in (*GEOMETRY, *CHECKS) if name in names),
            *(name for name in OF_ROW if name in names and is_text(schema.field(name).type)),
        ),
        units=dict(units_in(schema, properties)),
    )


def units_in(schema: pa.Schema, names: Iterable[str]) -> Iterable[tuple[str, str]]:
    """The units that a file's own columns tell, as those of our datasets do."""
    for name in names:
        unit = (schema.field(name).metadata or {}).get(b"unit", b"").decode(errors="replace")
        if unit.strip() and unit.isprintable() and len(unit) <= 60:
            yield name, unit


def is_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists."""
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds texts."""
    types = pa.types
    if types.is_dictionary(kind):
        return is_text(kind.value_type)
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def is_vectors(kind: pa.DataType) -> bool:
    """Whether a column holds lists of vectors."""
    if not is_list(kind) or not is_list(kind.value_type):
        return False
    number = kind.value_type.value_type
    return pa.types.is_floating(number) or pa.types.is_integer(number)


def is_value(kind: pa.DataType) -> bool:
    """Whether a column holds numbers, yes and no, or texts."""
    types = pa.types
    is_number = types.is_floating(kind) or types.is_integer(kind)
    return is_number or types.is_boolean(kind) or is_text(kind)


@dataclass(frozen=True)
class HubPage:
    """Some rows of a file, which any process can turn into entries."""

    rows: pa.RecordBatch  # the columns that are read
    path: str  # of the file in the dataset
    first: int  # number of the first row in the file
    columns: Columns
    defaults: Mapping[str, str]  # source and licence of rows that do not say theirs
    is_stated: bool  # whether the user's licence holds, whatever rows say
    is_published: bool  # whether the rows' own texts are taken

    def __len__(self) -> int:
        return len(self.rows)

    def entries(self) -> list[Entry]:
        """A record of each row, or a SkippedEntry with the reason."""
        return [self._entry(number, row) for number, row in enumerate(self.rows.to_pylist())]

    def position(self, number: int) -> Position:
        """The file, and how many of its rows are read with this one."""
        return {"file": self.path, "row": self.first + number + 1}

    def row(self, number: int) -> HubPage:
        """A page of one of its rows alone."""
        return replace(self, rows=self.rows.slice(number, 1), first=self.first + number)

    def name(self, number: int) -> str:
        """What a row without an id is called."""
        return f"row {self.first + number} of {self.path}"

    def _entry(self, number: int, row: dict[str, Any]) -> Entry:
        if not has_id({"id": row[self.columns.id]}):
            reason = "it has no id, or one that is no line of up to 200 characters"
            return SkippedEntry(self.name(number), "unreadable", "NoEntry", reason)
        if self.is_stated:
            row.pop("license", None)
        return record_of_row(row, self.columns, self.defaults, self.is_published)


def record_of_row(
    row: Mapping[str, Any], columns: Columns, defaults: Mapping[str, Any], is_published: bool
) -> StructureRecord | SkippedEntry:
    """A row as a record, or as a SkippedEntry with the reason.

    Args:
        row: The columns that are read, as Python's lists and numbers.
        columns: Which these are.
        defaults: Source and licence of rows that do not say theirs.
        is_published: Whether the row's own text is taken.
    """
    material_id = str(row[columns.id])
    fields = {name: row.get(name) or default for name, default in defaults.items()}
    if is_published:
        if not (row.get("description") or "").strip():
            return SkippedEntry(material_id, "left_out", "NoPublishedText", "the row has no text")
        fields["description"] = row["description"]
        fields["description_origin"] = row.get("description_origin") or defaults["source"]
    try:
        for name in GEOMETRY:
            if row[name] is None or any(value is None for value in row[name]):
                raise ValueError(f"the row has no {name}, or one with gaps")
        number: Any = row.get(columns.spacegroup or "")
        return record_of_atoms(
            atoms_of({**row, "species": species_of(row.get("species"))}),
            material_id,
            spacegroup_number=int(number) if number in range(1, 231) else None,
            properties={name: typed(row[name]) for name in columns.properties},
            **fields,
        )
    except Exception as error:  # a broken row costs itself only
        return SkippedEntry.from_error(material_id, error)


def typed(value: Any) -> Value:
    """A property's value; texts stay texts, whatever they look like."""
    return (value if value.strip() else None) if isinstance(value, str) else value_of(value)


def species_of(written: Any) -> list[Mapping[str, Any]]:
    """OPTIMADE's list of species, which may be written as JSON: whether sites are shared stands there.

    Raises:
        ValueError: It is no such list.
    """
    if isinstance(written, str):
        if len(written) > LONGEST_SPECIES:
            raise ValueError(f"its species are {len(written):,} characters long")
        try:
            written = json.loads(written)
        except (ValueError, RecursionError):
            raise ValueError("its species are no JSON") from None
    if written is None:
        return []
    is_species = isinstance(written, list) and all(
        isinstance(kind, dict) and isinstance(kind.get("name"), str) for kind in written
    )
    if not is_species:
        raise ValueError("its species are not OPTIMADE's list of them")
    return written
