"""Intervals over trainings and crystals together, and the correction of several p-values."""

import numpy as np
import pytest
from scipy import stats

from model.statistics.paired_difference import holm, paired_difference


def difference(changes, base=0.0):
    """Of errors by training (row) and crystal (column); NaN where there is none."""
    pairs = {
        (seed, f"m{crystal}"): change
        for seed, row in enumerate(changes)
        for crystal, change in enumerate(row)
        if not np.isnan(change)
    }
    return paired_difference(dict.fromkeys(pairs, base), {k: base + v for k, v in pairs.items()})


def test_trainings_that_agree_leave_the_interval_of_the_crystals():
    """With no spread over trainings it is the t interval over the crystals' means."""
    change = np.random.default_rng(0).normal(0.1, 1.0, 60)
    found = difference([change, change, change])
    half = stats.t.ppf(0.975, 59) * change.std(ddof=1) / np.sqrt(60)
    assert (found.n, found.n_trainings) == (60, 3)
    assert found.mean == pytest.approx(change.mean())
    assert found.high - found.mean == pytest.approx(half)
    assert found.p == pytest.approx(stats.ttest_1samp(change, 0).pvalue)


def test_crystals_that_agree_leave_the_interval_of_the_trainings():
    offsets = np.array([-0.3, 0.1, -0.1])
    found = difference(np.repeat(offsets[:, None], 50, axis=1))
    expected = stats.t.interval(0.95, 2, offsets.mean(), stats.sem(offsets))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.p == pytest.approx(stats.ttest_1samp(offsets, 0).pvalue)
    assert not found.is_clear


def test_trainings_with_test_crystals_of_their_own_are_as_many_as_they_are():
    """Where no crystal is in two test sets, the interval is the t interval over the trainings' means."""
    changes = np.random.default_rng(1).normal(size=(4, 25))
    apart = np.full((4, 100), np.nan)
    for seed, row in enumerate(changes):
        apart[seed, 25 * seed : 25 * seed + 25] = row
    found = difference(apart)
    means = changes.mean(1)
    expected = stats.t.interval(0.95, 3, means.mean(), stats.sem(means))
    assert (found.low, found.high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("of_training", "of_crystal", "of_both"), [(0.3, 1.0, 0.5), (0.0, 1.0, 1.0), (0.2, 0.0, 1.0)]
)
@pytest.mark.parametrize("n_trainings", [3, 8])
def test_nineteen_of_twenty_intervals_hold_the_truth(of_training, of_crystal, of_both, n_trainings):
    """The bootstrap over crystals, which the tables had before, misses far more often."""
    chance = np.random.default_rng(2)
    n_draws, n_crystals, held, held_by_crystals = 600, 60, 0, 0
    for _ in range(n_draws):
        changes = (
            of_training * chance.normal(size=(n_trainings, 1))
            + of_crystal * chance.normal(size=(1, n_crystals))
            + of_both * chance.normal(size=(n_trainings, n_crystals))
        )
        found = difference(changes)
        held += found.low <= 0 <= found.high
        by_crystal = changes.mean(0)
        half = 1.96 * by_crystal.std(ddof=1) / np.sqrt(n_crystals)
        held_by_crystals += abs(by_crystal.mean()) <= half
    # 0.95 within what 600 draws tell, and the 0.02 that few trainings cost
    assert 0.91 <= held / n_draws <= 0.98
    if of_training:
        assert held_by_crystals / n_draws < 0.88


def test_the_interval_holds_with_test_sets_that_overlap_a_little():
    """As of three random splits: each training predicts a tenth of the crystals, drawn anew."""
    chance = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        changes = np.full((3, 200), np.nan)
        of_crystal = chance.normal(size=200)
        for row in changes:
            drawn = chance.choice(200, 20, replace=False)
            row[drawn] = 0.3 * chance.normal() + of_crystal[drawn] + 0.5 * chance.normal(size=20)
        found = difference(changes)
        held += found.low <= 0 <= found.high
    assert 0.91 <= held / 400 <= 0.98


def test_one_training_tells_of_crystals_alone():
    change = np.random.default_rng(3).normal(5.0, 1.0, 40)
    found = difference([change])
    expected = stats.t.interval(0.95, 39, change.mean(), stats.sem(change))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.low > 0 and not found.is_clear and (found.n_trainings, found.p) == (1, 1.0)


def test_no_change_is_no_difference():
    found = difference(np.zeros((3, 5)))
    assert (found.mean, found.low, found.high, found.p, found.is_clear) == (0, 0, 0, 1, False)
    sure = difference(np.ones((3, 5)))
    assert (sure.mean, sure.low, sure.high, sure.p, sure.is_clear) == (1, 1, 1, 0, True)


def test_only_what_both_models_have_is_compared():
    base = {(0, "a"): 1.0, (0, "b"): 1.0, (1, "a"): 1.0}
    other = {(0, "a"): 3.0, (1, "a"): 2.0, (2, "a"): 9.0}
    assert paired_difference(base, other).mean == 1.5
    with pytest.raises(ValueError, match="no crystal of the same training"):
        paired_difference(base, {(7, "a"): 0.0})


def test_a_training_may_be_a_seed_and_a_fold():
    chance = np.random.default_rng(4)
    keys = [((s, f), f"m{f}-{i}") for s in range(2) for f in range(5) for i in range(20)]
    found = paired_difference(dict.fromkeys(keys, 0.0), {k: chance.normal() for k in keys})
    assert (found.n, found.n_trainings) == (100, 10)


def test_holms_correction():
    """Holm (1979): the smallest times n, the next times n - 1, never falling, at most 1."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.6]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02] and holm([]) == []
