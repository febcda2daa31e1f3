"""CIFs that say less, more or something else than their sites: read rightly, noted or refused."""

import time

import numpy as np
import pytest
from pymatgen.io.cif import CifParser, CifWriter

from curate.record import SkippedEntry, StructureRecord
from curate.sources.cif import crystals, expanded
from curate.sources.cif_sites import is_symbol
from curate.sources.entries import record_of

CELL = """data_t
_cell_length_a {a}
_cell_length_b {b}
_cell_length_c {c}
_cell_angle_alpha {alpha}
_cell_angle_beta {beta}
_cell_angle_gamma {gamma}
"""
CUBE = dict.fromkeys("abc", 4.2) | dict.fromkeys(("alpha", "beta", "gamma"), 90)
COLUMNS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
CSCL = ("Cs1 Cs 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 1")


def cif(*atoms, items="", operations=("x,y,z",), columns=COLUMNS, **cell) -> str:
    """A CIF of these lines of atoms; by default of a cube of 4.2 Å in P 1."""
    text = CELL.format(**(CUBE | cell)) + items.strip() + "\n"
    if operations:
        text += "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'{o}'\n" for o in operations)
    names = "".join(f"_atom_site_{column}\n" for column in columns)
    return text + "loop_\n" + names + "\n".join(atoms or CSCL) + "\n"


def read(text: str, **options) -> StructureRecord | SkippedEntry:
    (entry,) = crystals(text, **options)
    return record_of(entry, "t", {})


def refusal(text: str) -> str:
    found = read(text)
    assert isinstance(found, SkippedEntry), found
    return found.error_message


@pytest.mark.parametrize(
    ("items", "note"),
    [
        ("_chemical_formula_sum 'Cl Cs'\n_cell_formula_units_Z 1", None),
        ("_chemical_formula_sum 'Cs1 Cl1'\n_cell_formula_units_Z ?", None),
        ("_chemical_formula_sum 'Cl4 Cs4'", None),  # of a larger cell, with no Z to compare
        ("_chemical_formula_sum 'Cl1.00 Cs1.004'", None),  # rounded
        (
            "_chemical_formula_sum 'Cs Cl'\n_cell_formula_units_Z 4",
            "not 4 formula units of 'Cs Cl'",
        ),
        ("_chemical_formula_structural 'Cs Cl'\n_cell_formula_units_Z 1", None),
        ("_chemical_formula_sum '(rubbish'", "its formula '(rubbish' can't be read"),
    ],
)
def test_a_formula_that_agrees_is_no_doubt(items, note):
    found = read(cif(items=items))
    assert isinstance(found, StructureRecord), found
    assert (found.note is None) if note is None else (note in found.note)


@pytest.mark.parametrize(
    "formula", ["Cs Br", "Cs Cl2", "Cs Cl O", "Cs2 Cl1.90", "Na Cl", "Cs Cl0.98"]
)
def test_another_formula_is_refused(formula):
    found = read(cif(items=f"_chemical_formula_sum '{formula}'"))
    assert found.error_type == "OtherComposition"
    assert f"its formula is '{formula}' and its atoms are Cl Cs" in found.error_message


def test_centrings_that_are_not_listed_are_missed():
    sites = ("Na1 Na 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 1")
    items = "_chemical_formula_sum 'Cl Na'\n_cell_formula_units_Z 4\n"
    items += "_symmetry_space_group_name_H-M 'F m -3 m'"
    found = read(cif(*sites, items=items))
    assert found.error_type == "OtherComposition"
    assert "not 4 formula units of 'Cl Na', and its operations are not those" in found.error_message
    assert read(cif(*sites, items=items, operations=())).nsites == 8


def test_hydrogen_is_missed_where_the_file_speaks_of_it():
    oxide = ("Mg1 Mg 0 0 0 1", "O1 O 0.5 0.5 0.5 1")
    assert "2 H of its formula 'Mg H2 O'" in refusal(
        cif(*oxide, items="_chemical_formula_sum 'Mg H2 O'")
    )
    assert "2 H of its formula 'Mg D2 O'" in refusal(
        cif(*oxide, items="_chemical_formula_sum 'Mg D2 O'")
    )
    attached = [f"{line} {n}" for line, n in zip(oxide, "02", strict=True)]
    columns = (*COLUMNS, "attached_hydrogens")
    assert "hydrogen at O1 has no position" in refusal(cif(*attached, columns=columns))
    assert "hydrogen at H1 has no position" in refusal(cif(*oxide, "H1 H ? ? ? 1"))
    assert "hydrogen at Wat1 has no position" in refusal(
        cif("Mg1 0 0 0", "Wat1 0.5 0.5 0.5", columns=("label", "fract_x", "fract_y", "fract_z"))
    )
    found = read(cif(*oxide, "H1 H ? ? ? 1"), allow_missing_hydrogen=True)
    assert found.chemical_formula_reduced == "MgO"
    assert "hydrogen at H1" in found.note
    whole = read(cif(*oxide, "H1 H 0.2 0.5 0.5 1", items="_chemical_formula_sum 'Mg O H'"))
    assert whole.note is None


