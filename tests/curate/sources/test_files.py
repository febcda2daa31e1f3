import gzip
import json
import os

import pyarrow.parquet as pq
import pytest
from ase.io import write as ase_write
from commands import curate
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter

from curate.errors import InputError
from curate.record import SkippedEntry, StructureRecord
from curate.sources.files import Files


def records(pattern, **options) -> dict[str, StructureRecord | SkippedEntry]:
    return {entry.material_id: entry for entry in Files(pattern, **options).records()}


def same_crystal(record, other) -> bool:
    return record.to_pymatgen().matches(other.to_pymatgen())


def test_every_kind_of_file_gives_the_same_crystal(tmp_path, rutile):
    structure = rutile.to_pymatgen()
    CifWriter(structure).write_file(tmp_path / "a.cif")
    structure.to(filename=str(tmp_path / "b.vasp"), fmt="poscar")
    (tmp_path / "c").mkdir()
    structure.to(filename=str(tmp_path / "c" / "POSCAR"), fmt="poscar")
    ase_write(tmp_path / "d.extxyz", AseAtomsAdaptor.get_atoms(structure), format="extxyz")
    (tmp_path / "e.json").write_text(json.dumps(structure.as_dict(), indent=1))
    atoms = {
        "lattice_mat": structure.lattice.matrix.tolist(),
        "coords": structure.frac_coords.tolist(),
        "elements": [site.specie.symbol for site in structure],
        "cartesian": False,
    }
    (tmp_path / "f.json").write_text(json.dumps(atoms))
    rows = [{"jid": "JVASP-1", "atoms": atoms, "mbj_bandgap": 3.0, "slme": "na"}]
    rows.append({"material_id": "mp-2657", "structure": structure.as_dict()})
    (tmp_path / "g.json").write_text(json.dumps(rows))
    (tmp_path / "h.jsonl").write_text("\n".join(json.dumps(atoms) for _ in range(2)))
    found = records(tmp_path)
    assert set(found) == {*"abcdef", "JVASP-1", "mp-2657", "h-0", "h-1"}
    assert all(same_crystal(record, rutile) for record in found.values())
    assert found["JVASP-1"].properties == {"mbj_bandgap": 3.0, "slme": None}


def test_a_glob_and_a_single_file_work_too(tmp_path, silicon, rutile):
    for name, crystal in {"si": silicon, "tio2": rutile}.items():
        CifWriter(crystal.to_pymatgen()).write_file(tmp_path / f"{name}.cif")
    assert set(records(tmp_path / "*.cif")) == {"si", "tio2"}
    assert set(records(tmp_path / "si.cif")) == {"si"}


def test_bad_files_and_entries_become_rows_with_a_reason(tmp_path, silicon):
    alloy = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    CifWriter(alloy).write_file(tmp_path / "alloy.cif")
    (tmp_path / "broken.cif").write_text("data_x\n_cell_length_a 3\n")
    (tmp_path / "empty.json").write_text("[]")
    (tmp_path / "text.json").write_text("{not json")
    (tmp_path / "nan.json").write_text('[{"atoms": NaN}]')
    CifWriter(silicon.to_pymatgen()).write_file(tmp_path / "good.cif")
    found = records(tmp_path)
    assert isinstance(found["good"], StructureRecord)
    assert found["alloy"].status == "disordered"
    for name in ("broken", "empty", "text", "nan"):
        assert found[name].status == "unreadable"
        assert found[name].error_message


def test_properties_are_joined_by_id(tmp_path, silicon, rutile):
    for crystal in (silicon, rutile):
        name = tmp_path / f"{crystal.material_id}.cif"
        CifWriter(crystal.to_pymatgen()).write_file(name)
    table = tmp_path / "targets.csv"
    table.write_text("id,gap,kind\nsilicon,1.1,diamond\n")
    found = records(tmp_path / "*.cif", properties=table)
    assert found["silicon"].properties == {"gap": 1.1, "kind": "diamond"}
    assert found["rutile"].properties == {"gap": None, "kind": None}
    table.write_text("id,gap\nsilicon,1.1\nquartz,8.9\n")
    with pytest.raises(InputError, match="quartz"):
        records(tmp_path / "*.cif", properties=table)
    table.write_text("id,gap\nsilicon,1.1\nsilicon,1.2\n")
    with pytest.raises(InputError, match="line 3: silicon is there twice"):
        Files(tmp_path / "*.cif", properties=table)


def test_nothing_there_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="no CIF, POSCAR, extxyz or JSON"):
        Files(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"notes\.txt: unknown kind of file"):
        Files(tmp_path / "notes.txt")


def test_ids_are_names_without_the_ending_of_a_format(tmp_path, silicon):
    structure = silicon.to_pymatgen()
    for name in ("POSCAR_x0.25", "POSCAR_x0.50", "POSCAR.1", "POSCAR.2", "x0.25.vasp", "CONTCAR"):
        structure.to(filename=str(tmp_path / name), fmt="poscar")
    (tmp_path / "packed.cif.gz").write_bytes(gzip.compress(str(CifWriter(structure)).encode()))
    (tmp_path / "wide.cif").write_bytes(str(CifWriter(structure)).encode("utf-16"))
    found = records(tmp_path)
    assert set(found) == {
        *("POSCAR_x0.25", "POSCAR_x0.50", "POSCAR.1", "POSCAR.2", "x0.25", "packed", "wide"),
        tmp_path.name,
    }
    assert all(isinstance(record, StructureRecord) for record in found.values())


