"""Margins of the blend: calibrated on what it predicts for crystals that are held out inside a fold.

Only rows that a fold may learn from are used. Each of them was held out once, so that all of them calibrate,
as in CV+ (Barber, Candès, Ramdas and Tibshirani, Ann. Stat. 49, 486 (2021)). Around the mean of the models of
all parts, which errs a little less than each of them, the margins have no guarantee; how often they hold is
measured by `benchmarks/margins.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model.benchmark.folds import Fold, inner_folds
from model.benchmark.inputs import Inputs, filled
from model.benchmark.run import Fitted
from model.statistics.conformal import conformal_quantile

TREES, SMALLEST_LEAF, COLUMNS = 200, 5, 0.3  # of the forest that learns how large errors are
CONSTANT, SPREAD, LEARNED, BOTH = "constant", "spread", "learned", "spread and learned"


@dataclass(frozen=True)
class BlendPredictions:
    """What a blend predicts on one fold: of the rows that are learned from held out, and of the test rows."""

    fold: Fold
    shares: Sequence[float]  # (n_models,)
    held_out: np.ndarray  # (n_models, n_learn) means over the seeds
    test: np.ndarray  # (n_models, n_test)

    @classmethod
    def gather(
        cls,
        shares: Mapping[str, float],
        fits: Mapping[tuple[str, str, int], Fitted],
        fold: Fold,
        seeds: Sequence[int],
    ) -> BlendPredictions:
        """Those of the models that the shares name."""
        every = [[fits[name, fold.name, seed] for seed in seeds] for name in shares]
        held_out = [np.mean([fitted.held_out for fitted in fits], axis=0) for fits in every]
        test = [np.mean([fitted.test for fitted in fits], axis=0) for fits in every]
        return cls(fold, list(shares.values()), np.stack(held_out), np.stack(test))

    @property
    def of_learned(self) -> np.ndarray:
        """(n_learn,) the blend where it did not learn."""
        return np.asarray(self.shares) @ self.held_out

    @property
    def of_test(self) -> np.ndarray:
        """(n_test,)"""
        return np.asarray(self.shares) @ self.test

    def errors(self, inputs: Inputs) -> np.ndarray:
        """(n_learn,) absolute errors of `of_learned`."""
        return np.abs(inputs.targets[self.fold.learn] - self.of_learned)


@dataclass(frozen=True)
class Widths:
    """What margins are proportional to."""

    learned: np.ndarray  # (n_learn,) of rows that the widths' own model did not learn from
    test: np.ndarray  # (n_test,)

    def margins(self, errors: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Margins of the rows that are learned from and of the test rows, calibrated on (n_learn,) errors."""
        quantile = conformal_quantile(errors / self.learned, level)
        return quantile * self.learned, quantile * self.test


def widths(blend: BlendPredictions, inputs: Inputs, seed: int = 0) -> dict[str, Widths]:
    """All widths that are compared, by name.

    Args:
        blend: Predictions of one fold.
        inputs: All crystals; targets of test rows are not read.
        seed: Of the forests and of the parts that they are held out on.

    Returns:
        The same for all; the standard deviation over the models, plus its median; the error that a forest
        expects from descriptors and predictions; and the geometric mean of the last two.
    """
    spread = blend.held_out.std(axis=0), blend.test.std(axis=0)
    typical = float(np.median(spread[0])) or 1.0
    by_spread = Widths(spread[0] + typical, spread[1] + typical)
    by_forest = expected_errors(blend, inputs, seed)
    return {
        CONSTANT: Widths(np.ones_like(spread[0]), np.ones_like(spread[1])),
        SPREAD: by_spread,
        LEARNED: by_forest,
        BOTH: Widths(
            np.sqrt(by_spread.learned * by_forest.learned), np.sqrt(by_spread.test * by_forest.test)
        ),
    }


def expected_errors(blend: BlendPredictions, inputs: Inputs, seed: int) -> Widths:
    """The error that extremely randomised trees expect: of rows that are learned from by trees that did not
    see them, of test rows by the mean over these trees. Logarithms of errors are learned."""
    from sklearn.ensemble import ExtraTreesRegressor

    fold = blend.fold
    table = filled(inputs.numbers["descriptors"], fold.learn)
    seen = features(table[fold.learn], blend.held_out, blend.of_learned)
    asked = features(table[fold.test], blend.test, blend.of_test)
    errors = blend.errors(inputs)
    least = 0.1 * float(np.median(errors)) or 1.0
    written = np.log(errors + least)
    learned, test = np.zeros(len(seen)), np.zeros(len(asked))
    parts = inner_folds(np.arange(len(seen)), 5, seed)
    for fit, held in parts:
        forest = ExtraTreesRegressor(
            TREES, min_samples_leaf=SMALLEST_LEAF, max_features=COLUMNS, random_state=seed, n_jobs=1
        ).fit(seen[fit], written[fit])
        learned[held] = np.exp(forest.predict(seen[held]))
        test += np.exp(forest.predict(asked)) / len(parts)
    return Widths(learned, test)


def features(table: np.ndarray, models: np.ndarray, blend: np.ndarray) -> np.ndarray:
    """(n, d) what the expected error is read from: descriptors, predictions, their spread."""
    return np.column_stack([table, blend, models.T, models.std(axis=0)])


def chosen(compared: Mapping[str, Widths], errors: np.ndarray, level: float) -> str:
    """The name of the widths whose margins are the narrowest on average where all hold equally often: on the
    rows that are learned from, (n_learn,) held-out errors."""
    means = {name: float(one.margins(errors, level)[0].mean()) for name, one in compared.items()}
    return min(means, key=lambda name: means[name])
