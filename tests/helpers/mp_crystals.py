"""Documents of the shape the Materials Project stores, with crystals of the embedded sample."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle, islice
from typing import Any

import pyarrow as pa
from emmet.core.arrow import arrowize
from emmet.core.mpid import AlphaID
from emmet.core.robocrys import RobocrystallogapherDoc
from emmet.core.summary import SummaryDoc
from pymatgen.core import Structure

from curate.sources.sample import Sample

VERSION = "2026.11.1"
SYSTEMS = ((2, "Triclinic"), (15, "Monoclinic"), (74, "Orthorhombic"), (142, "Tetragonal"))
SYSTEMS += ((167, "Trigonal"), (194, "Hexagonal"), (230, "Cubic"))


def stored_id(number: int) -> str:
    """`mp-149` as the database keeps it: `mp-aaaaaaft`."""
    return str(AlphaID(number, prefix="mp", padlen=8))


def summaries(n: int, first: int = 1) -> Iterator[dict[str, Any]]:
    """Summary documents mp-1, mp-2, … as REST answers them; the crystals repeat after 400."""
    records = list(Sample().records())
    for number, record in enumerate(islice(cycle(records), n), start=first):
        document = summary(number, record.to_pymatgen(), record.spacegroup_number or 1)
        document["formation_energy_per_atom"] = record.properties["formation_energy_peratom"]
        document["band_gap"] = record.properties["optb88vdw_bandgap"]
        if (bulk := record.properties["bulk_modulus_kv"]) is not None:
            document["bulk_modulus"] = {"voigt": bulk, "reuss": bulk, "vrh": bulk}
        yield document


def summary(number: int, structure: Structure, spacegroup_number: int = 1) -> dict[str, Any]:
    """One summary document without properties."""
    elements = sorted({site.specie.symbol for site in structure})
    return {
        "material_id": stored_id(number),
        "builder_meta": {"emmet_version": "0.87.3", "license": "BY-C"},
        "property_name": "summary",
        "task_ids": [stored_id(number)],
        "warnings": [],
        "deprecated": False,
        "nsites": len(structure),
        "elements": elements,
        "nelements": len(elements),
        "formula_pretty": structure.composition.reduced_formula,
        "chemsys": "-".join(elements),
        "volume": structure.volume,
        "density": structure.density,
        "symmetry": {
            "number": spacegroup_number,
            "crystal_system": next(n for last, n in SYSTEMS if spacegroup_number <= last),
        },
        "last_updated": "2026-10-01T00:00:00Z",
        "structure": structure.as_dict(),
        "is_stable": number % 2 == 0,
        "is_metal": None,
        "theoretical": False,
    }


def text_of(document: dict[str, Any], text: str) -> dict[str, Any]:
    """The document with the published text of a summary document's material."""
    same = ("material_id", "builder_meta", "deprecated", "formula_pretty", "last_updated")
    return {
        **{name: document[name] for name in same},
        "property_name": "robocrys",
        "warnings": [],
        "description": text,
        "condensed_structure": {"mineral": {"type": None, "name": None}, "dimensionality": 3},
        "robocrys_version": "0.86.2",
    }


def table(documents: list[dict[str, Any]], version: str = VERSION) -> pa.Table:
    """Documents as a bulk table holds them, in the schema of their model."""
    is_summary = documents[0]["property_name"] == "summary"
    schema = pa.schema(arrowize(SummaryDoc if is_summary else RobocrystallogapherDoc))
    rows = [as_row(document) for document in documents]
    whole = pa.Table.from_pylist(rows, schema=schema)
    return whole.add_column(0, "version", pa.array([version] * len(rows)))


def as_row(document: dict[str, Any]) -> dict[str, Any]:
    row = dict(document, last_updated=datetime(2026, 10, 1, tzinfo=UTC))
    for name in ("bulk_modulus", "shear_modulus"):
        if document.get(name):
            row[name] = list(document[name].items())
    return row
