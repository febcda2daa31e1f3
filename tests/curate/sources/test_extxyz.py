"""Frames of extended XYZ files; a broken one costs itself."""

import pytest

from curate.sources.entries import record_of
from curate.sources.extxyz import crystals

FRAME = '1\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3{}\nPo 0 0 0\n'


def read(text: str) -> list:
    return [record_of(entry, f"t-{i}", {}) for i, entry in enumerate(crystals(text))]


def test_a_frame_that_is_cut_costs_itself():
    cut = FRAME.format("").replace("1\n", "3\n", 1)
    good, bad, last = read(FRAME.format("") + cut + FRAME.format(""))
    assert good.nsites == last.nsites == 1
    assert bad.error_message == "frame 2 has 1 atoms, expected 3"
    assert read(FRAME.format("") + "2\n")[1].error_message == "frame 2 has 0 atoms, expected 2"


def test_lines_between_frames_are_a_row():
    found = read(FRAME.format("") + "rubbish\nmore\n\n" + FRAME.format(""))
    assert [getattr(row, "nsites", None) for row in found] == [1, None, 1]
    assert "frame 2 begins with 'rubbish'" in found[1].error_message


def test_what_a_frame_says_of_itself_is_kept():
    said = ' energy=-1.5 free_energy=-1.6 gap=2 name=x jid=J-1 good=T stress="1 0 0 0 1 0 0 0 1"'
    (row,) = read(FRAME.format(said))
    assert row.material_id == "J-1"
    assert dict(row.properties) == {
        "energy": -1.5,
        "free_energy": -1.6,
        "gap": 2,
        "name": "x",
        "good": True,
    }
    assert row.note is None


def test_directions_without_a_period_are_noted():
    (row,) = read(FRAME.format(' pbc="T T F"'))
    assert row.note == "periodic in 2 directions by its pbc, read as periodic in three"


@pytest.mark.parametrize(
    ("said", "material_id"),
    [
        (" id=00123", "00123"),
        (' material_id="a b" id=7', "a b"),
        (" jid=1e5 grid=4", "1e5"),
        (" grid=4", "t-0"),
    ],
)
def test_an_id_keeps_its_letters(said, material_id):
    (row,) = read(FRAME.format(said))
    assert row.material_id == material_id


def test_a_symbol_that_is_no_element_is_said():
    frame = FRAME.format("").replace("Po 0", "Xq 0")
    (bad,) = read(frame)
    assert bad.error_message == "frame 1: 'Xq' is no element or column that is known"


@pytest.mark.parametrize("number", ["3", "31146523409265", "9" * 5000])
def test_more_columns_than_an_atom_has_are_refused(number):
    """Of as many as a damaged line states, room would be made for all."""
    good = FRAME.format("")
    (first, last) = read(good.replace("species:S:1", f"species:S:{number}") + good)
    assert "columns, and an atom has 4" in first.error_message
    assert last.nsites == 1


PLAIN = FRAME.format("")


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (FRAME.format(' Lattice="5 0 0 0 5 0 0 0 5"'), "gives Lattice twice"),
        (FRAME.format(" gap=1 gap=2"), "gives gap twice"),
        (FRAME.format(' pbc="maybe"'), "pbc is 'maybe', not T or F three times"),
        (FRAME.format(" units=bohr"), "units is 'bohr'; extended XYZ is in Å and eV"),
        (FRAME.format(" energy=-1 energy_unit=Hartree"), "energy_unit is 'Hartree'"),
        (FRAME.format(' gap="1,5"'), "gap is '1,5'; a number has a point, not a comma"),
        (PLAIN.replace("pos:R:3", "forces:R:3"), "Properties states no column pos"),
        (PLAIN.replace("species:S:1", "name:S:1"), "Properties states no column of species"),
        (PLAIN.replace('"3 0', '"3_0 0'), "Lattice holds '3_0 0 0"),
        (PLAIN.replace("Po 0", "Po 1_0"), "'1_0' is not a number"),
        (
            PLAIN.replace("R:3", "R:3:Z:I:1").replace("0 0 0\n", "0 0 0 11\n"),
            "an atom is Po by its species and number 11 by its column Z",
        ),
    ],
)
def test_a_frame_that_would_be_read_as_another_is_refused(frame, reason):
    good, bad = read(PLAIN + frame)
    assert good.nsites == 1
    assert reason in bad.error_message


def test_a_column_of_occupancies_is_minded():
    columns = PLAIN.replace("R:3", "R:3:occupancy:R:1")
    half, full = read(
        columns.replace("0 0 0\n", "0 0 0 0.5\n") + columns.replace("0 0 0\n", "0 0 0 1\n")
    )
    assert half.status == "disordered"
    assert full.nsites == 1


def test_a_value_keeps_its_letters_and_a_symbol_is_noted():
    (row,) = read(FRAME.format(' run=1_2 title="a\u2028b\x85c"').replace("\nPo ", "\nPO "))
    assert dict(row.properties) == {"run": "1_2", "title": "a\u2028b\x85c"}
    assert row.note == "species PO read as Po"
