"""Every place of a JSON file is an entry or the error against it."""

import io
import json

import pytest

from curate.sources import json_entries
from curate.sources.entries import record_of, value_of
from curate.sources.files import read_file

ATOMS = {
    "lattice_mat": [[4, 0, 0], [0, 4, 0], [0, 0, 4]],
    "coords": [[0, 0, 0]],
    "elements": ["Po"],
}


def read(text: str, **options) -> list:
    return list(json_entries.entries(io.StringIO(text), **options))


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_a_list_is_read_member_by_member(monkeypatch, chunk):
    monkeypatch.setattr(json_entries, "CHUNK", chunk)
    members = [{"a": 1.5, "b": "]"}, None, 12, 'x,\\" y', [1, [2]], {"c": {"d": [True, None]}}]
    assert read(" " + json.dumps(members, indent=2)) == members
    assert read(json.dumps(members)) == members
    assert read("[]") == []
    found = read('[{"a": 1}, {"b": }, {"c": 2}]')
    assert found[0] == {"a": 1}
    assert "entry 1 can't be read, nor what follows it" in str(found[1])
    assert len(found) == 2
    assert "the list has no end" in str(read('[{"a": 1},')[-1])


def test_numbers_that_python_writes_are_read():
    (entry,) = read('[{"a": NaN, "b": -Infinity}]')
    assert value_of(entry["a"]) is None
    assert value_of(entry["b"]) is None


@pytest.mark.parametrize("first", ['{"a": 1}', "{broken"])
def test_a_line_that_is_broken_costs_itself(first):
    found = read(f'{first}\n\n{{"b": 2}}\n{{"c": 3')
    assert found[1] == {"b": 2}
    assert "line 4 is no JSON" in str(found[2])
    assert len(found) == 3
    assert len(read("[1]\n[2]\n", is_lines=True)) == 2


def test_one_dictionary_over_many_lines():
    assert read(json.dumps(ATOMS, indent=1)) == [ATOMS]
    assert "no JSON" in str(read("{\n 1\n}")[0])
    assert read("") == []


@pytest.mark.parametrize("key", ["id", "jid", "material_id"])
def test_zero_is_an_id(key):
    assert record_of({key: 0, "atoms": ATOMS}, "t", {}).material_id == "0"
    assert record_of({key: "", "atoms": ATOMS}, "t", {}).material_id == "t"


def test_a_structure_names_no_class(tmp_path, monkeypatch):
    (tmp_path / "innocent_helper.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monster = {"@module": "innocent_helper", "@class": "Thing"}
    structure = {
        "@module": "innocent_helper",
        "@class": "Structure",
        "properties": {"a": monster},
        "lattice": {"matrix": ATOMS["lattice_mat"], "properties": monster},
        "sites": [
            {
                "species": [{"element": "Po", "occu": 1, "properties": monster}],
                "abc": [0, 0, 0],
                "properties": {"m": monster},
            }
        ],
    }
    found = record_of({"id": "x", "structure": structure, "gap": 1.0}, "t", {})
    assert found.species_at_sites == ("Po",)


def test_numbers_are_those_that_are_written():
    assert value_of("2_1") == "2_1"
    assert value_of("٣") == "٣"
    assert value_of(" 1e3 ") == 1000.0
    assert value_of(2**53 + 1) == 2.0**53
    assert isinstance(value_of(2**64), float)
    found = record_of({"id": "x", "atoms": ATOMS, "n": 10**400}, "t", {})
    assert "property n is a whole number larger than any" in found.error_message


def test_a_key_that_a_structure_lacks_is_named(tmp_path):
    (tmp_path / "x.json").write_text('[{"structure": {"sites": []}}]')
    (row,) = read_file(tmp_path / "x.json")
    assert row.error_message == "its structure has no 'lattice'"


@pytest.mark.parametrize("chunk", [1, 1 << 20])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"a": 1},, {"b": 2}]', "2 commas before entry 1: something is missing there"),
        ('[{"a": 1} {"b": 2}]', "0 commas before entry 1"),
        ('[, {"a": 1}]', "1 commas before entry 0"),
        ('[{"a": 1}]\n \n[{"b": 2}]', "more follows the end of the list"),
        ('[{"a": 1}, {"b": 2, "b": 3}]', "it gives 'b' twice"),
        ('{"a": 1, "x": {"b": 2, "b": 3}}', "it gives 'b' twice"),
        ('{"a": 1}\n{"b": 2, "b": 3}\n', "line 2 is no JSON: it gives 'b' twice"),
    ],
)
def test_what_would_be_lost_without_a_word_is_a_row(monkeypatch, chunk, text, reason):
    monkeypatch.setattr(json_entries, "CHUNK", chunk)
    errors = [str(entry) for entry in read(text) if isinstance(entry, Exception)]
    assert len(errors) == 1
    assert reason in errors[0]


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0c"])
@pytest.mark.parametrize("first", ['{"a": 1}\n', "{broken\n"])
def test_a_text_may_hold_other_marks_of_lines(mark, first):
    found = read(first + f'{{"b": "x{mark}y"}}\n{{"c": "x{mark}y"}}\n', is_lines=True)
    if mark == "\x0c":  # a control character, which JSON writes by its number
        assert len(found) == 3
    else:
        assert found[1:] == [{"b": f"x{mark}y"}, {"c": f"x{mark}y"}]


