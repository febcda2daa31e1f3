"""Databases of ASE in LMDB: written by ASE, as fairchem writes them, and files that pretend to be some."""

import os
import pickle
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from ase.db import connect
from ase_files import atoms_of, fill, packed, row_of, write_lmdb
from builds import some

from curate.build import build, in_a_worker
from curate.config import BuildConfig
from curate.errors import InputError
from curate.record import SkippedEntry, StructureRecord
from curate.run.folder import Run
from curate.sources.ase_database import AseDatabase, AseSettings, check_content, read_rows
from curate.work.pool import FailedTask, Limits
from curate.work.reading import read_each

# Made by `fill` of tests/helpers/ase_files.py with LMDBDatabase of ase-db-backends 0.11.0 and ase 3.29.0, and
# copied by lmdb without its free pages.
GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "crystals.aselmdb"
PAGE = 4096
LAST_PAGE = 16 + 24 + 2 * 48  # where a meta page holds the number of the last page
CRYSTAL = row_of(some(1)[0])


def read(path: Path, **options) -> dict:
    source = AseDatabase(path, **options)
    source.snapshot()
    return {entry.material_id: entry for entry in source.records()}


def within(folder: Path, memory: float):
    return in_a_worker(BuildConfig(out=folder, memory=memory, timeout=60))


def values(**others: bytes) -> dict[str, bytes]:
    """Twelve rows as fairchem writes them, each on pages of its own."""
    noise = random.Random(1)
    rows = {
        str(n): packed(row_of(record, energy=-n, data=[noise.random() for _ in range(400)]))
        for n, record in enumerate(some(12), 1)
    }
    return {**rows, "nextid": packed(13), **others}


@pytest.fixture
def path(tmp_path) -> Path:
    return write_lmdb(tmp_path / "omat.aselmdb", values())


def test_what_ase_wrote_is_read_as_from_sqlite(tmp_path):
    sqlite = tmp_path / "crystals.db"
    with connect(sqlite) as database:
        fill(database)
    assert read(GOLDEN, license="MIT") == read(sqlite, license="MIT")
    assert list(read(GOLDEN)) == [f"crystals-{number}" for number in (1, 2, 4, 5)]
    assert read(GOLDEN)["crystals-5"].properties == {
        **{"energy": -7.5, "free_energy": -8.0},
        **{"gap": 0.5, "checked": True, "note_of": "PBE", "n": 5},
    }


def test_rows_come_by_number_and_those_that_were_deleted_do_not(tmp_path):
    deleted = packed([2, 7, 7, 99, -1, 2**70])
    found = read(write_lmdb(tmp_path / "omat.aselmdb", values(deleted_ids=deleted)))
    assert list(found) == [f"omat-{number}" for number in (1, 3, 4, 5, 6, 8, 9, 10, 11, 12)]
    record = some(12)[9]
    assert found["omat-10"].species_at_sites == record.species_at_sites
    assert found["omat-10"].lattice_vectors == record.lattice_vectors
    assert found["omat-10"].cartesian_site_positions == record.cartesian_site_positions
    assert found["omat-10"].properties == {"energy": -10}


def test_a_row_that_should_be_there_is_missed(tmp_path):
    rows = values()
    del rows["4"]
    rows["15"] = rows["5"]
    found = read(write_lmdb(tmp_path / "omat.aselmdb", rows))
    assert found["omat-4"].error_message == "it is not in the file"
    assert list(found)[-2:] == ["omat-12", "omat-15"]


def test_a_build_has_its_rows_units_and_ids(tmp_path):
    rows = values()
    rows["3"] = packed(row_of(some(3)[2], key_value_pairs={"material_id": "omat-of-3"}))
    path = write_lmdb(tmp_path / "omat.aselmdb", rows)
    config = BuildConfig(out=tmp_path / "run", workers=1, source=AseSettings(input=path), limit=3)
    assert build(config).described == 3
    run = Run(config.out)
    assert run.ids(0) == ["omat-1", "omat-2", "omat-of-3"]
    assert run.fetched["units"]["energy"] == "eV"
    assert run.settings_record["source"]["version"] == "omat.aselmdb of ASE"
    assert build(config).described == 3
    rows["2"] = rows["3"]
    twice = write_lmdb(tmp_path / "twice.aselmdb", rows)
    with pytest.raises(InputError, match="omat-of-3"):
        build(BuildConfig(out=tmp_path / "other", source=AseSettings(input=twice)))


def test_a_folder_may_hold_both_kinds_and_reading_goes_on_in_it(path):
    with connect(path.with_name("metals.db")) as database:
        for record in some(2):
            database.write(atoms_of(record))
    path.with_name("omat.aselmdb-lock").write_bytes(b"")
    source = AseDatabase(path.parent)
    assert source.snapshot().version == "2 databases of ASE"
    places = [place for place, _ in source.entries_after(None)]
    assert places[:3] == [
        *({"file": "metals.db", "row": number} for number in (1, 2)),
        {"file": "omat.aselmdb", "row": 1},
    ]
    left = [entry.material_id for _, entry in source.entries_after(places[11])]
    assert left == ["omat-11", "omat-12"]


