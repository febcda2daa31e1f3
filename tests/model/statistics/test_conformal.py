"""Margins hold as often as they say on data whose noise is known."""

import math

import numpy as np
import pytest

from curate.errors import InputError
from model.statistics.conformal import certain_half, check_level, conformal_quantile, fewest


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_margins_hold_as_often_as_theory_says(level):
    """A new score is at most the k-th smallest of n with probability k/(n + 1), whatever their law."""
    chance = np.random.default_rng(0)
    n, repeats = 49, 4_000
    scores = chance.standard_cauchy((repeats, n + 1)) ** 2
    held = [row[-1] <= conformal_quantile(row[:-1], level) for row in scores]
    wanted = math.ceil(round((n + 1) * level, 9)) / (n + 1)
    assert np.mean(held) == pytest.approx(
        wanted, abs=4 * math.sqrt(wanted * (1 - wanted) / repeats)
    )


def test_the_rank_is_that_of_a_finite_sample():
    scores = np.arange(1.0, 11.0)[::-1]
    assert (
        conformal_quantile(scores, 0.9) == 10
    )  # ceil(11 · 0.9) = 10, where a plain quantile has 9.1
    assert conformal_quantile(scores[:9], 0.9) == 10
    assert conformal_quantile(scores[:8], 0.9) == math.inf
    assert (
        conformal_quantile(np.arange(1.0, 30.0), 0.9) == 27
    )  # 30 · 0.9 is a little above 27 as a float


@pytest.mark.parametrize(("level", "n"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_the_fewest_scores_are_enough_and_one_less_is_not(level, n):
    assert fewest(level) == n
    assert math.isfinite(conformal_quantile(np.ones(n), level))
    assert conformal_quantile(np.ones(n - 1), level) == math.inf


def test_widths_that_know_the_noise_give_narrower_margins_at_the_same_coverage():
    """Noise of scale s: margins by s are 1.64 s on average at 90 %, and the calmer half errs less."""
    chance = np.random.default_rng(1)
    scale = chance.choice([0.1, 1.0], 40_000)
    errors = np.abs(chance.standard_normal(40_000)) * scale
    half = 20_000
    local = conformal_quantile(errors[:half] / scale[:half], 0.9) * scale[half:]
    constant = conformal_quantile(errors[:half], 0.9)
    assert np.mean(errors[half:] <= local) == pytest.approx(0.9, abs=0.01)
    assert np.mean(errors[half:] <= constant) == pytest.approx(0.9, abs=0.01)
    assert local.mean() == pytest.approx(1.645 * 0.55, rel=0.03)
    assert constant > 1.25 * local.mean()
    assert certain_half(errors[half:], local) == pytest.approx(0.1 / 0.55, rel=0.1)


def test_the_certain_half_of_equal_margins_is_none():
    assert certain_half(np.array([1.0, 2.0, 3.0]), np.ones(3)) is None
    assert certain_half(np.array([1.0, 3.0, 2.0, 2.0]), np.array([1.0, 4.0, 2.0, 3.0])) == 0.75


@pytest.mark.parametrize("level", [0.0, 1.0, 90.0, -0.1, math.nan])
def test_a_level_is_a_share(level):
    with pytest.raises(InputError, match="--level must be above 0 and below 1"):
        check_level(level)
