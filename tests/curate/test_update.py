"""An update reads the source again: what is as it was keeps its text, and the rest is as built anew."""

import json
import logging
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from builds import Crystals, manifest, some, without_times
from datasets import load_dataset
from hub_clients import TOKEN
from hub_clients import run as run_client
from plain_build import contents, describe
from pymatgen.io.cif import CifWriter
from sources_in_motion import Moving, moved

from curate.build import build
from curate.config import BuildConfig
from curate.errors import InputError
from curate.record import SkippedEntry
from curate.run.changes import changed_names, difference, updates_of
from curate.run.folder import Run
from curate.run.sealed import read_record, write_record
from curate.run.update import mark_ready, staged
from curate.sources.files import FilesSettings

KILLS = Path(__file__).parents[1] / "attack" / "kills.py"


@pytest.fixture
def config(tmp_path) -> BuildConfig:
    return BuildConfig(out=tmp_path / "run", workers=1, shard_size=3)


def updated(config: BuildConfig, source, **options) -> list[str]:
    """The ids that an update describes."""
    steps = []
    build(replace(config, update=True), source=source, watch=steps.append, **options)
    return [step.description.material_id for step in steps if step.description is not None]


def texts(run: Path) -> dict[str, str]:
    table = pq.read_table(run / "dataset" / "default")
    return dict(
        zip(table["material_id"].to_pylist(), table["description"].to_pylist(), strict=True)
    )


