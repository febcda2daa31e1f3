"""Margins of a model's predictions, calibrated on the crystals of its validation part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from curate.errors import InputError
from model.data.preprocessing import Preprocessing
from model.model_folder import SPREAD, ModelFolder
from model.statistics.conformal import LEVEL, certain_half, conformal_quantile, fewest


@dataclass(frozen=True)
class Calibration:
    """Errors on the validation part over the widths that are expected there.

    The width of a crystal is the standard deviation over the networks, plus the median of that on the
    validation part, which keeps a chance agreement of few networks from promising certainty; of one network
    it is the same for all crystals. Where log10 is learned, widths are shares of the prediction. The
    validation part has also chosen the epochs, so that its errors are a little smaller than those of new
    crystals: what holds on the test part stands in the model's report.
    """

    scores: np.ndarray  # (n_val,)
    typical: float  # median spread on the validation part, added to each; 1 with one network
    relative: bool  # whether widths are shares of the prediction

    @classmethod
    def from_folder(cls, folder: ModelFolder) -> Calibration:
        """That of a model folder, from its predictions; InputError where these are not there."""
        rows = Predicted.of_part(folder, "val")
        relative = Preprocessing.load(folder).log10
        unit = rows.values if relative else np.ones(len(rows.values))
        typical = 1.0 if rows.spreads is None else float(np.median(rows.spreads / unit))
        empty = cls(np.zeros(0), typical or 1.0, relative)
        return cls(rows.errors / empty.widths(rows.values, rows.spreads), typical or 1.0, relative)

    def widths(self, values: np.ndarray, spreads: np.ndarray | None) -> np.ndarray:
        """(n,) what the margins of crystals are proportional to, in the property's own unit."""
        unit = np.abs(values) if self.relative else np.ones(len(values))
        return self.typical * unit + (0.0 if spreads is None else spreads)

    def margins(self, values: np.ndarray, spreads: np.ndarray | None, level: float) -> np.ndarray:
        """Half-widths of intervals around predictions, which hold for a share `level` of new crystals.

        Args:
            values: (n,) predictions, in the property's own unit.
            spreads: (n,) standard deviations over the networks; None with one network.
            level: Share of the margins that hold, above 0 and below 1.

        Returns:
            (n,) in the property's own unit; infinite where the validation part is too small for the level.
        """
        return conformal_quantile(self.scores, level) * self.widths(values, spreads)

    def shortage(self, level: float) -> str | None:
        """One sentence where the validation part is too small for a level."""
        n = len(self.scores)
        if math.isfinite(conformal_quantile(self.scores, level)):
            return None
        crystals = "1 crystal" if n == 1 else f"{n} crystals"
        return (
            f"no margins: the validation part has {crystals}, and a level of {level:g} needs "
            f"{fewest(level)}"
        )


@dataclass(frozen=True)
class Predicted:
    """What a model predicted for one part of its data."""

    targets: np.ndarray  # (n,) in the property's own unit, as all
    values: np.ndarray
    spreads: np.ndarray | None  # of an ensemble

    @classmethod
    def of_part(cls, folder: ModelFolder, part: str) -> Predicted:
        """Those of `train`, `val` or `test`; InputError where a number is missing."""
        rows = [row for row in folder.predictions if row["split"] == part]
        try:
            columns = {
                name: np.array([float(row[name]) for row in rows])
                for name in ("target", "prediction", *([SPREAD] if len(folder.members) > 1 else []))
            }
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{folder.path} has damaged predictions: {error}") from error
        return cls(columns["target"], columns["prediction"], columns.get(SPREAD))

    @property
    def errors(self) -> np.ndarray:
        """(n,) absolute errors."""
        return np.abs(self.values - self.targets)


def held_margins(folder: ModelFolder, level: float = LEVEL) -> dict[str, Any]:
    """What a model's margins are worth on its test part, whose targets they have not seen.

    Returns:
        `level`, `members`, and how many crystals calibrate (`n_val`) and test (`n_test`) it; `coverage`, the
        share of the test crystals within their margin; `mean` and `constant`, the mean margin and the one
        that would be the same for all; and `certain_half`, the mean error of the half with the smallest
        margins over that of all. The last four are None where the validation part is too small, and the last
        one where all margins are equal.
    """
    calibration, test = Calibration.from_folder(folder), Predicted.of_part(folder, "test")
    validation = Predicted.of_part(folder, "val")
    margins = calibration.margins(test.values, test.spreads, level)
    known = bool(np.isfinite(margins).all())
    constant = conformal_quantile(validation.errors, level)
    return {
        "level": level,
        "members": len(folder.members),
        "n_val": len(calibration.scores),
        "n_test": len(margins),
        "coverage": float(np.mean(test.errors <= margins)) if known else None,
        "mean": float(margins.mean()) if known else None,
        "constant": constant if known else None,
        "certain_half": certain_half(test.errors, margins) if known else None,
        "shortage": calibration.shortage(level),
    }


def margin_line(held: dict[str, Any], unit: str) -> str:
    """In words, how wide a model's margins are and how many of them hold on its test part.

    Args:
        held: What `held_margins` found.
        unit: Of the property.
    """
    if held["shortage"] is not None:
        return held["shortage"]
    n, n_held = held["n_test"], round(held["n_test"] * held["coverage"])
    average = " on average" if held["members"] > 1 else ""
    return (
        f"margin ± {held['mean']:.4f} {unit} ({100 * held['level']:g} %){average}; {n_held} of {n} test "
        "crystals lie within theirs"
    )
