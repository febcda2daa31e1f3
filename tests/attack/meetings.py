"""Two tasks on one run: at a file event of the first the second does all that is left; the first goes on.

The first task stops at each of its file events (as in `kills.py`) until it takes the run's lock, for from
there on a second one waits.

    python tests/attack/meetings.py [--sample N] [--seed S] [--only EVENTS]
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "helpers"), str(HERE.parents[1])]

LOCK = "before open .lock"


def task(folder: Path) -> None:
    """What each task of an array job does."""
    import plain_build

    from curate.run.folder import Run
    from curate.work.shards import describe_claimed

    run = Run.load(folder)
    describe_claimed(run, run.shards(), 1, plain_build.describe)


def meet(folder: Path, at: int) -> tuple[int | None, int | None]:
    """The exit codes of two tasks: at file event `at` of the first the second does everything."""
    import kills

    fork = multiprocessing.get_context("fork")
    begin, ended = fork.Event(), fork.Event()

    def first() -> None:
        def let_the_second() -> None:
            begin.set()
            assert ended.wait(60)

        kills.watch(folder, at, lambda event: None, let_the_second)
        task(folder)

    def second() -> None:
        assert begin.wait(60)
        try:
            task(folder)
        finally:
            ended.set()

    tasks = [fork.Process(target=each) for each in (first, second)]
    for each in tasks:
        each.start()
    for each in tasks:
        each.join()
    return tasks[0].exitcode, tasks[1].exitcode


def main() -> None:
    """One line of JSON for each meeting."""
    import kills
    import plain_build
    from builds import Crystals, some

    from curate.build import build
    from curate.config import BuildConfig
    from curate.dataset import parts

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, help="meet at so many events only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="at the events that begin with this")
    words = parser.parse_args()
    logging.disable(logging.INFO)
    parts.ENTRIES_PER_FILE = 2
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        entries = [
            replace(record, description=plain_build.describe(record, None).text)
            for record in some(6)
        ]
        config = BuildConfig(out=top / "frozen", executor="none", shard_size=1)
        build(config, source=Crystals(entries), describe=plain_build.describe)
        shutil.copytree(config.out, top / "whole")
        kills.run(task, top / "whole", log=top / "events")
        expected = plain_build.contents(top / "whole")
        events = (top / "events").read_text().splitlines()
        chosen = [i for i in range(events.index(LOCK)) if events[i].startswith(words.only)]
        for number in kills.sampled(chosen, words.sample, words.seed):
            folder = shutil.copytree(config.out, top / "run")
            codes = meet(folder, number)
            is_same = plain_build.contents(folder) == expected
            result = f"exit {codes}" if any(codes) else "same" if is_same else "other"
            print(json.dumps(vars(kills.Outcome(number, events[number], result))), flush=True)
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
