"""Experiments: what is trained, what stands for text, what the differences say, what is written."""

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from corpus import TARGET, rows, write_dataset
from small import reordered, rotated, supercell

from curate.describe.condense import condense
from curate.describe.description import describe
from curate.describe.text_views import VIEWS, view
from curate.errors import InputError
from model.config import ExperimentConfig, NetworkConfig
from model.data.duplicates import near_duplicates
from model.data.materials import Material
from model.data.rows import LARGE, Rows
from model.data.splits import part_of
from model.data.text_inputs import deranged, input_texts, shuffled_texts, spacegroups
from model.encoder_settings import ENCODERS
from model.experiments.composition_baseline import (
    Compositions,
    fit_baseline,
    trees_predictions,
)
from model.experiments.report import Comparison, verdict
from model.experiments.run import run, trainings
from model.experiments.variants import Variant, variants
from model.model_folder import ModelFolder
from model.statistics.paired_difference import Difference


@pytest.fixture(scope="module")
def condensed(rutile):
    from curate.describe.options import DescribeOptions

    return condense(rutile.to_pymatgen(), DescribeOptions())[0]


def test_views_are_the_parts_of_the_text(condensed, rutile):
    text = describe(rutile).text
    assert view(condensed, "formula") == "TiO2"
    whole = view(condensed, "global")
    assert "P4_2/mnm" in whole and "Rutile" in whole and "3D" in whole and "Å" not in whole
    connected, local = view(condensed, "semi-global"), view(condensed, "local")
    assert "edge-sharing TiO6 octahedra" in connected and "Å" not in connected
    assert "Å" in local and "-sharing" not in local
    beginning = whole.split(" The structure")[0]
    sentences = set(re.split(r"(?<=[.])\s+(?=[A-Z])", text))
    assert sentences == set(re.split(r"(?<=[.])\s+(?=[A-Z])", f"{beginning} {connected} {local}"))
    masked = view(condensed, "masked")
    assert not re.search(r"\d\.\d|\d°", masked)
    assert re.sub(r"\d+\.\d+|\d+(?=°)", "[NUM]", text) == masked
    with pytest.raises(ValueError, match="unknown view"):
        view(condensed, "other")


def materials(records, **fields):
    table = pa.Table.from_pylist(
        [{**asdict(record), "properties": None, **fields} for record in records]
    )
    rows = Rows([(len(records), table.select)], table.schema)
    return [
        Material(record.material_id, 1.0, None, number, rows, rows.only(LARGE))
        for number, record in enumerate(records)
    ]


def test_shuffled_texts_are_the_same_ones_elsewhere():
    texts = [f"text {number}" for number in range(50)]
    moved = deranged(texts, seed=1)
    assert sorted(moved) == sorted(texts) and all(a != b for a, b in zip(texts, moved, strict=True))
    assert moved == deranged(texts, seed=1) != deranged(texts, seed=2)


def test_shuffled_texts_stay_in_their_part():
    """So no text of a test crystal is learned from, whatever the split and its random stream."""
    ids = [f"m{number}" for number in range(60)]
    texts = [f"text {number}" for number in range(60)]
    own = dict(zip(ids, texts, strict=True))
    parts = {"train": ids[::2], "val": ids[1:20:2], "test": ids[21::2], "leak": []}
    given = dict(zip(ids, shuffled_texts(ids, texts, 1, parts), strict=True))
    for names in parts.values():
        assert {given[name] for name in names} == {own[name] for name in names}
        assert all(given[name] != own[name] for name in names)
    fewer = {**parts, "val": ids[1:10:2]}  # what is dropped from one part changes no other
    again = dict(zip(ids, shuffled_texts(ids, texts, 1, fewer), strict=True))
    assert all(again[name] == given[name] for name in (*parts["train"], *parts["test"]))
    assert again[ids[19]] == own[ids[19]]  # in no part: no model reads it
    assert shuffled_texts(ids, texts, 2, parts) != shuffled_texts(ids, texts, 1, parts)
    with pytest.raises(InputError, match="one crystal for val, m1, and no other text"):
        shuffled_texts(ids, texts, 1, {"train": ids[2:], "val": ["m1"], "test": []})


def test_a_constant_text_says_the_same_of_all(silicon, rutile):
    assert len(set(input_texts(materials([silicon, rutile]), "constant", 0, {}))) == 1


