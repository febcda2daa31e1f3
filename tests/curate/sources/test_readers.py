"""Files as users have them: what each holds, row by row, or the true reason against it."""

from pathlib import Path

import pytest

from curate.errors import InputError
from curate.record import StructureRecord
from curate.sources.file_names import kind
from curate.sources.files import Files, read_file

READERS = Path(__file__).parents[2] / "data" / "readers"

# file: for each row the id, then formula and number of atoms or the reason, then a part of the note
HELD = {
    "vasp4_no_symbols.vasp": [("vasp4_no_symbols", "it names no elements")],
    "occ_dot.cif": [("occ_dot", "ClCs", 2)],
    "brucite_without_H.cif": [("brucite_without_H", "2 H of its formula 'H2 Mg O2' have no")],
    "r3m_H.cif": [("r3m_H", "Bi2Te3", 15)],
    "r3m_rhomb_axes_plain.cif": [("r3m_rhomb_axes_plain", "Bi2Te3", 5, "read as R-3m :R")],
    "three_blocks_one_empty.cif": [
        ("three_blocks_one_empty-0", "ClCs", 2),
        ("three_blocks_one_empty-1", "the block holds no atoms"),
        ("three_blocks_one_empty-2", "Na", 1),
    ],
    "two_blocks_same_name.cif": [
        ("two_blocks_same_name-0", "ClCs", 2),
        ("two_blocks_same_name-1", "Na", 1),
    ],
    "hcp_digits_2.cif": [("hcp_digits_2", "Mg", 2, "images of Mg1 closer than 0.1 Å are one")],
    "occ_1_001.cif": [("occ_1_001", "ClCs", 2, "occupancy 1.001 of Cs1 read as 1")],
    "dup_lines.cif": [("dup_lines", "the occupancies of one site sum to 2")],
    "no_data_header.cif": [("no_data_header", "it has no data_ line")],
    "bom_only.cif": [("bom_only", "ClCs", 2)],
    "text_field_line_starts_data_.cif": [("text_field_line_starts_data_", "ClCs", 2)],
    "magnetic_mno.mcif": [("magnetic_mno", "MnO", 8)],
    "latin1_comment.vasp": [("latin1_comment", "ClCs", 2)],
    "energy.extxyz": [("energy-0", "ClCs", 2), ("energy-1", "ClCs", 2)],
    "second_frame_broken.extxyz": [
        ("second_frame_broken-0", "Po", 1),
        ("second_frame_broken-1", "frame 2: "),
        ("second_frame_broken-2", "Po", 1),
    ],
    "nan_literal.json": [("N-1", "ClCs", 2), ("N-2", "ClCs", 2)],
    "bad_line_in_middle.jsonl": [
        ("B-1", "ClCs", 2),
        ("bad_line_in_middle-1", "line 2 is no JSON"),
        ("B-3", "ClCs", 2),
    ],
    "zero_volume.vasp": [("zero_volume", "ClCs", 2)],  # refused before a text or a graph
    "nan_coordinate.vasp": [("nan_coordinate", "ClCs", 2)],  # likewise
    "POSCAR.1": [("POSCAR.1", "ClCs", 2)],
    "POSCAR.2": [("POSCAR.2", "BrCs", 2)],
    "polymorph_Si_diamond.vasp": [("polymorph_Si_diamond", "Si", 2)],
    "polymorph_Si_fcc.vasp": [("polymorph_Si_fcc", "Si", 1)],
    "volume_CsCl_a3.5.vasp": [("volume_CsCl_a3.5", "ClCs", 2)],
    "volume_CsCl_a5.5.vasp": [("volume_CsCl_a5.5", "ClCs", 2)],
    "right/LiCoO2.vasp": [("LiCoO2", "CoLiO2", 12)],
    "right/MgO_bilayer.vasp": [("MgO_bilayer", "MgO", 4)],
    "right/MoWSSe_janus_stack.vasp": [("MoWSSe_janus_stack", "MoS2Se2W", 6)],
    "right/Ne_fcc.vasp": [("Ne_fcc", "Ne", 4)],
    "right/S_chain_1D.vasp": [("S_chain_1D", "S", 2)],
    "right/VSe2_1T.vasp": [("VSe2_1T", "Se2V", 3)],
    "right/graphene.vasp": [("graphene", "C", 2)],
    "right/isolated_Zr_bcc_7A.vasp": [("isolated_Zr_bcc_7A", "Zr", 2)],
    "right/bad_entry_in_list.json": [
        ("E-1", "ClCs", 2),
        ("E-2", "neither a pymatgen structure nor a jarvis atoms dictionary"),
        ("bad_entry_in_list-2", "'None' is no JSON object"),
        ("E-4", "ClCs", 2),
    ],
    "right/bang_comment.vasp": [("bang_comment", "ClCs", 2)],
    "right/café α-quartz.cif": [("café α-quartz", "ClCs", 2)],
    "right/diamond_hall_o1.cif": [("diamond_hall_o1", "Si", 8)],
    "right/hcp_digits_4.cif": [("hcp_digits_4", "Mg", 2)],
    "right/hydrogen_shares_site.cif": [("hydrogen_shares_site", "site 4 holds H:0.9, F:0.1")],
    "right/id_and_nan.extxyz": [("7", "ClCs", 2)],
    "right/jarvis_na.json": [("J-1", "ClCs", 2), ("J-2", "ClCs", 2), ("J-3", "ClCs", 2)],
    "right/labels_water.cif": [("labels_water", "ClH2NaO", 5)],
    "right/latin1_author.cif": [("latin1_author", "ClCs", 2)],
    "right/lattice_velocities.vasp": [("lattice_velocities", "ClCs", 2)],
    "right/lithium_deuteride.cif": [("lithium_deuteride", "HLi", 8, "deuterium read as hydrogen")],
    "right/magnetic_mno.cif": [("magnetic_mno", "MnO", 8)],
    "right/molecule_no_lattice.xyz": [("molecule_no_lattice", "no Lattice in the comment line")],
    "right/negative_scale.vasp": [("negative_scale", "ClCs", 2)],
    "right/occ_half_esd.cif": [("occ_half_esd", "site 1 holds Cl:0.5")],
    "right/occ_shared_gst.cif": [("occ_shared_gst", "site 0 holds Ge:0.4, Sb:0.4")],
    "right/pretty_list.json": [("P-1", "ClCs", 2)],
    "right/selective_symbol_before_flags.vasp": [("selective_symbol_before_flags", "ClCs", 2)],
    "right/split_species.vasp": [("split_species", "ClCs2", 3)],
    "right/stars.vasp": [("stars", "'********'")],
    "right/vasp4_symbols_after_coords.vasp": [("vasp4_symbols_after_coords", "ClNa", 2)],
    "right/velocities.vasp": [("velocities", "ClCs", 2)],
    "right/velocities_predictor.vasp": [("velocities_predictor", "ClCs", 2)],
    "right/wrong_hm_with_ops.cif": [("wrong_hm_with_ops", "ClCs", 2, "not those of 'F m -3 m'")],
}


