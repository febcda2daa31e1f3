"""Tasks of Matbench: ids, targets and folds are the official ones, from the package or Matbench's file."""

import gzip
import hashlib
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import curate
from sklearn.model_selection import KFold

from curate.errors import InputError
from curate.record import SkippedEntry, StructureRecord
from curate.sources.matbench import (
    TASKS,
    Matbench,
    MatbenchSettings,
    fold_column,
    material_id,
    official_folds,
)

# SHA-256 of the official folds, one byte a row in the order of the ids, as matbench 0.6 has them in
# matbench_v0.1_validation.json.
FOLDS = {
    "dielectric": "75ce477812f494b8b1e0199e21c1226dd8b4edcdc05e93fecdb112085a50ab12",
    "jdft2d": "72e2b4bc7ea4df679c2b76cd181fc1da157db1f8a8a3c7ae22bbc0d59d41467b",
    "log_gvrh": "d4f1c38e786d9d8f0e0b75357b99c60f5918f9330f524bca90cc2b755d58ad4c",
    "log_kvrh": "d4f1c38e786d9d8f0e0b75357b99c60f5918f9330f524bca90cc2b755d58ad4c",
    "mp_e_form": "86b3e1f495cbebb05e4ff38810580badafe752a7654a80e8ba20ab7b2f25c75c",
    "mp_gap": "0e4e0dea8fbe7235e1b18ccf80eb6e42282948faf694a6280f97ca25614f74f8",
    "perovskites": "78012772e6affd65d33b5f817c88b243facb10b86f5de2229216ebe3bfeeb069",
    "phonons": "5139ec1c5736bd95d40a2bdbc2a0d28d85f010f59af0d000353e96eb3a776c6b",
}
# Mean absolute deviation of the targets, from the same package's matbench_v0.1_dataset_metadata.json.
DEVIATIONS = {"jdft2d": 67.20200406491116, "phonons": 323.78696979348734}


def test_folds_are_matbenchs_own():
    assert FOLDS.keys() == TASKS.keys()
    for name, digest in FOLDS.items():
        folds = official_folds(TASKS[name].n)
        assert hashlib.sha256(folds.astype(np.uint8).tobytes()).hexdigest() == digest, name
    parts = KFold(5, shuffle=True, random_state=18012019).split(np.zeros(636))
    for number, (_, test) in enumerate(parts):
        assert (np.flatnonzero(official_folds(636) == number) == test).all()


@pytest.mark.parametrize(("name", "sizes"), [("jdft2d", [128] + [127] * 4), ("phonons", [253] * 5)])
def test_embedded_tasks_are_complete(name, sizes):
    records = list(Matbench(name).records())
    task = TASKS[name]
    assert [record.material_id for record in records] == [
        material_id(name, i) for i in range(task.n)
    ]
    labels = [record.properties[fold_column(name)] for record in records]
    assert [labels.count(str(fold)) for fold in range(5)] == sizes
    targets = np.array([record.properties[task.target] for record in records])
    deviation = np.abs(targets - targets.mean()).mean()
    assert deviation == pytest.approx(DEVIATIONS[name], rel=1e-9)
    assert {record.license for record in records} == {task.license}
    assert all(len(record.properties) == 2 for record in records)


def test_ids_have_matbenchs_width():
    assert material_id("jdft2d", 0) == "mb-jdft2d-001"
    assert material_id("log_gvrh", 10_986) == "mb-log-gvrh-10987"
    assert material_id("phonons", 0) == "mb-phonons-0001"


def matbench_file(path, name, rows=None, **changed):
    """A file in Matbench's format; its rows are the embedded ones of the task unless given."""
    target = TASKS[name].target
    rows = rows or [
        [record.to_pymatgen().as_dict(), record.properties[target]]
        for record in Matbench(name).records()
    ]
    table = {"index": list(range(len(rows))), "columns": ["structure", target], "data": rows}
    content = json.dumps({**table, **changed}).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.fixture(scope="module")
def official_file(tmp_path_factory):
    return matbench_file(tmp_path_factory.mktemp("file") / "matbench_jdft2d.json.gz", "jdft2d")


