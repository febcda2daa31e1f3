"""A kill at any file event, of the worker, of the parent or of all: the same command ends in the same bytes.

`make attack` kills at every event; here a sample does.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from builds import without_times

KILLS = Path(__file__).with_name("kills.py")
SAMPLE = ("build", "--sample", "--limit", 40, "--shard-size", 4, "--workers", 2, "--out")


@pytest.mark.parametrize(("task", "n"), [("build", 6), ("freeze", 2), ("train", 8)])
def test_a_kill_at_a_file_event(task, n):
    command = [sys.executable, str(KILLS), task, "--sample", str(n), "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) == n, done.stderr
    assert {outcome["result"] for outcome in outcomes} == {"same"}, outcomes


@pytest.mark.parametrize("only", ["before open claims/", "before replace parts/"])
def test_tasks_that_meet(only):
    """One does all that is left while another is about to claim a shard, or to put a part in its place."""
    command = [sys.executable, str(KILLS.with_name("meetings.py")), "--only", only]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) >= 9, done.stderr
    assert {outcome["result"] for outcome in outcomes} == {"same"}, outcomes


@pytest.mark.parametrize("task", ["build", "train"])
def test_what_is_renamed_was_synced(task):
    """So that a power cut leaves no name without its content."""
    command = [sys.executable, str(KILLS), task, "--events"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    synced, opened, n_renamed = set(), set(), 0
    for line in done.stdout.splitlines():
        side, event, *words = line.split(" ", 2)
        name = words[0] if words else ""
        if (side, event) == ("before", "open"):
            synced.discard(name)
            opened.add(name)
        elif (side, event) == ("after", "fsync"):
            synced.add(name)
        elif side == "before" and event in ("replace", "rename"):
            n_renamed += 1
            inside = {other for other in opened if other.startswith(f"{name}/")}
            gone = {other for other in inside if other.endswith(".partial")}
            assert name in synced and inside - gone <= synced, line
        elif side == "after" and event in ("replace", "rename"):
            synced.discard(".")  # the folder must be synced again
    assert n_renamed > 5 and "." in synced


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> list[dict]:
    run = tmp_path_factory.mktemp("whole") / "run"
    started(run).communicate(timeout=300)
    return without_times(run)


def started(run: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "curate", *map(str, SAMPLE), str(run)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    return subprocess.Popen(command, **options)


def at_work(process: subprocess.Popen, run: Path) -> psutil.Process:
    """One of the processes that describe, when some crystals are described."""
    while len(list(run.glob("descriptions/*.parquet"))) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    below = psutil.Process(process.pid).children(recursive=True)
    return max(below, key=lambda child: child.create_time())


@pytest.mark.parametrize("who", ["worker", "parent", "forkserver", "all"])
def test_a_kill_of_some_process(tmp_path, expected, who):
    run = tmp_path / "run"
    process = started(run)
    worker = at_work(process, run)
    match who:
        case "worker":
            worker.kill()
        case "forkserver":
            worker.parent().kill()
        case "parent":
            process.kill()
        case _:
            os.killpg(process.pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == (0 if who in ("worker", "forkserver") else -signal.SIGKILL), errors
    assert not psutil.wait_procs([worker], timeout=10)[1]
    again = started(run)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert without_times(run) == expected
    assert not list(run.rglob("*.partial"))
