"""A file that exists is complete, whatever happens while it is written."""

import csv
import json
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.files import whole_file, write_json, write_table, write_text
from model.files import read_csv, write_csv


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "new" / "notes.txt"
    write_text(path, "Å, before")
    with pytest.raises(RuntimeError), whole_file(path) as partial:
        partial.write_text("half of")
        assert path.read_text(encoding="utf-8") == "Å, before"
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == "Å, before"
    assert list(path.parent.iterdir()) == [path]


def test_what_is_written_is_read_back(tmp_path):
    write_json(tmp_path / "a.json", {"unit": "μB", "values": [1, 2.5, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {
        "unit": "μB",
        "values": [1, 2.5, None],
    }
    table = pa.table({"x": [1.0, 2.0]})
    write_table(tmp_path / "a.parquet", table)
    assert pq.read_table(tmp_path / "a.parquet").equals(table)
    write_csv(tmp_path / "a.csv", ("id", "unit"), [("x", "Å"), ("y", "a,b")])
    assert read_csv(tmp_path / "a.csv") == [{"id": "x", "unit": "Å"}, {"id": "y", "unit": "a,b"}]


def test_a_reader_never_sees_half_a_file(tmp_path):
    path, seen = tmp_path / "large.json", set()
    write_json(path, [0] * 100_000)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add(len(json.loads(path.read_text())))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(5):
        write_json(path, [0] * 100_000)
    stop.set()
    reader.join()
    assert seen == {100_000}


def test_a_full_disk_leaves_nothing(tmp_path):
    path = tmp_path / "table.csv"
    with pytest.raises(OSError, match="No space left"), whole_file(path) as partial:
        partial.symlink_to("/dev/full")
        partial.write_text("x" * 10_000)
    assert list(tmp_path.iterdir()) == []


FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "'=1", "''@x", "-", "=\ud800"]


def test_a_text_of_a_table_is_no_formula_and_is_read_back(tmp_path):
    numbers = ["-1.5", "+2e-3", "-inf", -0.25, "'quoted'", "a=b", ""]
    path = tmp_path / "a.csv"
    write_csv(
        path, ("id", "value"), [*((text, 1) for text in FORMULAS), *((n, 2) for n in numbers)]
    )
    for line in path.read_text().splitlines()[1 : 1 + len(FORMULAS)]:
        assert line.lstrip('"')[0] == "'"
    back = [row["id"] for row in read_csv(path)]
    readable = [text.encode("utf-8", "backslashreplace").decode() for text in FORMULAS]
    assert back == [*readable, *map(str, numbers)]
    with path.open(newline="") as file:  # numbers are as they were
        assert [row[0] for row in csv.reader(file)][-len(numbers) :] == list(map(str, numbers))
