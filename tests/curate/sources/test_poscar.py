"""POSCARs as programs and people write them; one that leaves its elements open is refused."""

import numpy as np
import pytest

from curate.sources.entries import record_of
from curate.sources.poscar import crystal

HEAD = "comment\n1.0\n4.2 0 0\n0 4.2 0\n0 0 4.2\n"
BODY = "Direct\n0 0 0\n0.5 0.5 0.5\n"


def read(text: str):
    return record_of(crystal(text), "t", {})


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "Cs Cl\n1 1\n" + BODY,
        HEAD + "Cs_sv Cl/a1b2c3\n1 1\n" + BODY,
        HEAD + "Cs\nCl\n1\n1\n" + BODY,
        HEAD + "Cs Cl\n1 1\n" + BODY + "\n0.1 0.2 0.3\nrubbish that follows\n",
        HEAD + "Cs Cl\n1 1\nSelective dynamics\nDirect\n0 0 0 T T F\n0.5 0.5 0.5 F F F\n",
        HEAD + "1 1\nDirect\n0 0 0 Cs\n0.5 0.5 0.5 Cl\n",
        HEAD + "Cs Cl\n1 1\nCartesian\n0 0 0\n2.1 2.1 2.1\n",
        "t\n2.1\n2 0 0\n0 2 0\n0 0 2\nCs Cl\n1 1\nCartesian\n0 0 0\n1 1 1\n",
        "t\n-74.088\n1 0 0\n0 1 0\n0 0 1\nCs Cl\n1 1\nCartesian\n0 0 0\n0.5 0.5 0.5\n",
        "t\n4.2 2.1 4.2\n1 0 0\n0 2 0\n0 0 1\nCs Cl\n1 1\n" + BODY,
        "t\n4.2 2.1 4.2\n1 0 0\n0 2 0\n0 0 1\nCs Cl\n1 1\nC\n0 0 0\n0.5 1 0.5\n",
        "\n" + HEAD.partition("\n")[2] + "Cs Cl\n1 1\n" + BODY,
        "Cs ! #\n" + HEAD.partition("\n")[2] + "Cs Cl ! the species\n1 1\n" + BODY,
    ],
)
def test_one_crystal_however_it_is_written(text):
    found = read(text)
    assert found.species_at_sites == ("Cs", "Cl")
    assert found.note is None
    assert np.allclose(found.lattice_vectors, 4.2 * np.eye(3), atol=1e-3)
    assert np.allclose(found.cartesian_site_positions, [[0] * 3, [2.1] * 3], atol=1e-3)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (HEAD + "CS CL\n1 1\n" + BODY, "species CS read as Cs; species CL read as Cl"),
        (HEAD + "Cs Cl\n1 1\nDirect\n0 0 0 Cl\n0.5 0.5 0.5 Cs\n", "a position of Cs is called Cl"),
        (HEAD + "Cs D\n1 1\n" + BODY, "deuterium read as hydrogen"),
        (HEAD + "Cs T\n1 1\n" + BODY, "tritium read as hydrogen"),
        (HEAD + "Cs Cl\n1 1\nDirect\n0 0 0\n0.5-0.5-0.5\n", "told apart by their minus signs"),
    ],
)
def test_what_is_guessed_is_noted(text, note):
    assert note in read(text).note


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HEAD + "1 1\n" + BODY, "it names no elements"),
        ("Cs Cl\n" + HEAD.partition("\n")[2] + "1 1\n" + BODY, "it names no elements"),
        (HEAD + "1 1\nDirect\n0 0 0 T T F\n0.5 0.5 0.5 T T T\n", "it names no elements: T and F"),
        (HEAD + "1 1\nSelective\nDirect\n0 0 0 T T F\n0.5 0.5 0.5 T T T\n", "it names no elements"),
        (HEAD + "Cs Cl\n1\n" + BODY, "it names 2 species and gives 1 numbers of atoms"),
        (HEAD + "Cs\n1 1\n" + BODY, "it names 1 species and gives 2 numbers of atoms"),
        (HEAD + "Cs Xx\n1 1\n" + BODY, "its species 'Xx' is no element"),
        (HEAD + "Cs Cl\n1 2\n" + BODY, "it ends after 2 of 3 atoms"),
        (HEAD + "Cs Cl\n1 1\n0 0 0\n0.5 0.5 0.5\n0 0 0\n", "Direct or Cartesian"),
        (HEAD + "Cs Cl\n1 1\nDirect\n0 0 0\n0.5 * 0.5\n", "'*'"),
        (
            "t\n1 -1 1\n1 0 0\n0 1 0\n0 0 1\nCs Cl\n1 1\n" + BODY,
            "three scale factors must be above 0",
        ),
        (HEAD, "it ends after 5 lines"),
        ("", "the file is empty"),
    ],
)
def test_what_is_not_whole_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason.replace("*", r"\*")):
        crystal(text)


@pytest.mark.parametrize("counts", ["1.0 1.0", "-1 1"])
def test_numbers_of_atoms_are_whole(counts):
    with pytest.raises(ValueError, match=f"'{counts.split()[0]}' stands where a symbol or a whole"):
        read(HEAD + f"Cs Cl\n{counts}\n" + BODY)


WHOLE = HEAD + "Cs Cl\n1 1\n" + BODY


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (WHOLE + "0.25 0.25 0.25\n", "positions follow in line 11, beyond its numbers of atoms"),
        (WHOLE + "Direct configuration=     2\n0 0 0\n0.6 0.6 0.6\n", "another crystal begins in"),
        (WHOLE + WHOLE, "another crystal begins in line 12"),
        (WHOLE + "\n" + WHOLE.replace("Cs", "K_pv"), "another crystal begins in line 13"),
        (WHOLE.replace("\n1.0\n", "\n1_0\n"), "'1_0' stands where one or three scale factors"),
        (WHOLE.replace("\n1.0\n", "\n1.0 1.0\n"), "'1.0 1.0' stands where one or three"),
        (WHOLE.replace("\n1.0\n", "\n1.0 1.0 1.0 1.0\n"), "stands where one or three"),
        (WHOLE.replace("4.2 0 0", "4_2 0 0"), "its lattice is not three lines of three numbers"),
        (WHOLE.replace("0.5 0.5 0.5", "0.5_5 0.5 0.5"), "'0.5_5' is not a number"),
    ],
)
def test_what_would_be_read_as_something_else_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        crystal(text)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (WHOLE.replace("Direct", "Angstrom"), "under 'Angstrom' read as fractional, as VASP does"),
        (WHOLE.replace("1 1\n", "0 2\n"), "species without atoms: Cs"),
        (WHOLE.replace("Direct", "Fractional"), None),
    ],
)
def test_what_vasp_reads_otherwise_than_it_looks_is_noted(text, note):
    assert read(text).note == note or note in read(text).note


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\x0c"])
def test_a_comment_may_hold_any_mark(mark):
    assert read(WHOLE.replace("comment", f"a{mark}b")).nsites == 2
