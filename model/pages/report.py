"""`crysmmnet report`: write the page of a trained model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from curate.dataset.spacegroups import spacegroups
from curate.dataset.token_lengths import LIMIT
from curate.errors import InputError
from curate.pages.crystals import Column, Packed, pack_crystals
from curate.pages.page import number, packed, plotly_script, write_page
from curate.pages.palette import periodic_table
from curate.run.schema import record_of_row
from model.config import ReportModelConfig
from model.data.materials import label_column, load_rows, read_materials
from model.data.overlap import overlap_line
from model.data.preprocessing import Preprocessing
from model.data.rows import Rows
from model.model_folder import ModelFolder
from model.pages.figures import curves, errors_by_element, errors_of, margins_of, parities
from model.predict.predictor import Predictor
from model.predict.sentence_attribution import attribute_sentences
from model.training.calibration import held_margins
from model.training.settings_record import CONTENTS, digest

TEMPLATES = Path(__file__).parent / "templates"
N_LARGEST = 5  # errors that stand on the page with structure and text
SEEN = {
    "both": "a crystal's structure and its description",
    "graph": "a crystal's structure",
    "text": "a crystal's description",
}


def report(config: ReportModelConfig) -> Packed:
    """Write the page; what it shows.

    Raises InputError where the folder holds no finished training, the dataset is unknown or lacks the
    crystals, or an explanation is asked for that can't be given.
    """
    plotly_script()  # a missing extra is said before the work
    folder = ModelFolder.find(config.model)
    preprocessing = Preprocessing.load(folder)
    metrics = folder.metrics
    data = config.data or dataset_of(folder)
    rows, same_data = crystals_of(folder, data)
    explain(config, folder, rows)
    unit = "" if preprocessing.unit in ("1", "unknown") else preprocessing.unit
    columns = table_columns(preprocessing.unit)
    first = [n for n, row in enumerate(rows) if row["split"] == "test" or row.get("extra")]
    crystals = pack_crystals(rows, columns, table_views(rows), seed=0, first=first)
    test = sorted((row for row in rows if row["split"] == "test"), key=lambda r: -r["size"])
    figures = {
        "curves": curves(
            folder.history,
            metrics,
            preprocessing.learned_unit,
            folder.settings.get("loss", "mse"),
        ),
        "parity": parities(rows, unit),
        "margins": margins_of(folder, test_ids(folder), unit),
        "errors": errors_of(test, unit),
    }
    context = {
        "title": f"{config.model.name}: {metrics['target']}",
        "name": config.model.resolve().name,
        "metrics": metrics,
        "held": held_margins(folder),
        "shared": overlap_line(metrics),
        "unit": unit,
        "unit_of_errors": f"{unit} MAE".strip(),
        "seen": SEEN[preprocessing.modality],
        "same_data": same_data,
        "dataset": data,
        "elements": with_counts(test),
        "largest": [headline(row, unit) for row in test[:N_LARGEST]],
        "explained": [headline(row, unit) for row in rows if row.get("extra")],
        "token_limit": (preprocessing.text_recipe or {}).get("max_tokens", LIMIT),
        "crystals": crystals,
        "seed": 0,
        **figures,
    }
    drawn = {figure.name: figure.figure for group in figures.values() for figure in group}
    write_page(
        config.out, "model.html", context, {**crystals.data, "figures": packed(drawn)}, [TEMPLATES]
    )
    return crystals


def test_ids(folder: ModelFolder) -> list[str]:
    """Ids of the test crystals in the order of the model's predictions."""
    return [row["id"] for row in folder.predictions if row["split"] == "test"]


def dataset_of(folder: ModelFolder) -> str:
    """The dataset on the Hub that the model learned from; InputError where it was a folder."""
    name = folder.training["data"]
    if name is None:
        raise InputError(
            f"{folder.path} learned from a folder of this or another machine: name it by --data"
        )
    return name


