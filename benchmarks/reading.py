"""What reading CIFs costs: CPU seconds of `Files`, before and after.

    OMP_NUM_THREADS=1 python benchmarks/reading.py [--before f041074] [--times 3]

The files are the crystals of the embedded sample in five dialects of the tests, 2,000 in all. An earlier
commit's code and today's read them in turn, each time in a process of its own that has read one file
before; figures are medians, and those for 10,000 files are scaled from these 2,000. Writes
results/reading.json.
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

from curate.sources.sample import Sample

sys.path.insert(
    0, str(Path(__file__).parents[1] / "tests" / "helpers")
)  # the dialects are the tests' own
from cif_dialects import dialects

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "reading.json"
DIALECTS = ("P1", "conventional", "symmetrised", "symmetrised, 4 digits", "ASE")
READ = """
import json, sys, time
from pathlib import Path
from curate.record import StructureRecord
from curate.sources.files import Files
found = {}
for folder in sorted(Path(sys.argv[1]).iterdir()):
    list(Files(next(folder.iterdir())).records())
    started = time.process_time()
    read = list(Files(folder).records())
    seconds = time.process_time() - started
    good = sum(isinstance(record, StructureRecord) for record in read)
    found[folder.name] = {"seconds": seconds, "files": len(read), "crystals": good}
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Config:
    """What is compared, and how often."""

    before: str = "f041074"
    """Commit of the earlier code."""
    times: int = 3
    """Readings of all files by each code."""


def main() -> None:
    """Write the table."""
    config = tyro.cli(Config, description=__doc__)
    with tempfile.TemporaryDirectory() as name:
        earlier, files = checkout(config.before, Path(name) / "before"), Path(name) / "files"
        write(files)
        codes = {"before": earlier, "after": ROOT}
        runs: dict[str, list[dict]] = {side: [] for side in codes}
        for _ in range(config.times):
            for side, code in codes.items():
                runs[side].append(reading(code, files))
                print(side, json.dumps(runs[side][-1]), flush=True)
    found = {side: medians(runs[side]) for side in codes}
    result = {"before_commit": config.before, **found, "setting": setting()}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    for side, figures in found.items():
        print(side, figures["all"])


def write(folder: Path) -> None:
    """The sample's crystals in each dialect, a folder for each."""
    for dialect in DIALECTS:
        (folder / dialect).mkdir(parents=True)
    for record in Sample().records():
        texts = dict(dialects(record.to_pymatgen()))
        for dialect in DIALECTS:
            (folder / dialect / f"{record.material_id}.cif").write_text(texts[dialect])


def reading(code: Path, files: Path) -> dict[str, dict[str, float]]:
    """CPU seconds, files and crystals of each dialect, by one of the codes."""
    done = subprocess.run(
        [sys.executable, "-c", READ, files],
        env={**os.environ, "PYTHONPATH": str(code)},
        cwd=code,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def medians(runs: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Of each dialect and of all: CPU milliseconds a file, and CPU seconds for 10,000 files."""
    parts = {dialect: [run[dialect] for run in runs] for dialect in runs[0]}
    parts["all"] = [
        {key: sum(found[key] for found in run.values()) for key in ("seconds", "files", "crystals")}
        for run in runs
    ]
    table = {}
    for dialect, readings in parts.items():
        n_files = readings[0]["files"]
        seconds = statistics.median(found["seconds"] for found in readings)
        table[dialect] = {
            "files": n_files,
            "crystals": readings[0]["crystals"],
            "ms_per_file": round(1000 * seconds / n_files, 3),
            "seconds_per_10000_scaled": round(10_000 * seconds / n_files, 1),
        }
    return table


if __name__ == "__main__":
    main()
