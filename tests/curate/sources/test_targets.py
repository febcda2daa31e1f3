"""Tables of targets: each line and column is read for what it says, or refused by its place."""

import pytest

from curate.errors import InputError
from curate.sources.files import table_of


def read(tmp_path, content: str | bytes):
    path = tmp_path / "targets.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    table, _ = table_of(path)
    return table


@pytest.mark.parametrize(
    "text",
    [
        "id,gap\na,1.5\nb,2\n",
        "id, gap\na, 1.5\n\n b,2 \n\n",
        '"id","gap"\n"a","1.5"\n"b","2"\n',
        "\ufeffid,gap\r\na,1.5\r\nb,2\r\n",
        "id,gap\na,1.5\nb,2\n,\n",
    ],
)
def test_one_table_however_it_is_written(tmp_path, text):
    assert read(tmp_path, text) == {"a": {"gap": 1.5}, "b": {"gap": 2.0}}


def test_marks_for_no_value_leave_numbers(tmp_path, caplog):
    table = read(tmp_path, "id,gap\na,1.5\nb,n.d.\nc,?\nd,-\ne,NaN\nf,\ng,inf\n")
    assert [row["gap"] for row in table.values()] == [1.5, *[None] * 6]
    assert "gap has no value for b, c, d ('n.d.')" in caplog.text


def test_text_among_numbers_is_said(tmp_path, caplog):
    table = read(tmp_path, "id,gap\na,1.5\nb,2_1\nc,3\n")
    assert table["b"]["gap"] == "2_1"
    assert "gap holds text ('2_1' for b) among 2 numbers" in caplog.text


def test_text_alone_is_text(tmp_path, caplog):
    assert read(tmp_path, "id,kind\na,-\nb,metal\n")["a"]["kind"] == "-"
    assert not caplog.records


def test_letters_of_other_encodings(tmp_path):
    assert read(tmp_path, "id,größe\na,1\n".encode("latin-1")) == {"a": {"größe": 1.0}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,1.5\nb,2\n", r"first line \(a,1.5\) looks like data"),
        ("id,gap,gap\na,1,2\n", "two columns are called gap"),
        ("id,gap,\na,1,2\n", "a column of its first line has no name"),
        ("id,gap\na,1\na,2\n", "line 3: a is there twice"),
        ("id,gap\na,1,2\n", "line 2: 3 values under 2 names"),
        ("id,gap\n,1\n", "line 2: no id"),
        ('id,gap\na,"1\nb,2\n', "line 2: "),
        ('id,gap\na,"1\nb",2\n', "line 2: a quote is opened and not closed"),
        ("id;gap\na;1\n", "separated by commas"),
        ("", "needs a header"),
    ],
)
def test_a_table_that_is_not_whole_is_refused(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        read(tmp_path, text)


def test_names_may_bring_their_units(tmp_path):
    path = tmp_path / "targets.csv"
    path.write_text("id,gap:eV, hardness : GPa ,label\na,1,2,x\n")
    assert table_of(path) == (
        {"a": {"gap": 1.0, "hardness": 2.0, "label": "x"}},
        {"gap": "eV", "hardness": "GPa"},
    )
    path.write_text("id,gap:eV,gap\na,1,2\n")
    with pytest.raises(InputError, match="two columns are called gap"):
        table_of(path)


def test_a_table_without_names_takes_one_from_the_command_line(tmp_path):
    path = tmp_path / "id_prop.csv"
    path.write_text("a,1.5\n7,2\n")
    assert table_of(path, "gap:eV") == ({"a": {"gap": 1.5}, "7": {"gap": 2.0}}, {"gap": "eV"})
    with pytest.raises(InputError, match=r"looks like data; .* or add --property-name NAME:UNIT"):
        table_of(path)
    path.write_text("id,gap\na,1.5\n")
    with pytest.raises(InputError, match=r"first line \(id,gap\) holds no number"):
        table_of(path, "gap:eV")
    path.write_text("a,1.5,2\n")
    with pytest.raises(InputError, match="line 1: 3 values under 2 names"):
        table_of(path, "gap:eV")
    path.write_text("a,n.d.\nb,2\n")
    assert table_of(path, "gap")[0] == {"a": {"gap": None}, "b": {"gap": 2.0}}


@pytest.mark.parametrize("value", ["1e400", "-1e999", "9" * 400])
def test_a_number_beyond_floats_is_named_with_its_id(tmp_path, value):
    with pytest.raises(InputError, match="gap of b is a number larger than any"):
        read(tmp_path, f"id,gap\na,1\nb,{value}\nc,inf\n")


@pytest.mark.parametrize(
    "value", ['"1,5"', '"1,500.5"', "1 500", "−1.5", "1.5(2)", "1.5 eV", "10%", "1_000", "1.5D+02"]
)
def test_numbers_in_another_notation_are_said(tmp_path, caplog, value):
    read(tmp_path, f"id,gap,name\na,{value},A 1\n")
    (record,) = caplog.records
    assert "gap is a column of text, as" in record.getMessage()
    assert "numbers are written as 1500.5" in record.getMessage()
