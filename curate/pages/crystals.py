"""Pack a table of crystals and the details of each for a page."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curate.pages.page import packed, packed_details, rounded
from curate.pages.palette import palette, spacegroup_symbols
from curate.record import SPLIT_LABELS

MEGABYTE = 1_000_000
DETAIL_BYTES = 9 * MEGABYTE  # structures and texts
CONDENSED_BYTES = 2 * MEGABYTE  # condensed structures
GRID = 10_000  # fractional coordinates are whole parts of this


@dataclass(frozen=True)
class Column:
    """One column of the table."""

    key: str
    label: str
    unit: str = ""
    kind: str = "number"  # number, text, or spacegroup
    digits: int = 4  # significant ones of a number that is not whole


@dataclass(frozen=True)
class Packed:
    """What goes into a page for its table."""

    data: dict[str, str]
    n_rows: int
    n_details: int  # rows that open a structure and a text
    n_condensed: int


def pack_crystals(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    views: Sequence[Mapping[str, Any]],
    seed: int,
    first: Iterable[int] = (),
) -> Packed:
    """The rows, with details as far as there is room: `first` those numbers, then drawn with the seed.

    A view is a button above the table: `name`, `label`, and `sort` (a column, `-` before it for
    descending) or `ids`.
    """
    order = list(dict.fromkeys(first))
    rest = sorted(set(range(len(rows))) - set(order))
    random.Random(seed).shuffle(rest)
    order += rest
    pieces, n_details = packed_details((detail(rows[n], columns) for n in order), DETAIL_BYTES)
    with_condensed = [n for n in order[:n_details] if rows[n].get("condensed_structure")]
    condensed, n_condensed = packed_details(
        ({"condensed": condensed_of(rows[n])} for n in with_condensed), CONDENSED_BYTES
    )
    places = {row: place for place, row in enumerate(order[:n_details])}
    condensed_places = {row: place for place, row in enumerate(with_condensed[:n_condensed])}
    table: dict[str, Any] = {
        column.key: [short(row.get(column.key), column) for row in rows] for column in columns
    }
    table["detail"] = [places.get(n, -1) for n in range(len(rows))]
    table["condensed"] = [condensed_places.get(n, -1) for n in range(len(rows))]
    symbols = {s for row in rows for s in row.get("species_at_sites") or ()}
    head = {
        "columns": [vars(column) for column in columns],
        "rows": table,
        "views": list(views),
        "elements": palette(symbols),
        "symbols": spacegroup_symbols(),
        "grid": GRID,
    }
    data = {"table": packed(head)}
    data |= {f"details-{n}": piece for n, piece in enumerate(pieces)}
    data |= {f"condensed-{n}": piece for n, piece in enumerate(condensed)}
    return Packed(data, len(rows), n_details, n_condensed)


def detail(row: Mapping[str, Any], columns: Sequence[Column]) -> dict[str, Any]:
    """What the page shows of a crystal when it is opened: structure, text and numbers."""
    known = {column.key for column in columns}
    found: dict[str, Any] = {"text": row.get("description"), "facts": {}}
    if row.get("lattice_vectors"):
        lattice = np.array(row["lattice_vectors"], float)
        fractional = np.linalg.solve(
            lattice.T, np.array(row["cartesian_site_positions"], float).T
        ).T
        found["lattice"] = np.round(lattice, 4).tolist()
        found["species"] = list(row["species_at_sites"])
        found["positions"] = np.round(fractional % 1 * GRID).astype(int).ravel().tolist()
    for name in ("source", "license", "description_origin", "stage", "error_type", "note"):
        if row.get(name) and name not in known:
            found["facts"][name.replace("_", " ")] = str(row[name])
    for label in SPLIT_LABELS:
        tasks = [
            n.removeprefix("split_") for n, v in row.items() if n[:6] == "split_" and v == label
        ]
        if tasks:
            found["facts"][f"official split: {label}"] = ", ".join(tasks)
    found.update(row.get("extra") or {})
    return found


def condensed_of(row: Mapping[str, Any]) -> Any:
    """The condensed structure with readable numbers."""
    try:
        return rounded(json.loads(row["condensed_structure"]))
    except ValueError:
        return str(row["condensed_structure"])


def short(value: Any, column: Column) -> Any:
    """A table cell, rounded to the digits that are shown."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.{column.digits + 1}g}") if np.isfinite(value) else None
