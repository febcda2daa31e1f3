"""Array jobs on a real SLURM, by make test-slurm: what hangs, dies or is drained costs itself only."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import hostile
import pyarrow.parquet as pq
import pytest
from builds import Crystals, manifest, some, without_times
from sources_in_motion import Moving, moved

from curate.build import build
from curate.config import BuildConfig, SlurmConfig
from curate.describe.description import describe as really_describe
from curate.errors import InputError
from curate.run.counts import count
from curate.run.folder import Run
from curate.sources.jarvis import JarvisSettings

pytestmark = pytest.mark.slurm


@pytest.fixture
def waiting(tmp_path, monkeypatch) -> Path:
    file = tmp_path / "waiting"
    file.touch()
    monkeypatch.setenv("KEEP_WAITING", str(file))
    return file


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Tasks find this checkout and the functions of the tests."""
    helpers, checkout = Path(hostile.__file__).parent, Path(__file__).parents[3]
    monkeypatch.setenv("PYTHONPATH", f"{helpers}{os.pathsep}{checkout}")


def slurm(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def queue(state: str = "all") -> list[str]:
    """Names of the tasks in the queue."""
    return slurm("squeue", "--noheader", "--array", f"--states={state}", "--format=%K").split()


def resume() -> None:
    """All nodes take jobs again; SLURM complains where one already does."""
    for name in ("one", "two"):
        update = ["scontrol", "update", f"nodename={name}", "state=resume"]
        subprocess.run(update, capture_output=True)


def wait(condition, seconds: float = 300) -> None:
    for _ in range(int(seconds / 0.2)):
        if condition():
            return
        time.sleep(0.2)
    raise AssertionError(slurm("squeue") + slurm("sinfo", "-N"))


def is_over() -> bool:
    return not queue("pending,running,completing,requeued")


def on_slurm(out: Path, tasks: int, **changed) -> BuildConfig:
    fields = {"shard_size": 3, "memory": 2.0, "timeout": 200.0, **changed}
    return BuildConfig(out=out, executor="slurm", slurm=SlurmConfig(tasks=tasks), **fields)


def the_same_here(config: BuildConfig, entries, out: Path, describe=really_describe) -> list[dict]:
    """Rows of a local build."""
    local = replace(config, out=out, executor="local", slurm=SlurmConfig(), workers=1)
    build(local, source=Crystals(entries), describe=describe)
    return without_times(out)


def test_the_command_line_builds_what_a_local_build_builds(tmp_path):
    command = [sys.executable, "-m", "curate", "build", "--sample", "--limit", "12"]
    command += ["--shard-size", "2", "--memory", "2", "--out"]
    array = ["--executor", "slurm", "--tasks", "3", "--partition", "all", "--time", "10"]
    done = subprocess.run(
        [*command, str(tmp_path / "run"), *array], capture_output=True, text=True, check=True
    )
    assert "left to do" in done.stdout and "curate status" in done.stdout
    wait(is_over)
    run = Run(tmp_path / "run")
    assert count(run).described == 12 and run.is_dataset_current  # the last task wrote it
    ranks = list((run.folder / "slurm").glob("*/completions/*"))
    assert sorted(path.name for path in ranks) == ["00000", "00001", "00002"]
    subprocess.run([*command, str(tmp_path / "local")], capture_output=True, check=True)
    assert without_times(run.folder) == without_times(tmp_path / "local")


def test_crystals_that_hang_or_crash_cost_only_themselves(tmp_path):
    good = some(4)
    endings = ("hang-in-c", "segfault", "kill")
    entries = [*good[:2], *(replace(good[0], material_id=name) for name in endings), *good[2:]]
    config = on_slurm(tmp_path / "run", tasks=2, timeout=8.0)
    build(config, source=Crystals(entries), describe=hostile.describe)
    wait(is_over)
    rows = manifest(config.out)
    assert [rows[name]["status"] for name in endings] == ["timeout", "crashed", "crashed"]
    assert sum(row["status"] == "described" for row in rows.values()) == 4
    assert without_times(config.out) == the_same_here(
        config, entries, tmp_path / "local", hostile.describe
    )


def test_a_task_ended_by_the_time_limit_is_done_again_and_nothing_else(tmp_path, waiting):
    good = some(6)
    entries = [*good[:5], replace(good[5], material_id=f"{hostile.SLOW}one")]
    config = on_slurm(tmp_path / "run", tasks=2)
    limited = replace(config, slurm=replace(config.slurm, time="1"))  # a minute
    build(limited, source=Crystals(entries), describe=hostile.slow)
    with pytest.raises(InputError, match=r"array job [\d, ]+ of .* is waiting or at work"):
        build(limited, source=Crystals(entries), describe=hostile.slow)
    wait(is_over)
    run = Run(config.out)
    assert run.described_shards() == [0] and not run.dataset.exists()
    assert any("DUE TO TIME LIMIT" in path.read_text() for path in run.folder.rglob("*.out"))
    finished = (run.descriptions / "00000.parquet").stat().st_mtime_ns
    waiting.unlink()
    build(config, source=Crystals(entries), describe=hostile.slow)
    wait(is_over)
    assert (run.descriptions / "00000.parquet").stat().st_mtime_ns == finished
    assert without_times(run.folder) == the_same_here(config, entries, tmp_path / "local")


def test_tasks_on_drained_nodes_claim_all_and_late_ones_find_nothing(tmp_path, waiting):
    good = some(8)
    entries = [replace(record, material_id=f"{hostile.SLOW}{i}") for i, record in enumerate(good)]
    config = on_slurm(tmp_path / "run", tasks=4, shard_size=2)
    build(config, source=Crystals(entries), describe=hostile.slow)
    wait(lambda: len(queue("running")) == 2)
    slurm("scontrol", "update", "nodename=one,two", "state=drain", "reason=test")
    try:
        waiting.unlink()  # what runs on a draining node may end
        wait(lambda: not queue("running,completing"))
        run = Run(config.out)
        assert run.is_dataset_current and len(queue("pending")) == 2
        assert not run.claims.exists()
        written = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*.parquet")}
    finally:
        resume()
    wait(is_over)
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*.parquet")} == written
    assert without_times(run.folder) == the_same_here(config, entries, tmp_path / "local")


def test_tasks_of_a_node_that_fails_are_started_again_elsewhere(tmp_path, waiting):
    good = some(4)
    entries = [replace(record, material_id=f"{hostile.SLOW}{i}") for i, record in enumerate(good)]
    config = on_slurm(tmp_path / "run", tasks=2, shard_size=2)
    build(config, source=Crystals(entries), describe=hostile.slow)
    wait(lambda: len(queue("running")) == 2)
    slurm("scontrol", "update", "nodename=one", "state=down", "reason=test")
    try:
        wait(lambda: len(queue("running")) == 1)
        waiting.unlink()
        wait(is_over)
    finally:
        resume()
    assert without_times(config.out) == the_same_here(config, entries, tmp_path / "local")


def written(run: Run) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in run.folder.rglob("*.parquet")}


