"""Margins of a blend on data whose noise is known, without a look at a test target."""

from dataclasses import replace

import numpy as np
import pytest

from model.benchmark.folds import Fold
from model.benchmark.inputs import Inputs
from model.benchmark.margins import (
    BOTH,
    CONSTANT,
    LEARNED,
    SPREAD,
    BlendPredictions,
    chosen,
    widths,
)
from model.benchmark.run import Fitted
from model.statistics.conformal import certain_half

N_LEARN, N_TEST = 600, 600


@pytest.fixture(scope="module")
def made():
    """Noise of 0.1 or 1, as the first descriptor says; two models that differ by as much."""
    chance = np.random.default_rng(0)
    n = N_LEARN + N_TEST
    scale = chance.choice([0.1, 1.0], n)
    targets = chance.standard_normal(n)
    models = targets + scale * chance.standard_normal((2, n))
    numbers = {"descriptors": np.column_stack([scale, chance.standard_normal((n, 3))])}
    inputs = Inputs([f"m{k}" for k in range(n)], targets, numbers, {})
    rows = np.arange(n)
    fold = Fold("0", rows[:N_LEARN], rows[N_LEARN:])
    fits = {
        (name, "0", seed): Fitted("", values[:N_LEARN], values[N_LEARN:], 0.0)
        for name, values in zip(("a", "b"), models, strict=True)
        for seed in (0, 1)
    }
    blend = BlendPredictions.gather({"a": 0.5, "b": 0.5}, fits, fold, (0, 1))
    return blend, inputs, widths(blend, inputs)


def test_the_blend_is_the_sum_of_its_models_by_their_shares(made):
    blend, _, _ = made
    assert blend.of_test == pytest.approx(blend.test.mean(axis=0))
    assert blend.held_out.shape == (2, N_LEARN) and blend.test.shape == (2, N_TEST)


@pytest.mark.parametrize("name", [CONSTANT, SPREAD, LEARNED, BOTH])
@pytest.mark.parametrize("level", [0.8, 0.9])
def test_margins_hold_as_often_as_they_say(made, name, level):
    blend, inputs, compared = made
    _, margins = compared[name].margins(blend.errors(inputs), level)
    errors = np.abs(inputs.targets[blend.fold.test] - blend.of_test)
    assert np.mean(errors <= margins) == pytest.approx(level, abs=0.05)


def test_the_widths_that_know_the_noise_are_chosen(made):
    blend, inputs, compared = made
    errors = blend.errors(inputs)
    best = chosen(compared, errors, 0.9)
    assert best in (LEARNED, BOTH)
    margins = {name: one.margins(errors, 0.9)[1] for name, one in compared.items()}
    assert margins[best].mean() < 0.8 * margins[CONSTANT].mean()
    of_test = np.abs(inputs.targets[blend.fold.test] - blend.of_test)
    assert certain_half(of_test, margins[best]) < 0.4


def test_targets_of_test_rows_change_no_margin(made):
    blend, inputs, compared = made
    targets = inputs.targets.copy()
    targets[blend.fold.test] = 1e6
    again = widths(blend, replace(inputs, targets=targets))
    for name, one in compared.items():
        assert (again[name].test == one.test).all() and (again[name].learned == one.learned).all()


def test_the_expected_error_of_a_row_is_said_by_trees_that_did_not_see_it(made):
    """A row whose error becomes huge moves the widths of others, and not its own."""
    blend, inputs, compared = made
    targets = inputs.targets.copy()
    targets[blend.fold.learn[0]] += 1e3
    moved = widths(blend, replace(inputs, targets=targets))[LEARNED].learned
    before = compared[LEARNED].learned
    assert moved[0] == pytest.approx(before[0], rel=1e-6)
    assert np.abs(moved / before - 1).max() > 0.1
