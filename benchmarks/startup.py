"""What the smallest uses cost: CPU and wall seconds of each command and all that it starts.

    OMP_NUM_THREADS=1 python benchmarks/startup.py [--before f041074] [--times 3]

Each command runs with the code of an earlier commit and with today's in turn, in the same environment;
figures are medians. A command's processes are all waited for, also those that outlive it (the forkserver
and its workers), so that none of their time is lost. Writes results/startup.json.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro
from setting import checkout, setting

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "startup.json"
PR_SET_CHILD_SUBREAPER = (
    36  # linux/prctl.h: orphans of the commands become children of this process
)
SILICON = """data_Si
_symmetry_space_group_name_H-M 'P 1'
_cell_length_a 3.8401979
_cell_length_b 3.8401979
_cell_length_c 3.8401979
_cell_angle_alpha 60
_cell_angle_beta 60
_cell_angle_gamma 60
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Si1 Si 0 0 0
Si2 Si 0.25 0.25 0.25
"""
SMALL = (
    "--text-encoder minilm --max-neighbors 8 --width 16 --embedding-width 8 --alignn-layers 1"
    " --gcn-layers 1 --epochs 1 --batch-size 16"
)
FIRST = """
import importlib, os, resource, sys
importlib.import_module(sys.argv[1])
from curate.sources.sample import Sample
from curate.describe import describe
record = min(Sample().records(), key=lambda record: record.nsites)
if not os.fork():
    describe(record)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_utime + used.ru_stime)
else:
    os.wait()
"""
REPLACED = """
import importlib, sys
pool = importlib.import_module(sys.argv[1])
from curate.sources.sample import Sample
from curate.describe import describe
pool.TASKS_PER_WORKER = int(sys.argv[2])
record = min(Sample().records(), key=lambda record: record.nsites)
tasks = ((number, (record,)) for number in range(9))
for _, outcome in pool.work(describe, tasks, pool.Limits(workers=1, timeout=100, memory=4)):
    assert outcome.text, outcome
"""


@dataclass(frozen=True)
class Config:
    """What is compared, and how often."""

    before: str = "f041074"
    """Commit of the earlier code."""
    times: int = 3
    """Runs of each command with each code."""


def main() -> None:
    """Write the table."""
    config = tyro.cli(Config, description=__doc__)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        earlier = checkout(config.before, folder / "before")
        codes = {"before": earlier, "after": ROOT}
        prepare(folder, earlier)
        found = {}
        for command in commands(folder):
            runs: dict[str, list[dict[str, float]]] = {side: [] for side in codes}
            for _ in range(config.times):
                for side, code in codes.items():
                    runs[side].append(measured(command(side), code, folder))
            found[command.__name__] = {side: medians(runs[side]) for side in codes}
            for side, code in codes.items():
                found[command.__name__][side]["modules"] = modules(command(side), code, folder)
            print(command.__name__, json.dumps(found[command.__name__]), flush=True)
        found |= in_the_worker(codes, folder, config.times)
    result = {"before": config.before, "commands": found, "setting": setting()}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def prepare(folder: Path, code: Path) -> None:
    """A crystal, and two small models by the earlier code, which both can read."""
    (folder / "silicon.cif").write_text(SILICON)
    python = [sys.executable, "-m"]
    build = [*python, "curate", *"build --db jarvis --sample --limit 60 --out run".split()]  # noqa: SIM905
    subprocess.run(
        build, cwd=folder, env=environment(code, folder), check=True, capture_output=True
    )
    for modality in ("graph", "both"):
        words = f"train --data run --target formation_energy_peratom {SMALL} --cache cache"
        words += f" --modality {modality} --out {modality}"
        subprocess.run(
            [*python, "model", *words.split()],
            cwd=folder,
            env=environment(code, folder),
            check=True,
            capture_output=True,
        )


def commands(folder: Path):
    """The smallest uses, each a function from "before" or "after" to the words of a command."""
    numbers = iter(range(1000))
    python = [sys.executable]

    def curate_help(side: str) -> list[str]:
        return [*python, "-m", "curate", "--help"]

    def curate_build_of_one_cif(side: str) -> list[str]:
        words = [
            "build",
            "--db",
            "files",
            "--input",
            "silicon.cif",
            "--out",
            f"run-{next(numbers)}",
        ]
        return [*python, "-m", "curate", *words]

    def crysmmnet_predict_of_one_cif_from_its_graph(side: str) -> list[str]:
        return [*python, "-m", "model", "predict", "graph", "silicon.cif"]

    def crysmmnet_predict_of_one_cif_from_graph_and_text(side: str) -> list[str]:
        cache = f"cache-{next(numbers)}"  # the text is new each time
        return [*python, "-m", "model", "predict", "both", "silicon.cif", "--cache", cache]

    def start_of_the_workers(side: str) -> list[str]:
        return [*python, "-c", f"import {PRELOAD[side]}"]

    return (
        curate_help,
        curate_build_of_one_cif,
        crysmmnet_predict_of_one_cif_from_its_graph,
        crysmmnet_predict_of_one_cif_from_graph_and_text,
        start_of_the_workers,
    )


PRELOAD = {"before": "curate.preload", "after": "curate.describe.preload"}
POOL = {"before": "curate.pool", "after": "curate.work.pool"}


def in_the_worker(codes: dict[str, Path], folder: Path, times: int) -> dict:
    """CPU seconds of a worker's first description, and of putting another worker in its place."""
    found: dict[str, dict] = {"first_description_of_a_worker": {}, "replacing_a_worker": {}}
    for side, code in codes.items():
        first, replaced = [], []
        for _ in range(times):
            command = [sys.executable, "-c", FIRST, PRELOAD[side]]
            said = subprocess.run(
                command, cwd=folder, env=environment(code, folder), capture_output=True, check=True
            )
            first.append(float(said.stdout))
            each, once = (
                measured([sys.executable, "-c", REPLACED, POOL[side], str(n)], code, folder)["cpu"]
                for n in (1, 1000)
            )
            replaced.append((each - once) / 8)  # nine tasks: eight workers more
        found["first_description_of_a_worker"][side] = {"cpu": round(statistics.median(first), 3)}
        found["replacing_a_worker"][side] = {"cpu": round(statistics.median(replaced), 3)}
    print(json.dumps(found), flush=True)
    return found


def environment(code: Path, folder: Path) -> dict[str, str]:
    """The variables of a command that runs this code, with a cache of its own."""
    return {**os.environ, "PYTHONPATH": str(code), "XDG_CACHE_HOME": str(folder / "home")}


def measured(command: list[str], code: Path, folder: Path) -> dict[str, float]:
    """CPU and wall seconds of a command and of all processes that it leaves behind."""
    before, started = used(), time.perf_counter()
    process = subprocess.run(
        command, cwd=folder, env=environment(code, folder), capture_output=True, text=True
    )
    wall = time.perf_counter() - started
    assert process.returncode == 0, f"{command}\n{process.stderr}"
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
    return {"cpu": used() - before, "wall": wall}


def used() -> float:
    """CPU seconds of all processes that were waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure."""
    return {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}


def modules(command: list[str], code: Path, folder: Path) -> int:
    """How many modules the command and the processes that it starts import."""
    told = {**environment(code, folder), "PYTHONPROFILEIMPORTTIME": "1"}
    done = subprocess.run(command, cwd=folder, env=told, capture_output=True, text=True)
    return len(re.findall(r"^import time: +\d+ \|", done.stderr, re.M))


if __name__ == "__main__":
    main()
