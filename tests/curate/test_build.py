"""Whole builds of real crystals: what breaks costs itself only, what is killed goes on."""

import json
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import hostile
import psutil
import pytest
from builds import Crystals, manifest, some, without_times

from curate.build import build
from curate.config import BuildConfig
from curate.errors import InputError
from curate.record import SkippedEntry
from curate.run.folder import Run
from curate.sources.jarvis import JarvisSettings


def test_crystals_that_break_their_worker_cost_only_themselves(tmp_path):
    good = some(6)
    bad = [replace(good[0], material_id=ending) for ending in hostile.ENDINGS]
    entries = [good[0], *bad[:4], *good[1:3], *bad[4:], *good[3:]]
    entries.append(
        SkippedEntry("alloy", "disordered", "DisorderedStructure", "site 0 holds Cu, Au")
    )
    config = BuildConfig(out=tmp_path / "run", timeout=20, memory=0.75, workers=2, shard_size=5)
    counts = build(config, source=Crystals(entries), describe=hostile.describe)
    assert counts.described == 6
    assert counts.fetched == 14 == counts.described + counts.failed.total()
    rows = manifest(config.out)
    assert [rows[record.material_id]["status"] for record in good] == ["described"] * 6
    expected = {
        "hang": ("timeout", "not finished after 20 s"),
        "hang-in-c": ("timeout", "not finished after 20 s"),
        "exit": ("crashed", "the worker exited with code 3"),
        "segfault": ("crashed", "the worker was ended by SIGSEGV"),
        "kill": ("crashed", "SIGKILL; the machine may have run out of memory"),
        "memory": ("out_of_memory", "needed more than 0.75 GiB"),
        "raise": ("error", "the crystal said no"),
        "alloy": ("disordered", "site 0 holds Cu, Au"),
    }
    for material_id, (status, message) in expected.items():
        assert rows[material_id]["status"] == status
        assert message in rows[material_id]["error_message"]


def curate(*arguments, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "curate", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def wait_for_shards(run: Path, n: int, process: subprocess.Popen) -> None:
    for _ in range(3000):
        if len(list((run / "descriptions").glob("*.parquet"))) >= n:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"{run} has no {n} shards after 150 s")


def children_are_gone(children: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(children, timeout=10)
    return not alive


SAMPLE = ("build", "--sample", "--limit", 60, "--shard-size", 4, "--workers", 2)


def test_a_killed_build_goes_on_and_equals_one_never_killed(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = curate(*SAMPLE, "--out", killed)
    wait_for_shards(killed, 2, process)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert children and children_are_gone(children)
    finished = {p.name: p.stat().st_mtime_ns for p in (killed / "descriptions").glob("*.parquet")}
    assert 2 <= len(finished) < 15 and not (killed / "dataset").exists()
    again = curate(*SAMPLE, "--out", killed)
    output, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert b"load_dataset" in output
    for name, modified in finished.items():  # not redone
        assert (killed / "descriptions" / name).stat().st_mtime_ns == modified
    assert curate(*SAMPLE, "--out", whole).wait(300) == 0
    assert without_times(killed) == without_times(whole)
    assert len({row["material_id"] for row in manifest(killed).values()}) == 60


def test_ctrl_c_stops_within_seconds_and_says_how_to_go_on(tmp_path):
    run = tmp_path / "run"
    process = curate("build", "--sample", "--shard-size", 4, "--out", run, start_new_session=True)
    wait_for_shards(run, 1, process)
    children = psutil.Process(process.pid).children(recursive=True)
    started = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to the workers as well
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - started < 10
    assert process.returncode == 130
    assert b"the same command continues from here" in errors and b"Traceback" not in errors
    assert children_are_gone(children)
    assert not list(run.rglob("*.partial"))


def test_the_same_command_again_does_nothing_twice(tmp_path):
    config = BuildConfig(out=tmp_path, limit=3, source=JarvisSettings(sample=True), workers=1)
    first = build(config)
    card = (tmp_path / "dataset" / "README.md").stat().st_mtime_ns
    assert build(config) == first
    assert (tmp_path / "dataset" / "README.md").stat().st_mtime_ns == card


def test_other_settings_are_refused_and_the_difference_named(tmp_path):
    config = BuildConfig(out=tmp_path, limit=1, source=JarvisSettings(sample=True), workers=1)
    build(config)
    with pytest.raises(InputError, match=r"settings timeout was 300\.0, now 60"):
        build(replace(config, timeout=60))
    with pytest.raises(InputError, match="describe site_labels was True, now False"):
        build(replace(config, describe=replace(config.describe, site_labels=False)))
    build(replace(config, workers=2, strict=True))  # these do not change the answer


def test_other_versions_are_refused(tmp_path):
    config = BuildConfig(out=tmp_path, limit=1, source=JarvisSettings(sample=True), workers=1)
    build(config)
    record = json.loads((tmp_path / "run.json").read_text())
    record["versions"]["robocrys"] = "0.2.12"
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"versions robocrys was 0\.2\.12, now 0\.2\.13"):
        build(config)


def test_two_builds_in_one_folder_are_refused(tmp_path):
    config = BuildConfig(out=tmp_path, limit=1, source=JarvisSettings(sample=True))
    with Run(tmp_path).lock(), pytest.raises(InputError, match="another build is at work"):
        build(config)


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("important")
    with pytest.raises(InputError, match="holds other files"):
        build(BuildConfig(out=tmp_path, limit=1, source=JarvisSettings(sample=True)))
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == ["thesis.tex"]


def test_ids_twice_or_missing_are_named(tmp_path):
    twice = Crystals([*some(2), some(1)[0]])
    first = some(1)[0].material_id
    with pytest.raises(InputError, match=f"two entries with the id {first}"):
        build(BuildConfig(out=tmp_path / "a"), source=twice)
    ids = tmp_path / "ids.txt"
    ids.write_text(f"{first}\nJVASP-0\n")
    with pytest.raises(InputError, match="no entry JVASP-0"):
        build(BuildConfig(out=tmp_path / "b", ids=ids, source=JarvisSettings(sample=True)))
    ids.write_text(f"{first}\n")
    assert (
        build(
            BuildConfig(out=tmp_path / "c", ids=ids, source=JarvisSettings(sample=True), workers=1)
        ).described
        == 1
    )


def test_a_property_with_the_name_of_a_column_is_refused(tmp_path):
    record = replace(some(1)[0], properties={"license": "mine"})
    with pytest.raises(InputError, match="property license has the name of a dataset column"):
        build(BuildConfig(out=tmp_path), source=Crystals([record]))


def test_a_full_disk_is_one_sentence_and_keeps_what_is_finished(tmp_path):
    """/dev/full stands for the disk: the shard's temporary file is a link to it."""
    config = BuildConfig(
        out=tmp_path / "run", limit=4, source=JarvisSettings(sample=True), workers=1, shard_size=2
    )
    build(replace(config, out=config.out))
    shards = sorted((config.out / "descriptions").glob("*.parquet"))
    shards[1].unlink()
    arguments = ("--sample", "--limit", 4, "--workers", 1, "--shard-size", 2, "--out", config.out)
    process = curate("build", *arguments)  # takes seconds to start; its file is named after it
    name = f"00001.parquet.{platform.node()}-{process.pid}.partial"
    (config.out / "descriptions" / name).symlink_to("/dev/full")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert b"No space left on device" in errors and b"Traceback" not in errors
    assert shards[0].exists()
    assert curate("build", *arguments).wait(120) == 0
