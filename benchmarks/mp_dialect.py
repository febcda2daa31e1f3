"""Are the texts of `--text-dialect mp` those of emmet-core, letter by letter?

    OMP_NUM_THREADS=1 python benchmarks/mp_dialect.py --structures mp_structures.parquet [--crystals 200]

Crystals of the Materials Project, drawn with a seed, are described by emmet-core's own function, which
writes the texts that the Materials Project serves, and by ours. It is given the crystal with the guessed
oxidation states that ours has, since the Materials Project takes them from a table of its own. Words that
Robocrystallographer takes from sets are sorted in both, and `np.int64(1)`, which emmet-core writes with
numpy 2 for the indices of directions, is read as 1; how many texts have it is counted. Writes
results/mp_dialect.json after each crystal; the same command goes on.
"""

from __future__ import annotations

import json
import random
import re
import time
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as pq
import tyro
from setting import setting

from curate.describe.condense import decorate
from curate.describe.description import describe
from curate.describe.options import DescribeOptions, in_dialect
from curate.describe.render import in_fixed_order
from curate.files import sha256_of, write_json
from curate.record import StructureRecord
from curate.sources.entries import record_of

NUMPY = re.compile(r"np\.int64\((-?\d+)\)")
RESULT = Path(__file__).parent / "results" / "mp_dialect.json"


@dataclass(frozen=True)
class Config:
    """Which crystals are compared."""

    structures: Path
    """Parquet table with columns id, natoms and structure (pymatgen's, as JSON)."""
    crystals: int = 200
    """How many."""
    largest: int = 40
    """Atoms in the largest cell; stock's steps take minutes for larger ones."""
    seed: int = 0
    """Of the draw."""
    out: Path = RESULT
    """Where the result goes."""


def main() -> None:
    """Compare, and print the counts."""
    config = tyro.cli(Config, description=__doc__)
    table = pq.read_table(config.structures, columns=["id", "natoms"]).to_pylist()
    known = [row["id"] for row in table if row["natoms"] and row["natoms"] <= config.largest]
    drawn = random.Random(config.seed).sample(sorted(known), config.crystals)
    digest = sha256_of(config.structures).hex()
    rows: dict[str, dict] = {}
    if config.out.exists():
        before = json.loads(config.out.read_text())
        if before["structures_sha256"] == digest:
            rows = {row["id"]: row for row in before["crystals"]}
    structures = dict(
        zip(
            *pq.read_table(config.structures, columns=["id", "structure"]).to_pydict().values(),
            strict=True,
        )
    )
    for material_id in drawn:
        if material_id not in rows:
            rows[material_id] = compared(record(structures[material_id], material_id))
        some = [rows[each] for each in drawn if each in rows]
        same = sum(row["is_equal"] for row in some)
        write_json(
            config.out,
            {
                "compared": len(some),
                "equal": same,
                "in_html": sum(row["is_html"] for row in some),
                "with_numpy_words": sum(row["has_numpy_words"] for row in some),
                "emmet_seconds": round(sum(row["emmet_seconds"] for row in some), 1),
                "our_seconds": round(sum(row["our_seconds"] for row in some), 1),
                "structures_sha256": digest,
                "crystals": some,
                "setting": setting(("emmet-core",)),
            },
        )
    print(f"{same} of {len(some)} texts are those of emmet-core {version('emmet-core')}")


def record(written: str, material_id: str) -> StructureRecord:
    """The crystal of a row."""
    found = record_of(json.loads(written), material_id, {})
    assert isinstance(found, StructureRecord), found
    return found


def compared(crystal: StructureRecord) -> dict:
    """Both texts, or only that they are equal."""
    from emmet.core.utils import generate_robocrys_condensed_struct_and_description as emmet

    options = in_dialect(DescribeOptions(), "mp")
    started = time.process_time()
    ours = describe(crystal, options).text
    between = time.process_time()
    structure = crystal.to_pymatgen()
    decorate(structure, options)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            written = emmet(structure)[1]
        theirs = in_fixed_order(NUMPY.sub(r"\1", written))
    except Exception as error:  # it has no text then, and ours should have none either
        theirs, written = None, ""
        reason = f"{type(error).__name__}: {error}"[:200]
    row = {
        "id": crystal.material_id,
        "is_equal": ours == theirs,
        "is_html": ours is not None and "<sub>" in ours,
        "has_numpy_words": "np.int64" in written,
        "our_seconds": round(between - started, 3),
        "emmet_seconds": round(time.process_time() - between, 3),
    }
    if theirs is None:
        row["emmet_error"] = reason
    if ours != theirs:
        row |= {"ours": ours, "theirs": theirs}
    return row


if __name__ == "__main__":
    main()
