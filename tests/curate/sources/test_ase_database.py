"""Databases of ASE, written by ASE itself, and files that pretend to be some."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase_files import atoms_of
from builds import some

from curate.build import build, in_a_worker
from curate.config import BuildConfig
from curate.errors import InputError
from curate.record import SkippedEntry
from curate.run.folder import Run
from curate.sources.ase_database import AseDatabase, AseSettings
from curate.sources.ase_sqlite import MAGIC


@pytest.fixture
def path(tmp_path) -> Path:
    """Eight crystals with energies and key-value pairs; row 3 was deleted."""
    path = tmp_path / "metals.db"
    with connect(path) as database:
        for number, record in enumerate(some(9), 1):
            atoms = atoms_of(record)
            if number % 2:
                atoms.calc = SinglePointCalculator(atoms, energy=-1.5 * number)
            database.write(atoms, gap=0.1 * number, checked=number > 4, note_of="PBE", n=number)
        del database[3]
    return path


def edit(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement, values)


def read(path: Path, **options) -> dict:
    source = AseDatabase(path, **options)
    source.snapshot()
    return {entry.material_id: entry for entry in source.records()}


def test_rows_come_as_ase_wrote_them(path):
    found = read(path, license="CC-BY-4.0")
    assert list(found) == [f"metals-{number}" for number in (1, 2, 4, 5, 6, 7, 8, 9)]
    for number, record in enumerate(some(9), 1):
        if number == 3:
            continue
        entry = found[f"metals-{number}"]
        assert entry.species_at_sites == record.species_at_sites
        assert entry.lattice_vectors == record.lattice_vectors
        assert entry.cartesian_site_positions == record.cartesian_site_positions
        assert entry.license == "CC-BY-4.0" and entry.note is None
        assert entry.properties == {
            **({"energy": -1.5 * number} if number % 2 else {}),
            "gap": 0.1 * number,
            "checked": number > 4,
            "note_of": "PBE",
            "n": number,
        }


def test_a_row_may_bring_its_id_and_a_slab_is_noted(tmp_path):
    path = tmp_path / "own.db"
    with connect(path) as database:
        database.write(
            Atoms("C", cell=[2.46, 2.46, 15], pbc=(True, True, False)), material_id="c-1"
        )
        database.write(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]]))
        database.write(Atoms("X", cell=[3, 3, 3], pbc=True))
    found = read(path)
    assert found["c-1"].note == "periodic in 2 directions by its pbc, read as periodic in three"
    assert found["own-2"].error_message == "its cell has no three directions"
    assert (found["own-3"].status, found["own-3"].error_type) == ("dummy_species", "DummySpecies")


def test_a_build_has_its_rows_properties_and_units(path, tmp_path):
    config = BuildConfig(
        out=tmp_path / "run", workers=1, source=AseSettings(input=path), units=("gap=eV",), limit=3
    )
    assert build(config).described == 3
    run = Run(config.out)
    assert run.fetched["units"]["energy"] == "eV" and run.fetched["units"]["gap"] == "eV"
    assert run.settings_record["source"]["version"] == "metals.db of ASE"
    assert build(config).described == 3


def test_nothing_is_made_of_what_a_row_names(path, tmp_path):
    """ASE's own reader would import and call what `data` and constraints name."""
    witness = tmp_path / "witness"
    names = {"__ase_objtype__": "atoms", "__import__": f"open({str(witness)!r}, 'w')"}
    pickled = b"cos\nsystem\n(S'touch " + str(witness).encode() + b"'\ntR."
    edit(path, "UPDATE systems SET data = ?, constraints = ?", pickled, json.dumps(names))
    edit(path, "UPDATE systems SET key_value_pairs = ? WHERE id = 1", json.dumps({"a": names}))
    found = read(path)
    assert len(found) == 8 and "a" not in found["metals-1"].properties
    assert not witness.exists()


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("numbers", "text", "its numbers are no array"),
        ("numbers", np.array([3], "<i4").tobytes(), "it has 1 atoms and 2 positions"),
        ("positions", b"1234567", "buffer size must be a multiple of element size"),
        ("positions", np.full(6, np.nan).tobytes(), "its positions hold what is no finite number"),
        ("cell", None, "its cell are no array"),
        ("cell", np.zeros(9).tobytes(), "its cell has no three directions"),
        ("key_value_pairs", "[1]", "its key-value pairs are no JSON object"),
        ("key_value_pairs", "[" * 100_000, "recursion"),
        ("key_value_pairs", "{", "Expecting property name"),
        ("key_value_pairs", '{"material_id": "a\\nb"}', "its id is no line of up to 200"),
        ("key_value_pairs", b"\xff\xfe", "Expecting value"),
        ("key_value_pairs", '{"n": 1' + "0" * 400 + "}", "larger than any that can be stored"),
    ],
)
def test_a_broken_row_costs_itself_only(path, column, value, sentence):
    size = "length(numbers) = 8"
    edit(
        path,
        f"UPDATE systems SET {column} = ? WHERE id = (SELECT min(id) FROM systems WHERE {size})",
        value,
    )
    broken = [entry for entry in read(path).values() if isinstance(entry, SkippedEntry)]
    assert len(broken) == 1 and broken[0].status == "unreadable"
    assert sentence in broken[0].error_message


