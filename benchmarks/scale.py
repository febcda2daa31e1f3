"""A thousand to a hundred thousand rows built, loaded and iterated: seconds, peak memory, their growth.

    OMP_NUM_THREADS=1 python benchmarks/scale.py --run RUN --cache CACHE

The crystals of a finished run with their texts, repeated under new ids. Each step is a process of its own:

build: the source frozen, the texts taken as they are (nothing is described), the dataset written;
graphs: the dataset loaded and prepared for a training, its graphs built and stored, texts looked up;
epoch: the same with the graphs that are stored, then one epoch of batches of 64 as a training reads them.

Seconds are of the wall; `describing` is counted from the first row, for workers take some 19 s to start.
`cpu_s` are the process's own seconds of processor, without its workers': what other work on the machine
changes least.
Memory is the largest resident memory of the process beyond what it has after its imports. `growth` is
the exponent p of rows^p, fitted to all sizes. Writes results/scale.json.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

import tyro
from setting import peak_gib, setting

RESULT = Path(__file__).parent / "results" / "scale.json"
STEPS = ("build", "graphs", "epoch")
TARGET = "band_gap"


@dataclass(frozen=True)
class Config:
    """What is repeated, and how often."""

    run: Path
    """Finished run folder whose crystals are repeated."""
    cache: Path
    """Text embeddings; made once before anything is measured."""
    sizes: tuple[int, ...] = (1_000, 10_000, 100_000)
    """Rows."""
    out: Path = RESULT
    only: tuple[str, ...] = ()
    """For the benchmark's own use: step, rows, folder."""


def main() -> None:
    """Measure every step at every size."""
    config = tyro.cli(Config, description=__doc__)
    if config.only:
        step, rows, folder = config.only
        print(json.dumps(globals()[step](config, int(rows), Path(folder))))
        return
    result: dict[str, dict] = {step: {} for step in STEPS}
    for size in config.sizes:
        with tempfile.TemporaryDirectory() as folder:
            for step in STEPS:
                words = ["--run", config.run, "--cache", config.cache]
                command = [sys.executable, __file__, *words, "--only", step, size, folder]
                done = subprocess.run(
                    [str(word) for word in command], stdout=subprocess.PIPE, check=True
                )
                result[step][str(size)] = json.loads(done.stdout.splitlines()[-1])
                print(step, size, result[step][str(size)], flush=True)
    growing = {
        step: {name: growth(found, name) for name in next(iter(found.values()))}
        for step, found in result.items()
    }
    found = {"growth": growing, **result, "setting": setting(("datasets", "pyarrow", "pebble"))}
    config.out.write_text(json.dumps(found, indent=1) + "\n")


def growth(found: dict[str, dict], name: str) -> float:
    """The exponent p in rows^p by least squares of the logarithms."""
    points = [(math.log(int(n)), math.log(max(row[name], 1e-3))) for n, row in found.items()]
    x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
    slope = sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)
    return round(slope, 2)


class Repeated:
    """A source of the described crystals of a run, again and again under new ids."""

    def __init__(self, run: Path, n: int):
        self.run, self.n = run, n

    def snapshot(self):
        from curate.sources.base import Snapshot

        return Snapshot("repeated", "1", "0" * 64, "CC-BY-4.0", "")

    def records(self) -> Iterator:
        return islice(self.endless(), self.n)

    def endless(self) -> Iterator:
        from curate.dataset.write import described_pairs
        from curate.run.folder import Run

        for time_around in count():
            for record, description in described_pairs(Run(self.run)):
                yield replace(
                    record,
                    material_id=f"{record.material_id}-{time_around}",
                    description=description.text,
                    description_origin=description.origin,
                )


def build(config: Config, n: int, folder: Path) -> dict[str, float]:
    from curate.build import build as build_dataset
    from curate.config import BuildConfig

    seen: dict[str, list[float]] = {}

    def watch(step) -> None:
        if step.stage == "reading" or step.description is not None:
            seen.setdefault(step.stage, []).append(time.perf_counter())

    before, started = (peak_gib(), time.process_time()), time.perf_counter()
    build_dataset(BuildConfig(out=folder / "run"), source=Repeated(config.run, n), watch=watch)
    times = {stage: times[-1] - times[0] for stage, times in seen.items()}
    times["reading"] += seen["reading"][0] - started
    times["writing"] = time.perf_counter() - seen["describing"][-1]
    return measured(n, times, before)


def graphs(config: Config, n: int, folder: Path) -> dict[str, float]:
    return loaded(config, n, folder)[0]


def epoch(config: Config, n: int, folder: Path) -> dict[str, float]:
    return loaded(config, n, folder, iterate=True)[0]


def loaded(config: Config, n: int, folder: Path, iterate: bool = False):
    from model.config import TrainConfig
    from model.data.materials import load_rows, read_materials
    from model.data.prepare import prepare
    from model.network.crysmmnet import CrysMMNet, CrysMMNetConfig
    from model.training.settings_record import digest
    from model.training.trainer import Trainer

    cache = folder / "cache"
    cache.mkdir(exist_ok=True)
    if not (cache / "text.sqlite").exists():
        (cache / "text.sqlite").symlink_to((config.cache / "text.sqlite").resolve())
    settings = TrainConfig(
        data=str(folder / "run"),
        target=TARGET,
        out=folder / "model",
        text_encoder="minilm",
        cache=cache,
    )
    before, started = (peak_gib(), time.process_time()), time.perf_counter()
    materials = read_materials(load_rows(settings.data), TARGET)
    digest(materials)
    prepared = prepare(settings, materials)
    times = {"preparing": time.perf_counter() - started}
    if iterate:
        model = CrysMMNet(
            CrysMMNetConfig.from_settings(settings.network, "both", prepared.text_width)
        )
        trainer = Trainer(model, prepared, settings)
        before_epoch = time.perf_counter()
        rows = sum(batch.n_crystals for batch in trainer.training_batches)
        assert rows == len(prepared.parts["train"])
        times["batches"] = time.perf_counter() - before_epoch
    return measured(n, times, before), prepared


def measured(n: int, times: dict[str, float], before: tuple[float, float]) -> dict[str, float]:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        **{f"{stage}_s": round(seconds, 2) for stage, seconds in times.items()},
        "total_s": round(sum(times.values()), 2),
        "cpu_s": round(time.process_time() - before[1], 2),
        "rows_per_s": round(n / sum(times.values())),
        "peak_gib": peak_gib(),
        "beyond_imports_gib": round(peak_gib() - before[0], 2),
        "not_mapped_gib": round(int(status["RssAnon"].split()[0]) / 2**20, 2),
    }


if __name__ == "__main__":
    main()