def test_a_slow_node_keeps_nobody_waiting(tmp_path, waiting):
    entries = some(8)
    config = on_slurm(tmp_path / "run", tasks=2, shard_size=2)
    build(config, source=Crystals(entries), describe=hostile.slow_node)
    wait(lambda: len(queue("running")) == 2)
    run = Run(config.out)
    wait(lambda: run.dataset_file.exists())
    assert waiting.exists() and len(queue("running")) >= 1  # the slow one is at its first crystal
    assert count(run).described == 8 and run.is_dataset_current
    before = written(run)
    waiting.unlink()
    wait(is_over)
    assert written(run) == before
    assert without_times(run.folder) == the_same_here(config, entries, tmp_path / "local")


def test_a_lost_node_and_one_that_joins(tmp_path, waiting):
    entries = some(8)
    config = on_slurm(tmp_path / "run", tasks=1, shard_size=2)
    build(config, source=Crystals(entries), describe=hostile.slow)  # nothing slow in it
    run = Run(config.out)
    slurm("scontrol", "update", "nodename=two", "state=drain", "reason=test")
    try:
        wait(lambda: run.claims.exists())
        slurm("scontrol", "update", "nodename=one", "state=down", "reason=test")  # and never back
        slurm("scontrol", "update", "nodename=two", "state=resume")
        slurm("scancel", "--me", "--state=pending")
        join = f"{sys.executable} -m curate describe {run.folder} --workers 1"
        slurm("sbatch", "--nodelist=two", "--output=/dev/null", "--wrap", join)
        wait(lambda: run.dataset_file.exists())
    finally:
        resume()
    wait(is_over)
    assert count(run).described == 8 and run.is_dataset_current
    assert without_times(run.folder) == the_same_here(config, entries, tmp_path / "local")


def test_an_update_describes_what_changed_when_no_task_is_at_work_any_more(tmp_path, waiting):
    before, now = moved(8)
    config = on_slurm(tmp_path / "run", tasks=2)
    renewal = replace(config, update=True)
    build(config, source=Moving(before), describe=hostile.slow_node)
    wait(lambda: len(queue("running")) == 2)
    run = Run(config.out)
    wait(lambda: run.dataset_file.exists())
    assert waiting.exists() and queue("running")
    old, files = manifest(config.out), written(run)
    with pytest.raises(InputError, match=r"array job [\d, ]+ of .* is waiting or at work"):
        build(renewal, source=Moving(now, "2"), describe=hostile.slow_node)
    waiting.unlink()
    wait(is_over)
    assert written(run) == files
    build(renewal, source=Moving(now, "2"), describe=hostile.slow_node)
    wait(is_over)
    assert run.is_dataset_current and run.damage() == []
    changed = {"a-new-one", now[0].material_id, now[7].material_id}
    for material_id, row in manifest(config.out).items():
        assert (row != old.get(material_id)) == (material_id in changed)
    local = replace(config, out=tmp_path / "local", executor="local", slurm=SlurmConfig())
    build(replace(local, workers=1), source=Moving(before))
    build(replace(local, workers=1, update=True), source=Moving(now, "2"))
    assert without_times(run.folder) == without_times(local.out)
    changes = [
        pq.read_table(each / "dataset/changes").drop(["date"]) for each in (run.folder, local.out)
    ]
    assert changes[0].num_rows == 5 and changes[0].equals(changes[1])


def test_a_plain_array_line_needs_no_launcher(tmp_path):
    config = BuildConfig(
        out=tmp_path / "run", source=JarvisSettings(sample=True), limit=8, shard_size=2, memory=2.0
    )
    build(replace(config, executor="none"))
    python = f"{sys.executable} -m curate"
    rank = f"{python} describe {config.out} --rank $SLURM_ARRAY_TASK_ID --of 2"
    slurm("sbatch", "--array=0-1", "--output=/dev/null", "--wrap", rank)
    wait(is_over)
    run = Run(config.out)
    assert run.is_dataset_current and count(run).described == 8
    build(replace(config, out=tmp_path / "local", workers=1))
    assert without_times(run.folder) == without_times(tmp_path / "local")