def test_one_name_in_two_folders(tmp_path, silicon, rutile):
    for name, crystal in (("a", silicon), ("b", rutile)):
        (tmp_path / name).mkdir()
        CifWriter(crystal.to_pymatgen()).write_file(tmp_path / name / "x.cif")
        crystal.to_pymatgen().to(filename=str(tmp_path / name / "POSCAR"), fmt="poscar")
    with pytest.raises(InputError, match=r"a/x.cif and .*b/x.cif both hold .* --ids-from path"):
        records(tmp_path)
    assert set(records(tmp_path, ids_from="path")) == {"a", "b", "a/x", "b/x"}
    assert set(records(tmp_path / "*" / "x.cif", ids_from="path")) == {"a/x", "b/x"}


def test_files_that_are_passed_over_are_named(tmp_path, silicon, caplog):
    CifWriter(silicon.to_pymatgen()).write_file(tmp_path / "x.cif")
    for name in ("notes.txt", "._x.cif", "XDATCAR"):
        (tmp_path / name).write_text("")
    assert set(records(tmp_path)) == {"x"}
    assert "3 files are no structure files: " in caplog.text
    assert "notes.txt" in caplog.text


def test_a_pipe_among_the_files_is_named(tmp_path, silicon, caplog):
    silicon.to_pymatgen().to(filename=str(tmp_path / "good.cif"))
    os.mkfifo(tmp_path / "pipe.cif")
    assert len(list(Files(tmp_path).records())) == 1
    assert f"1 files are no structure files: {tmp_path}/pipe.cif" in caplog.text


def test_links_that_are_not_read_are_named(tmp_path, silicon, caplog):
    folder = tmp_path / "crystals"
    (tmp_path / "elsewhere").mkdir()
    (folder / "x.cif").mkdir(parents=True)  # a folder by the name of a file
    CifWriter(silicon.to_pymatgen()).write_file(folder / "x.cif" / "Y.CIF")
    (folder / "z.cif").symlink_to(folder / "x.cif" / "Y.CIF")
    (folder / "dead.cif").symlink_to(tmp_path / "nothing.cif")
    (folder / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert set(records(folder)) == {"Y", "z"}
    assert "2 links are not read" in caplog.text
    assert "dead.cif" in caplog.text and "more" in caplog.text


def test_a_table_may_call_files_by_their_names(tmp_path, silicon):
    CifWriter(silicon.to_pymatgen()).write_file(tmp_path / "x.cif")
    table = tmp_path / "targets.csv"
    table.write_text("file,gap\nx.cif,1.1\n")
    assert records(tmp_path / "x.cif", properties=table)["x"].properties == {"gap": 1.1}


def test_the_id_prop_table_of_alignn_and_cgcnn(tmp_path, silicon):
    silicon.to_pymatgen().to(filename=str(tmp_path / "POSCAR-1.vasp"), fmt="poscar")
    CifWriter(silicon.to_pymatgen()).write_file(tmp_path / "2.cif")
    table = tmp_path / "id_prop.csv"
    table.write_text("POSCAR-1.vasp,1.1\r\n2,0.5\r\n")
    words = ("--input", tmp_path, "--properties", table, "--property-name", "gap:eV")
    built = curate("build", "--db", "files", *words, "--out", tmp_path / "run")
    assert built.returncode == 0, built.stderr
    rows = pq.read_table(tmp_path / "run" / "dataset" / "default")
    assert dict(zip(*(rows[name].to_pylist() for name in ("material_id", "gap")), strict=True)) == {
        "POSCAR-1": 1.1,
        "2": 0.5,
    }
    assert rows.schema.field("gap").metadata == {b"unit": b"eV"}
    refused = curate("build", "--db", "files", *words[:4], "--out", tmp_path / "other")
    assert refused.returncode == 2
    assert "or add --property-name NAME:UNIT for its one property" in refused.stderr


def test_what_is_allowed_is_part_of_the_snapshot(tmp_path, silicon):
    CifWriter(silicon.to_pymatgen()).write_file(tmp_path / "x.cif")
    plain = Files(tmp_path).snapshot()
    assert plain.version == "1 file"
    assert Files(tmp_path, allow_missing_hydrogen=True).snapshot() != plain
    assert Files(tmp_path, ids_from="path").snapshot() != plain


def test_a_reason_is_one_line(tmp_path):
    head = "t\n1.0\n4 0 0\n0 4 0\n0 0 4\nCs Cl\n1 1\nDirect\n"
    (tmp_path / "x.vasp").write_text(head + "0 0 0\n0.5 0.5\n")
    refused = records(tmp_path)["x"]
    assert refused.error_message.startswith("x.vasp: ")
    assert "\n" not in refused.error_message
