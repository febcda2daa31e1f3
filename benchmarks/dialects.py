"""Fault finding: real crystals written as CIF in many dialects; what comes back is the same crystal or
refused, or it is an error of the reader.

    python benchmarks/dialects.py [--tables jarvis.parquet mp.parquet] [--crystals 300] [--processes 2]

The crystals are those of the embedded sample, and of each table that is given a number drawn with a seed:
tables have a column `atoms` (jarvis dictionaries) or `structure` (pymatgen's), as JSON. The dialects are
those of the tests. Writes results/dialects.json with the counts by source and dialect, and each crystal
that came back as another.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import tyro
from setting import setting

from curate.record import StructureRecord
from curate.sources.entries import record_of
from curate.sources.sample import Sample

sys.path.insert(
    0, str(Path(__file__).parents[1] / "tests" / "helpers")
)  # the dialects are the tests' own
from cif_dialects import dialects, verdict

RESULT = Path(__file__).parent / "results" / "dialects.json"


@dataclass(frozen=True)
class Config:
    """Which crystals are written."""

    tables: tuple[Path, ...] = ()
    """Parquet files with more crystals."""
    crystals: int = 300
    """Crystals of each table, drawn with the seed."""
    largest: int = 60
    """Atoms in the largest cell that is drawn from a table."""
    seed: int = 0
    """Of the draw."""
    processes: int = 1
    """Side by side."""


def main() -> None:
    """Write the counts."""
    config = tyro.cli(Config, description=__doc__)
    sources = {"embedded sample": list(Sample().records())}
    for path in config.tables:
        found = [record for record in records(path) if record.nsites <= config.largest]
        chosen = random.Random(config.seed).sample(found, min(config.crystals, len(found)))
        sources[path.stem] = chosen
    result = {}
    with ProcessPoolExecutor(config.processes) as pool:
        for name, crystals in sources.items():
            result[name] = counted(crystals, pool)
            print(name, json.dumps(result[name], indent=1), flush=True)
    total = {
        key: sum(part[key] for part in result.values())
        for key in ("crystals", "files", "same", "refused", "another")
    }
    whole = {"total": total, "sources": result, "setting": setting(("ase",))}
    RESULT.write_text(json.dumps(whole, indent=1) + "\n")
    print(total)


def records(path: Path) -> Iterator[StructureRecord]:
    """The crystals of a table that can be read."""
    names = pq.read_schema(path).names
    column = "atoms" if "atoms" in names else "structure"
    table = pq.read_table(path, columns=["id", column])
    ids, texts = (table[name].to_pylist() for name in table.column_names)
    for material_id, text in zip(ids, texts, strict=True):
        found = record_of(json.loads(text), material_id, {}) if text else None
        if isinstance(found, StructureRecord):
            yield found


def counted(crystals: list[StructureRecord], pool: ProcessPoolExecutor) -> dict:
    """How often each dialect gave the same crystal, a refusal or another crystal."""
    counts: dict[str, Counter[str]] = {}
    others: list[dict[str, str]] = []
    refusals: Counter[str] = Counter()
    found = pool.map(verdicts_of, crystals, chunksize=4)
    for record, verdicts in zip(crystals, found, strict=True):
        for dialect, said in verdicts.items():
            word, _, reason = said.partition(": ")
            counts.setdefault(dialect, Counter())[word.lower()] += 1
            if word == "ANOTHER":
                others.append({"id": record.material_id, "dialect": dialect, "found": reason})
            elif word == "refused":
                refusals[reason] += 1
    of = partial(sum_of, counts)
    return {
        "crystals": len(crystals),
        "files": sum(map(Counter.total, counts.values())),
        "same": of("same"),
        "refused": of("refused"),
        "another": of("another"),
        "dialects": {dialect: dict(sorted(words.items())) for dialect, words in counts.items()},
        "refusals": dict(refusals.most_common(12)),
        "others": others,
    }


def sum_of(counts: dict[str, Counter[str]], word: str) -> int:
    return sum(found[word] for found in counts.values())


def verdicts_of(record: StructureRecord) -> dict[str, str]:
    """What came back of each dialect of one crystal."""
    truth = record.to_pymatgen()
    return {name: verdict(text, truth) for name, text in dialects(truth)}


if __name__ == "__main__":
    main()
