"""A run's own files in, the dataset's card out. No number on a card is typed by hand."""

from __future__ import annotations

import hashlib
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.dataset.splits import LABELS, task_sizes
from curate.dataset.text_statistics import TextFacts, text_facts
from curate.dataset.token_lengths import LIMIT
from curate.licenses import card_fields

if TYPE_CHECKING:
    from curate.run.counts import Counts
    from curate.run.folder import Run

LEVELS = {  # of theory, by the property's own name in its database
    "formation_energy_peratom": "DFT, OptB88vdW",
    "optb88vdw_bandgap": "DFT, OptB88vdW",
    "optb88vdw_total_energy": "DFT, OptB88vdW",
    "ehull": "DFT, OptB88vdW",
    "mbj_bandgap": "DFT, TB-mBJ",
    "slme": "DFT, TB-mBJ",
    "bulk_modulus_kv": "DFT, OptB88vdW; Voigt average",
    "shear_modulus_gv": "DFT, OptB88vdW; Voigt average",
    "spillage": "DFT with and without spin-orbit coupling",
    "e_form": "DFT, PBE and PBE+U",
    "gap pbe": "DFT, PBE and PBE+U",
    "bulk modulus": "DFT, PBE; Voigt-Reuss-Hill average",
    "shear modulus": "DFT, PBE; Voigt-Reuss-Hill average",
    "formation_energy_per_atom": "DFT, as the Materials Project mixes PBE, PBE+U and r2SCAN",
    "energy_above_hull": "DFT, as the Materials Project mixes PBE, PBE+U and r2SCAN",
    "band_gap": "DFT, PBE and PBE+U or r2SCAN",
    "k_vrh": "DFT, PBE; Voigt-Reuss-Hill average",
    "g_vrh": "DFT, PBE; Voigt-Reuss-Hill average",
}
CITATIONS = {  # of databases that come in another's corpus
    "JARVIS-DFT": "Choudhary et al., npj Computational Materials 6, 173 (2020)",
    "Materials Project": "Jain et al., APL Materials 1, 011002 (2013)",
}
QUANTILES = {"5 %": 0.05, "median": 0.5, "95 %": 0.95, "longest": 1.0}
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
    assert run.fetched is not None
    dataset = pq.ParquetDataset(default)
    table = dataset.read(["description_origin", "source", "license"])
    origins = Counter(
        zip(table["source"].to_pylist(), table["license"].to_pylist(), strict=True)
    ).most_common()
    facts = text_facts(default, question["settings"]["tokenizer"])
    generators = sorted(set(table["description_origin"].to_pylist()) - {None})
    template = (files("hub_cards") / "dataset_card.md").read_text()
    return (
        Environment(undefined=StrictUndefined, keep_trailing_newline=True)
        .from_string(template)
        .render(
            pretty_name=f"{question['source']['database']} crystals with descriptions",
            license=card_fields(license for (_, license), _ in origins),
            annotations_creators="machine-generated",
            size_category=next((name for n, name in SIZES if counts.described < n), "n>1M"),
            counts=counts,
            reasons=counts.reasons.most_common(),
            source=question["source"],
            read_on=run.fetched["read_on"],
            facts=facts,
            token_quantiles={
                name: facts.tokens.quantile(q) for name, q in QUANTILES.items() if facts.tokens
            },
            token_limit=LIMIT,
            describe=question["describe"],
            versions=question["versions"],
            generators=generators,
            columns=[_column(field) for field in dataset.schema],
            splits=[
                _split(dataset, name, facts)
                for name in dataset.schema.names
                if name.startswith("split_")
            ],
            verification=run.verification,
            checksums={name: _checksum(default.parent / name) for name in ("default", "manifest")},
            origins=origins,
            citations={
                database: _citation(database) or question["source"]["citation"]
                for (database, _), _ in origins
            },
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


def _citation(database: str) -> str | None:
    """Of a database with or without its version: `JARVIS-DFT 2021.8.18`."""
    return next((text for name, text in CITATIONS.items() if database.startswith(name)), None)


def _column(field) -> dict[str, str]:
    unit = (field.metadata or {}).get(b"unit", b"").decode()
    meaning = MEANINGS.get(field.name)
    if meaning is None:
        is_split = field.name.startswith("split_")
        meaning = "official split" if is_split else "property, under the source's own name"
    kind = str(field.type).replace("element: ", "").replace("item: ", "")
    kind = kind.replace("<", "[").replace(">", "]")  # Markdown takes <double> for a tag
    level = LEVELS.get(field.name)
    meaning += f"; {level}" if level else ""
    return {"name": field.name, "type": kind, "unit": unit, "meaning": meaning}


def _split(dataset: pq.ParquetDataset, name: str, facts: TextFacts) -> dict[str, Any]:
    task = name.removeprefix("split_")
    table = dataset.read(["material_id", name])
    labels = Counter(table[name].to_pylist())
    leaks = table.filter(pc.equal(table[name], "leak"))["material_id"].to_pylist()
    there, whole = labels.total() - labels[None], task_sizes()[task]
    share = "equal" if there == whole else f"part: {there} of {whole} ids"
    return {
        "task": task,
        "share": share,
        "leaks": leaks,
        "seen": facts.seen[task],
        **{label: labels[label] for label in LABELS},
    }
