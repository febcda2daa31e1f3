"""Is every text the one stock Robocrystallographer writes? Both describers on the same crystals.

    OMP_NUM_THREADS=1 python benchmarks/equality.py --n 600 --structures TABLE.parquet …

Stock's answers go to a JSON line each as they come (nine seconds a crystal), so that an interrupted
run goes on where it stopped. Writes results/equality.parquet and results/equality.json.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from crystals import Crystal, load
from setting import setting
from stock import describe_with_stock, settled

from curate.describe.condense import warm_up
from curate.describe.description import describe

RESULTS = Path(__file__).parent / "results"
log = logging.getLogger("benchmark")


@dataclass(frozen=True)
class Config:
    """What is compared."""

    structures: tuple[Path, ...] = ()
    """Parquet tables of structures; the embedded sample where none is given."""
    lines: tuple[Path, ...] = ()
    """Stock's answers from earlier runs (JSON lines: id, table, natoms, text or error, seconds)."""
    partial: Path = RESULTS / "equality.partial.jsonl"
    """Where stock's new answers go, one line each."""
    n: int = 600
    """Crystals: those answered already, then others drawn by the seed."""
    seed: int = 0
    """Draws the crystals that were not answered yet."""
    out: Path = RESULTS / "equality.parquet"
    """The table; the summary goes beside it with the ending .json."""


@dataclass(frozen=True)
class Answer:
    """Stock's text of one crystal, or the error where it has none."""

    id: str
    table: str
    natoms: int
    text: str | None
    error: str | None
    seconds: float  # CPU


@dataclass(frozen=True)
class Row:
    """Both describers on one crystal."""

    id: str
    table: str
    natoms: int
    stock_text: str | None
    stock_error: str | None
    fast_text: str | None  # None where it is stock's
    equal: bool
    seconds_stock: float
    seconds_fast: float


def main(config: Config) -> None:
    """Compare and write."""
    crystals = {crystal.record.material_id: crystal for crystal in load(config.structures)}
    warm_up()
    rows = []
    for answer in answers(config, crystals):
        rows.append(compare(answer, crystals[answer.id]))
        if not rows[-1].equal:
            log.warning("%s differs", answer.id)
    config.out.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows]), config.out)
    figures = {**summary(rows), **setting()}
    config.out.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")
    log.info("%s", json.dumps(figures, indent=1))


def answers(config: Config, crystals: dict[str, Crystal]) -> Iterator[Answer]:
    """Stock's answers: those on file, then new ones, each written before it is passed on."""
    known: dict[str, Answer] = {}
    for path in (*config.lines, config.partial):
        if path.exists():
            for line in path.read_text().splitlines():
                answer = parsed(line)
                if answer.id in crystals:
                    known.setdefault(answer.id, answer)
    yield from list(known.values())[: config.n]
    missing = sorted(set(crystals) - set(known))
    random.Random(config.seed).shuffle(missing)
    config.partial.parent.mkdir(exist_ok=True)
    for material_id in missing[: max(config.n - len(known), 0)]:
        answer = ask_stock(crystals[material_id])
        with config.partial.open("a") as file:
            file.write(json.dumps(asdict(answer)) + "\n")
        yield answer


def parsed(line: str) -> Answer:
    """An answer from its line; numpy's way to write a number and the order of words are settled."""
    row = json.loads(line)
    text = row.get("text") and settled(row["text"])
    return Answer(row["id"], row["table"], row["natoms"], text, row.get("error"), row["seconds"])


def ask_stock(crystal: Crystal) -> Answer:
    """Stock's answer, with the condenser kept from crystal to crystal."""
    found, record = describe_with_stock(crystal.record), crystal.record
    return Answer(
        record.material_id, crystal.table, record.nsites, found.text, found.error, found.seconds
    )


def compare(answer: Answer, crystal: Crystal) -> Row:
    """The fast text beside stock's; equal too where both fail."""
    started = time.process_time()
    fast = describe(crystal.record)
    seconds = time.process_time() - started
    equal = fast.text == answer.text
    return Row(
        id=answer.id,
        table=answer.table,
        natoms=answer.natoms,
        stock_text=answer.text,
        stock_error=answer.error,
        fast_text=None if equal else fast.text,
        equal=equal,
        seconds_stock=answer.seconds,
        seconds_fast=seconds,
    )


def summary(rows: list[Row]) -> dict:
    """The figures that are quoted."""
    stock = np.array([row.seconds_stock for row in rows])
    fast = np.array([row.seconds_fast for row in rows])
    return {
        "n": len(rows),
        "differences": [row.id for row in rows if not row.equal],
        "failed_with_both": [row.id for row in rows if row.equal and row.stock_text is None],
        "slower_than_stock": [row.id for row in rows if row.seconds_fast > row.seconds_stock],
        "atoms_largest": max(row.natoms for row in rows),
        "seconds": {
            name: {
                "total": round(float(x.sum()), 1),
                "mean": round(float(x.mean()), 4),
                "median": round(float(np.median(x)), 4),
                "p95": round(float(np.quantile(x, 0.95)), 4),
                "slowest": round(float(x.max()), 3),
            }
            for name, x in (("stock", stock), ("fast", fast))
        },
        "ratio": {
            "total": round(float(stock.sum() / fast.sum()), 1),
            "median": round(float(np.median(stock / fast)), 1),
            "smallest": round(float((stock / fast).min()), 1),
        },
    }


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    main(tyro.cli(Config))