class Witness:
    """Writes a file where its pickle is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_no_pickle_is_loaded_and_nothing_is_made_of_what_a_row_names(tmp_path):
    witness = tmp_path / "witness"
    pickled = pickle.dumps(Witness(witness))
    names = {"__ase_objtype__": "atoms", "__import__": f"open({str(witness)!r}, 'w')"}
    rows = values(metadata=pickled)
    rows["1"], rows["2"] = pickled, zlib.compress(pickled)
    rows["3"] = packed({**CRYSTAL, "data": names, "constraints": [names], "calculator": names})
    rows["4"] = packed({**CRYSTAL, "numbers": names})
    found = read(write_lmdb(tmp_path / "omat.aselmdb", rows))
    assert len(found) == 12 and isinstance(found["omat-3"], StructureRecord)
    assert found["omat-1"].error_message.endswith("incorrect header check")
    assert "can't decode" in found["omat-2"].error_message
    assert found["omat-4"].error_message == "its numbers are no array"
    old = {"0": pickled, "1": pickled, "length": pickle.dumps(2)}  # as OC20 was published
    with pytest.raises(InputError, match="it has no key nextid, as databases of ASE have"):
        read(write_lmdb(tmp_path / "oc20.lmdb", old))
    assert not witness.exists()


NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (b"", "it is cut off"),
        (packed(CRYSTAL)[:-9], "it is cut off"),
        (packed(CRYSTAL)[:-4] + b"0000", "incorrect data check"),
        (zlib.compress(b"{"), "Expecting property name"),
        (zlib.compress(b'{"numbers": ' + b"[" * 100_000), "recursion"),
        (zlib.compress(b'{"n": 1' + b"0" * 5000 + b"}"), "integer string"),
        (zlib.compress(b"\xff\xfe{}"), "can't decode"),
        (packed([1]), "it is no JSON object"),
        (packed({}), "its cell are no array"),
        (packed({**CRYSTAL, "numbers": {"__ndarray__": []}}), "its numbers are no array"),
        (packed({**CRYSTAL, "numbers": [14.0]}), "its numbers are not all whole numbers"),
        (packed({**CRYSTAL, "numbers": [[14]]}), "it has 1 atoms and 1 positions"),
        (packed({**CRYSTAL, "numbers": ["14"]}), "its numbers are not all whole numbers"),
        (packed({**CRYSTAL, "numbers": [2**32 + 14]}), "no element (atomic number 4294967310)"),
        (packed({**CRYSTAL, "numbers": [2**70]}), "its numbers are not all whole numbers"),
        (packed({**CRYSTAL, "numbers": [14, 14]}), "it has 2 atoms and 1 positions"),
        (packed({**CRYSTAL, "positions": [[0, 0, NAN]]}), "its positions hold what is no finite"),
        (packed({**CRYSTAL, "positions": [[0, 0], [1]]}), "inhomogeneous"),
        (packed({**CRYSTAL, "positions": [["0", "0", "0"]]}), "its positions are not all numbers"),
        (packed({**CRYSTAL, "cell": [[0.0] * 3] * 3}), "its cell has no three directions"),
        (packed({**CRYSTAL, "key_value_pairs": [1]}), "its key-value pairs are no JSON object"),
        (packed({**CRYSTAL, "key_value_pairs": {"id": "a\nb"}}), "its id is no line of up to 200"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_broken_row_costs_itself_only(tmp_path, value, sentence):
    found = read(write_lmdb(tmp_path / "omat.aselmdb", {**values(), "5": value}))
    broken = [entry for entry in found.values() if isinstance(entry, SkippedEntry)]
    assert len(found) == 12 and [entry.material_id for entry in broken] == ["omat-5"]
    assert sentence in broken[0].error_message


def test_values_without_a_number_are_as_in_sqlite(tmp_path):
    pairs = {"gap": NAN, "tag": "", "many": [1, 2]}
    row = {**CRYSTAL, "energy": NAN, "key_value_pairs": pairs, "pbc": [True, False, True]}
    (record,) = read(
        write_lmdb(tmp_path / "a.aselmdb", {"1": packed(row), "nextid": packed(2)})
    ).values()
    assert record.properties == {"energy": None, "gap": None, "tag": None}
    assert record.note == "periodic in 2 directions by its pbc, read as periodic in three"


def test_bombs_cost_themselves_only(tmp_path):
    zeros = zlib.compress(b"[" + b"0," * 33_000_000 + b"0]")
    bomb = zlib.compress(bytes(2**26 + 1))
    path = write_lmdb(tmp_path / "omat.aselmdb", {**values(), "5": zeros, "8": bomb})
    found = read(path, read_each=within(tmp_path, 0.3))
    assert len(found) == 12
    assert found["omat-5"].status == "out_of_memory"
    assert "omat.aselmdb, reading: needed more than 0.3 GiB" in found["omat-5"].error_message
    assert found["omat-8"].error_message == "it has more than 67108864 bytes"
    assert sum(isinstance(entry, StructureRecord) for entry in found.values()) == 10


def claim_pages(path: Path, n: int) -> None:
    """Let a file say that it has n pages."""
    data = bytearray(path.read_bytes())
    for meta in (0, PAGE):
        struct.pack_into("<Q", data, meta + LAST_PAGE, n - 1)
    path.write_bytes(data)


def test_a_file_may_be_larger_than_the_memory_of_a_worker(path, tmp_path):
    claim_pages(path, 150_000)
    os.truncate(path, 150_000 * PAGE)  # 600 MB of pages that nobody reads, and no disk
    found = read(path, read_each=within(tmp_path, 0.3))
    assert [type(entry) for entry in found.values()] == [StructureRecord] * 12


def overwrite(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda path: path.write_text("id,gap\n"), "is no LMDB file"),
        (lambda path: path.write_bytes(b""), "is no LMDB file"),
        (lambda path: os.truncate(path, PAGE), "meta page 1 is beyond the end of the file"),
        (lambda path: os.truncate(path, 3 * PAGE), r"can't be read: it is damaged \("),
        (lambda path: overwrite(path, 2 * PAGE, bytes(PAGE)), r"it is damaged \("),
        (lambda path: overwrite(path, 2 * PAGE, bytes(range(64))), r"it is damaged \("),
        (lambda path: claim_pages(path, 150_000), "Cannot allocate memory"),
        (lambda path: claim_pages(path, 2**50), "far beyond"),
        (lambda path: path.unlink(), r"no database of ASE \(\*\.db, \*\.aselmdb, \*\.lmdb\) there"),
    ],
)
def test_a_damaged_file_is_one_sentence(path, tmp_path, change, sentence):
    change(path)
    with pytest.raises(InputError, match=sentence):
        read(path, read_each=within(tmp_path, 0.3))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"nextid": packed(10**15)}, "its nextid is 1000000000000000, and it has 12 rows"),
        ({"nextid": packed("13")}, "its nextid or deleted_ids can't be read: they are not"),
        ({"nextid": b"13"}, "its nextid or deleted_ids can't be read: .*header check"),
        ({"deleted_ids": packed({"a": 1})}, "its nextid or deleted_ids can't be read: they are"),
        ({"deleted_ids": packed(["1"])}, "its nextid or deleted_ids can't be read: they are not"),
        ({"deleted_ids": zlib.compress(bytes(2**26 + 1))}, "it has more than 67108864 bytes"),
    ],
)
def test_a_file_that_does_not_say_which_rows_it_has_is_one_sentence(tmp_path, changed, sentence):
    with pytest.raises(InputError, match=sentence):
        read(write_lmdb(tmp_path / "omat.aselmdb", values(**changed)))


def test_mutated_files_are_read_or_refused_and_kill_no_worker(path, tmp_path):
    """Without the check of all pages some of these would end the process in LMDB."""
    good, chance, files = path.read_bytes(), random.Random(1), []
    for number in range(120):
        data = bytearray(good)
        for _ in range(chance.choice((1, 3))):
            page = chance.randrange(0, len(data), PAGE)
            data[page + chance.randrange(chance.choice((64, PAGE)))] ^= 1 << chance.randrange(8)
        files.append(tmp_path / f"{number}.aselmdb")
        files[-1].write_bytes(data)
    limits = Limits(1, 20.0, 1.0)
    refused = dict(read_each(check_content, [(file,) for file in files], limits))
    assert not any(isinstance(refusal, FailedTask) for refusal in refused.values())
    whole = [file for number, file in enumerate(files) if number not in refused]
    assert len(refused) > 20 and len(whole) > 20
    found = [value for _, value in read_each(read_rows, [(f, None, "MIT") for f in whole], limits)]
    assert not any(isinstance(value, FailedTask) for value in found)
    assert sum(isinstance(value, StructureRecord) for value in found) > 6 * len(whole)


def test_without_the_library_the_message_names_the_extra(tmp_path):
    code = "import sys; sys.modules['lmdb'] = None\nfrom curate.cli import main; main()"
    words = ["build", "--db", "ase", "--input", str(GOLDEN), "--out", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "crystals.aselmdb needs lmdb: pip install 'crysmmnet[lmdb]'" in " ".join(
        done.stderr.split()
    )
