"""A run's own files in, the dataset's card out. No number on a card is typed by hand."""

from __future__ import annotations

import hashlib
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.splits import LABELS, official_splits

if TYPE_CHECKING:
    from curate.counts import Counts
    from curate.run import Run

SPDX_ON_HUB = {"CC-BY-4.0": "cc-by-4.0", "CC0-1.0": "cc0-1.0", "MIT": "mit"}
MEANINGS = {
    "material_id": "the source's own id",
    "source": "database the entry comes from",
    "chemical_formula_reduced": "elements in alphabetical order, coprime counts",
    "nsites": "atoms in the cell",
    "lattice_vectors": "3×3, rows a, b, c",
    "cartesian_site_positions": "nsites×3",
    "species_at_sites": "chemical symbols, one a site",
    "spacegroup_number": "the source's",
    "description": "the text",
    "condensed_structure": "Robocrystallographer's middle form as JSON; `curate.describe.render` makes texts",
    "description_origin": "what wrote the text",
    "license": "of the entry",
}
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def dataset_card(run: Run, counts: Counts, default: Path) -> str:
    """The README.md of a dataset whose described rows are in the folder `default`."""
    from jinja2 import Environment, StrictUndefined

    question = run.question
    dataset = pq.ParquetDataset(default)
    table = dataset.read(["description_origin", "license"])
    licenses = Counter(table["license"].to_pylist()).most_common()
    generators = sorted(set(table["description_origin"].to_pylist()) - {None})
    license_id = SPDX_ON_HUB.get(licenses[0][0], "other") if len(licenses) == 1 else "other"
    template = (files("hub_cards") / "dataset_card.md").read_text()
    return (
        Environment(undefined=StrictUndefined, keep_trailing_newline=True)
        .from_string(template)
        .render(
            pretty_name=f"{question['source']['database']} crystals with descriptions",
            license_id=license_id,
            license_name="; ".join(name for name, _ in licenses) or "none",
            annotations_creators="machine-generated",
            size_category=next((name for n, name in SIZES if counts.described < n), "n>1M"),
            counts=counts,
            reasons=counts.reasons.most_common(),
            source=question["source"],
            describe=question["describe"],
            versions=question["versions"],
            generators=generators,
            columns=[_column(field) for field in dataset.schema],
            splits=[
                _split(dataset, name) for name in dataset.schema.names if name.startswith("split_")
            ],
            licenses=licenses,
            verification=run.verification,
            checksums={name: _checksum(default.parent / name) for name in ("default", "manifest")},
        )
    )


def _checksum(folder: Path) -> str:
    """SHA-256 of the folder's data files.

    `datasets` keeps what it loaded under a hash of the card's configs, not of the files: without this
    line another dataset in a folder of the same name would be answered from the cache.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.parquet")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _column(field) -> dict[str, str]:
    unit = (field.metadata or {}).get(b"unit", b"").decode()
    meaning = MEANINGS.get(field.name)
    if meaning is None:
        is_split = field.name.startswith("split_")
        meaning = "official split" if is_split else "property, under the source's own name"
    kind = str(field.type).replace("element: ", "").replace("item: ", "")
    return {"name": field.name, "type": kind, "unit": unit, "meaning": meaning}


def _split(dataset: pq.ParquetDataset, name: str) -> dict[str, Any]:
    task = name.removeprefix("split_")
    table = dataset.read(["material_id", name])
    labels = Counter(table[name].to_pylist())
    leaks = table.filter(pc.equal(table[name], "leak"))["material_id"].to_pylist()
    there, whole = labels.total() - labels[None], len(official_splits()[task])
    share = "all" if there == whole else f"{there} of {whole}"
    return {
        "task": task,
        "share": share,
        "leaks": leaks,
        **{label: labels[label] for label in LABELS},
    }