def test_letters_of_other_encodings_stay_apart(tmp_path):
    path = tmp_path / "latin1.jsonl"
    lines = [json.dumps({"id": name, "atoms": ATOMS}, ensure_ascii=False) for name in ("é", "è")]
    path.write_bytes("\n".join(lines).encode("latin-1"))
    assert len({entry.material_id for entry in read_file(path)}) == 2


TWO = {**ATOMS, "coords": [[0, 0, 0], [0.5, 0.5, 0.5]], "elements": ["Na", "Cl"]}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"cartesian": "false"}, "cartesian is 'false', not true or false"),
        ({"elements": "CO"}, "its elements are one text, not a list"),
        ({"coords": [[0, 0.5], [0, 0.5], [0, 0.5]]}, "positions of shape (3, 2), 2 elements"),
        ({"coords": [[0, 0, 0], [True, 0.5, 0.5]]}, "'True' stands among its numbers"),
        ({"coords": [[0, 0, 0], ["0_5", 0.5, 0.5]]}, "'0_5' stands among its numbers"),
        ({"lattice_mat": [["4_0", 0, 0], [0, 4, 0], [0, 0, 4]]}, "'4_0' stands among"),
    ],
)
def test_atoms_of_another_form_are_refused(changed, reason):
    assert reason in record_of(TWO | changed, "t", {}).error_message


def structure(**site) -> dict:
    first = {"species": [{"element": "Po", "occu": 1}], "abc": [0, 0, 0.5], "xyz": [0, 0, 2.0]}
    return {"lattice": {"matrix": ATOMS["lattice_mat"], "a": 4.0}, "sites": [first | site]}


def test_a_structure_of_another_form_is_refused():
    assert record_of(structure(), "t", {}).note is None
    for wrong in ([0, 0], [[0], [0], [0]], [0, 0, True], [0, 0, "0_5"]):
        assert record_of(structure(abc=wrong), "t", {}).error_type == "ValueError"
    occupied = [{"element": "Po", "occu": "full"}]
    assert "'full' stands among" in record_of(structure(species=occupied), "t", {}).error_message
    both = {"structure": structure(), "atoms": ATOMS}
    assert record_of(both, "t", {}).error_message == "it holds both a structure and atoms"


def test_what_a_structure_says_otherwise_is_noted():
    assert (
        "abc and xyz of site 0 are 1.00 Å apart"
        in record_of(structure(xyz=[0, 0, 3]), "t", {}).note
    )
    for changed, note in (({"a": 5.0}, "its a is 5 Å"), ({"pbc": [True, True, False]}, "2 direct")):
        other = structure()
        other["lattice"].update(changed)
        assert note in record_of(other, "t", {}).note