def test_a_row_that_takes_too_much_memory_costs_itself_only(path, tmp_path):
    n = 3_000_000
    edit(
        path,
        "UPDATE systems SET numbers = ?, positions = ? WHERE id = 4",
        np.ones(n, "<i4").tobytes(),
        np.zeros(3 * n).tobytes(),
    )
    within = in_a_worker(BuildConfig(out=tmp_path, memory=0.3, timeout=60))
    found = read(path, read_each=within)
    assert len(found) == 8
    assert found["metals-4"].status == "out_of_memory"
    assert "metals.db, reading: needed more than 0.3 GiB" in found["metals-4"].error_message


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for start in range(4096, len(data), 4096):
        data[start : start + 64] = os.urandom(64)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda path: path.write_text("id,gap\n"), "is no SQLite file"),
        (lambda path: path.write_bytes(b""), "is no SQLite file"),
        (
            lambda path: path.write_bytes(MAGIC + bytes(5000)),
            "can't be read: file is not a database",
        ),
        (damaged, "can't be read"),
        (lambda path: edit(path, "DROP TABLE systems"), "it has no table `systems`"),
        (lambda path: edit(path, "ALTER TABLE systems DROP COLUMN cell"), "has no column cell"),
        (lambda path: path.unlink(), r"no database of ASE \(\*\.db, \*\.aselmdb, \*\.lmdb\) there"),
    ],
)
def test_a_file_that_is_no_database_of_ase_is_one_sentence(path, change, sentence):
    change(path)
    with pytest.raises(InputError, match=sentence):
        read(path)


def test_a_view_or_virtual_table_is_not_read(path):
    edit(path, "ALTER TABLE systems RENAME TO hidden")
    edit(path, "CREATE VIEW systems AS SELECT * FROM hidden")
    with pytest.raises(InputError, match="it has no table `systems`"):
        read(path)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a.extxyz", r"--db files reads \.extxyz files"),
        ("a.extxyz.gz", r"--db files reads \.gz files"),
        (None, r"--db ase needs --input FILE\.db or FILE\.aselmdb"),
    ],
)
def test_other_files_are_sent_where_they_are_read(name, sentence):
    with pytest.raises(InputError, match=sentence):
        AseSettings(input=name and Path(name)).check()


def test_a_folder_of_databases_is_read_in_the_order_of_names(path):
    other = path.with_name("alloys.db")
    with connect(other) as database:
        database.write(atoms_of(some(1)[0]))
    source = AseDatabase(path.parent)
    assert source.snapshot().version == "2 databases of ASE"
    places = [place for place, _ in source.entries_after(None)]
    assert places[:2] == [{"file": "alloys.db", "row": 1}, {"file": "metals.db", "row": 1}]
    left = [entry.material_id for _, entry in source.entries_after(places[3])]
    assert left == [f"metals-{number}" for number in (5, 6, 7, 8, 9)]
    with pytest.raises(InputError, match=r"--input has no file gone\.db any more"):
        list(source.entries_after({"file": "gone.db", "row": 1}))


def test_a_killed_reading_goes_on_behind_its_last_shard(tmp_path):
    path = tmp_path / "many.db"
    crystal = atoms_of(some(1)[0])
    with connect(path) as database:
        for number in range(3_000):
            database.write(crystal, n=number)
    command = [sys.executable, "-m", "curate", "build", "--db", "ase", "--input", path, "--out"]
    command += [tmp_path / "run", "--executor", "none", "--shard-size", "20"]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE)
    shards = tmp_path / "run" / "structures"
    while len(list(shards.glob("*.parquet"))) < 5:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    reading = json.loads((tmp_path / "run" / "reading.json").read_text())
    assert 0 < reading["position"]["row"] < 3_000
    written = {file: file.stat().st_mtime_ns for file in sorted(shards.glob("*.parquet"))[:4]}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(file.stat().st_mtime_ns == time_ns for file, time_ns in written.items())
    run = Run(tmp_path / "run")
    ids = [material_id for number in run.shards() for material_id in run.ids(number)]
    assert ids == [f"many-{number}" for number in range(1, 3_001)]
