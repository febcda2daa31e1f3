"""Kill a build, an update or a training at its file events, run the same again, and compare what is left.

A file event is the opening of a file for writing, a renaming, a removal, the making of a folder, or a
sync, in the folder that is watched. The process ends by `os._exit` before or after it: nothing is flushed,
no `finally` runs. Each attempt is a fork of a process that has imported everything.

    python tests/attack/kills.py build | freeze | update | renewal | train [--sample N] [--seed S]
"""

from __future__ import annotations

import argparse
import builtins
import hashlib
import io
import json
import logging
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "helpers"), str(Path(__file__).parents[2])]

KILLED = 77
WATCHED = ("replace", "rename", "unlink", "remove", "mkdir", "rmdir", "fsync")


@dataclass(frozen=True)
class Outcome:
    """What came of one kill."""

    event: int
    what: str
    result: str  # same, other, failed


def watch(
    root: Path,
    at: int | None,
    told: Callable[[str], None],
    act: Callable[[], None] = lambda: os._exit(KILLED),
) -> None:
    """From now on count the file events below `root`, both sides of each; before number `at` act, or end."""
    state = {"number": 0}

    def event(side: str, name: str, where: object) -> None:
        told(f"{side} {name} {where}")
        state["number"] += 1
        if state["number"] - 1 == at:
            act()

    def wrapped(module, name: str, matters: Callable[..., object]) -> None:
        original = getattr(module, name)

        def call(*args, **kwargs):
            if not (where := matters(*args, **kwargs)):
                return original(*args, **kwargs)
            event("before", name, where)
            result = original(*args, **kwargs)
            event("after", name, where)
            return result

        setattr(module, name, call)

    def below(path, *_, dir_fd=None, **__) -> object:
        if isinstance(path, int):  # a descriptor: fsync
            path = Path(f"/proc/self/fd/{path}").readlink()
        if dir_fd is not None:
            path = Path(f"/proc/self/fd/{dir_fd}").readlink() / os.fsdecode(path)
        inside = str(path).startswith(str(root))
        return inside and os.path.relpath(os.fsdecode(path), root)

    def opened(path, mode="r", *_, **__) -> object:
        is_written = isinstance(mode, str) and set(mode) & set("wax+")
        return is_written and not isinstance(path, int) and below(path)

    for name in WATCHED:
        wrapped(os, name, below)
    wrapped(io, "open", opened)
    builtins.open = io.open
    wrapped(os, "open", lambda path, flags, *_, **k: flags & os.O_CREAT and below(path, **k))
    if "torch" in sys.modules:
        import torch

        wrapped(torch, "save", lambda _, path, **__: below(path))


def run(task: Callable[[Path], None], folder: Path, at: int | None = None, log=None) -> int:
    """The exit code of a fork that does the task and is killed at an event, if one is given."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        os.dup2(os.open(folder.parent / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
        os.dup2(1, 2)
        lines: list[str] = []
        watch(folder, at, lines.append)
        task(folder)
        if log is not None:
            log.write_text("\n".join(lines))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def attack(task: Callable[[Path], None], sample: int | None, seed: int) -> Iterator[Outcome]:
    """Kill the task at all its events, or at some of them."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        assert run(task, top / "whole", log=top / "events") == 0, (top / "output").read_text()
        events = (top / "events").read_text().splitlines()
        expected = digests(top / "whole")
        for number in sampled(range(len(events)), sample, seed):
            folder = top / "killed"
            (top / "output").unlink(missing_ok=True)
            code = run(task, folder, at=number)
            result = "not killed" if code != KILLED else ""
            if not result:
                result = "failed" if run(task, folder) else "same"
            if result == "same" and digests(folder) != expected:
                result = "other: " + ", ".join(sorted(differing(digests(folder), expected)))
            if result == "failed":
                result += ": " + (top / "output").read_text().strip().splitlines()[-1][:200]
            yield Outcome(number, events[number], result)
            shutil.rmtree(folder, ignore_errors=True)