def test_a_view_without_condensed_structure_is_refused(silicon):
    with pytest.raises(InputError, match="silicon has no condensed structure"):
        input_texts(materials([silicon]), "local", 0, {})


def test_space_groups_are_one_hot(crystals):
    names = ("silicon", "rock_salt", "rutile", "mos2", "dry_ice")
    vectors = spacegroups([crystals[name] for name in names])
    assert vectors.shape == (5, 230) and (vectors.sum(1) == 1).all()
    assert (vectors.argmax(1) + 1).tolist() == [227, 225, 136, 194, 205]
    told = replace(crystals["silicon"], spacegroup_number=1)  # the database's word counts
    assert spacegroups([told]).argmax() == 0


def test_smaller_shares_are_parts_of_larger_ones():
    ids = [f"m{number}" for number in range(200)]
    shares = [part_of(ids, share, seed=3) for share in (0.05, 0.2, 0.5, 1.0)]
    assert [len(share) for share in shares] == [10, 40, 100, 200]
    for smaller, larger in pairwise(shares):
        assert set(smaller) < set(larger)
        assert smaller == sorted(smaller, key=ids.index)


def test_near_duplicates_are_found_however_they_are_written(silicon, rutile, rock_salt):
    twins = [
        replace(way(record), material_id=f"{record.material_id} again")
        for record, way in ((silicon, rotated), (rutile, reordered), (rock_salt, supercell))
    ]
    stretched = replace(
        silicon, material_id="stretched", lattice_vectors=((9, 0, 0), (0, 2, 0), (0, 0, 4))
    )
    found = near_duplicates([*twins, stretched], [silicon, rutile, rock_salt])
    assert found == {record.material_id for record in twins}
    assert near_duplicates(twins, [stretched]) == set()


def config_of(tmp_path, dataset, cache, kind, **changed) -> ExperimentConfig:
    fixed = {
        "data": dataset,
        "targets": (TARGET,),
        "seeds": (1, 2),
        "fractions": (0.5, 1.0),
        "text_encoder": "minilm",
        "epochs": 1,
        "batch_size": 16,
        "cache": cache,
        "network": NetworkConfig(
            width=8, layers=1, alignn_layers=1, gcn_layers=1, embedding_width=8, projection_width=8
        ),
    }
    return ExperimentConfig(kind=kind, out=tmp_path, **{**fixed, **changed})


def test_each_question_compares_with_the_graph_alone(tmp_path, dataset, cache):
    names = {
        kind: [v.slug for v in variants(config_of(tmp_path, dataset, cache, kind))]
        for kind in ("modality", "encoder", "text", "low-data")
    }
    assert names["modality"] == [
        "graph-alignn",
        "text",
        "both-alignn",
        "both-alignn-shuffled",
        "both-alignn-constant",
        "both-alignn-spacegroup",
    ]
    assert len(names["encoder"]) == 2 * len(ENCODERS) and names["encoder"][2:4] == [
        "graph-cgcnn",
        "both-cgcnn",
    ]
    assert names["text"][2:] == [f"both-alignn-{part}" for part in VIEWS]
    assert names["low-data"] == [
        "graph-alignn-0.5-of-labels",
        "both-alignn-0.5-of-labels",
        "graph-alignn",
        "both-alignn",
    ]
    folders = [t.out for _, t in trainings(config_of(tmp_path, dataset, cache, "encoder"))]
    assert len(set(folders)) == len(folders) == 2 * 2 * len(ENCODERS)  # two seeds