def crystals_of(folder: ModelFolder, data: str) -> tuple[list[dict[str, Any]], bool]:
    """Rows of the dataset that the model predicted, with its predictions, and whether the dataset is
    the one it learned from."""
    question = folder.settings
    dataset = load_rows(data)
    labels = label_column(
        dataset, question["target"], question["split"], question.get("folds")
    )  # a model of an earlier version has no folds
    materials = read_materials(dataset, question["target"], labels)
    same = digest(materials) == question[CONTENTS]
    predicted = {row["id"]: row for row in folder.predictions}
    rows = [
        with_prediction(row, predicted[row["material_id"]])
        for row in rows_of(dataset)
        if row["material_id"] in predicted
    ]
    if missing := predicted.keys() - {row["material_id"] for row in rows}:
        raise InputError(
            f"{data} is not the dataset the model learned from: it lacks {min(missing)} "
            f"({len(missing)} of {len(predicted)} crystals)"
        )
    return rows, same


def rows_of(dataset: Rows) -> Iterator[dict[str, Any]]:
    """Rows with the space group that the database knows or describing found."""
    for table in dataset.only(dataset.schema.names).tables():
        for row, group in zip(table.to_pylist(), spacegroups(table), strict=True):
            yield {**row, "spacegroup": group}


def with_prediction(row: dict[str, Any], found: dict[str, str]) -> dict[str, Any]:
    """The row with target, prediction and error."""
    target, prediction = float(found["target"]), float(found["prediction"])
    return {
        **row,
        "split": found["split"],
        "target": target,
        "prediction": prediction,
        "error": prediction - target,
        "size": abs(prediction - target),
    }


def explain(config: ReportModelConfig, folder: ModelFolder, rows: list[dict[str, Any]]) -> None:
    """Ask the model about the crystals of --explain sentence by sentence; the rows get the answer."""
    if not config.explain:
        return
    known = {row["material_id"]: row for row in rows}
    if unknown := [name for name in config.explain if name not in known]:
        raise InputError(f"--explain {unknown[0]}: the model's predictions hold no such crystal")
    predictor = Predictor.from_pretrained(folder.path, config.cache)
    for name in config.explain:
        found = attribute_sentences(predictor, record_of_row(known[name]))
        unit = predictor.preprocessing.unit
        known[name]["extra"] = {
            "erased": {
                "sentences": list(found.sentences),
                "effects": list(found.effects),
                "note": f"Prediction {number(found.prediction)} {unit}; with an empty description "
                f"{number(found.without_text)} {unit}. Numbers: what each sentence moved, {unit}.",
            }
        }


def table_columns(unit: str) -> list[Column]:
    """What the table shows of each crystal."""
    return [
        Column("material_id", "id", kind="text"),
        Column("chemical_formula_reduced", "formula", kind="text"),
        Column("spacegroup", "space group", kind="spacegroup"),
        Column("nsites", "atoms"),
        Column("split", "split", kind="text"),
        Column("target", "target", unit),
        Column("prediction", "prediction", unit),
        Column("error", "error", unit, digits=3),
        Column("size", "absolute error", unit, digits=3),
    ]


def table_views(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The buttons above the table; test crystals come first."""
    labels = {"test": "Test", "val": "Validation", "train": "Training", "leak": "Leaks"}
    views: list[dict[str, Any]] = [
        {
            "name": part,
            "label": f"{label}, largest errors first",
            "sort": "-size",
            "ids": [row["material_id"] for row in rows if row["split"] == part],
        }
        for part, label in labels.items()
    ]
    explained = [row["material_id"] for row in rows if row.get("extra")]
    views.append({"name": "explained", "label": "Explained", "ids": explained})
    return [*(view for view in views if view["ids"]), {"name": "all", "label": "All", "sort": ""}]


def with_counts(test: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The periodic table of errors; names also say how many test crystals hold the element."""
    errors = errors_by_element(test)
    cells = periodic_table({symbol: error for symbol, (error, _) in errors.items()})
    for cell in cells:
        if cell["value"] is not None:
            cell["name"] += f", {errors[cell['symbol']][1]} crystals"
    return cells


def headline(row: dict[str, Any], unit: str) -> dict[str, str]:
    """What stands above a crystal's text."""
    target, prediction, error = (number(row[name]) for name in ("target", "prediction", "error"))
    return {
        "id": row["material_id"],
        "formula": row["chemical_formula_reduced"],
        "words": f"{row['split']}: target {target}, prediction {prediction}, error {error} {unit}",
    }
