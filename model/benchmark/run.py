"""Run a benchmark: for each fold all models are fitted, compared and blended inside what may be learned from;
the test rows are predicted by what was chosen there."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import InputError
from curate.files import write_json
from model.benchmark.folds import Fold, inner_folds
from model.benchmark.inputs import Inputs
from model.benchmark.members import Member

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitted:
    """A model on one fold and seed, its settings chosen by the predictions for held-out rows."""

    chosen: str  # settings
    held_out: np.ndarray  # (n_learn,) predictions of each row by a model that did not learn from it
    test: np.ndarray  # (n_test,) mean of the models of the inner folds
    seconds: float


def fit_fold(
    member: Member, inputs: Inputs, fold: Fold, seed: int, n_inner: int, made: dict[Any, Any]
) -> Fitted:
    """Fit a model on each inner fold with each of its settings and keep the best settings.

    Args:
        member: The model.
        inputs: All crystals.
        fold: What may be learned from and what is tested.
        seed: Of the inner folds and of the model.
        n_inner: Inner folds.
        made: Blocks by inner fold, shared by the models of this fold and seed.
    """
    started = time.perf_counter()
    place = {row: number for number, row in enumerate(fold.learn)}
    held_out: dict[str, np.ndarray] = {}
    test: dict[str, np.ndarray] = {}
    for number, (fit, held) in enumerate(inner_folds(fold.learn, n_inner, seed)):
        blocks = made.setdefault(number, inputs.blocks(fit))
        rows = np.r_[held, fold.test]
        positions = [place[row] for row in held]
        for settings, predicted in member.guesses(blocks, inputs.targets[fit], rows, seed):
            known = held_out.setdefault(settings, np.full(len(fold.learn), np.nan))
            known[positions] = predicted[: len(held)]
            total = test.setdefault(settings, np.zeros(len(fold.test)))
            total += predicted[len(held) :] / n_inner
    targets = inputs.targets[fold.learn]
    errors = {name: np.abs(known - targets).mean() for name, known in held_out.items()}
    chosen = min(errors, key=lambda name: (errors[name], name))
    return Fitted(chosen, held_out[chosen], test[chosen], time.perf_counter() - started)


def fit_all(
    members: Sequence[Member],
    inputs: Inputs,
    folds: Sequence[Fold],
    seeds: Sequence[int],
    n_inner: int,
    out: Path,
) -> dict[tuple[str, str, int], Fitted]:
    """Every model on every fold and seed; what the folder has already is read."""
    found = {}
    total = len(members) * len(folds) * len(seeds)
    for fold in folds:
        for seed in seeds:
            made: dict[Any, Any] = {}
            for member in members:
                path = out / "fits" / f"{member.slug}-fold-{fold.slug}-seed-{seed}.json"
                if path.is_file():
                    found[member.name, fold.name, seed] = read_fitted(path)
                    continue
                fitted = fit_fold(member, inputs, fold, seed, n_inner, made)
                kept = {
                    key: value.tolist() if isinstance(value, np.ndarray) else value
                    for key, value in asdict(fitted).items()
                }
                write_json(path, kept)
                found[member.name, fold.name, seed] = fitted
                log.info(
                    "%d of %d: fold %s, seed %d, %s, %.0f s",
                    len(found),
                    total,
                    fold.name,
                    seed,
                    member.name,
                    fitted.seconds,
                )
    return found


def read_fitted(path: Path) -> Fitted:
    """What an earlier run wrote; InputError where the file is damaged."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Fitted(
            kept["chosen"], np.array(kept["held_out"]), np.array(kept["test"]), kept["seconds"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged; delete it, and the same command makes it again"
        ) from error
