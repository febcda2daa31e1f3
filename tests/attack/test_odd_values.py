"""One odd value costs itself, or is refused before anything is described."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from builds import Crystals, manifest, some
from plain_build import describe

from curate.build import build
from curate.config import BuildConfig
from curate.errors import InputError
from curate.record import Description, SkippedEntry
from curate.run.folder import Run, table_of
from curate.run.sealed import read_record, write_record
from curate.sources.files import FilesSettings

ATOMS = {
    "lattice_mat": [[3.6, 0, 0], [0, 3.6, 0], [0, 0, 3.6]],
    "coords": [[0, 0, 0]],
    "elements": ["Na"],
}
LONE = "\ud800"  # half of a surrogate pair


def described(folder: Path, *lines: str) -> dict[str, dict]:
    """The rows by id of a build of these lines and a good one after them."""
    good = json.dumps({"material_id": "good", "atoms": ATOMS, "gap": 1.5})
    (folder / "in.jsonl").write_text("\n".join([*lines, good]) + "\n")
    source = FilesSettings(input=folder / "in.jsonl")
    build(BuildConfig(out=folder / "run", source=source, workers=1), describe=describe)
    rows = pq.read_table(folder / "run" / "dataset" / "default").to_pylist()
    return {row["material_id"]: row for row in rows}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (str(2**53 + 1), float(2**53)),
        (str(2**63), 2.0**63),
        (str(-(2**64) - 1), -(2.0**64)),
        ("1e400", None),
        ("-Infinity", None),
        ("true", None),
        (json.dumps(LONE), None),
    ],
)
def test_a_number_beyond_a_column_costs_at_most_itself(tmp_path, written, kept):
    line = json.dumps({"material_id": "odd", "atoms": ATOMS, "x": 0})
    rows = described(tmp_path, line.replace('"x": 0', f'"x": {written}'))
    assert rows.keys() == {"odd", "good"} and rows["good"]["gap"] == 1.5
    if kept is not None:
        assert rows["odd"]["x"] == kept


@pytest.mark.parametrize("written", ["7" * 400, "7" * 5000, json.dumps("9" * 400)])
def test_a_number_beyond_floats_is_named_with_its_id(tmp_path, written):
    line = json.dumps({"material_id": "odd", "atoms": ATOMS, "x": 0})
    rows = described(tmp_path, line.replace('"x": 0', f'"x": {written}'))
    assert rows.keys() == {"good"}
    (odd,) = (row for name, row in manifest(tmp_path / "run").items() if name != "good")
    assert odd["status"] == "unreadable"
    assert ("property x" in odd["error_message"]) == (len(written) < 5000)


def test_texts_that_no_file_holds_are_kept_by_number(tmp_path):
    entry = {"material_id": f"a{LONE}", "atoms": ATOMS, f"n{LONE}": 2, "said": f"b{LONE}"}
    (rows,) = [described(tmp_path, json.dumps(entry))]
    row = rows["a\\ud800"]
    assert (row["n\\ud800"], row["said"]) == (2.0, "b\\ud800")


def test_a_file_name_that_is_no_text_is_kept_by_number(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    text = json.dumps({"atoms": ATOMS})
    with open(os.fsencode(folder) + b"/x\xff.json", "w") as file:  # noqa: PTH123 (bytes)
        file.write(text)
    (folder / "y.json").write_text(text)
    config = BuildConfig(out=tmp_path / "run", source=FilesSettings(input=folder), workers=1)
    assert build(config, describe=describe).described == 2
    assert manifest(config.out).keys() == {"x\\udcff", "y"}


@pytest.mark.parametrize("name", ["split_mine", "license", "condensed_structure", ""])
def test_the_name_of_a_property_is_refused_before_describing(tmp_path, name):
    record = replace(some(1)[0], properties={name: 1})
    with pytest.raises(InputError, match=f"property.*{name}.*{record.material_id}|without a name"):
        build(BuildConfig(out=tmp_path), source=Crystals([record]))
    assert not Run(tmp_path).described_shards()


def fails(record, options) -> Description:
    return Description(record.material_id, "error", error_type="E", error_message="no")


def test_a_run_whose_crystals_all_failed_has_a_dataset(tmp_path):
    """Ids of an official benchmark, and nothing described."""
    entries = [*some(2), SkippedEntry("JVASP-1002", "unreadable", "E", "no")]
    counts = build(BuildConfig(out=tmp_path, workers=1), source=Crystals(entries), describe=fails)
    assert counts.described == 0 and counts.failed.total() == 3
    assert pq.read_table(tmp_path / "dataset" / "default").num_rows == 0
    assert len(manifest(tmp_path)) == 3


def test_values_that_version_0_1_0_froze_do_not_keep_the_dataset_from_being_written(tmp_path):
    records = [replace(r, properties={"x": v}) for r, v in zip(some(2), (10**400, 1), strict=True)]
    config = BuildConfig(out=tmp_path, workers=1)
    build(config, source=Crystals(records[1:]), describe=describe)
    run = Run(tmp_path)
    run.write_structures(0, table_of(records))
    fetched = read_record(run.structures_file)
    write_record(run.structures_file, {**fetched, "entries": 2, "properties": {"x": "number"}})
    assert build(config, source=Crystals([]), describe=describe).described == 2
    rows = pq.read_table(tmp_path / "dataset" / "default").to_pylist()
    assert [row["x"] for row in rows] == [None, 1.0]