@pytest.mark.parametrize(
    ("label", "formula", "symbol"),
    [
        ("CA1", "Ca O", "Ca"),
        ("CA1", "C O", "C"),
        ("HO1", "H O", "H"),
        ("Oa", "O", "O"),
        ("SiT1", "Si", "Si"),
        ("AlM2", "Al", "Al"),
        ("Nb1", "Nb", "Nb"),
        ("K", "K", "K"),
        ("D1", "D2 O", "H"),
    ],
)
def test_a_label_is_read_with_the_formula(label, formula, symbol):
    others = {"O": "O9 0.5 0.5 0.5"} if formula not in ("O",) and "O" in formula.split() else {}
    text = cif(
        f"{label} 0 0 0",
        *others.values(),
        operations=("x,y,z",),
        items=f"_chemical_formula_sum '{formula.replace('D2', 'D')}'",
        columns=("label", "fract_x", "fract_y", "fract_z"),
    )
    assert symbol in read(text).species_at_sites


@pytest.mark.parametrize("kind", ["Va", "X", "Q1", "?x", "Xx"])
def test_what_is_no_element_is_none(kind):
    found = read(cif("Cs1 Cs 0 0 0 1", f"Cl1 {kind} 0.5 0.5 0.5 1"))
    assert found.status == "dummy_species"


@pytest.mark.parametrize("kind", ["Cl1-", "CL", "Cl-1", "cl", "Cl0", "Cl"])
def test_an_element_is_read_however_it_is_written(kind):
    assert read(cif("Cs1 Cs1+ 0 0 0 1", f"x {kind} 0.5 0.5 0.5 1")).nsites == 2
    assert (
        read(cif("Cs1 Cs1+ 0 0 0 1", f"x {kind} 0.5 0.5 0.5 1")).chemical_formula_reduced == "ClCs"
    )


FCC = ("x,y,z", "x,y+1/2,z+1/2", "x+1/2,y,z+1/2", "x+1/2,y+1/2,z")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"operations": FCC[:3]}, "3 symmetry operations are no group"),
        ({"operations": ("x,y,z", "-y,x-y,z", "-x+y,-x,z")}, "do not fit the lengths and angles"),
        ({"operations": ("x,y,z", "x,y")}, "'x,y' is not a symmetry operation"),
        ({"operations": ("x,y,z", "x,y,w")}, "'x,y,w' is not a symmetry operation"),
        ({"operations": ("x,y,z", "x,x,z")}, "has no inverse"),
        ({"operations": ("x,y,z", "2*x,y,z")}, "stretches the cell"),
        (
            {"operations": (), "items": "_symmetry_space_group_name_H-M 'P 17'"},
            "its space group 'P 17' is not in the tables",
        ),
        (
            {"operations": (), "items": "_symmetry_space_group_name_H-M 'R -3 m :H'"},
            "the axes of its space group 'R -3 m :H' are not those of its cell",
        ),
        (
            {
                "operations": (),
                "items": "_symmetry_space_group_name_H-M 'P -1'\n_symmetry_Int_Tables_number 5",
            },
            "is not number 5, which it names too",
        ),
        ({"items": "_cell_modulation_dimension 1"}, "a modulated structure"),
        ({"items": "_cell_length_a 4.3"}, "it gives _cell_length_a twice"),
        ({"a": "?"}, "it gives no length of a"),
        ({"a": "nonsense"}, "'nonsense' is not a number"),
        ({"a": "nan"}, "'nan' is not a finite number"),
        ({"gamma": 180}, "has no volume"),
    ],
)
def test_a_block_that_leaves_its_crystal_open_is_refused(changes, reason):
    assert reason in refusal(cif(**changes))


