"""The models of a benchmark: what each reads, and how it learns. Each has a few settings to choose from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from model.benchmark.inputs import TEXTS, Blocks, Reads

TREES = 80  # of a forest
COMPONENTS = 100  # principal components that a kernel sees
EPSILON = 0.05  # error of the standardised target that a kernel machine does not count
COSTS = (1.0, 3.0, 10.0)  # of its errors beyond that
BREADTHS = (0.3, 1.0)  # of its kernel, over one by the number of components
SCALES = ("as it is", "log")  # of the target; log where none is negative

Learn = Callable[[np.ndarray], np.ndarray]  # (n_fit,) targets to (n_rows,) predictions


@dataclass(frozen=True)
class Member:
    """One model of the table."""

    name: str
    reads: Reads
    kind: str  # trees or kernel

    @property
    def text(self) -> str:
        """What it sees of the words: "", "text" or "shuffled text"."""
        return next((name for name in self.reads if name in TEXTS), "")

    @property
    def slug(self) -> str:
        """Of file names."""
        return self.name.replace(" ", "-").replace(",", "")

    def guesses(
        self, blocks: Blocks, targets: np.ndarray, rows: np.ndarray, seed: int
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Learn from `blocks.fit` with each of the settings.

        Args:
            blocks: What is read, fitted on the rows that are learned from.
            targets: (n_fit,) of those rows.
            rows: Row numbers to predict.
            seed: Of the forest.

        Yields:
            Name of the settings, and (n_rows,) predictions in the target's unit.
        """
        table = blocks.table(self.reads)
        learners = list(LEARNERS[self.kind](table, blocks.fit, rows, seed))
        for scale in SCALES if targets.min() >= 0 else SCALES[:1]:
            change = Scale.of(targets, scale)
            for settings, learn in learners:
                yield f"{scale}{settings}", change.back(learn(change.to(targets)))


@dataclass(frozen=True)
class Scale:
    """How targets are written while they are learned: standardised, after a logarithm or not."""

    unit: float | None  # targets over this, plus 1, under the logarithm; None without
    mean: float
    deviation: float
    least: float  # of what was learned; no prediction leaves this range
    most: float

    @classmethod
    def of(cls, targets: np.ndarray, name: str) -> Scale:
        """Fitted on the targets that are learned from."""
        positive = targets[targets > 0]
        unit = float(np.quantile(positive, 0.1)) if name == "log" and len(positive) else None
        written = targets if unit is None else np.log1p(targets / unit)
        deviation = float(written.std()) or 1.0
        return cls(
            unit, float(written.mean()), deviation, float(targets.min()), float(targets.max())
        )

    def to(self, targets: np.ndarray) -> np.ndarray:
        """(n,) targets in the property's own unit, as the models learn them."""
        written = targets if self.unit is None else np.log1p(targets / self.unit)
        return (written - self.mean) / self.deviation

    def back(self, learned: np.ndarray) -> np.ndarray:
        """(n,) outputs of the models in the property's own unit, within the range learned from."""
        written = learned * self.deviation + self.mean
        targets = written if self.unit is None else np.expm1(np.minimum(written, 700)) * self.unit
        return np.clip(targets, self.least, self.most)


def fit_and_predict(
    model: Any, seen: np.ndarray, asked: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """(n_asked,) predictions of a scikit-learn model fitted on (n_seen, d) rows and (n_seen,) targets."""
    return model.fit(seen, targets).predict(asked)


def trees(
    table: np.ndarray, fit: np.ndarray, rows: np.ndarray, seed: int
) -> Iterator[tuple[str, Learn]]:
    """Extremely randomised trees (Geurts et al., Mach. Learn. 63, 3 (2006))."""
    from sklearn.ensemble import ExtraTreesRegressor

    forest = ExtraTreesRegressor(TREES, max_features=0.25, random_state=seed, n_jobs=1)
    yield "", partial(fit_and_predict, forest, table[fit], table[rows])


def kernel(
    table: np.ndarray, fit: np.ndarray, rows: np.ndarray, seed: int
) -> Iterator[tuple[str, Learn]]:
    """A support vector machine with a Gaussian kernel on the principal components of ranked columns."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import QuantileTransformer
    from sklearn.svm import SVR

    ranks = QuantileTransformer(
        n_quantiles=min(100, len(fit)), output_distribution="normal", random_state=seed
    )
    # a normal quantile of a value beyond all others is 5; clipped, so that none outweighs the rest
    seen = np.clip(ranks.fit_transform(table[fit]), -3, 3)
    n_components = min(COMPONENTS, *seen.shape)
    components = PCA(n_components, random_state=seed).fit(seen)
    seen = components.transform(seen)
    asked = components.transform(np.clip(ranks.transform(table[rows]), -3, 3))
    width = seen.var() * n_components
    for breadth in BREADTHS:
        for cost in COSTS:
            machine = SVR(C=cost, gamma=breadth / width, epsilon=EPSILON)
            name = f", cost {cost:g}, breadth {breadth:g}"
            yield name, partial(fit_and_predict, machine, seen, asked)


LEARNERS: Mapping[str, Callable[..., Iterator[tuple[str, Learn]]]] = {
    "trees": trees,
    "kernel": kernel,
}


def members() -> Sequence[Member]:
    """All models, those without text first."""
    found = [Member("trees on the composition", ("magpie",), "trees")]
    for kind in LEARNERS:
        found.append(Member(kind, ("descriptors",), kind))
        found += [Member(f"{kind} and {text}", ("descriptors", text), kind) for text in TEXTS]
    return found
