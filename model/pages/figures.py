"""Figures of the page of a trained model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from curate.pages.figures import Figure, axis, bars, histogram, lines, log_axis, parity, scatter
from curate.pages.palette import SYSTEMS, crystal_system
from model.model_folder import ModelFolder
from model.statistics.conformal import LEVEL
from model.training.calibration import Calibration, Predicted

CELL_SIZES = {  # label → numbers of atoms
    "1 or 2": range(1, 3),
    "3 to 5": range(3, 6),
    "6 to 10": range(6, 11),
    "11 to 20": range(11, 21),
    "over 20": range(21, 10**9),
}
LOSSES = {"mse": "MSE", "l1": "MAE", "huber": "Huber loss"}  # by the name in the settings
WIDE = 3.0  # ratio of values from which a logarithmic axis has two ticks or more
FEW_EPOCHS = 10  # a line through fewer also shows its points
LEVELS = (*np.arange(1, 20) / 20, 0.98, 0.99)  # of a calibration plot
QUARTERS = ("most certain quarter", "second", "third", "least certain quarter")


def curves(
    history: Sequence[Mapping[str, str]], metrics: Mapping[str, Any], unit: str, loss: str
) -> list[Figure]:
    """Training loss and validation error over the epochs, the chosen one marked.

    Args:
        history: Of the network, of the first one where there are several.
        metrics: The content of metrics.json.
        unit: Of the validation error.
        loss: As in `TrainSettings`.
    """
    epochs = [int(epoch["epoch"]) for epoch in history]
    whose = " of the first network" if metrics.get("members", 1) > 1 else ""
    figures = []
    for name, title, label, own in (
        ("train_loss", "Training loss", f"{LOSSES.get(loss, loss)}, standardised", ""),
        ("val_mae", "Validation error", "MAE", unit),
    ):
        values = [float(epoch[name]) for epoch in history]
        is_wide = min(values) > 0 and max(values) / min(values) > WIDE
        scale = log_axis(values, label, own) if is_wide else axis(label, own)
        figure = lines(epochs, {title: values}, axis("epoch"), scale)
        if len(epochs) < FEW_EPOCHS:
            figure["data"][0]["mode"] = "lines+markers"
        chosen = metrics["chosen_epoch"]
        mark = {"type": "line", "x0": chosen, "x1": chosen, "y0": 0, "y1": 1, "yref": "paper"}
        figure["layout"]["shapes"] = [mark]
        figures.append(
            Figure(name, title, figure, f"The dotted line is the chosen epoch{whose}, {chosen}.")
        )
    return figures


def parities(rows: Sequence[Mapping[str, Any]], unit: str) -> list[Figure]:
    """Prediction over target for test, validation and training crystals."""
    figures = []
    for part, title in (("test", "Test"), ("val", "Validation"), ("train", "Training")):
        chosen = [row for row in rows if row["split"] == part]
        figure = parity(
            [row["target"] for row in chosen],
            [row["prediction"] for row in chosen],
            [row["material_id"] for row in chosen],
            unit,
        )
        note = f"{len(chosen):,} crystals; stronger where points are dense; the line is equality."
        figures.append(Figure(f"parity-{part}", title, figure, note))
    return figures


def margins_of(folder: ModelFolder, ids: Sequence[str], unit: str) -> list[Figure]:
    """How often margins of the test crystals hold, and how errors go with them.

    Args:
        folder: Of the model.
        ids: Of its test crystals, in the order of its predictions.
        unit: Of the property.
    """
    calibration, test = Calibration.from_folder(folder), Predicted.of_part(folder, "test")
    levels = [level for level in LEVELS if calibration.shortage(level) is None]
    coverage = [
        float(np.mean(test.errors <= calibration.margins(test.values, test.spreads, level)))
        for level in levels
    ]
    percent = [round(100 * level, 1) for level in levels]
    drawn = {"as asked for": percent, "test crystals": [100 * share for share in coverage]}
    figures = [
        Figure(
            "calibration",
            "Margins that hold",
            lines(percent, drawn, axis("level (%)"), axis("within their margin (%)")),
            f"{len(test.errors):,} test crystals; margins are calibrated on {len(calibration.scores):,} "
            "validation crystals.",
        )
    ]
    if test.spreads is None or calibration.shortage(LEVEL):
        return figures
    margins = calibration.margins(test.values, test.spreads, LEVEL)
    figures.append(
        Figure(
            "spread",
            "Error and margin",
            scatter(
                margins,
                test.errors,
                ids,
                axis(f"margin at {100 * LEVEL:g} %", unit),
                axis("absolute error", unit),
            ),
            "A margin grows with the spread of the networks; crystals above the line are beyond theirs.",
        )
    )
    parts = np.array_split(np.argsort(margins, kind="stable"), len(QUARTERS))
    means = {
        name: float(test.errors[rows].mean())
        for name, rows in zip(QUARTERS, parts, strict=True)
        if len(rows)
    }
    figures.append(
        Figure(
            "quarters", "By certainty", bars(means, "mean absolute error", unit), "Test crystals."
        )
    )
    return figures


def errors_of(test: Sequence[Mapping[str, Any]], unit: str) -> list[Figure]:
    """Errors by crystal system, their distribution, and errors over the size of the cell."""
    groups: dict[str, list[float]] = defaultdict(list)
    for row in test:
        groups[crystal_system(row["spacegroup"])].append(row["size"])
    means = {
        f"{name} ({len(groups[name])})": float(np.mean(groups[name]))
        for name in (*SYSTEMS, "unknown")
        if name in groups
    }
    sizes = {
        f"{label} ({len(chosen)})": float(np.mean(chosen))
        for label, atoms in CELL_SIZES.items()
        if (chosen := [row["size"] for row in test if len(row["species_at_sites"]) in atoms])
    }
    return [
        Figure(
            "systems",
            "By crystal system",
            bars(means, "mean absolute error", unit),
            "In brackets: test crystals.",
        ),
        Figure(
            "distribution",
            "Distribution of errors",
            histogram([row["error"] for row in test], "prediction less target", unit),
        ),
        Figure("sizes", "By atoms in the cell", bars(sizes, "mean absolute error", unit)),
    ]


def errors_by_element(test: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, int]]:
    """Mean absolute error of, and number of, the test crystals that hold each element."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in test:
        for symbol in set(row["species_at_sites"]):
            found[symbol].append(row["size"])
    return {symbol: (float(np.mean(sizes)), len(sizes)) for symbol, sizes in found.items()}
