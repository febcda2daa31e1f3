"""The Materials Project's bulk table of summaries: iterating its client's dataset beside the package.

    OMP_NUM_THREADS=1 python benchmarks/mp_bulk.py

5,000 documents, the crystals of the embedded JARVIS-DFT sample under new ids, are put into a Delta
table on a local S3 server and fetched once with the real client. Then each side decodes the same
local table in a process of its own; seconds are CPU seconds, imports left out. Writes
results/mp_bulk.json. Takes about five minutes, nearly all of them iterating.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from setting import peak_gib, setting

sys.path.insert(
    0, str(Path(__file__).parents[1] / "tests" / "helpers")
)  # the servers are the tests' own

N = 5_000
SIDES = ("iterating", "iterating, plain dictionaries", "package")
CLIENT = ("mp-api", "emmet-core", "deltalake", "pyarrow", "pydantic", "moto")


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        fetching = fetch(Path(folder))
        found = {side: run(side, folder) for side in SIDES}
    package = found["package"]["cpu_seconds"]
    result = {
        "documents": N,
        "fetching_from_loopback": fetching,
        "sides": found,
        "times_faster": {
            side: round(found[side]["cpu_seconds"] / package, 1) for side in SIDES[:2]
        },
        "setting": setting(CLIENT),
    }
    path = Path(__file__).parent / "results" / "mp_bulk.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def fetch(folder: Path) -> dict:
    """Download the table with the real client into a folder."""
    import mp_crystals
    from mp_bucket import Bucket
    from mp_server import KEY, MPServer

    documents = list(mp_crystals.summaries(N))
    with Bucket() as bucket, MPServer(summary=documents) as server:
        bucket.put("summary", mp_crystals.table(documents))
        os.environ.update({**bucket.environment, "MP_API_KEY": KEY})
        from curate.sources.mp_client import MPClient

        client = MPClient(server.url, tables=folder)
        started = time.process_time()
        table = client.table("summary", client.version())
        seconds = time.process_time() - started
    size = sum(path.stat().st_size for path in table.rglob("*.parquet"))
    return {"cpu_seconds": round(seconds, 2), "megabytes": round(size / 1e6, 2)}


def run(side: str, folder: str) -> dict:
    command = [sys.executable, __file__, side, folder]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(side: str, folder: Path) -> dict:
    """CPU seconds and memory of one side for the whole table."""
    logging.disable()
    read = package() if side == "package" else iterating(with_model=side == "iterating")
    part = next(folder.glob("*/summary/version=*"))
    before = peak_gib()
    started, wall = time.process_time(), time.perf_counter()
    n, n_sites = read(part)
    seconds = time.process_time() - started
    return {
        "cpu_seconds": round(seconds, 2),
        "wall_seconds": round(time.perf_counter() - wall, 2),
        "milliseconds_a_document": round(1e3 * seconds / n, 3),
        "documents": n,
        "sites": n_sites,
        "peak_gib": peak_gib(),
        "of_which_imports_gib": before,
    }


def iterating(with_model: bool):
    """What the client hands out: each document taken out of the table by its number."""
    from emmet.core.summary import SummaryDoc
    from mp_api.client.core.utils import MPDataset

    def read(part: Path) -> tuple[int, int]:
        dataset = MPDataset(part.parent, document_model=SummaryDoc, use_document_model=with_model)
        n_sites = [
            len(document.structure) if with_model else len(document["structure"]["sites"])
            for document in dataset
        ]
        return len(n_sites), sum(n_sites)

    return read


def package():
    """Batches of the columns that are needed, as structure records."""
    from curate.sources.mp import dataset_of, documents_of
    from curate.sources.mp_documents import FIELDS, record_of_document, shown_id

    shown_id("mp-149")  # imports

    def read(part: Path) -> tuple[int, int]:
        documents = documents_of(dataset_of(part), FIELDS)
        n_sites = [record_of_document(document).nsites for document in documents]
        return len(n_sites), sum(n_sites)

    return read


if __name__ == "__main__":
    main()
