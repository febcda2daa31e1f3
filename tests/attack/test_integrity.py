"""Damage of a run folder is noticed, named in one sentence, and mended by the command that built the run."""

import json
import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from builds import Crystals, some
from commands import curate
from plain_build import contents, describe

from curate.build import build
from curate.config import BuildConfig
from curate.errors import InputError
from curate.files import write_json
from curate.run.counts import count
from curate.run.folder import Run


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A finished run of 8 crystals in 4 shards."""
    folder = tmp_path_factory.mktemp("run") / "run"
    again(folder)
    return folder


@pytest.fixture
def run(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def again(folder: Path):
    config = BuildConfig(out=folder, shard_size=2, workers=1)
    return build(config, source=Crystals(some(8)), describe=describe)


def files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"]


def test_every_bit_of_a_sample_is_noticed_and_made_anew(whole, run):
    before, chance = contents(whole), random.Random(0)
    for path in files(run):
        data = path.read_bytes()
        for _ in range(6):
            at = chance.randrange(len(data) * 8)
            flipped = bytearray(data)
            flipped[at // 8] ^= 1 << at % 8
            path.write_bytes(flipped)
            assert Run(run).damage(), f"{path.name}, bit {at}"
            path.write_bytes(data)
        path.write_bytes(data[: len(data) // 2])
        assert path in [error.path for error in Run(run).damage()]
        path.write_bytes(data if path.name == "run.json" else flipped)
    again(run)
    assert contents(run) == before


@pytest.mark.parametrize("content", [None, b"", b"PAR1", b"{", b"[]", b"{}"])
def test_a_file_that_is_gone_or_empty_is_made_anew(whole, run, content):
    for path in files(run):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        again(run)
    assert contents(run) == contents(whole)


def test_swapped_and_edited_shards_are_noticed_and_made_anew(whole, run):
    first, second, third = (run / "descriptions" / f"0000{n}.parquet" for n in range(3))
    other = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(other)
    table = pq.read_table(third)
    texts = table["text"].to_pylist()
    edited = table.set_column(table.schema.get_field_index("text"), "text", [texts[::-1]])
    pq.write_table(edited, third)
    reasons = {error.path: error.reason for error in Run(run).damage()}
    assert list(reasons) == [first, second, third]
    assert reasons[first] == "it is shard 1" and "not written by the build" in reasons[third]
    with pytest.raises(InputError, match=r"00000\.parquet is damaged .* makes it anew"):
        count(Run(run))
    again(run)
    assert contents(run) == contents(whole)


def test_texts_of_a_run_without_digests_are_joined_by_id(whole, run):
    """As version 0.1.0 wrote it: shards without digests, a run.json without one, no dataset.json."""
    for path in [*run.glob("structures/*"), *run.glob("descriptions/*")]:
        pq.write_table(pq.read_table(path), path, compression="zstd")
    for path in run.glob("*.json"):
        write_json(path, {k: v for k, v in json.loads(path.read_text()).items() if k != "sha256"})
    (run / "dataset.json").unlink()
    assert not Run(run).damage() and count(Run(run)).described == 8
    rows = pq.read_table(whole / "dataset" / "default").to_pylist()
    again(run)
    assert pq.read_table(run / "dataset" / "default").to_pylist() == rows
    first, second = (run / "descriptions" / f"0000{n}.parquet" for n in range(2))
    first.write_bytes(second.read_bytes())
    (damage,) = Run(run).damage()
    assert "its ids are not those of its structures" in str(damage)
    second.write_bytes(pq_reversed(second))
    again(run)
    assert pq.read_table(run / "dataset" / "default").to_pylist() == rows


def pq_reversed(path: Path) -> bytes:
    """A shard with its rows in reverse."""
    table = pq.read_table(path)
    pq.write_table(table.take(list(range(len(table)))[::-1]), path)
    return path.read_bytes()


def test_a_dataset_is_current_by_content_not_by_time(run):
    dataset = Run(run).dataset / "default" / "train-00000.parquet"
    for path in files(run):
        path.touch()  # shards younger than the dataset
    assert Run(run).is_dataset_current
    written = dataset.stat().st_ino
    again(run)
    assert dataset.stat().st_ino == written
    descriptions = Run(run).read_descriptions(1)
    Run(run).write_descriptions(1, descriptions[::-1])
    assert not Run(run).is_dataset_current
    again(run)
    assert dataset.stat().st_ino != written


@pytest.mark.parametrize("name", ["run.json", "structures.json", "descriptions/00001.parquet"])
@pytest.mark.parametrize("command", ["status", "verify", "report", "push"])
def test_a_command_names_the_damaged_file(run, tmp_path, command, name):
    (run / name).write_bytes((run / name).read_bytes()[:-40])
    (run / "dataset" / "README.md").write_text("changed")
    more = {"report": ("--out", tmp_path / "page.html"), "push": ("me/it", "--dry-run")}
    done = curate(command, run, *more.get(command, ()))
    said = done.stdout + done.stderr
    assert done.returncode in (1, 2) and "is damaged" in said and "Traceback" not in said
    assert name.split("/")[-1] in said or command in ("report", "push")


def test_a_changed_record_of_settings_is_said_to_be_damaged(whole, run):
    path = run / "run.json"
    path.write_text(path.read_text().replace('"timeout": 300.0', '"timeout": 301.0'))
    with pytest.raises(
        InputError, match=r"timeout was 301\.0, now 300\.0.*its digest does not fit"
    ):
        again(run)
    path.unlink()
    again(run)  # the shards say with which settings they were made
    assert contents(run) == contents(whole)


def test_a_link_in_place_of_the_lock_empties_nothing(run, tmp_path):
    (tmp_path / "precious").write_text("mine")
    (run / ".lock").unlink()
    (run / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic"):
        again(run)
    assert (tmp_path / "precious").read_text() == "mine"