@pytest.mark.parametrize(
    ("atoms", "reason"),
    [
        (("Cs1 Cs 0 0 0 1", "Cl1 Cl 0.5 0.5 ? 1"), "site Cl1 has no position"),
        (("Cs1 Cs 0 0 0 1", "Cl1 Cl 0.5 0.5 . 1"), "site Cl1 has no position"),
        (("Cs1 Cs 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5"), "11 values under 6 names"),
        (("Cs1 Cs 0 0 0 1", "Cl1 Cl 0.5 0.5 inf 1"), "not a finite number"),
        (("Cs1 Cs 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 1.2"), "site Cl1 has occupancy 1.2"),
        (("Cs1 Cs 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 -1"), "site Cl1 has occupancy -1"),
        (("Cs1 Cs 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 full"), "'full' is not a number"),
        (("Cs1 'Cs,Rb' 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 1"), "site Cs1 holds Cs,Rb"),
        (("Cs1 '0.8Cs + 0.2Rb' 0 0 0 1",), "site Cs1 holds 0.8Cs + 0.2Rb"),
    ],
)
def test_an_atom_that_is_not_whole_is_refused(atoms, reason):
    assert reason in refusal(cif(*atoms))


def test_dummy_atoms_and_empty_sites_are_no_atoms():
    lines = [f"{line} Uiso" for line in CSCL] + ["Cg1 C 0.2 0.2 0.2 1 dum"]
    found = read(cif(*lines, columns=(*COLUMNS, "calc_flag")))
    assert (found.nsites, found.note) == (2, "sites left out as dummies: Cg1")
    found = read(cif(*CSCL, "O1 O 0.2 0.2 0.2 0"))
    assert (found.nsites, found.note) == (2, "site O1 left out, its occupancy is 0")


def test_no_symmetry_at_all_is_noted():
    assert read(cif(operations=())).note == "it gives no symmetry and was read as P 1"


@pytest.mark.parametrize("symbol", ["F m -3 m", "Fm3m", "Fm-3m", "F 4/m -3 2/m", "Fm\\-3m", "?"])
def test_a_space_group_is_known_by_its_names(symbol):
    found = read(
        cif(
            "Na1 Na 0 0 0 1",
            "Cl1 Cl 1/2 1/2 1/2 1",
            operations=(),
            items=f"_symmetry_space_group_name_H-M '{symbol}'\n_symmetry_Int_Tables_number 225",
        )
    )
    if "\\" in symbol:
        assert isinstance(found, SkippedEntry)
    else:
        assert found.nsites == 8


@pytest.mark.parametrize(
    ("symbol", "n_atoms"),
    [("F d -3 m :1", 8), ("F d -3 m S", 8), ("F d -3 m Z", 16), ("Fd-3m:2", 16)],
)
def test_an_origin_is_taken_at_its_word(symbol, n_atoms):
    found = read(
        cif(
            "Si1 Si 0 0 0 1",
            operations=(),
            items=f"_space_group_name_H-M_alt '{symbol}'",
            **dict.fromkeys("abc", 8),
        )
    )
    assert found.nsites == n_atoms


def test_a_magnetic_group_by_its_number():
    items = "_space_group_magn.number_BNS '225.116'\n_space_group_magn.transform_BNS_Pp_abc 'a,b,c;0,0,0'"
    found = read(cif("Mn1 Mn 0 0 0 1", "O1 O 0.5 0.5 0.5 1", operations=(), items=items))
    assert (found.chemical_formula_reduced, found.nsites) == ("MnO", 8)


def test_blocks_without_a_crystal_are_none():
    publication = "data_global\n_publ_section_title\n;\ndata_ of nothing\n;\n"
    (entry,) = crystals(publication + cif())
    assert record_of(entry, "t", {}).nsites == 2
    with pytest.raises(ValueError, match="none of its data blocks holds a cell or atoms"):
        list(crystals(publication))


def test_names_of_newer_dictionaries_are_read():
    newer = cif().replace("_atom_site_", "_atom_site.").replace("_cell_length_", "_cell.length_")
    assert read(newer).nsites == 2
    assert read(cif().upper().replace("X,Y,Z", "x,y,z").replace("DATA_T", "DATA_t")).nsites == 2


def test_a_comment_and_a_quote_are_told_from_values():
    items = "_publ_author_name 'O'Neil, A. # B'  # said\n_exptl_crystal_colour \"dark 'red'\""
    assert read(cif(items=items)).nsites == 2


def test_angles_may_be_left_to_the_crystal_system_alone():
    bare = "\n".join(line for line in cif().splitlines() if "_cell_angle" not in line)
    assert "it does not give all angles" in refusal(bare)
    found = read(bare.replace("data_t", "data_t\n_space_group_crystal_system cubic"))
    assert found.note == "angles that it does not give read as those of a cubic cell"


