"""A large build whose crystals hang, crash and fill the memory, and which is killed now and then.

Nothing may be lost, doubled or altered; memory and open files of the build are sampled.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import psutil
import pyarrow.parquet as pq
from builds import Crystals
from plain_build import describe as plain

from curate.build import build
from curate.config import BuildConfig
from curate.describe.options import DescribeOptions
from curate.record import Description, StructureRecord
from curate.sources.sample import Sample

KINDS = {"hang": "timeout", "exit": "crashed", "segfault": "crashed", "memory": "out_of_memory"}
ONE_IN = 400  # crystals that break their worker
EVERY = 0.5  # s between two samples


def fault(material_id: str) -> str | None:
    """How describing a crystal breaks; None for most."""
    number = int.from_bytes(sha256(material_id.encode()).digest()[:4], "big")
    return list(KINDS)[number // ONE_IN % len(KINDS)] if number % ONE_IN == 0 else None


def crystals(n: int) -> Iterator[StructureRecord]:
    """Crystals of the embedded sample, each strained in its own way."""
    known = list(Sample().records())
    for number in range(n):
        record = known[number % len(known)]
        factor = 1 + number // len(known) * 1e-5
        scaled: dict[str, Any] = {
            name: tuple(map(tuple, (np.array(getattr(record, name)) * factor).tolist()))
            for name in ("lattice_vectors", "cartesian_site_positions")
        }
        yield replace(record, material_id=f"{record.material_id}-{number}", **scaled)


def describe(record: StructureRecord, options: DescribeOptions) -> Description:
    """Break in some way, or write a text at once."""
    hostile.break_as(fault(record.material_id) or "")
    return plain(record, options)


def attack(folder: Path, n: int, kills: int, seed: int) -> dict[str, Any]:
    """Build n crystals under faults and kills, and count what is wrong in the end."""
    chance = random.Random(seed)
    samples, began = [], time.monotonic()
    command = [sys.executable, __file__, str(folder), str(n)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for number in range(kills + 1):
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        ends = chance.uniform(4, 20) if number < kills else float("inf")
        started = time.monotonic()
        while process.poll() is None:
            if time.monotonic() - started > ends:
                whole = chance.random() < 0.5
                (os.killpg if whole else os.kill)(process.pid, signal.SIGKILL)
                process.wait()
            elif measured := sizes(process.pid):
                samples.append({"seconds": round(time.monotonic() - began, 1), **measured})
            time.sleep(EVERY)
        if process.returncode == 0:
            break
    wrong = {"exit_code": process.returncode, **compared(folder, n)}
    return {
        "crystals": n,
        "seconds": time.monotonic() - began,
        **wrong,
        "over_time": thinned(samples),
    }


def sizes(pid: int) -> dict[str, float] | None:
    """Memory and open files of the build and of all its processes."""
    try:
        build = psutil.Process(pid)
        below = build.children(recursive=True)
        return {
            "build_mib": round(build.memory_info().rss / 2**20),
            "all_mib": round(sum(p.memory_info().rss for p in (build, *below)) / 2**20),
            "open_files": build.num_fds(),
        }
    except psutil.Error:
        return None


def thinned(samples: list[dict], most: int = 60) -> list[dict]:
    return samples[:: max(len(samples) // most, 1)]


def compared(folder: Path, n: int) -> dict[str, int]:
    """How many crystals are lost, doubled or altered in the dataset."""
    manifest = pq.read_table(folder / "dataset" / "manifest").to_pylist()
    rows = pq.read_table(folder / "dataset" / "default").to_pylist()
    status = {row["material_id"]: row["status"] for row in manifest}
    by_id = {row["material_id"]: row for row in rows}
    lost = altered = 0
    for record in crystals(n):
        expected = KINDS.get(fault(record.material_id) or "", "described")
        row = by_id.get(record.material_id)
        lost += record.material_id not in status or (expected == "described") != (row is not None)
        if status.get(record.material_id, expected) != expected:
            altered += 1
            print(f"{record.material_id} is {status[record.material_id]}, not {expected}")
        if row is not None:
            text = plain(record, DescribeOptions()).text
            same = row["description"] == text and row["species_at_sites"] == list(
                record.species_at_sites
            )
            cell = tuple(map(tuple, row["lattice_vectors"])) == record.lattice_vectors
            places = tuple(map(tuple, row["cartesian_site_positions"]))
            altered += not (same and cell and places == record.cartesian_site_positions)
    doubled = len(manifest) - len(status) + len(rows) - len(by_id)
    return {"described": len(rows), "lost": lost, "doubled": doubled, "altered": altered}


if __name__ == "__main__":
    out, n_crystals = Path(sys.argv[1]), int(sys.argv[2])
    config = BuildConfig(out=out, workers=2, timeout=8.0, memory=0.75)
    logging.disable(logging.WARNING)
    build(config, source=Crystals(crystals(n_crystals)), describe=describe)
