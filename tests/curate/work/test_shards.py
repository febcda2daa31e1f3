"""Ranks that share a run folder: together they do what one build does, in any order, any number of times."""

import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace

import hostile
import plain_build
import pytest
from builds import Crystals, some, without_times

from curate.build import build, describe_rank
from curate.config import BuildConfig, DescribeConfig
from curate.dataset import parts
from curate.describe.options import DescribeOptions
from curate.errors import InputError
from curate.files import write_json
from curate.record import Description, SkippedEntry
from curate.run.counts import count
from curate.run.folder import Run, ShardSize
from curate.sources.jarvis import JarvisSettings
from curate.work.claims import claim, claim_part, claimed
from curate.work.load_balance import shares
from curate.work.shards import describe_share, finish_last


def test_shares_hold_every_shard_once_and_weigh_nearly_the_same():
    chance = random.Random(0)
    atoms = [[int(chance.lognormvariate(2.5, 1)) + 1 for _ in range(200)] for _ in range(150)]
    shards = {n: ShardSize(200, sum(each), max(each)) for n, each in enumerate(atoms)}
    divided = shares(shards, 16)
    assert sorted(number for share in divided for number in share) == list(range(150))
    weights = [sum(shards[number].atoms for number in share) for share in divided]
    assert max(weights) < 1.1 * sum(weights) / 16
    assert divided == shares(dict(reversed(shards.items())), 16)
    for share in divided:
        largest = [shards[number].largest for number in share]
        assert largest == sorted(largest, reverse=True)
    two = {0: ShardSize(1, 2, 2), 1: ShardSize(1, 3, 3)}
    assert shares(two, 4) == [[1], [0], [], []]


def options_without_work(out, **changed) -> BuildConfig:
    return BuildConfig(
        out=out, source=JarvisSettings(sample=True), limit=24, shard_size=4, workers=1, **changed
    )


def test_ranks_a_killed_one_and_a_local_build_make_one_dataset(tmp_path):
    whole, shared = options_without_work(tmp_path / "whole"), options_without_work(tmp_path / "run")
    build(whole)
    left = build(replace(shared, executor="none"))
    assert (left.fetched, left.left) == (24, 24)
    run = Run(shared.out)
    describe_rank(DescribeConfig(run.folder, rank=2, of=3, workers=1))
    assert len(run.described_shards()) == 2 and not run.dataset.exists()
    assert count(run).left == 16
    again = {path: path.stat().st_mtime_ns for path in run.descriptions.iterdir()}
    command = ("describe", run.folder, "--rank", 2, "--of", 3, "--workers", 1)
    subprocess.run([sys.executable, "-m", "curate", *map(str, command)], check=True)
    assert {path: path.stat().st_mtime_ns for path in run.descriptions.iterdir()} == again
    (run.descriptions / "00000.parquet.gone-1.partial").write_text("of a killed rank")
    describe_rank(DescribeConfig(run.folder, rank=0, of=3, workers=1))
    assert not run.dataset.exists()
    describe_rank(DescribeConfig(run.folder, rank=1, of=3, workers=1))
    assert without_times(run.folder) == without_times(whole.out)  # the last one wrote it
    max(run.descriptions.glob("*.parquet")).unlink()
    assert not run.dataset.exists() or count(run).left == 4
    build(shared)  # what ranks began, a local build finishes
    assert run.is_dataset_current
    assert without_times(run.folder) == without_times(whole.out)


def test_two_ranks_on_the_same_shards_harm_nothing(tmp_path):
    config = BuildConfig(out=tmp_path, shard_size=2, executor="none")
    build(config, source=Crystals(some(6)))
    command = ("describe", tmp_path, "--rank", "0", "--of", "1", "--workers", "1")
    ranks = [
        subprocess.Popen([sys.executable, "-m", "curate", *map(str, command)]) for _ in range(2)
    ]
    assert [rank.wait(200) for rank in ranks] == [0, 0]
    counts = build(replace(config, executor="local"), source=Crystals(some(6)))
    assert (counts.described, counts.left) == (6, 0)
    assert not list(tmp_path.rglob("*.partial"))


def test_processes_claim_shards_and_a_dead_ones_are_described_by_others(tmp_path):
    config = options_without_work(tmp_path / "run")
    build(replace(config, executor="none"))
    run = Run(config.out)
    assert claim(run, 2, level=1)  # by a process that died: nothing is there but its claim
    command = ("describe", run.folder, "--workers", 1)
    processes = [
        subprocess.Popen([sys.executable, "-m", "curate", *map(str, command)]) for _ in range(2)
    ]
    assert [process.wait(300) for process in processes] == [0, 0]
    assert run.is_dataset_current and count(run).left == 0
    assert not run.claims.exists() and not list(run.folder.rglob("*.partial"))
    whole = replace(config, out=tmp_path / "whole")
    build(whole)
    assert without_times(run.folder) == without_times(whole.out)


def test_of_tasks_that_end_together_one_writes_the_dataset(tmp_path, monkeypatch):
    config = BuildConfig(out=tmp_path, shard_size=1, workers=1)
    build(config, source=Crystals(some(2)))
    run = Run(tmp_path)
    counted = []
    monkeypatch.setattr("curate.work.shards.finish", lambda *_: counted.append(1))
    finish_last(run, 1)
    assert not counted
    later = run.dataset_file.stat().st_mtime + 1  # a clock's tick may be longer than this test
    os.utime(run.descriptions / "00001.parquet", (later, later))
    finish_last(run, 1)
    (run.descriptions / "00001.parquet").unlink()
    finish_last(run, 1)
    assert counted == [1]


