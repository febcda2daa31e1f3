"""Rows of a corpus frozen, taken as described, written, loaded and iterated: seconds, memory, files, growth.

    OMP_NUM_THREADS=1 python benchmarks/scale.py --run RUN --steps build describe
    OMP_NUM_THREADS=1 python benchmarks/scale.py --run RUN --cache CACHE --steps graphs epoch

The crystals of a finished run with their texts, repeated under new ids. Each step is a process of its own:

build: entries frozen, their texts taken as they are (nothing is described), parts of the dataset written,
the dataset put together;
describe: some crystals of RUN described; `handing_out` five times as many given to workers that do nothing
but return what they have in RUN;
freeze-hub: rows with LeMat-Bulk's columns, on a Hub on loopback, frozen by one process alone, with two
workers, and by the code of an earlier commit where --before names one, all to the same bytes; what a row
costs behind the first 40,000; RUN is not used;
graphs: the dataset loaded and prepared for a training, its graphs built and stored, texts looked up;
epoch: the same with the graphs that are stored, then one epoch of batches of 64 as a training reads them.

Seconds are of the wall, counted in `build` and `describe` without the start of the workers; `_cpu_s` are
seconds of processor, `_own_cpu_s` those of the first process, which is the one that others wait for.
`peak_gib` is the largest resident memory of the first process, `all_gib` of all processes together (what
they share is counted in each), `beyond_imports_gib` what the first one has more than after its imports.
`growth` is the exponent p of rows^p, fitted to all sizes. The steps that are measured replace those in
results/scale.json, where the others stay with the setting that they were measured in. With --work, a build
that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import psutil
import tyro
from hub import served
from setting import checkout, peak_gib, setting

RESULT = Path(__file__).parent / "results" / "scale.json"
ROOT = Path(__file__).resolve().parents[1]
STEPS = ("build", "describe", "graphs", "epoch")  # whose growth is fitted
STAGES = ("freezing", "texts", "parts", "dataset")  # of the step `build`
TARGET = "band_gap"
WORKERS = 2
ROWS_BEFORE = (
    40_000  # that are frozen before `freeze-hub` measures: workers have started, shards are large
)


@dataclass(frozen=True)
class Config:
    """What is repeated, and how often."""

    run: Path = Path("run")
    """Finished run folder whose crystals are repeated."""
    cache: Path | None = None
    """Text embeddings; made once before anything is measured (graphs and epoch)."""
    sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Rows."""
    described: int = 2_000
    """Crystals that are described."""
    frozen: int = 100_000
    """Rows that are frozen from a Hub."""
    before: str | None = None
    """An earlier commit whose freezing is measured as well."""
    steps: tuple[str, ...] = ("build", "describe")
    """What is measured; without any, the growth of what was measured is fitted anew."""
    work: Path | None = None
    """Folder that what is built stays in; by default a temporary one."""
    out: Path = RESULT
    only: tuple[str, ...] = ()
    """For the benchmark's own use: step, rows, folder."""