def test_matbenchs_own_file_gives_what_is_embedded(official_file, tmp_path, caplog):
    embedded = list(Matbench("jdft2d").records())
    source = Matbench("jdft2d", official_file)
    assert source.snapshot().sha256 == hashlib.sha256(official_file.read_bytes()).hexdigest()
    assert "is not byte for byte the published matbench_jdft2d.json.gz" in caplog.text
    for one, other in zip(embedded, source.records(), strict=True):
        assert (one.material_id, one.properties) == (other.material_id, other.properties)
        assert one.species_at_sites == other.species_at_sites
        assert np.allclose(one.cartesian_site_positions, other.cartesian_site_positions, atol=1e-9)

    table = json.loads(gzip.decompress(official_file.read_bytes()))
    backwards = matbench_file(
        tmp_path / "backwards.json",
        "jdft2d",
        [row[::-1] for row in table["data"][::-1]],
        index=table["index"][::-1],
        columns=table["columns"][::-1],
    )
    turned = {record.material_id: record for record in Matbench("jdft2d", backwards).records()}
    for record in embedded:
        assert turned[record.material_id].properties == record.properties


def test_a_broken_row_costs_itself_only(official_file, tmp_path):
    table = json.loads(gzip.decompress(official_file.read_bytes()))
    table["data"][1] = ["what"]
    del table["data"][2][0]["sites"]
    table["data"][3][1] = float("nan")
    path = matbench_file(tmp_path / "broken.json.gz", "jdft2d", table["data"])
    found = list(Matbench("jdft2d", path).records())
    assert [type(entry) for entry in found[:4]] == [
        StructureRecord,
        SkippedEntry,
        SkippedEntry,
        StructureRecord,
    ]
    assert found[1].material_id == "mb-jdft2d-002" and found[1].status == "unreadable"
    assert found[3].properties["exfoliation_en"] is None and len(found) == 636


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"columns": ["structure", "e_form"]},
            "are structure and exfoliation_en; this file's: str",
        ),
        ({"columns": 3}, "this file's: none"),
        ({"index": list(range(635))}, "has 636 rows, numbered from 0; this file has 635"),
        ({"index": list(range(1, 637))}, "numbered from 0; this file has 636"),
        ({"data": []}, "holds 0 of the 636 rows"),
    ],
)
def test_another_file_is_one_sentence(tmp_path, changed, words):
    path = matbench_file(tmp_path / "wrong.json", "jdft2d", [[{}, 1.0]] * 636, **changed)
    with pytest.raises(InputError, match=words) as error:
        list(Matbench("jdft2d", path).records())
    assert str(error.value).startswith(f"--input {path}")


def test_damaged_files_are_one_sentence(official_file, tmp_path):
    packed = official_file.read_bytes()
    bomb = gzip.compress(b'{"index": [' + b" " * 50_000_000)
    for content in (packed[: len(packed) // 2], b"", b"[1, 2", packed[:100] + packed[200:], bomb):
        path = tmp_path / "damaged.json.gz"
        path.write_bytes(content)
        with pytest.raises(InputError) as error:
            list(Matbench("jdft2d", path).records())
        assert str(error.value).startswith(f"--input {path}") and "\n" not in str(error.value)


def test_a_task_that_is_not_embedded_says_where_its_file_is(tmp_path):
    with pytest.raises(InputError, match=r"needs --task; known: dielectric, jdft2d"):
        MatbenchSettings().check()
    refused = curate(
        *("build", "--db", "matbench", "--task", "log_gvrh", "--out", tmp_path / "run"),
    )
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "projects/matbench_log_gvrh.json.gz and give the file as --input" in refused.stderr


def test_the_command_builds_a_dataset_with_folds(tmp_path):
    run = tmp_path / "run"
    words = ("build", "--db", "matbench", "--out", run, "--limit", 3, "--workers", 1)
    done = curate(*words, "--task", "phonons")
    assert done.returncode == 0, done.stderr
    assert "no unit" not in done.stderr
    table = pq.read_table(run / "dataset" / "default")
    assert table["material_id"].to_pylist() == [f"mb-phonons-000{n}" for n in (1, 2, 3)]
    assert table["last phdos peak"][0].as_py() == pytest.approx(98.585771227)
    assert table["fold_matbench_phonons"].to_pylist() == [
        str(fold) for fold in official_folds(1_265)[:3]
    ]
    assert table.schema.field("last phdos peak").metadata[b"unit"] == b"1/cm"
    card = (run / "dataset" / "README.md").read_text()
    assert (
        "Petretto et al., Scientific Data 5, 180065 (2018)" in card and "license: cc-by-4.0" in card
    )
    assert "`fold_matbench_phonons` holds the official fold of each crystal." in card
    assert "No official benchmark" not in card
    other = curate(*words, "--task", "jdft2d")
    assert other.returncode == 2 and "task was phonons, now jdft2d" in other.stderr