def test_a_large_cell_is_the_same_by_either_way(monkeypatch):
    text = cif("Na1 Na 0 0 0 1", "Cl1 Cl 0.5 0.5 0.499 1", operations=FCC)
    small = read(text)
    monkeypatch.setattr("curate.sources.cif.MANY_ATOMS", 4)
    large = read(text)
    assert (large.nsites, large.species_at_sites) == (8, small.species_at_sites)
    assert large.to_pymatgen().matches(small.to_pymatgen(), scale=False, stol=1e-4)


def test_a_cell_of_too_many_atoms_is_refused_at_once():
    operations = [f"x+{i}/60,y,z" for i in range(60)]
    atoms = [f"C{i} C {i / 1000} 0.1 0.2 1" for i in range(400)]
    started = time.perf_counter()
    assert "would hold 24000 atoms" in refusal(cif(*atoms, operations=operations, a=400))
    assert time.perf_counter() - started < 5


def test_operations_read_once_expand_as_pymatgen_does_itself(mos2):
    text = str(CifWriter(mos2.to_pymatgen(), symprec=1e-3))
    with pytest.warns(UserWarning, match="rounded to ideal values"):
        (own,) = CifParser.from_str(text).parse_structures(primitive=False)
    assert expanded(text, []) == own
    assert np.array_equal(expanded(text, []).frac_coords, own.frac_coords)


def test_a_symbol_is_the_element_that_it_names():
    assert is_symbol("Na")
    assert not any(map(is_symbol, ("T", "D", "Wat", "na", "Na1+", "")))


TWO_SITES = ("Na1 Na 0.1 0.2 0.3 1", "Cl1 Cl 0.6 0.2 0.8 1")
SYMBOL, OTHER_SYMBOL = "_symmetry_space_group_name_H-M", "_space_group_name_H-M_alt"
OPERATIONS = "loop_\n_space_group_symop_operation_xyz\nx,y,z\n-x,-y,-z"
MAGNETIC = "loop_\n_space_group_symop_magn_operation.xyz\nx,y,z,+1\n-x,-y,-z,-1"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"items": OPERATIONS}, "it lists its symmetry operations twice, not the same"),
        ({"items": MAGNETIC}, "it lists its symmetry operations twice, not the same"),
        ({"items": f"{SYMBOL} 'P 1'\n{SYMBOL} 'P -1'"}, f"it gives {SYMBOL.lower()} twice"),
        (
            {"items": f"{SYMBOL} 'P 1'\n{OTHER_SYMBOL} 'P -1'", "operations": ()},
            "it names several space groups: 'P -1', 'P 1'",
        ),
        (
            {"items": f"{SYMBOL} 'P 1'\n_space_group_name_Hall '-P 1'", "operations": ()},
            "it names several space groups",
        ),
        (
            {"items": '_space_group_magn.name_BNS "P -1\'"', "operations": ()},
            "its _space_group_magn_name_bns is not read",
        ),
        (
            {"items": "_space_group_name_Schoenflies 'C i'", "operations": ()},
            "its _space_group_name_schoenflies is not read",
        ),
        (
            {"items": "loop_\n_space_group_symop_ssg_operation_algebraic\n'x1,x2,x3,x4'"},
            "a modulated structure",
        ),
        ({"items": "_chemical_formula_sum 'Na Cl'\n_chemical_formula_sum 'Na Cl2'"}, "twice"),
        ({"gamma": -90}, "a cell with angles of 90, 90, -90° has no volume"),
        ({"gamma": 270}, "a cell with angles of 90, 90, 270° has no volume"),
        (dict.fromkeys(("alpha", "beta", "gamma"), 1.5708), "are in radians, not in degrees"),
        ({"a": "4_2"}, "'4_2' is not a number"),
        ({"a": "4.2(1)7"}, "'4.2(1)7' is not a number"),
        ({"a": "1/0"}, "'1/0' is not a number"),
        ({"operations": ("x,y,z", "x+1/0,y,z")}, "'x+1/0,y,z' is not a symmetry operation"),
    ],
)
def test_a_block_that_contradicts_itself_is_refused(changes, reason):
    assert reason in refusal(cif(*TWO_SITES, **changes))