def test_only_what_changed_is_described_and_all_is_as_built_anew(config, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    before, now = moved(8)
    build(config, source=Moving(before))
    old_rows = manifest(config.out)
    described = updated(config, Moving(now, "2"))
    assert sorted(described) == sorted(["a-new-one", now[0].material_id, now[7].material_id])
    anew = replace(config, out=tmp_path / "anew")
    build(anew, source=Moving(now, "2"))
    assert without_times(config.out) == without_times(anew.out)
    schemas = [
        pq.read_schema(run.out / "dataset/default/train-00000.parquet") for run in (config, anew)
    ]
    assert schemas[0].equals(schemas[1], check_metadata=True)
    for material_id in texts(config.out).keys() - set(described):  # not even its seconds
        assert manifest(config.out)[material_id] == old_rows[material_id]
    assert "1 new, 2 structure, 1 properties, 1 withdrawn" in caplog.text
    assert Run(config.out).damage() == []
    assert not (config.out / "update").exists() and not list((config.out / "kept").iterdir())


def test_the_changes_are_a_config_and_are_listed_on_the_card(config, tmp_path):
    before, now = moved(8)
    build(config, source=Moving(before))
    assert "What has changed" not in (config.out / "dataset/README.md").read_text()
    updated(config, Moving(now, "2"))
    updated(config, Moving(before[1:], "3"))
    dataset = str(config.out / "dataset")
    changes = load_dataset(dataset, "changes", split="train", cache_dir=str(tmp_path / "cache"))
    rows = [(row["update"], row["material_id"], row["change"], row["fields"]) for row in changes]
    first, gone, measured, strained = (before[number].material_id for number in (0, 2, 3, 7))
    assert rows[:5] == [
        (1, first, "structure", ["lattice_vectors"]),
        (1, measured, "properties", ["optb88vdw_bandgap"]),
        (1, "a-new-one", "new", []),
        (1, strained, "structure", ["lattice_vectors"]),
        (1, gone, "withdrawn", []),
    ]
    assert [row[:3] for row in rows[5:]] == [
        (2, gone, "new"),
        (2, measured, "properties"),
        (2, strained, "structure"),
        (2, first, "withdrawn"),
        (2, "a-new-one", "withdrawn"),
    ]
    assert changes["version"][:] == ["2"] * 5 + ["3"] * 5
    card = (config.out / "dataset/README.md").read_text()
    days = {row["date"] for row in changes}
    assert f"| {days.pop()} | 2 | 1: a-new-one | 2: {first}, {strained} | 0 | 1: " in card
    assert 'load_dataset("OWNER/NAME", "changes", split="train")' in card
    crystals = load_dataset(dataset, split="train", cache_dir=str(tmp_path / "cache"))
    assert crystals["material_id"] == [record.material_id for record in before[1:8]]


def test_nothing_changed_writes_nothing_and_says_so(config, caplog):
    caplog.set_level(logging.INFO)
    before, _ = moved(8)
    source = Moving(before)
    source.units = {"band_gap_of_nobody": "eV"}  # databases tell units of what no entry has
    updated(config, source)  # in a new folder it is a build
    files = contents(config.out)
    assert updated(config, source) == [] and source.n_read == 2
    assert contents(config.out) == files
    assert "nothing has changed since" in caplog.text
    caplog.clear()
    fixed = Crystals(before)
    build(replace(config, out=config.out.with_name("fixed")), source=fixed)
    updated(replace(config, out=config.out.with_name("fixed")), fixed)  # its digest is the same
    assert "nothing has changed since" in caplog.text
    build(config, source=source)  # without --update the source is not read
    assert source.n_read == 2


def test_a_run_whose_record_has_no_sizes_yet_has_not_changed_either(config, caplog):
    caplog.set_level(logging.INFO)
    source = Moving(moved(8)[0])
    build(config, source=source)
    run = Run(config.out)
    record = read_record(run.structures_file)
    later = ("sizes", "benchmarks")  # were not recorded when the run was frozen
    write_record(run.structures_file, {n: v for n, v in record.items() if n not in later})
    build(config, source=source)
    files = contents(config.out)
    assert updated(config, source) == []
    assert contents(config.out) == files and "nothing has changed since" in caplog.text


def test_a_new_version_of_the_source_with_the_same_entries_keeps_every_text(config):
    before, _ = moved(8)
    build(config, source=Moving(before))
    old = pq.read_table(config.out / "dataset" / "default")
    assert updated(config, Moving(before, "2")) == []
    assert pq.read_table(config.out / "dataset" / "default").equals(old)
    assert "test (2)" in (config.out / "dataset/README.md").read_text()
    assert not (config.out / "dataset" / "changes").exists()
    reordered = before[::-1]
    assert updated(config, Moving(reordered, "2")) == []
    assert list(texts(config.out)) == [record.material_id for record in reordered[1:]]


def test_other_choices_of_describing_are_refused(config):
    before, now = moved(8)
    build(config, source=Moving(before))
    plain = replace(config.describe, site_labels=False)
    for changed, source, said in (
        ({"describe": plain}, Moving(now), "describe site_labels was True, now False"),
        ({"timeout": 60}, Moving(now), r"settings timeout was 300\.0, now 60"),
        ({}, Moving(now, database="other"), "source database was test, now other"),
    ):
        with pytest.raises(InputError, match=f"{said}.*which an update keeps"):
            updated(replace(config, **changed), source)
    assert updated(replace(config, limit=2), Moving(now)) == [now[0].material_id]
    assert len(texts(config.out)) == 2


def test_an_unfinished_run_is_finished_first(config, caplog):
    caplog.set_level(logging.INFO)
    before, now = moved(8)
    source = Moving(before)
    build(config, source=source)
    (config.out / "descriptions" / "00001.parquet").unlink()
    later = Moving(now)  # the same version: the run continues
    assert len(updated(config, later)) == 3
    assert later.n_read == 0 and "is finished first" in caplog.text
    assert updated(config, later) and later.n_read == 1


def test_units_that_were_stated_stay(config):
    before = [replace(record, properties={"hardness": 7.0}) for record in some(3)]
    build(replace(config, units=("hardness=GPa",)), source=Moving(before))
    now = [replace(record, properties={"hardness": 8.0}) for record in before]
    updated(config, Moving(now))
    schema = pq.read_schema(config.out / "dataset/default/train-00000.parquet")
    assert schema.field("hardness").metadata == {b"unit": b"GPa"}
    assert updates_of(Run(config.out))[0].counts == {"properties": 3}


def test_a_verification_of_the_old_entries_goes_and_damage_is_found(config):
    before, now = moved(8)
    build(config, source=Moving(before))
    run = Run(config.out)
    run.verification_file.write_text("{}")
    updated(config, Moving(now, "2"))
    assert run.verification is None
    path = config.out / "changes" / "00000.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert [error.path for error in run.damage()] == [path]


def test_a_run_whose_update_takes_its_place_is_not_read(config):
    before, _ = moved(8)
    build(config, source=Moving(before))
    new = staged(Run(config.out))
    shutil.copytree(config.out / "structures", new.structures)
    shutil.copytree(config.out / "descriptions", new.descriptions)
    for name in ("run.json", "structures.json"):
        shutil.copy(config.out / name, new.folder / name)
    mark_ready(new)
    with pytest.raises(InputError, match=r"an update of .* is taking its place"):
        Run.load(config.out)
    build(config, source=Moving(before))
    assert Run.load(config.out).damage() == []


def change(old, new):
    return difference(old, new, changed_names(old, new))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, None),
        ({"properties": {"a": 1.0, "b": None}}, {"properties": {"a": 1.0}}, None),
        ({"properties": {"a": 1, "b": 2}}, {"properties": {"b": 2, "a": 1}}, None),
        ({"properties": {"a": 1}}, {"properties": {"a": 1.0}}, ("properties", ["a"])),
        ({"license": "MIT"}, {"license": "CC0-1.0"}, ("properties", ["license"])),
        ({"description": "old"}, {"description": "new"}, ("text", ["description"])),
        ({}, {"species_at_sites": ("O",)}, ("structure", ["species_at_sites"])),
    ],
)
def test_what_differs_is_named(old, new, expected):
    crystal = some(1)[0]
    assert change(replace(crystal, **old), replace(crystal, **new)) == expected


