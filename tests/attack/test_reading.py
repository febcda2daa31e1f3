"""A file that hangs, crashes or fills the memory when it is read costs itself."""

import gzip
import json
import os
import time
from pathlib import Path

import hostile
import pytest
from builds import manifest, some
from plain_build import describe

from curate.build import build
from curate.config import BuildConfig
from curate.record import SkippedEntry
from curate.sources import files
from curate.sources.files import FilesSettings
from curate.work.pool import FailedTask, Limits
from curate.work.reading import read_each

SYMOPS = 190


def test_what_breaks_the_reader_costs_itself():
    names = ["a", "hang", "b", "segfault", "exit", "c", "hang-in-c", "kill", "memory", "d"]
    tasks = [(Path(name), 3) for name in names]
    began = time.monotonic()
    found: dict[str, list] = {name: [] for name in names}
    for number, value in read_each(hostile.numbers, tasks, Limits(1, 2.0, 1.0)):
        found[names[number]].append(value)
    assert time.monotonic() - began < 60
    for name in "abcd":
        assert found[name] == [0, 1, 2]
    for name in set(names) - set("abcd"):
        *values, failure = found[name]
        assert values == [0, 1] and isinstance(failure, FailedTask)
        expected = {"hang": "timeout", "hang-in-c": "timeout", "memory": "out_of_memory"}
        assert failure.status == expected.get(name, "crashed")


def symops_cif(n_sites: int) -> str:
    """A cell of 190 times as many atoms as it lists."""
    lines = ["data_x", *(f"_cell_length_{x} 50" for x in "abc")]
    lines += [f"_cell_angle_{x} 90" for x in ("alpha", "beta", "gamma")]
    lines += ["loop_", "_symmetry_equiv_pos_as_xyz"]
    lines += [f"'x+{n}/{SYMOPS}, y, z'" for n in range(SYMOPS)]
    lines += ["loop_", *(f"_atom_site_{x}" for x in ("label", "fract_x", "fract_y", "fract_z"))]
    lines += [f"Na{n} 0.{n:03d} 0.{n * 7 % 1000:03d} 0.5" for n in range(n_sites)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Files that can be read, as in.cif, among those that a test adds."""
    path = tmp_path / "in"
    path.mkdir()
    for record in some(3):
        record.to_pymatgen().to(str(path / f"{record.material_id}.cif"), fmt="cif")
    return path


def built(folder: Path, **settings) -> dict[str, dict]:
    config = BuildConfig(
        out=folder.parent / "run", source=FilesSettings(input=folder), workers=1, **settings
    )
    build(config, describe=describe)
    rows = manifest(config.out)
    assert sum(row["status"] == "described" for row in rows.values()) >= 3
    return rows


def test_files_among_good_ones_that_stop_or_fill_a_build(folder):
    (folder / "atoms.cif").write_text(symops_cif(120))
    (folder / "cut.extxyz").write_text('1\nLattice="3 0 0 0 3 0 0 0 3"\nNa 0 0 0\n4\nLat')
    with gzip.open(folder / "bomb.json.gz", "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(bytes(2**20))
    with gzip.open(folder / "wide.cif.gz", "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(b"x" * 2**20)
    (folder / "torn.cif.gz").write_bytes(gzip.compress(symops_cif(1).encode())[:-9])
    os.mkfifo(folder / "pipe.cif")
    (folder / "endless.cif").symlink_to("/dev/zero")
    (folder / "link.cif").symlink_to("link.cif")
    began = time.monotonic()
    rows = built(folder, timeout=15, memory=0.5)
    assert time.monotonic() - began < 100
    for name in ("atoms", "bomb", "wide", "torn"):
        assert rows[name]["status"] != "described" and f"{name}." in rows[name]["error_message"]
    assert rows["cut-0"]["status"] == "described"


def test_a_file_that_hangs_keeps_what_was_read_of_it(folder, monkeypatch):
    lines = [json.dumps(json_entry(n)) for n in range(3)]
    (folder / "many.jsonl").write_text("\n".join(lines))
    kept = {e.material_id for e in files.read_file(folder / "many.jsonl")}
    assert kept == {"m0", "m1", "m2"}

    def each(function, tasks):
        for number, task in enumerate(tasks):
            for n, entry in enumerate(function(*task)):
                if task[0].name == "many.jsonl" and n == 2:
                    entry = SkippedEntry("", "timeout", "Timeout", "not finished after 2 s")
                yield number, entry

    found = {e.material_id: e for e in files.Files(folder, read_each=each).records()}
    assert found.keys() >= {"m0", "m1", "many-2"}
    assert found["many-2"].error_message == "many.jsonl: reading: not finished after 2 s"


def json_entry(n: int) -> dict:
    atoms = {"lattice_mat": [[3, 0, 0], [0, 3, 0], [0, 0, 3]], "coords": [[0, 0, 0]]}
    return {"material_id": f"m{n}", "atoms": {**atoms, "elements": ["Na"]}}