def test_a_cell_in_a_loop_is_one_cell():
    names = [line.split()[0] for line in CELL.splitlines()[1:]]
    looped = "data_t\nloop_\n" + "\n".join(names) + "\n4.2 4.2 4.2 90 90 90\n"
    rest = cif()[len(CELL.format(**CUBE)) :]
    assert read(looped + rest).nsites == 2
    twice = looped + "5 5 5 90 90 90\n" + rest
    assert refusal(twice) == "it gives 2 values of _cell_length_a"


@pytest.mark.parametrize("items", [f"{SYMBOL} ?\n{SYMBOL} 'P 1'", f"{SYMBOL} 'P 1'\n{SYMBOL} 'P1'"])
def test_a_repetition_that_says_the_same_is_none(items):
    assert read(cif(*TWO_SITES, items=items)).note is None


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"items": "_symmetry_Int_Tables_number 221"}, "not those of number 221"),
        ({"items": f"{SYMBOL} 'P -1'", "operations": ("x,y,z", "-x,y,-z")}, "not those of 'P -1'"),
        ({"items": "_cell_volume 200(1)"}, "give a volume of 74.09 Å3, and it states 200(1)"),
        ({"items": "_cell_volume 74.2(5)"}, None),
        ({"items": "_symmetry_Int_Tables_number 1"}, None),
    ],
)
def test_what_a_block_says_otherwise_is_noted(changes, note):
    found = read(cif(*TWO_SITES, **changes)).note
    assert found is None if note is None else note in found


@pytest.mark.parametrize(
    ("atom", "status", "said"),
    [
        ("Fe1 Co 0 0 0 1", None, "sites read by their types, not their labels: Fe1 as Co"),
        ("Ca1 C 0 0 0 1", None, None),
        ("M1 Fe 0 0 0 1", None, None),
        ("W1 O 0 0 0 1", None, "sites read by their types, not their labels: W1 as O"),
        ("x CO 0 0 0 1", None, "elements read from names: CO as Co"),
        ("x Co 0 0 0 1", None, None),
        ("x Uuu 0 0 0 1", "dummy_species", "'Uuu', which names no element"),
        ("x NH4 0 0 0 1", "dummy_species", "'NH4', a group of atoms"),
        ("x Ni/Co 0 0 0 1", "disordered", "site x holds Ni/Co"),
    ],
)
def test_a_type_that_may_be_read_otherwise_is_said(atom, status, said):
    found = read(cif(atom, "Cl1 Cl 0.5 0.5 0.5 1"))
    if status:
        assert found.status == status
        assert said in found.error_message
    else:
        assert found.note == said


GROUPS = (*COLUMNS[:5], "disorder_assembly", "disorder_group")


@pytest.mark.parametrize(
    ("groups", "status"),
    [
        (("A 1", "A 2"), "disordered"),
        ((". 1", ". 2"), "disordered"),
        (("A 1", "A 1"), None),
        (("A 1", "B 2"), None),
        ((". R", ". S"), None),  # flags of refinement in the wrong column
    ],
)
def test_groups_that_stand_for_each_other_are_disorder(groups, status):
    atoms = ("C1 C 0 0 0 ", "N1 N 0.3 0 0 ")
    found = read(cif(*map("".join, zip(atoms, groups, strict=True)), columns=GROUPS))
    assert getattr(found, "status", None) == status


def test_a_multiplicity_that_is_none_is_noted():
    columns = (*COLUMNS, "symmetry_multiplicity")
    assert (
        "has multiplicity 1 by the symmetry" in read(cif("Cs1 Cs 0 0 0 1 4", columns=columns)).note
    )
    order_of_the_site = cif(
        "Cs1 Cs 0.1 0.2 0.3 1 1", columns=columns, operations=("x,y,z", "-x,-y,-z")
    )
    assert read(order_of_the_site).note is None  # as older programs wrote it


def test_positions_and_occupancies_stand_in_one_loop():
    text = cif(*("Cs1 Cs 0 0 0", "Cl1 Cl 0.5 0.5 0.5"), columns=COLUMNS[:5])
    assert "_atom_site_occupancy stands in another loop" in refusal(
        text + "loop_\n_atom_site_occupancy\n1\n0.5\n"
    )


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\x1c", "\x0b", "\x0c"])
def test_nothing_but_a_line_feed_ends_a_comment(mark):
    assert read(cif() + f"# an atom{mark}Fe1 Fe 0 0 0.25 1\n").nsites == 2


def test_three_quotes_of_newer_files_hold_lines():
    said = "_exptl_special_details '''\n_cell_length_a 9\n;\nloop_ 'x'\n'''"
    assert read("#\\#CIF_2.0\n" + cif(items=said)).note is None
