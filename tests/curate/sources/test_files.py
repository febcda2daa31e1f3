import json

import pytest
from ase.io import write as ase_write
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
