"""What is known of each crystal of a dataset, as an answer shows it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.dataset.spacegroups import spacegroups
from curate.errors import InputError
from curate.pages.palette import spacegroup_symbols
from model.data.materials import known_targets
from model.data.rows import LARGE, Rows

ID, FORMULA, SPACEGROUP, TEXT, PROPERTIES = "id", "formula", "spacegroup", "text", "properties"
SCHEMA = pa.schema(
    {
        **dict.fromkeys((ID, FORMULA, SPACEGROUP), pa.string()),
        TEXT: pa.large_string(),
        PROPERTIES: pa.string(),  # JSON
    }
)
GIVEN = ("material_id", "chemical_formula_reduced", "spacegroup_number", "description")


def digest(rows: Rows) -> str:
    """SHA-256 of all that answers are made of."""
    total = hashlib.sha256()
    names = columns(rows)
    total.update(json.dumps(names).encode())
    for table in rows.only(names).tables():
        for row in zip(*(table[name].to_pylist() for name in names), strict=True):
            total.update(repr(row).encode(errors="surrogatepass"))
    return total.hexdigest()


def columns(rows: Rows) -> list[str]:
    """The columns that a digest is of; InputError where it is no dataset of texts."""
    for name in ("material_id", "description"):
        if name not in rows.schema.names:
            raise InputError(f"the dataset has no column {name!r}: it has no texts to search")
    return [name for name in GIVEN if name in rows.schema.names] + known_targets(rows)


def crystals(rows: Rows) -> Iterator[pa.Table]:
    """Tables of SCHEMA, row by row those of the dataset."""
    names = columns(rows)
    given = "spacegroup_number" in names and None not in rows.column("spacegroup_number")
    symbols = spacegroup_symbols()
    for table in rows.only([*names, *(() if given else LARGE)]).tables():
        values = {name: table[name].to_pylist() for name in names}
        n = table.num_rows
        properties = [
            {name: values[name][k] for name in known_targets(rows) if values[name][k] is not None}
            for k in range(n)
        ]
        yield pa.table(
            {
                ID: values["material_id"],
                FORMULA: values.get("chemical_formula_reduced", [""] * n),
                SPACEGROUP: [symbols[k - 1] if k else "" for k in spacegroups(table)],
                TEXT: [text or "" for text in values["description"]],
                PROPERTIES: [json.dumps(some) for some in properties],
            },
            SCHEMA,
        )


def write(path: Path, tables: Iterator[pa.Table]) -> None:
    """Write tables of SCHEMA as one Arrow file."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        for table in tables:
            writer.write_table(table, max_chunksize=10_000)


def read(path: Path) -> pa.Table:
    """The table of a file, mapped from disk."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def row_of(table: pa.Table, number: int) -> dict[str, Any]:
    """One row, its properties as a dictionary."""
    row = table.slice(number, 1).to_pylist()[0]
    return {**row, PROPERTIES: json.loads(row[PROPERTIES])}


def texts_of(table: pa.Table) -> Iterator[str]:
    """All texts, one after another."""
    for chunk in table[TEXT].chunks:
        for start in range(0, len(chunk), 1_000):
            yield from chunk.slice(start, 1_000).to_pylist()