def test_a_crystal_that_the_source_no_longer_gives_is_withdrawn():
    crystal = some(1)[0]
    gone = SkippedEntry(crystal.material_id, "left_out", "Withdrawn", "it was withdrawn")
    broken = replace(gone, status="unreadable")
    assert change(crystal, gone) == ("withdrawn", [])
    assert change(gone, crystal) == ("new", [])
    assert change(gone, replace(gone, error_message="it was withdrawn in 2027")) is None
    assert change(crystal, broken) == ("structure", ["status"])


def test_a_killed_update_run_again_ends_in_the_same_folder():
    """At some of its file events; `python tests/attack/kills.py update` does it at all of them."""
    for task, n in (("renewal", 8), ("update", 2)):
        command = [sys.executable, KILLS, task, "--sample", str(n), "--seed", "1"]
        done = subprocess.run(command, capture_output=True, text=True)
        outcomes = [json.loads(line) for line in done.stdout.splitlines()]
        assert [outcome["result"] for outcome in outcomes] == ["same"] * n, done


LOAD = """
from datasets import load_dataset

for revision in ("v1", "v2"):
    rows = load_dataset("ada/crystals", split="train", revision=revision)
    print(rows["material_id"][:])
print(load_dataset("ada/crystals", "changes", split="train", revision="v2")["change"][:])
"""


def test_an_update_is_pushed_in_one_commit_with_a_tag(hub, crystals, tmp_path):
    """From a folder of files, by the command line, to a Hub."""
    files = tmp_path / "files"
    files.mkdir()
    for name in ("silicon", "rock_salt", "rutile"):
        CifWriter(crystals[name].to_pymatgen()).write_file(files / f"{name}.cif")

    def curate(*words: object):
        done = run_client(hub, tmp_path / "home", "-m", "curate", *map(str, words), token=TOKEN)
        assert done.returncode == 0, done.stderr
        return done

    place = ("--db", "files", "--input", files, "--license", "CC0-1.0", "--out", tmp_path / "run")
    curate("build", *place, "--workers", 1)
    curate("push", tmp_path / "run", "ada/crystals", "--tag", "v1")
    (files / "rutile.cif").unlink()
    CifWriter(crystals["mos2"].to_pymatgen()).write_file(files / "mos2.cif")
    done = curate("build", *place, "--workers", 1, "--update")
    assert "1 new, 1 withdrawn" in done.stderr
    curate("push", tmp_path / "run", "ada/crystals", "--tag", "v2")
    repo = hub.dataset("ada/crystals")
    titles = [commit.title for commit in repo.history()]
    assert titles[:2] == ["Push 4 files, delete 0", "Push 3 files, delete 0"]
    assert repo.tags["v2"] == repo.head != repo.tags["v1"]
    loaded = run_client(hub, tmp_path / "fresh", "-c", LOAD, token=None)
    assert loaded.stdout.splitlines() == [
        "['rock_salt', 'rutile', 'silicon']",
        "['mos2', 'rock_salt', 'silicon']",
        "['new', 'withdrawn']",
    ], loaded.stderr


def test_files_are_not_read_again_where_their_bytes_are_the_same(crystals, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / "files" / "silicon.cif"
    path.parent.mkdir()
    CifWriter(crystals["silicon"].to_pymatgen()).write_file(path)
    settings = FilesSettings(input=path.parent)
    config = BuildConfig(out=tmp_path / "run", source=settings, workers=1)
    build(config, describe=describe)
    path.touch()
    assert updated(config, None, describe=describe) == []
    assert "nothing has changed since" in caplog.text
