import os
import shutil
from dataclasses import replace

import plain_build
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from builds import Crystals, some
from datasets import load_dataset

from curate.build import build
from curate.config import BuildConfig
from curate.dataset import parts, write
from curate.dataset.splits import official_splits
from curate.files import sha256_of
from curate.record import SkippedEntry
from curate.run.counts import count
from curate.run.folder import Run, ShardSize
from curate.run.sealed import read_record, write_record
from curate.work.pool import in_processes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Five described crystals and one that could not be, one of them listed in two splits."""
    records = some(5)
    records[0] = replace(records[0], material_id="JVASP-113961")  # a known leak
    records[1] = replace(records[1], properties={**records[1].properties, "checked": True})
    alloy = SkippedEntry("alloy", "disordered", "DisorderedStructure", "site 0 holds Cu, Au")
    config = BuildConfig(out=tmp_path_factory.mktemp("run"), workers=1, shard_size=4)
    build(config, source=Crystals([*records, alloy]))
    return config.out


@pytest.fixture
def cache(tmp_path, monkeypatch):
    return str(tmp_path / "cache")


def test_it_loads_as_two_configs(run, cache):
    crystals = load_dataset(str(run / "dataset"), split="train", cache_dir=cache)
    assert len(crystals) == 5
    first = crystals[0]
    assert first["material_id"] == "JVASP-113961"
    assert first["split_dft_3d_formation_energy_peratom"] == "leak"
    assert len(first["cartesian_site_positions"]) == first["nsites"]
    assert len(first["lattice_vectors"]) == 3
    assert crystals.features["formation_energy_peratom"].dtype == "float64"
    assert crystals["checked"] == [None, True, None, None, None]
    rows = load_dataset(str(run / "dataset"), "manifest", split="train", cache_dir=cache)
    assert rows["status"] == ["described"] * 5 + ["disordered"]
    assert rows[5]["stage"] == "read"


def test_another_dataset_in_a_folder_of_the_same_name_is_another_dataset(run, tmp_path, cache):
    """`datasets` caches by the card, so the card names the checksum of the data."""
    config = BuildConfig(out=tmp_path / "run", workers=1)
    build(config, source=Crystals(some(2)))
    sizes = [
        len(load_dataset(str(folder / "dataset"), split="train", cache_dir=cache))
        for folder in (run, config.out)
    ]
    assert sizes == [5, 2]


def test_units_are_in_the_parquet_fields(run):
    schema = pq.read_schema(run / "dataset" / "default" / "train-00000.parquet")
    assert schema.field("formation_energy_peratom").metadata == {b"unit": b"eV/atom"}
    assert schema.field("lattice_vectors").metadata == {b"unit": "Å".encode()}
    assert schema.field("nsites").type == pa.int32()


def test_the_card_says_what_is_there_and_what_is_missing(run):
    card = (run / "dataset" / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert [config["config_name"] for config in head["configs"]] == ["default", "manifest"]
    assert "Requested 6 = described 5 + failed 1." in card
    assert "| disordered: DisorderedStructure | 1 |" in card
    assert "| `formation_energy_peratom` | double | eV/atom |" in card
    assert "| robocrys | 0.2.13 |" in card
    assert "JVASP-113961" in card
    assert "{{" not in card and "None" not in card


def test_large_datasets_come_in_files_of_whole_shards(monkeypatch):
    monkeypatch.setattr(parts, "ENTRIES_PER_FILE", 4)

    def grouped(*entries: int) -> list[tuple[int, ...]]:
        sizes = {number: ShardSize(n, n, 1) for number, n in enumerate(entries)}
        found = parts.parts(sizes)
        assert [part.number for part in found] == list(range(len(found)))
        return [part.shards for part in found]

    assert grouped() == [()]
    assert grouped(2, 2, 2) == [(0, 1), (2,)]
    assert grouped(2, 2, 2, 1, 3) == [(0, 1), (2, 3), (4,)]  # the first stay as they were
    assert grouped(9, 1, 4) == [(0,), (1,), (2,)]


def test_several_processes_write_the_files_that_one_does(run, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "ENTRIES_PER_FILE", 2)
    files = {}
    for name, write_each in (("one", write.in_turn), ("two", in_processes(2))):
        copy = Run(shutil.copytree(run, tmp_path / name))
        assert write.write_dataset(copy, write_each) == count(copy)
        files[name] = {
            path.relative_to(copy.folder): path.read_bytes()
            for path in sorted(copy.dataset.rglob("*.*"))
        }
        assert len(list(copy.dataset.rglob("*.parquet"))) == 2 + 2
        assert copy.is_dataset_current
    assert files["one"] == files["two"]
    whole = pq.read_table(run / "dataset" / "default")
    assert pq.read_table(tmp_path / "two" / "dataset" / "default").equals(whole)


def test_a_part_without_any_described_crystal_can_be_loaded(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(parts, "ENTRIES_PER_FILE", 2)
    alloys = [SkippedEntry(f"alloy-{n}", "disordered", "E", "no") for n in range(4)]
    config = BuildConfig(out=tmp_path / "run", workers=1, shard_size=2)
    build(config, source=Crystals([*alloys, *some(2)]), describe=plain_build.describe)
    dataset = str(config.out / "dataset")
    assert len(list(config.out.glob("dataset/default/*.parquet"))) == 3
    crystals = load_dataset(dataset, split="train", cache_dir=cache)
    assert crystals["material_id"] == [record.material_id for record in some(2)]
    assert len(load_dataset(dataset, "manifest", split="train", cache_dir=cache)) == 6


def test_a_part_is_written_once_and_anew_where_it_is_not_as_it_was(run, tmp_path):
    """What it was made of is compared, a unit given later included; a file that is cut is noticed."""
    copy = Run(shutil.copytree(run, tmp_path / "run"))
    columns, part = parts.columns_of(copy), parts.Part(1, (1,))

    def is_written_anew() -> bool:
        parts.write_part(copy.folder, part, columns)
        written = parts.written_part(copy, part, columns)
        assert written is not None and written.texts.num_rows == 1
        assert sha256_of(written.files["default"]).hex() == written.digests["default"]
        is_new = written.files["default"].stat().st_mtime > 0
        os.utime(written.files["default"], (0, 0))
        return is_new

    assert is_written_anew() and not is_written_anew()
    record = parts.record_file(copy, part)
    record.write_bytes(record.read_bytes()[:-9])
    assert is_written_anew()
    parts.part_file(copy, part, "manifest").unlink()
    assert is_written_anew()
    copy.write_descriptions(1, copy.read_descriptions(1)[::-1])
    assert is_written_anew() and not is_written_anew()
    assert copy.fetched
    copy.finish_fetching({**copy.fetched, "units": {"checked": "1"}})
    columns = parts.columns_of(copy)
    assert is_written_anew()


def test_benchmarks_and_sizes_are_kept_where_the_entries_are(run, tmp_path):
    known = Run(shutil.copytree(run, tmp_path / "run"))
    assert known.fetched
    ids = [*known.ids(0), *known.ids(1)]
    assert known.fetched["benchmarks"] == list(official_splits(ids)) != []
    before = read_record(known.structures_file)
    recorded, columns = known.sizes([0, 1]), parts.columns_of(known)
    assert (
        recorded[1].entries == 2 and recorded[1].atoms == recorded[1].largest
    )  # an alloy has none
    without = {name: before[name] for name in before if name not in ("sizes", "benchmarks")}
    write_record(known.structures_file, without)
    assert known.sizes([0, 1]) == recorded and parts.columns_of(known) == columns