def read(path: Path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_answer_is_complete_and_comes_out_the_same_again(tmp_path, dataset, cache):
    first = run(config_of(tmp_path / "one", dataset, cache, "low-data"))
    table = read(first / "results.csv")
    assert len(table) == 12 and {row["seed"] for row in table} == {"1", "2"}
    networks = [row for row in table if row["modality"] != "composition"]
    for row in table:
        predictions = read(first / "predictions" / f"{Path(row['checkpoint']).name}.csv")
        errors = [
            abs(float(p["target"]) - float(p["prediction"]))
            for p in predictions
            if p["split"] == "test"
        ]
        assert float(row["mae"]) == pytest.approx(np.mean(errors))
        weights = tmp_path / "one" / row["checkpoint"] / "model.safetensors"
        assert weights.exists() == (row in networks)
    for part in ("n_train", "n_val"):
        halves = {row["train_fraction"]: int(row[part]) for row in table}
        assert halves["0.5"] == round(halves["1.0"] / 2)
    for row in networks:  # 40 crystals in batches of 16 are 3 updates, 20 are 2
        history = read(tmp_path / "one" / row["checkpoint"] / "history.csv")
        assert len(history) == {"1.0": 1, "0.5": 2}[row["train_fraction"]]
    tests = {
        frozenset(
            p["id"]
            for p in read(first / "predictions" / f"{Path(row['checkpoint']).name}.csv")
            if p["split"] == "test"
        )
        for row in table
        if row["seed"] == "1"
    }
    assert len(tests) == 1  # every share and modality is judged by the same crystals
    for name in ("curve.png", "parity.png", "differences.json"):
        assert (first / name).stat().st_size > 100
    assert (
        "Each share is trained as many updates as the whole." in (first / "report.md").read_text()
    )
    again = run(config_of(tmp_path / "two", dataset, cache, "low-data"))
    assert (again / "report.md").read_text() == (first / "report.md").read_text()
    metrics = [tmp_path / "one" / row["checkpoint"] / "metrics.json" for row in table]
    before = [path.stat().st_mtime_ns for path in metrics]
    run(config_of(tmp_path / "one", dataset, cache, "low-data"))  # nothing is trained again
    assert [path.stat().st_mtime_ns for path in metrics] == before
    made = json.loads((first / "made.json").read_text())
    assert made["reproduction"] == "all 12 results came out as before"
    halves = run(config_of(tmp_path / "one", dataset, cache, "low-data", fractions=(0.5,)))
    crystals = (halves / "report.md").read_text().split("## The crystals")[1]
    assert re.findall(r"seed (\d): 20/2/\d+ crystals; of the test crystals", crystals) == ["1", "2"]


def test_the_description_is_compared_with_each_text_that_says_less(tmp_path, dataset, cache):
    answer = run(config_of(tmp_path, dataset, cache, "modality", seeds=(1,)))
    table = {
        (row["modality"], row["text"]): float(row["mae"]) for row in read(answer / "results.csv")
    }
    assert len(table) == 7
    report = (answer / "report.md").read_text()
    for null in ("shuffled", "constant", "spacegroup"):
        [told] = re.findall(rf"- {null}: (\S+) \[", report)
        difference = table["both", "description"] - table["both", null]
        assert float(told) == pytest.approx(difference, abs=1e-4)
        assert f"- {null}: {told} [" in report and "no clear difference" in report
    assert "one training tells nothing of others" in report and "\\*" not in report
    made = json.loads((answer / "made.json").read_text())
    assert made["trainings"] == 6 and made["versions"][0]["torch"]
    assert len(made["code_sha256"][0]) == 64 and len(made["data_sha256"]) == 1
    assert len(made["texts"]) == 3  # the descriptions, shuffled ones, and one for all
    assert all(texts["written_by"] == ["robocrys 0.2.13"] for texts in made["texts"])


def test_side_by_side_gives_the_same_table(tmp_path, dataset, cache):
    changed = {"seeds": (1,), "encoders": ("schnet", "cogn")}
    one = run(config_of(tmp_path / "one", dataset, cache, "encoder", **changed))
    two = run(config_of(tmp_path / "two", dataset, cache, "encoder", parallel=2, **changed))
    assert (one / "report.md").read_text() == (two / "report.md").read_text()
    assert "| schnet | both |" in (one / "report.md").read_text()


def test_a_null_model_predicts_nothing_new(tmp_path, settings):
    from model.predict.predictor import Predictor
    from model.publish.push import plan_push
    from model.training.train import train

    train(settings(tmp_path / "null", text="shuffled", epochs=1))
    with pytest.raises(InputError, match="trained for an experiment, on 'shuffled'"):
        Predictor.from_pretrained(tmp_path / "null")
    with pytest.raises(InputError, match="predicts nothing new"):
        plan_push(tmp_path / "null", "ada/net")


def test_the_command_answers_and_refuses(tmp_path, cache):
    place = write_dataset(tmp_path / "data", [dict(row) for row in rows()])
    command = [
        sys.executable,
        "-m",
        "model",
        "experiment",
        "text",
        "--data",
        place,
        "--out",
        str(tmp_path / "out"),
        "--targets",
        TARGET,
        "--text-encoder",
        "minilm",
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--width",
        "8",
        "--cache",
        str(cache),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") >= 1
    assert "has no condensed structure" in done.stderr and "Traceback" not in done.stderr


def test_folds_are_trained_each_and_told_together(tmp_path, cache):
    changed = [{**row, "fold": number % 2} for number, row in enumerate(rows())]
    data = write_dataset(tmp_path / "data", changed)
    config = config_of(
        tmp_path / "out", data, cache, "low-data", folds="fold", seeds=(1,), fractions=(1.0,)
    )
    answer = run(config)
    table = read(answer / "results.csv")
    assert Counter((row["modality"], row["fold"]) for row in table) == {
        (modality, fold): 1 for modality in ("composition", "graph", "both") for fold in "01"
    }
    assert {row["n_test"] for row in table} == {"24"} and {row["n_val"] for row in table} == {"2"}
    found = json.loads((answer / "differences.json").read_text())[TARGET]
    assert [(f["modality"], f["n"], f["n_trainings"]) for f in found] == [
        ("composition", 48, 2),
        ("both", 48, 2),
    ]
    assert all(f["against"]["modality"] == "graph" and f["p_holm"] >= f["p"] for f in found)
    maes = [float(row["mae"]) for row in table if row["modality"] == "graph"]
    report = (answer / "report.md").read_text()
    assert f"| 24 (22 + 2) | graph | {np.mean(maes):.4f} |" in report
    assert "folds of fold" in report and "over trainings and test crystals together" in report
    assert "seed 1, fold 0: 22/2/24 crystals; of the test crystals" in report


def test_words_are_made_of_what_survives_the_correction_alone():
    graph, both = Variant("alignn", "graph"), Variant("alignn")
    clear = Difference(-0.2, -0.3, -0.1, 50, 3, 0.01)

    def compared(p_holm, other=both, found=clear):
        return Comparison("gap", graph, other, found, p_holm)

    assert "better than the graph alone: alignn with text" in verdict("gap", [compared(0.04)])
    assert verdict("gap", [compared(0.06)]) == "For gap, no clear difference: alignn with text."
    assert compared(0.04).cell.endswith("*") and not compared(0.06).cell.endswith("*")
    worse = replace(clear, mean=0.2, low=0.1, high=0.3)
    assert verdict("gap", [compared(0.04, found=worse)]) == "For gap, worse: alignn with text."
    shuffled = replace(both, text="shuffled")
    told = "can't come from what the text says"
    assert told in verdict("gap", [compared(0.04, shuffled)])
    assert told not in verdict("gap", [compared(0.06, shuffled)])


def test_the_baseline_learns_from_the_training_crystals_alone():
    chance = np.random.default_rng(0)
    values, targets = chance.normal(size=(60, 4)), chance.normal(size=60)
    learned = np.arange(60) < 40
    found = trees_predictions(values, targets, learned, 1, log_target=False)
    other = np.where(learned, targets, 1e9)
    assert (trees_predictions(values, other, learned, 1, log_target=False) == found).all()
    assert np.abs(found[learned] - targets[learned]).max() < 1e-6  # trees of single crystals
    positive = np.exp(targets)
    logs = trees_predictions(values, positive, learned, 1, log_target=True)
    assert logs == pytest.approx(
        10 ** trees_predictions(values, np.log10(positive), learned, 1, False)
    )


def test_a_baseline_is_fitted_anew_where_its_crystals_changed(trained, dataset, tmp_path):
    compositions = Compositions.of(dataset)
    fit_baseline(compositions, trained, tmp_path / "trees", 1, False)
    written = (tmp_path / "trees" / "predictions.csv").stat().st_mtime_ns
    model = ModelFolder(tmp_path / "trees")
    assert [row["id"] for row in model.predictions] == [
        row["id"] for row in ModelFolder(trained).predictions
    ]
    assert model.metrics["test"]["mae"] == pytest.approx(
        np.mean(
            [
                abs(float(row["target"]) - float(row["prediction"]))
                for row in model.predictions
                if row["split"] == "test"
            ]
        )
    )
    fit_baseline(compositions, trained, tmp_path / "trees", 1, False)
    assert (tmp_path / "trees" / "predictions.csv").stat().st_mtime_ns == written
    fit_baseline(compositions, trained, tmp_path / "trees", 2, False)
    assert (tmp_path / "trees" / "predictions.csv").stat().st_mtime_ns > written
