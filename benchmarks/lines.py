"""A table of real crystals in, one JSON object a line out, for `curate build --db files --input`.

    python benchmarks/lines.py TABLE.parquet OUT.jsonl [--source WORDS] [--without WORDS]

The table has a column `id`, one of `structure` (pymatgen JSON) and `atoms` (jarvis JSON), and
numbers, which become properties. `--source mp_20` keeps the rows whose structure comes from there,
`--without AtomGen` leaves some out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import tyro

NOT_PROPERTIES = ("natoms", "spg_number")


@dataclass(frozen=True)
class Config:
    """Which rows become lines."""

    table: tyro.conf.Positional[Path]
    out: tyro.conf.Positional[Path]
    source: str = ""
    """Words in `structure_source` that a row must have."""
    without: str | None = None
    """Words in `structure_source` that a row must not have."""


def main() -> None:
    """Write the lines."""
    config = tyro.cli(Config, description=__doc__)
    n_written = 0
    with config.out.open("w") as file:
        for row in pq.read_table(config.table).to_pylist():
            source = row.get("structure_source") or ""
            if config.source in source and (config.without is None or config.without not in source):
                file.write(json.dumps(line_of(row)) + "\n")
                n_written += 1
    print(f"{n_written} crystals in {config.out}")


def line_of(row: dict) -> dict:
    """The row's structure and its numbers."""
    kind = "atoms" if "atoms" in row else "structure"
    numbers = {
        name: value
        for name, value in row.items()
        if isinstance(value, float | int) and name not in NOT_PROPERTIES
    }
    return {"id": row["id"], kind: json.loads(row[kind]), **numbers}


if __name__ == "__main__":
    main()
