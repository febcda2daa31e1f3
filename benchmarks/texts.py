"""Do the texts stay stock's from one version of the code to the next, and how long do they take?

    OMP_NUM_THREADS=1 python benchmarks/texts.py --structures TABLE.parquet … [--before f041074]

The crystals of results/equality.parquet, whose texts by stock Robocrystallographer are stored there, are
described with the code of an earlier commit and with today's: two processes, prepared as the workers of a
build are, which get each crystal one after the other, in turns the one and the other first. Of several
passes each crystal's least seconds count, as other work on the machine can only add to them. Writes
results/texts.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import tyro
from crystals import Crystal, load
from setting import checkout, setting

from curate.record import StructureRecord

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "texts.json"
DESCRIBE = """
import json, sys, time
try:
    import curate.describe.preload
except ImportError:
    import curate.preload
from curate import StructureRecord
from curate.describe import describe
for line in sys.stdin:
    material_id, lattice, species, positions = json.loads(line)
    record = StructureRecord(
        material_id, tuple(map(tuple, lattice)), tuple(species), tuple(map(tuple, positions))
    )
    started = time.process_time()
    found = describe(record)
    seconds = time.process_time() - started
    print(json.dumps([seconds, found.text, found.condensed_structure]), flush=True)
"""


@dataclass(frozen=True)
class Config:
    """What is compared, and how often."""

    structures: tuple[Path, ...]
    """Parquet tables of structures that hold the crystals of results/equality.parquet."""
    before: str = "f041074"
    """Commit of the earlier code."""
    times: int = 2
    """Passes of each code."""


@dataclass(frozen=True)
class Side:
    """One version of the code, in a process that answers one crystal after the other."""

    process: subprocess.Popen

    @classmethod
    def start(cls, code: Path) -> Side:
        return cls(
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", DESCRIBE],
                cwd=code,  # the folder Python looks in first
                env={**os.environ, "PYTHONPATH": str(code)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )

    def ask(self, record: StructureRecord) -> tuple[float, str | None, str | None]:
        """CPU seconds, text and condensed structure of a crystal."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None and stdout is not None
        sites = record.species_at_sites, record.cartesian_site_positions
        stdin.write(json.dumps([record.material_id, record.lattice_vectors, *sites]) + "\n")
        stdin.flush()
        seconds, text, condensed = json.loads(stdout.readline())
        return seconds, text, condensed

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def main() -> None:
    """Write the figures."""
    config = tyro.cli(Config, description=__doc__)
    columns = ["id", "stock_text"]
    answers = pq.read_table(RESULT.parent / "equality.parquet", columns=columns).to_pylist()
    texts = {answer["id"]: answer["stock_text"] for answer in answers}
    crystals = load(config.structures, only=texts)
    with tempfile.TemporaryDirectory() as folder:
        code = {"before": checkout(config.before, Path(folder)), "after": ROOT}
        sides = {name: Side.start(path) for name, path in code.items()}
        for side in sides.values():
            side.ask(crystals[0].record)  # what a process does once
        passes = [described(sides, crystals) for _ in range(config.times)]
        for side in sides.values():
            side.stop()
    rows = [least(of_one) for of_one in zip(*passes, strict=True)]
    tables = sorted({row["table"] for row in rows})
    result = {
        "before": config.before,
        "crystals": len(rows),
        "texts_not_stocks": {
            side: [row["id"] for row in rows if row[side]["text"] != texts[row["id"]]]
            for side in code
        },
        "condensed_not_alike": [row["id"] for row in rows if not row["alike"]],
        "all": figures(rows),
        **{table: figures([row for row in rows if row["table"] == table]) for table in tables},
        "setting": setting(),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def described(sides: dict[str, Side], crystals: list[Crystal]) -> list[dict]:
    """Each crystal with the answers of both sides."""
    rows = []
    for number, crystal in enumerate(crystals):
        turn = list(sides) if number % 2 else list(reversed(sides))
        answers = {name: sides[name].ask(crystal.record) for name in turn}
        one, other = (json.loads(answers[name][2] or "null") for name in sides)
        found = {
            name: {"seconds": seconds, "text": text} for name, (seconds, text, _) in answers.items()
        }
        known = {"id": crystal.record.material_id, "table": crystal.table}
        rows.append({**known, **found, "alike": alike(one, other)})
    return rows


def alike(one: object, other: object) -> bool:
    """Whether two condensed structures are equal, numbers to 1e-6 and lists in any order.

    Equivalent neighbours have no order of their own.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return False
        return all(map(alike, sorted(one, key=_order), sorted(other, key=_order)))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) < 1e-6
    return one == other


def _order(item: object) -> tuple[float, str]:
    number = isinstance(item, int | float)
    return (float(item), "") if number else (0.0, json.dumps(item))


def least(passes: tuple[dict, ...]) -> dict:
    """A crystal's rows of several passes as one, with the least seconds of each side."""
    first, *_ = passes
    seconds = {side: min(row[side]["seconds"] for row in passes) for side in ("before", "after")}
    return {
        **first,
        **{side: first[side] | {"seconds": seconds[side]} for side in seconds},
        "alike": all(row["alike"] for row in passes),
    }


def figures(rows: list[dict]) -> dict:
    """CPU seconds of both sides, and how many times sooner today's code is done."""
    before, after = (
        np.array([row[side]["seconds"] for row in rows]) for side in ("before", "after")
    )
    ratio = before / after
    return {
        "crystals": len(rows),
        "times_sooner": {
            "total": round(float(before.sum() / after.sum()), 3),
            "median": round(float(np.median(ratio)), 3),
            "p5": round(float(np.quantile(ratio, 0.05)), 3),
            "largest": round(float(ratio.max()), 1),
        },
        "seconds": {"before": spread(before), "after": spread(after)},
    }


def spread(seconds: np.ndarray) -> dict[str, float]:
    """Total, mean, median, 95 % and slowest."""
    return {
        "total": round(float(seconds.sum()), 2),
        "mean": round(float(seconds.mean()), 4),
        "median": round(float(np.median(seconds)), 4),
        "p95": round(float(np.quantile(seconds, 0.95)), 4),
        "slowest": round(float(seconds.max()), 3),
    }


if __name__ == "__main__":
    main()