def sampled(numbers: Sequence[int], n: int | None, seed: int) -> Sequence[int]:
    """So many of the numbers, in their order; all of them where n is None or there are no more."""
    if n is None or n >= len(numbers):
        return numbers
    return sorted(random.Random(seed).sample(numbers, n))


def digests(folder: Path) -> dict[str, str]:
    """Of each file but those that hold times."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", "training.json")
    } | {f"{path.relative_to(folder)}/": "" for path in folder.rglob("*") if path.is_dir()}


def differing(one: dict[str, str], other: dict[str, str]) -> set[str]:
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


def small_build(folder: Path) -> None:
    """Four crystals in two shards."""
    from builds import Crystals, some
    from plain_build import describe

    from curate.build import build
    from curate.config import BuildConfig

    config = BuildConfig(out=folder, workers=1, shard_size=2)
    build(config, source=Crystals(some(4)), describe=describe)


def small_freeze(folder: Path) -> None:
    """Twenty entries in ten shards, most of them made by two workers."""
    from paged import Paged, numbered

    from curate.build import build
    from curate.config import BuildConfig
    from curate.work import frozen_pages

    frozen_pages.ROWS_ALONE = 3
    config = BuildConfig(out=folder, workers=2, shard_size=2, executor="none")
    build(config, source=Paged(numbered(20)))


def small_update(folder: Path) -> None:
    """Five crystals of a source that has moved on: three are left to describe."""
    from sources_in_motion import moved

    update(folder, *moved(5))


def small_renewal(folder: Path) -> None:
    """The same where none is left to describe, so that no worker need start."""
    from sources_in_motion import moved

    before, now = moved(5)
    known = {entry.material_id: entry for entry in before}
    kept = [entry for entry in now if entry.material_id in known]
    update(folder, before, [kept[1], kept[2], known[kept[0].material_id], *before[5:]])


def update(folder: Path, before: list, now: list) -> None:
    """An update of a run that lies beside the folder, where it is made once."""
    from plain_build import describe
    from sources_in_motion import Moving

    from curate.build import build
    from curate.config import BuildConfig

    made, copy = folder.parent / "made", folder.parent / "copy"
    config = BuildConfig(out=made, workers=1, shard_size=2)
    if not made.exists():
        build(config, source=Moving(before), describe=describe)
    if not folder.exists():
        shutil.copytree(made, copy)
        copy.rename(folder)
    build(replace(config, out=folder, update=True), source=Moving(now, "2"), describe=describe)


def small_training(folder: Path) -> None:
    """Two epochs on 48 crystals; data and cache lie beside the folder and are made once."""
    from corpus import TARGET, TINY, write_dataset

    from model.config import GraphConfig, TrainConfig
    from model.training.train import train

    data = folder.parent / "data"
    if not data.exists():
        write_dataset(data)
    train(
        TrainConfig(
            data=str(data),
            out=folder,
            target=TARGET,
            modality="graph",
            network=TINY,
            graph=GraphConfig(max_neighbors=4),
            epochs=2,
            batch_size=16,
            cache=folder.parent / "cache",
        )
    )


TASKS = {
    "build": small_build,
    "freeze": small_freeze,
    "update": small_update,
    "renewal": small_renewal,
    "train": small_training,
}


def main() -> None:
    """One line of JSON for each kill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--events", action="store_true", help="print the events, kill nothing")
    parser.add_argument("--sample", type=int, help="kill at so many events only")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    logging.disable(logging.INFO)
    if words.task != "train":
        import pymatgen.core  # noqa: F401 (the forks need not import it again)
        import sources_in_motion  # noqa: F401

        import curate.build  # noqa: F401
    else:
        import torch

        import model.training.train  # noqa: F401

        torch.set_num_threads(1)
    if words.events:
        with tempfile.TemporaryDirectory() as name:
            run(TASKS[words.task], Path(name) / "whole", log=Path(name) / "events")
            print((Path(name) / "events").read_text())
        return
    for outcome in attack(TASKS[words.task], words.sample, words.seed):
        print(json.dumps(vars(outcome)), flush=True)


if __name__ == "__main__":
    main()
