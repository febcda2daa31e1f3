"""Do the texts stay stock's from one version of the code to the next, and how long do they take?

    OMP_NUM_THREADS=1 python benchmarks/texts.py --structures TABLE.parquet … [--before f041074]

The crystals of results/equality.parquet, whose texts by stock Robocrystallographer are stored there, are
described with the code of an earlier commit and with today's, in turn, each in a process of its own.
Writes results/texts.json.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro
from setting import checkout, setting

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "texts.json"
DESCRIBE = """
import json, sys, time
from pathlib import Path
import pyarrow.parquet as pq
sys.path.insert(0, sys.argv[1])
from crystals import load
try:
    from curate.describe.condense import warm_up
except ImportError:
    from curate.describe import warm_up
from curate.describe import describe
crystals = {crystal.record.material_id: crystal for crystal in load(tuple(map(Path, sys.argv[3:])))}
rows = pq.read_table(sys.argv[2], columns=["id", "stock_text"]).to_pylist()
warm_up()
seconds, differences = [], []
for row in rows:
    started = time.process_time()
    text = describe(crystals[row["id"]].record).text
    seconds.append(time.process_time() - started)
    if text != row["stock_text"]:
        differences.append(row["id"])
print(json.dumps({"seconds": seconds, "differences": differences}))
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


def main() -> None:
    """Write the figures."""
    config = tyro.cli(Config, description=__doc__)
    passes: dict[str, list[dict]] = {"before": [], "after": []}
    with tempfile.TemporaryDirectory() as folder:
        earlier = checkout(config.before, Path(folder))
        for _ in range(config.times):
            for side, code in (("before", earlier), ("after", ROOT)):
                passes[side].append(described(code, config.structures))
    result = {"before": config.before, **{side: figures(passes[side]) for side in passes}}
    total = {side: result[side]["seconds"]["total"] for side in passes}
    result["times_sooner_in_total"] = round(total["before"] / total["after"], 3)
    result["setting"] = setting()
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def described(code: Path, structures: tuple[Path, ...]) -> dict:
    """Seconds of each crystal and ids of the texts that are not stock's, with this code."""
    table = RESULT.parent / "equality.parquet"
    command = [sys.executable, "-W", "ignore", "-c", DESCRIBE, str(code / "benchmarks"), str(table)]
    done = subprocess.run(
        [*command, *(str(path.absolute()) for path in structures)],
        env={**os.environ, "PYTHONPATH": str(code)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def figures(passes: list[dict]) -> dict:
    """Of the least seconds of each crystal over the passes."""
    seconds = sorted(map(min, zip(*(one["seconds"] for one in passes), strict=True)))
    return {
        "crystals": len(seconds),
        "differences": sorted({name for one in passes for name in one["differences"]}),
        "seconds": {
            "total": round(sum(seconds), 2),
            "mean": round(statistics.mean(seconds), 4),
            "median": round(statistics.median(seconds), 4),
            "p95": round(seconds[int(0.95 * len(seconds))], 4),
            "slowest": round(seconds[-1], 3),
        },
    }


if __name__ == "__main__":
    main()