def test_a_shard_is_claimed_by_one_and_helped_with_by_few(tmp_path):
    build(BuildConfig(out=tmp_path, executor="none", shard_size=1), source=Crystals(some(3)))
    run = Run(tmp_path)
    one, two = claimed(run, [2, 0, 1]), claimed(run, [2, 0, 1])
    assert [next(one), next(two), next(one)] == [2, 0, 1]
    assert next(two) == 2  # nothing is unclaimed: helps with what the other has
    run.write_descriptions(1, [Description(run.ids(1)[0], "described", text="x")])
    assert next(one) == 0  # 1 is described, and 2 has two claims already
    mine = {0, 2}
    assert list(claimed(run, [2, 0, 1], mine)) == []
    assert list(claimed(run, [2, 0, 1])) == [2, 0]  # the last claims
    assert list(claimed(run, [2, 0, 1])) == []
    assert sorted(path.name for path in run.claims.iterdir()) == [
        *("00000.1", "00000.2", "00000.3", "00001.1", "00002.1", "00002.2", "00002.3")
    ]


def test_a_rank_keeps_to_the_limits_and_words_of_the_run(tmp_path):
    """A crystal that hangs costs itself; how texts are written is in the run, not in the rank's flags."""
    good = some(2)
    entries = [replace(good[0], material_id="hang"), *good]
    words = DescribeOptions(site_labels=False)
    config = BuildConfig(out=tmp_path, executor="none", timeout=3, describe=words)
    build(config, source=Crystals(entries))
    run = Run(tmp_path)
    describe_share(run, [0], 1, hostile.describe)
    statuses = {row.material_id: row.status for row in run.read_descriptions(0)}
    assert statuses == {"hang": "timeout", **{r.material_id: "described" for r in good}}
    labelled = hostile.describe(good[0], DescribeOptions()).text
    assert run.read_descriptions(0)[1].text == hostile.describe(good[0], words).text != labelled


def test_a_rank_that_cannot_help_says_why(tmp_path):
    build(BuildConfig(out=tmp_path, executor="none"), source=Crystals(some(1)))
    with pytest.raises(InputError, match="ranks count from 0"):
        describe_rank(DescribeConfig(tmp_path, rank=3, of=3))
    with pytest.raises(InputError, match="--rank and --of belong together"):
        describe_rank(DescribeConfig(tmp_path, rank=0))
    with pytest.raises(InputError, match="--of 0: must be at least 1"):
        describe_rank(DescribeConfig(tmp_path, rank=0, of=0))
    run = Run(tmp_path)
    record = run.settings_record
    record["versions"]["robocrys"] = "0.2.12"
    write_json(run.settings_file, record)
    with pytest.raises(InputError, match=r"versions robocrys was 0\.2\.12, now 0\.2\.13"):
        describe_rank(DescribeConfig(tmp_path, rank=0, of=1))
    run.structures_file.unlink()
    record["versions"]["robocrys"] = "0.2.13"
    write_json(run.settings_file, record)
    with pytest.raises(InputError, match="not read whole yet"):
        describe_rank(DescribeConfig(tmp_path, rank=0, of=1))


def test_a_text_that_the_source_brings_needs_no_worker(tmp_path):
    one, two, three = some(3)
    given = [
        replace(each, description="A crystal.", description_origin="me") for each in (one, three)
    ]
    entries = [given[0], two, SkippedEntry("alloy", "disordered", "E", "no"), given[1]]
    here = []

    def taken(record, options):  # a worker could not be given it
        here.append(record.material_id)
        return plain_build.describe(replace(record, description=None), options)

    config = BuildConfig(out=tmp_path, shard_size=3, workers=1)
    assert (
        build(config, source=Crystals([*entries[:1], *entries[2:]]), describe=taken).described == 2
    )
    assert here == [one.material_id, three.material_id]
    mixed = replace(config, out=tmp_path / "mixed")
    build(mixed, source=Crystals(entries), describe=plain_build.describe)
    rows = [row for n in (0, 1) for row in Run(mixed.out).read_descriptions(n)]
    assert [row.material_id for row in rows] == [each.material_id for each in entries]
    assert [row.stage for row in rows] == [None, None, "read", None]


def test_tasks_share_the_parts_of_a_dataset(tmp_path, monkeypatch):
    """One whose shards are described is written by who claims it, the others by who ends last."""
    monkeypatch.setattr(parts, "ENTRIES_PER_FILE", 2)
    whole = BuildConfig(out=tmp_path / "whole", shard_size=1, workers=1)
    build(whole, source=Crystals(some(8)), describe=plain_build.describe)
    run = Run(shutil.copytree(whole.out, tmp_path / "run"))
    shutil.rmtree(run.dataset)
    run.dataset_file.unlink()
    last = run.descriptions / "00007.parquet"
    kept = last.read_bytes()
    last.unlink()
    assert claim_part(run, 1) and not claim_part(run, 1)  # by a task that dies
    finish_last(run, 1)
    assert {path.name[:5] for path in run.parts.iterdir()} == {"00000", "00002"}
    assert not run.dataset.exists()
    last.write_bytes(kept)
    finish_last(run, 1)
    assert plain_build.contents(run.folder) == plain_build.contents(whole.out)
