"""What tuning a text encoder costs: seconds a text and memory, of all weights and of LoRA, beside encoding.

Each way runs in a process of its own, on descriptions of the embedded sample.

    OMP_NUM_THREADS=1 python benchmarks/tuning.py [--texts 64] [--encoder minilm]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from setting import setting

from curate.describe import describe
from curate.files import write_json
from curate.sources.sample import Sample

RESULT = Path(__file__).parent / "results" / "tuning.json"
WAYS = ("frozen", "lora", "full")


def main() -> None:
    """Measure each way, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--way", choices=WAYS, help="only this one, in this process")
    given = parser.parse_args()
    if given.way:
        print(json.dumps(measured(given.way, given.encoder, given.texts)))
        return
    found = {}
    for way in WAYS:
        command = [sys.executable, __file__, "--way", way]
        command += ["--texts", str(given.texts), "--encoder", given.encoder]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[way] = json.loads(done.stdout.splitlines()[-1])
        print(way, found[way], flush=True)
    of_frozen = found["frozen"]["seconds a text"]
    for row in found.values():
        row["times the frozen"] = round(row["seconds a text"] / of_frozen, 2)
    write_json(RESULT, {**setting(), "encoder": given.encoder, "texts": given.texts, "ways": found})


def measured(way: str, name: str, n: int) -> dict[str, float]:
    """Seconds a text and epoch, and the most memory that the process had."""
    from model.text.encoder import TextEncoder
    from model.text.tune import TunedOn, tuned_encoder

    records = [record for record, _ in zip(Sample().records(), range(n), strict=False)]
    texts = [describe(record).text or "" for record in records]
    encoder = TextEncoder(name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    if way == "frozen":
        assert sum(1 for _ in encoder.encode(texts)) == n
    else:
        numbers = np.arange(n)
        targets = np.sin(numbers)  # any will do: what is learned does not change the cost
        data = TunedOn(texts, targets, numbers < n, numbers < 1)
        with tempfile.TemporaryDirectory() as folder:
            tuned_encoder(encoder, data, Path(folder) / "e", way=way, epochs=1, seed=0)  # type: ignore[arg-type]
    seconds = time.perf_counter() - started
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds a text": round(seconds / n, 4),
        "MiB beyond the libraries": round((most - before) / 1024),
    }


if __name__ == "__main__":
    main()