def main() -> None:
    """Measure every step at every size."""
    config = tyro.cli(Config, description=__doc__)
    if config.only:
        step, rows, folder = config.only
        print(json.dumps(globals()[step.replace("-", "_")](config, int(rows), Path(folder))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = config.work or Path(temporary)
        for step in config.steps:
            once = {"describe": config.described, "freeze-hub": config.frozen}
            for size in (once[step],) if step in once else config.sizes:
                keep(config, step, size, measured_process(config, step, size, work / str(size)))
    fit(config)


def keep(config: Config, step: str, size: int, found: dict[str, float]) -> None:
    """Put what was measured into the results."""
    print(step, size, found, flush=True)
    result = json.loads(config.out.read_text())
    settings = result.setdefault("settings", {})
    if (now := setting(("datasets", "pyarrow", "pebble"))) != settings.get(step):
        result[step] = {}
    settings[step] = now
    result[step][str(size)] = found
    config.out.write_text(json.dumps(result, indent=1) + "\n")


def fit(config: Config) -> None:
    """Add the seconds of processor of all stages, and the growth of everything, to the results."""
    result = json.loads(config.out.read_text())
    for row in result["build"].values():
        row["cpu_s"] = round(sum(row[f"{stage}_cpu_s"] for stage in STAGES), 2)
    result["growth"] = {
        name: {key: growth(result[name], key) for key in next(iter(result[name].values()))}
        for name in STEPS
        if len(result.get(name, {})) > 1
    }
    config.out.write_text(json.dumps(result, indent=1) + "\n")


def growth(found: dict[str, dict], name: str) -> float:
    """The exponent p in rows^p by least squares of the logarithms."""
    points = [(math.log(int(n)), math.log(max(row[name], 1e-3))) for n, row in found.items()]
    x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
    slope = sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)
    return round(slope, 3)


def measured_process(config: Config, step: str, size: int, folder: Path) -> dict[str, float]:
    """What a step measured of itself in a process of its own, and what was seen of its processes."""
    folder.mkdir(parents=True, exist_ok=True)
    words: list = ["--run", config.run]
    for name, given in (("--cache", config.cache), ("--before", config.before)):
        words += [name, given] if given else []
    command = [sys.executable, __file__, *words, "--only", step, size, folder]
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    seen = {"all_gib": 0.0, "processes": 0, "open_files": 0}
    ended = threading.Event()

    def look() -> None:
        first = psutil.Process(process.pid)
        while not ended.wait(1.0):
            memory, files, n = 0, 0, 0
            for one in [first, *first.children(recursive=True)]:
                try:
                    memory += one.memory_info().rss
                    files += one.num_fds()
                    n += 1
                except psutil.Error:
                    continue
            now = {"all_gib": round(memory / 2**30, 2), "processes": n, "open_files": files}
            seen.update({name: max(seen[name], value) for name, value in now.items()})

    watching = threading.Thread(target=look)
    watching.start()
    try:
        output = process.communicate()[0]
    finally:
        ended.set()
        watching.join()
    if process.returncode:
        raise SystemExit(f"{step} of {size} failed")
    return {**json.loads(output.splitlines()[-1]), **seen}


class Repeated:
    """A source of the described crystals of a run, again and again under new ids."""

    def __init__(self, run: Path, n: int, with_texts: bool = True):
        from curate.run.folder import Run

        self.n, self.with_texts = n, with_texts
        folder = Run(run)
        pairs = (pair for number in folder.described_shards() for pair in folder.read_pairs(number))
        self.given = [
            replace(record, description=text.text, description_origin=text.origin)
            for record, text in pairs
            if text.status == "described"
        ]

    def records(self) -> Iterator:
        """The entries."""
        return (entry for _, entry in self.entries_after(None))

    def snapshot(self):
        from curate.sources.base import Snapshot

        return Snapshot("repeated", "1", "0" * 64, "CC-BY-4.0", "")

    def entries_after(self, position) -> Iterator:
        """Entries, each with the number of the next as its position."""
        first = 0 if position is None else position["next"]
        for number in range(first, self.n):
            time_around, place = divmod(number, len(self.given))
            record = self.given[place]
            if not self.with_texts:
                record = replace(record, description=None, description_origin=None)
            name = f"{record.material_id}-{time_around}"
            yield {"next": number + 1}, replace(record, material_id=name)


def build(config: Config, n: int, folder: Path) -> dict[str, float]:
    """Freeze, take the texts, write the parts, put the dataset together."""
    from curate.build import build as build_dataset
    from curate.config import BuildConfig
    from curate.dataset.write import finish
    from curate.describe.description import describe as really_describe
    from curate.run.folder import Run
    from curate.work.load_balance import largest_first
    from curate.work.shards import describe_shards, write_claimed_parts

    out = folder / "run"
    before = peak_gib()
    stages = Stages(folder / "stages.json")
    source = Repeated(config.run, n)
    settings = BuildConfig(out=out, executor="none", workers=WORKERS)
    stages.measure("freezing", lambda: build_dataset(settings, source=source))
    run = Run.load(out)
    start_workers()

    def take_texts() -> None:
        sizes = run.sizes(run.shards())
        shards = largest_first(sizes)
        describe_shards(run, shards, WORKERS, really_describe, lambda step: None, sizes)

    stages.measure("texts", take_texts)
    with run.lock():
        stages.measure("parts", lambda: write_claimed_parts(run, WORKERS))
        stages.measure("dataset", lambda: finish(run))
    files = [path for path in out.rglob("*") if path.is_file()]
    found = {
        **stages.found,
        "peak_gib": peak_gib(),
        "beyond_imports_gib": round(peak_gib() - before, 2),
        "shards": len(run.shards()),
        "files": len(files),
        "folder_gib": round(sum(path.stat().st_size for path in files) / 2**30, 2),
    }
    found["total_s"] = round(sum(found[f"{stage}_s"] for stage in STAGES), 2)
    found["rows_per_s"] = round(n / found["total_s"])
    return found


def describe(config: Config, n: int, folder: Path) -> dict[str, float]:
    """Describe n crystals of the run."""
    from curate.build import build as build_dataset
    from curate.config import BuildConfig
    from curate.describe.description import describe as really_describe
    from curate.run.counts import count
    from curate.run.folder import Run
    from curate.work.shards import describe_shards

    stages = Stages(folder / "described.json")
    start_workers()
    for stage, describe, size in (
        ("describing", really_describe, n),
        ("handing_out", Given(config.run), 5 * n),
    ):
        run = Run(folder / stage)
        settings = BuildConfig(out=run.folder, executor="none", workers=WORKERS)
        build_dataset(settings, source=Repeated(config.run, size, with_texts=False))
        stages.measure(
            stage, partial(describe_shards, run, run.shards(), WORKERS, describe, lambda step: None)
        )
    counts = count(Run(folder / "describing"))
    return {
        **stages.found,
        "crystals": counts.fetched,
        "handed_out": 5 * n,
        "described": counts.described,
        "mean_s": round(mean(counts.seconds), 4),
        "deviation_s": round(pstdev(counts.seconds), 4),
        "p99_s": round(counts.quantile(0.99), 4),
        "slowest_s": round(counts.seconds[-1], 3),
    }


def freeze_hub(config: Config, n: int, folder: Path) -> dict[str, Any]:
    """Freeze the rows of a Hub in every way: CPU of the first process and of all, for a row."""
    ways = {"alone": (ROOT, 1), "workers": (ROOT, WORKERS)}
    if config.before:
        ways = {"before": (checkout(config.before, folder / "checkout"), 1), **ways}
    found: dict[str, Any] = {}
    with served(n, folder) as environment:
        for way, (code, workers) in ways.items():
            command = [sys.executable, __file__, "--only", "frozen_once", str(workers)]
            done = subprocess.run(
                [*command, str(folder / way)],
                env={**environment, "PYTHONPATH": str(code)},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            found[way] = json.loads(done.stdout.splitlines()[-1])
    assert len({each.pop("structures") for each in found.values()}) == 1, "not the same bytes"
    return {"rows": n, **found}


def frozen_once(config: Config, workers: int, folder: Path) -> dict[str, Any]:
    """Freeze what the Hub has, by the code of PYTHONPATH; what the rows behind the first cost."""
    from curate.build import settings_record
    from curate.config import BuildConfig
    from curate.run.folder import Run
    from curate.sources.base import Request
    from curate.sources.hub import HubSettings
    from curate.work.freeze import fetch

    start_workers()
    settings = BuildConfig(out=folder, workers=workers, shard_size=1_000)
    source = HubSettings(input="LeMaterial/LeMat-Bulk").open(Request())
    run = Run(settings.out)
    begun: list[tuple[int, float, float, OthersSeconds]] = []

    def watch(progress) -> None:
        if progress.done >= ROWS_BEFORE and not begun:
            begun.append((progress.done, time.perf_counter(), time.process_time(), OthersSeconds()))

    with run.lock():
        run.check_settings(settings_record(settings, source))
        fetch(run, source, settings, None, watch)
    n_before, wall, own, others = begun[0]
    own_s, wall_s = time.process_time() - own, time.perf_counter() - wall
    assert run.fetched is not None
    n = run.fetched["entries"] - n_before
    others_s = others.stop()
    own_s -= others.looking
    digest = hashlib.sha256()
    for number in run.shards():
        digest.update(run.structures_digest(number).encode())
    return {
        "rows": n,
        "wall_s": round(wall_s, 2),
        "own_cpu_ms_a_row": round(1e3 * own_s / n, 4),
        "cpu_ms_a_row": round(1e3 * (own_s + others_s) / n, 4),
        "peak_gib": peak_gib(),
        "structures": digest.hexdigest(),
    }


@dataclass(frozen=True)
class Given:
    """In place of describing: the description that a crystal has in a run."""

    run: Path

    def __call__(self, record, options):
        found = descriptions(self.run)[record.material_id.rpartition("-")[0]]
        return replace(found, material_id=record.material_id)


@cache
def descriptions(run: Path) -> dict[str, Any]:
    """The descriptions of a run, by id."""
    from curate.run.folder import Run

    folder = Run(run)
    shards = map(folder.read_descriptions, folder.described_shards())
    return {each.material_id: each for shard in shards for each in shard}


def start_workers() -> None:
    """Start the process that workers are forked from, which takes some seconds once."""
    from curate.work.pool import in_processes

    in_processes(WORKERS)(abs, [(number,) for number in range(2 * WORKERS)])


class Stages:
    """Seconds of each stage, kept on disk so that a build which was stopped goes on with the next."""

    def __init__(self, path: Path):
        self.path = path
        self.found: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}

    def measure(self, name: str, work: Callable[[], object]) -> None:
        """Do the work of a stage, unless it was measured before."""
        if f"{name}_s" in self.found:
            return
        others = OthersSeconds()
        started, own = time.perf_counter(), time.process_time()
        work()
        own = time.process_time() - own
        self.found[f"{name}_s"] = round(time.perf_counter() - started, 2)
        self.found[f"{name}_own_cpu_s"] = round(own, 2)
        self.found[f"{name}_cpu_s"] = round(own + others.stop(), 2)
        self.path.write_text(json.dumps(self.found))


class OthersSeconds:
    """Seconds of processor of the processes below this one, looked at every fifth of a second."""

    def __init__(self) -> None:
        self.first: dict[tuple, float] = {}
        self.last: dict[tuple, float] = {}
        self.looking = 0.0  # seconds of this process that the watching itself took
        self.look(self.first)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def look(self, seconds: dict[tuple, float]) -> None:
        for one in psutil.Process().children(recursive=True):
            try:
                times = one.cpu_times()
                seconds[one.pid, one.create_time()] = times.user + times.system
            except psutil.Error:
                continue

    def _watch(self) -> None:
        while not self.ended.wait(0.2):
            self.look(self.last)
            self.looking = time.thread_time()

    def stop(self) -> float:
        self.ended.set()
        self.thread.join()
        self.look(self.last)
        return sum(value - self.first.get(key, 0.0) for key, value in self.last.items())


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
