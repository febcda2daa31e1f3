"""A large build from a bad service, whose crystals hang, crash and fill the memory, and which is killed.

The crystals come from an OPTIMADE server on 127.0.0.1 that now and then answers with an error, a part of a
page or no JSON. Nothing may be lost, doubled or altered; memory and open files of the build are sampled.
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
from urllib.parse import parse_qs, urlsplit

import hostile
import numpy as np
import psutil
import pyarrow.parquet as pq
from bad_answers import PAGES
from plain_build import describe as plain
from scripted_server import Answer, ScriptedServer, page

from curate.build import build
from curate.config import BuildConfig
from curate.describe.options import DescribeOptions
from curate.record import Description, StructureRecord
from curate.sources.optimade import Optimade
from curate.sources.optimade_client import OptimadeReader
from curate.sources.sample import Sample
from curate.web.retry import RetryPolicy

KINDS = {"hang": "timeout", "exit": "crashed", "segfault": "crashed", "memory": "out_of_memory"}
ONE_IN = 400  # crystals that break their worker
EVERY = 0.5  # s between two samples
BAD_ANSWERS = 0.1  # share of the service's
A_PAGE = 100  # crystals
PATIENT = RetryPolicy(attempts=8, first_wait=0.05, longest_wait=1.0)


def fault(material_id: str) -> str | None:
    """How describing a crystal breaks; None for most."""
    number = int.from_bytes(sha256(material_id.encode()).digest()[:4], "big")
    return list(KINDS)[number // ONE_IN % len(KINDS)] if number % ONE_IN == 0 else None


def crystals(n: int) -> Iterator[StructureRecord]:
    """Crystals of the embedded sample, each strained in its own way."""
    known = list(Sample().records())
    for number in range(n):
        yield crystal(number, known)


def crystal(number: int, known: list[StructureRecord]) -> StructureRecord:
    """One of them."""
    record = known[number % len(known)]
    factor = 1 + number // len(known) * 1e-5
    scaled: dict[str, Any] = {
        name: tuple(map(tuple, (np.array(getattr(record, name)) * factor).tolist()))
        for name in ("lattice_vectors", "cartesian_site_positions")
    }
    return replace(record, material_id=f"{record.material_id}-{number}", **scaled)


class BadService:
    """Answers of an OPTIMADE server that holds the crystals.

    Args:
        n: Of the crystals.
        chance: Draws which answers are bad, and how.
    """

    def __init__(self, n: int, chance: random.Random) -> None:
        self.n, self.chance, self.bad, self.url = n, chance, 0, ""
        self.known = list(Sample().records())

    def __call__(self, path: str) -> Answer:
        content = self.content(path)
        if content is None:
            return page({}, 404)
        good = page(content)
        if self.chance.random() >= BAD_ANSWERS:
            return good
        self.bad += 1
        body = good[2]
        assert isinstance(body, bytes)
        return self.chance.choice(
            [page({}, 503), page({}, 500), (200, {}, body[: len(body) // 2]), (200, {}, b"<html>")]
        )

    def content(self, path: str) -> dict[str, Any] | None:
        """What a good server says under a path; None where there is nothing."""
        if path.startswith("/v1/info"):
            return next(known for start, known in PAGES.items() if path.startswith(start))
        if not path.startswith("/v1/structures"):
            return None
        start = int(parse_qs(urlsplit(path).query).get("page_offset", ["0"])[0])
        end = min(start + A_PAGE, self.n)
        following = f"{self.url}/v1/structures?page_offset={end}" if end < self.n else None
        return {
            "data": [entry(crystal(number, self.known)) for number in range(start, end)],
            "meta": {"data_returned": self.n},
            "links": {"next": following},
        }


def entry(record: StructureRecord) -> dict[str, Any]:
    """A crystal as OPTIMADE writes it."""
    kinds = sorted(set(record.species_at_sites))
    species = [{"name": s, "chemical_symbols": [s], "concentration": [1.0]} for s in kinds]
    attributes = {
        "lattice_vectors": record.lattice_vectors,
        "cartesian_site_positions": record.cartesian_site_positions,
        "species_at_sites": record.species_at_sites,
        "species": species,
        "dimension_types": [1, 1, 1],
        "last_modified": "2026-01-01T00:00:00Z",
    }
    return {"id": record.material_id, "type": "structures", "attributes": attributes}


def describe(record: StructureRecord, options: DescribeOptions) -> Description:
    """Break in some way, or write a text at once."""
    hostile.break_as(fault(record.material_id) or "")
    return plain(record, options)


def attack(folder: Path, n: int, kills: int, seed: int) -> dict[str, Any]:
    """Build n crystals under faults and kills, and count what is wrong in the end."""
    service = BadService(n, random.Random(seed + 1))
    with ScriptedServer(service) as server:
        service.url = server.url
        found = attacked(folder, n, kills, random.Random(seed), server.url)
    return {**found, "bad answers": service.bad}


def attacked(
    folder: Path, n: int, kills: int, chance: random.Random, address: str
) -> dict[str, Any]:
    """The same against a service that runs."""
    samples, began = [], time.monotonic()
    command = [sys.executable, __file__, str(folder), str(n), address]
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
    out, address = Path(sys.argv[1]), sys.argv[3]
    config = BuildConfig(out=out, workers=2, timeout=8.0, memory=0.75)
    logging.disable(logging.WARNING)
    source = Optimade(address, client=OptimadeReader(address, retry=PATIENT))
    build(config, source=source, describe=describe)