@pytest.mark.parametrize("name", HELD)
def test_a_file_gives_what_it_holds(name):
    rows = list(read_file(READERS / name))
    assert [row.material_id for row in rows] == [held[0] for held in HELD[name]]
    for row, (_, *held) in zip(rows, HELD[name], strict=True):
        if len(held) == 1:
            assert not isinstance(row, StructureRecord)
            assert held[0] in row.error_message
            continue
        assert isinstance(row, StructureRecord), row.error_message
        assert (row.chemical_formula_reduced, row.nsites) == tuple(held[:2])
        assert held[2] in row.note if len(held) > 2 else row.note is None


def test_every_file_is_in_the_table():
    files = {path.relative_to(READERS) for path in READERS.rglob("*") if kind(path)}
    files = {path for path in files if path.parts[0] != "targets_crystals"}
    assert files == set(map(Path, HELD))


def test_numbers_that_a_format_names_stay_properties():
    rows = list(read_file(READERS / "energy.extxyz"))
    assert [dict(row.properties) for row in rows] == [
        {"energy": -6.5, "band_gap": 5.1},
        {"energy": -6.4, "band_gap": 5.0},
    ]
    source = Files(READERS / "energy.extxyz")
    list(source.records())
    assert source.units == {"energy": "eV"}
    assert [row.properties["gap"] for row in read_file(READERS / "nan_literal.json")] == [None, 1.0]
    (row,) = read_file(READERS / "right" / "id_and_nan.extxyz")
    assert dict(row.properties) == {"gap": None, "label": "ok"}


def test_hydrogen_without_positions_is_taken_when_asked_for():
    (row,) = Files(READERS / "brucite_without_H.cif", allow_missing_hydrogen=True).records()
    assert (row.chemical_formula_reduced, row.nsites) == ("MgO2", 3)
    assert "2 H of its formula 'H2 Mg O2' have no position" in row.note


@pytest.mark.parametrize("name", ["negative_scale", "bang_comment", "velocities"])
def test_a_scale_is_the_cells(name):
    (row,) = read_file(READERS / "right" / f"{name}.vasp")
    assert row.to_pymatgen().volume == pytest.approx(74.088)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("targets_no_header.csv", r"its first line \(s01,8.5\) looks like data"),
        ("targets_dup_header.csv", "two columns are called gap"),
    ],
)
def test_a_table_that_says_something_else_is_refused(table, sentence):
    with pytest.raises(InputError, match=sentence):
        Files(READERS / "targets_crystals", READERS / table)


def test_a_mark_for_no_value_leaves_a_column_of_numbers(caplog):
    found = Files(READERS / "targets_crystals", READERS / "targets_one_text_value.csv")
    values = {entry.material_id: entry.properties["band_gap"] for entry in found.records()}
    assert values["s01"] == 8.5
    assert values["s04"] is None
    assert "band_gap has no value for s04 ('n.d.')" in caplog.text


@pytest.mark.parametrize("table", ["targets_space_after_comma.csv", "right/targets_good.csv"])
def test_a_table_is_joined_by_id(table):
    found = Files(READERS / "targets_crystals", READERS / table)
    assert {entry.material_id: dict(entry.properties) for entry in found.records()}["s12"] == {
        "band_gap": 4.0
    }


def test_a_structure_that_is_missing_is_named():
    found = Files(READERS / "targets_crystals", READERS / "right" / "targets_missing_structure.csv")
    with pytest.raises(InputError, match="no structure for s99"):
        list(found.records())
