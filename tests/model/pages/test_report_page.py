"""A model's page quotes the model's own files, and tells which sentences moved a prediction."""

import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from corpus import rows, write_dataset
from pages import unpacked

from curate.errors import InputError
from curate.run.schema import record_of_row
from model.config import ReportModelConfig
from model.data.materials import load_rows
from model.data.overlap import overlap_line
from model.files import read_csv, write_csv
from model.model_folder import ModelFolder
from model.pages.figures import curves
from model.pages.report import report
from model.predict.predictor import Predictor
from model.predict.sentence_attribution import attribute_sentences, sentences_of
from model.training.calibration import held_margins
from model.training.train import train


@pytest.fixture(scope="module")
def predictor(trained, cache):
    return Predictor.from_pretrained(trained, cache)


@pytest.fixture(scope="module")
def page(trained, dataset, cache, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("page") / "report.html"
    report(ReportModelConfig(trained, dataset, out, explain=("JVASP-1921",), cache=cache))
    return out.read_text()


def test_an_effect_is_the_difference_of_two_predictions(predictor, dataset):
    record = next(
        r for r in map(record_of_row, load_rows(dataset)) if r.material_id == "JVASP-1921"
    )
    found = attribute_sentences(predictor, record)
    assert " ".join(found.sentences) == record.description
    assert len(found.sentences) == len(found.effects) > 1
    shorter = record.description.removeprefix(found.sentences[0] + " ")
    whole, without = predictor.predict([record, replace(record, description=shorter)])
    assert found.prediction == pytest.approx(whole.value, abs=1e-5)
    assert found.effects[0] == pytest.approx(whole.value - without.value, abs=1e-5)
    assert found.effects[0] != pytest.approx(0, abs=1e-7)


def test_sentences_end_where_a_new_one_begins():
    text = "Bonds range from 1.60 to 1.7 Å. O(1) is bonded to Si(1). It is P2_1/c."
    assert sentences_of(text) == [
        "Bonds range from 1.60 to 1.7 Å.",
        "O(1) is bonded to Si(1).",
        "It is P2_1/c.",
    ]
    assert sentences_of("") == []


def test_the_page_quotes_the_models_own_files(page, trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    for part in ("train", "val", "test"):
        assert f"<b>{metrics[part]['mae']:,.3g}</b>" in page
    predicted = {row["id"]: row for row in read_csv(trained / "predictions.csv")}
    table = unpacked(page, "table")["rows"]
    assert set(table["material_id"]) == set(predicted)
    for name, split, value in zip(
        table["material_id"], table["split"], table["prediction"], strict=True
    ):
        assert predicted[name]["split"] == split
        assert float(predicted[name]["prediction"]) == pytest.approx(value, rel=1e-4)
    figures = unpacked(page, "figures")
    history = read_csv(trained / "history.csv")
    curve = figures["val_mae"]["data"][0]["y"]
    assert curve == [float(epoch["val_mae"]) for epoch in history]
    assert len(figures["parity-test"]["data"][0]["x"]) == metrics["test"]["n"]
    assert f"O{overlap_line(metrics)[1:]}." in page
    assert "not the dataset the model learned from" not in page


def test_errors_by_element_are_those_of_test_crystals(page):
    table = unpacked(page, "table")["rows"]
    columns = (table[name] for name in ("size", "split", "chemical_formula_reduced"))
    sizes = defaultdict(list)
    for size, split, formula in zip(*columns, strict=True):
        for symbol in re.findall("[A-Z][a-z]?", formula) if split == "test" else ():
            sizes[symbol].append(size)
    assert len(sizes) > 2
    for symbol, some in sizes.items():
        said = f", {len(some)} crystals: {sum(some) / len(some):.3g}"
        (title,) = re.findall(rf'data-element="{symbol}".*? title="([^"]*)"', page)
        assert re.sub(r"(\d\.\d+) eV.*", lambda m: f"{float(m[1]):.3g}", title).endswith(said)


def test_the_explained_crystal_has_its_sentences(page):
    table = unpacked(page, "table")
    row = table["rows"]["material_id"].index("JVASP-1921")
    detail = unpacked(page, "details-0")[table["rows"]["detail"][row]]
    assert len(detail["erased"]["sentences"]) == len(detail["erased"]["effects"])
    assert "with an empty description" in detail["erased"]["note"]
    assert "explained" in [view["name"] for view in table["views"]]


def test_what_can_not_be_shown_is_said_in_one_sentence(trained, dataset, settings, tmp_path, cache):
    out = tmp_path / "report.html"
    with pytest.raises(InputError, match="name it by --data"):
        report(ReportModelConfig(trained, None, out))
    with pytest.raises(InputError, match="hold no such crystal"):
        report(ReportModelConfig(trained, dataset, out, explain=("JVASP-0",), cache=cache))
    fewer = write_dataset(tmp_path / "fewer", rows()[:20])
    with pytest.raises(InputError, match="is not the dataset the model learned from: it lacks"):
        report(ReportModelConfig(trained, fewer, out))
    unfinished = Path(shutil.copytree(trained, tmp_path / "unfinished"))
    (unfinished / "metrics.json").unlink()
    with pytest.raises(InputError, match="it has no metrics"):
        report(ReportModelConfig(unfinished, dataset, out))
    train(settings(tmp_path / "graph", modality="graph", epochs=1))
    with pytest.raises(InputError, match="there is no text to explain"):
        report(ReportModelConfig(tmp_path / "graph", dataset, out, explain=("JVASP-1921",)))
    assert not out.exists()


def test_another_dataset_of_the_same_crystals_is_named(trained, tmp_path):
    changed = [{**row, "description": row["description"] + " So be it."} for row in rows()]
    other = write_dataset(tmp_path / "changed", changed)
    report(ReportModelConfig(trained, other, tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    assert "This is not the dataset the model learned from" in page


def test_the_command_line_says_what_it_wrote(trained, dataset, tmp_path):
    out = tmp_path / "report.html"
    command = [sys.executable, "-m", "model", "report", trained, "--out", out]
    done = subprocess.run([*command, "--data", dataset], capture_output=True, text=True)
    assert done.stdout.startswith(f"{out}: 48 crystals, "), done.stderr
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("crysmmnet: ")


def test_curves_name_their_loss_and_show_the_points_of_few_epochs():
    history = [
        {"epoch": "1", "train_loss": "0.9", "val_mae": "0.65"},
        {"epoch": "2", "train_loss": "0.1", "val_mae": "0.63"},
    ]
    loss, error = curves(history, {"chosen_epoch": 2, "members": 3}, "eV", "l1")
    assert loss.figure["layout"]["yaxis"]["title"]["text"] == "MAE, standardised"
    assert loss.figure["layout"]["yaxis"]["type"] == "log"
    assert (
        "type" not in error.figure["layout"]["yaxis"]
    )  # no power of ten lies between 0.63 and 0.65
    assert {one.figure["data"][0]["mode"] for one in (loss, error)} == {"lines+markers"}
    assert error.note == "The dotted line is the chosen epoch of the first network, 2."
    many = [{**history[0], "epoch": str(number)} for number in range(1, 30)]
    assert curves(many, {"chosen_epoch": 1}, "eV", "mse")[0].figure["data"][0]["mode"] == "lines"


def test_the_page_shows_what_margins_are_worth(tmp_path, settings, dataset, cache):
    config = settings(tmp_path / "m", members=2, split="random", epochs=1)
    train(config)
    out = tmp_path / "report.html"
    folder = ModelFolder(config.out)
    moved = [  # a split of 48 crystals has too few for validation: training crystals become some
        [row["id"], "val" if row["split"] == "train" else row["split"], *list(row.values())[2:]]
        for row in folder.predictions
    ]
    write_csv(folder.path / "predictions.csv", list(folder.predictions[0]), moved)
    kept = len([row for row in moved if row[1] == "val"])
    with_training = [[*row[:1], "train", *row[2:]] for row in moved[:1]]
    write_csv(
        folder.path / "predictions.csv", list(folder.predictions[0]), with_training + moved[1:]
    )
    report(ReportModelConfig(config.out, dataset, out, cache=cache))
    page, held = out.read_text(), held_margins(folder)
    assert "It is the mean of 2 networks, of which epochs 1, 1 were chosen" in page
    assert held["n_val"] == kept - 1 >= 9
    assert f"<b>± {held['mean']:,.3g}</b>" in page
    figures = unpacked(page, "figures")
    percent, coverage = (
        figures["calibration"]["data"][1]["x"],
        figures["calibration"]["data"][1]["y"],
    )
    assert coverage[percent.index(90)] == pytest.approx(100 * held["coverage"])
    assert len(figures["spread"]["data"][0]["x"]) == held["n_test"]
    assert len(figures["quarters"]["data"][0]["x"]) == 4


def test_a_page_without_margins_says_why(page, trained):
    n = sum(row["split"] == "val" for row in read_csv(trained / "predictions.csv"))
    assert f"no margins: the validation part has {n} crystals, and a level of 0.9 needs 9" in page
    assert "spread" not in unpacked(page, "figures")
