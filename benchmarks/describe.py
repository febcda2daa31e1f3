"""Seconds per description, stock and fast on the same crystals in turn, one thread, CPU time.

    OMP_NUM_THREADS=1 python benchmarks/describe.py --n 150 --structures TABLE.parquet …

Stock takes about nine seconds a crystal: 150 crystals are 25 minutes. Writes results/describe.json.
"""

from __future__ import annotations

import cProfile
import json
import logging
import pstats
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from crystals import Crystal, load, stratified
from setting import setting
from stock import condenser, describe_with_stock

from curate.describe.condense import SYMPRECS, condense, warm_up
from curate.describe.description import describe
from curate.describe.options import DescribeOptions

RESULT = Path(__file__).parent / "results" / "describe.json"
STEPS = {  # step of the fast condenser -> its functions, none called from another
    "symmetry": {
        "symmetry/analyzer.py": ("__init__", "get_conventional_standard_structure"),
        "fast/symmetry.py": ("_moved", "_listed_operations", "find_orbits"),
    },
    "neighbours": {"fast/neighbors.py": ("site_neighbors",)},
    "order parameters": {
        "fast/fingerprints.py": ("site_fingerprints", "structure_fingerprint"),
        "fast/rounding.py": ("with_stock_rounding",),
    },
    "bonds": {"fast/bonds.py": ("__init__",)},
    "components": {"fast/components.py": ("structure_components", "inequivalent_components")},
    "sites": {
        "fast/sites.py": ("_calculate_equivalent_sites",),
        "condense/site.py": (
            "get_all_site_summaries",
            "get_all_bond_distance_summaries",
            "get_all_connectivity_angle_summaries",
            "get_all_nnn_distance_summaries",
        ),
    },
    "mineral": {"fast/mineral.py": ("best_mineral_name",)},
}
log = logging.getLogger("benchmark")


@dataclass(frozen=True)
class Config:
    """What is measured."""

    structures: tuple[Path, ...] = ()
    """Parquet tables of structures; the embedded sample where none is given."""
    n: int = 150
    """Crystals, about the same number from each of six layers of 2 to 60 atoms."""
    seed: int = 0
    """Draws the crystals."""
    out: Path = RESULT
    """The figures, as JSON."""


def main(config: Config) -> None:
    """Measure and write; every crystal's figures are kept."""
    crystals = stratified(load(config.structures), config.n, config.seed)
    warm_up()
    condenser(SYMPRECS[0])
    rows = []
    for number, crystal in enumerate(crystals):
        rows.append(measure(crystal, stock_first=number % 2 == 0))
        log.info("%d of %d: %s", number + 1, len(crystals), rows[-1])
    figures = {
        "summary": summary(rows),
        "share_of_steps": shares(crystals),
        "worker": {name: worker(name) for name in START},
        **setting(),
        "crystals": rows,
    }
    config.out.parent.mkdir(exist_ok=True)
    config.out.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    log.info("%s", json.dumps(figures["summary"], indent=1))


def measure(crystal: Crystal, stock_first: bool) -> dict:
    """CPU seconds of both describers, and whether their texts agree."""
    stock = describe_with_stock(crystal.record) if stock_first else None
    started = time.process_time()
    fast = describe(crystal.record)
    seconds = time.process_time() - started
    stock = stock or describe_with_stock(crystal.record)
    return {
        "id": crystal.record.material_id,
        "table": crystal.table,
        "atoms": crystal.record.nsites,
        "stock": round(stock.seconds, 4),
        "fast": round(seconds, 4),
        "equal": stock.text == fast.text,
        "shape": shape(fast.text or ""),
    }


def shape(text: str) -> str:
    """Layered, molecular or one-dimensional, by the text's own word; else three-dimensional."""
    for word in ("zero", "one", "two"):
        if f"is {word}-dimensional" in text:
            return f"{word}-dimensional"
    return "three-dimensional"


def summary(rows: list[dict]) -> dict:
    """The figures that are quoted."""
    stock, fast = (np.array([row[name] for row in rows]) for name in ("stock", "fast"))
    ratio = stock / fast
    return {
        "crystals": len(rows),
        "different_texts": sum(not row["equal"] for row in rows),
        "total_ratio": round(stock.sum() / fast.sum(), 1),
        "ratio": {
            "median": round(float(np.median(ratio)), 1),
            "p5": round(float(np.quantile(ratio, 0.05)), 1),
            "smallest": round(float(ratio.min()), 1),
            "largest": round(float(ratio.max()), 1),
        },
        "seconds": {name: spread(x) for name, x in (("stock", stock), ("fast", fast))},
        "shapes": {
            name: sum(r["shape"] == name for r in rows) for name in {r["shape"] for r in rows}
        },
    }


def spread(seconds: np.ndarray) -> dict:
    """Mean, median, 95 % and slowest, CPU seconds a crystal."""
    return {
        "mean": round(float(seconds.mean()), 4),
        "median": round(float(np.median(seconds)), 4),
        "p95": round(float(np.quantile(seconds, 0.95)), 4),
        "slowest": round(float(seconds.max()), 4),
    }


def shares(crystals: list[Crystal]) -> dict[str, float]:
    """Share of each step in the fast condenser, from a profiled second round."""
    options, profile = DescribeOptions(), cProfile.Profile()
    for crystal in crystals:
        structure = crystal.record.to_pymatgen()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            profile.runcall(_condense_or_not, structure, options)
    spent = dict.fromkeys(STEPS, 0.0)
    for (file, _, function), (_, _, _, seconds, _) in pstats.Stats(profile).stats.items():
        for step, places in STEPS.items():
            if any(file.endswith(end) and function in names for end, names in places.items()):
                spent[step] += seconds
        if function == "condense_structure":
            total = seconds
    spent["other"] = total - sum(spent.values())
    return {step: round(seconds / total, 3) for step, seconds in spent.items()}


def _condense_or_not(structure, options) -> None:
    try:
        condense(structure, options)
    except Exception as error:  # a crystal that can't be described is not a matter of speed
        log.info("left out of the shares: %s", error)


START = {
    "fast": "from curate.describe.condense import warm_up; warm_up()",
    "stock": "from stock import *; describe = describe_with_stock; condenser(0.01); describer()",
}


def worker(name: str) -> dict[str, float]:
    """CPU seconds until a new process can describe, and its memory (MiB) after five crystals."""
    code = f"""
import json, resource, time
{START[name]}
from curate.sources.sample import Sample
ready = time.process_time()
for record in sorted(Sample().records(), key=lambda record: record.nsites)[40::80]:
    describe(record)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({{"start_up_seconds": round(ready, 2), "peak_mib": round(peak)}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    main(tyro.cli(Config))
