"""A dataset of LeMat-Bulk's columns read from a Hub: seconds and memory by its rows.

    OMP_NUM_THREADS=1 python benchmarks/hub.py [--sizes 1000 10000 100000]

Crystals of the embedded sample under new ids, in Parquet files of 20,000 rows and row groups of 1,000, on
a Hub on loopback, which is a process of its own. The source is frozen into a run folder by `--executor
none`; nothing is described. Seconds of processor and largest resident memory are the command's own beyond
what it has after its imports; `growth` is the exponent p of rows^p, fitted to all sizes. Writes
results/hub.json.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tyro
from setting import setting

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "hub.json"
ROWS_A_FILE, ROWS_A_GROUP = 20_000, 1_000
sys.path.insert(0, str(ROOT / "tests" / "helpers"))  # the Hub is the tests' own
READ = """
import json, sys, time
from pathlib import Path
from curate.build import settings_record
from curate.config import BuildConfig
from curate.run.folder import Run
from curate.sources import hub_reader  # imported before anything is measured
from curate.sources.base import Request
from curate.sources.hub import HubSettings
from curate.work.freeze import fetch
sys.path.insert(0, sys.argv[2])
from setting import peak_gib

before, started, wall = peak_gib(), time.process_time(), time.monotonic()
config = BuildConfig(out=Path(sys.argv[1]), shard_size=1_000, workers=1)
source = HubSettings(input="LeMaterial/LeMat-Bulk").open(Request())
run = Run(config.out)
most_open = 0

def watch(progress):
    global most_open
    most_open = max(most_open, len(list(Path("/proc/self/fd").iterdir())))

with run.lock():
    run.check_settings(settings_record(config, source))
    fetch(run, source, config, None, watch)
print(json.dumps({
    "rows": run.fetched["entries"],
    "cpu_s": round(time.process_time() - started, 2),
    "wall_s": round(time.monotonic() - wall, 2),
    "gib": round(peak_gib() - before, 3),
    "files": sum(path.is_file() for path in run.folder.rglob("*")),
    "open_files": most_open,
}))
"""
SERVE = """
import sys, time
from itertools import cycle, islice
from dataclasses import replace
sys.path.insert(0, sys.argv[1])
from hub_server import HubServer
from lemat import CONFIGS, card, crystals, row_of, serve, parquet

n, rows_a_file, rows_a_group = map(int, sys.argv[2:])
known = [row_of(record) for record in crystals(400)]
files = {"README.md": card([CONFIGS[0]])}
for start in range(0, n, rows_a_file):
    rows = [
        {**known[i % 400], "immutable_id": f"new-{i}", "entalpic_fingerprint": f"{i}_1_X"}
        for i in range(start, min(n, start + rows_a_file))
    ]
    path = f"{CONFIGS[0]}/train-{start // rows_a_file:05d}.parquet"
    files[path] = parquet(rows, rows_a_group)
with HubServer() as hub:
    serve(hub, files)
    print(hub.url, sum(map(len, files.values())), flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Config:
    """How much is read."""

    sizes: tuple[int, ...] = (1_000, 10_000, 100_000)
    """Rows."""
    out: Path = RESULT
    """Where the result goes."""


def main() -> None:
    """Measure each size."""
    config = tyro.cli(Config, description=__doc__)
    found = []
    for size in config.sizes:
        found.append(measured(size))
        print(found[-1], flush=True)
    growing = {name: growth(found, name) for name in ("cpu_s", "gib", "open_files")}
    result = {
        "sizes": found,
        "growth": growing,
        "setting": setting(("huggingface-hub", "pyarrow", "datasets")),
    }
    config.out.write_text(json.dumps(result, indent=1) + "\n")


def measured(size: int) -> dict:
    """A dataset of so many rows, served and frozen."""
    with tempfile.TemporaryDirectory() as folder, served(size, Path(folder)) as environment:
        command = [sys.executable, "-c", READ, f"{folder}/run", str(Path(__file__).parent)]
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        n_bytes = float(environment["BYTES"])
        return {**json.loads(done.stdout.splitlines()[-1]), "megabytes": n_bytes / 1e6}


@contextmanager
def served(size: int, folder: Path) -> Iterator[dict[str, str]]:
    """A Hub with a dataset of so many rows; the environment in which the Hub's client asks it, and in
    BYTES the size of the files."""
    words = [sys.executable, "-c", SERVE, str(ROOT / "tests" / "helpers")]
    words += map(str, (size, ROWS_A_FILE, ROWS_A_GROUP))
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
    ) as server:
        assert server.stdout is not None and server.stdin is not None
        url, n_bytes = server.stdout.readline().split()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        kept |= {"HF_ENDPOINT": url, "HF_HOME": f"{folder}/home", "HF_HUB_DISABLE_XET": "1"}
        try:
            yield {**kept, "BYTES": n_bytes}
        finally:
            server.stdin.close()


def growth(found: list[dict], name: str) -> float:
    """The exponent p of rows^p, by least squares of the logarithms."""
    x = [math.log(each["rows"]) for each in found]
    y = [math.log(max(each[name], 1e-3)) for each in found]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    over = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return round(over / sum((a - mean_x) ** 2 for a in x), 3)


if __name__ == "__main__":
    main()
