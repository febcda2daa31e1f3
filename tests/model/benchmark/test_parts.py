"""Folds, blocks, scales and shares of a benchmark."""

import numpy as np
import pytest

from curate.errors import InputError
from model.benchmark.blend import shares
from model.benchmark.folds import inner_folds, outer_folds
from model.benchmark.inputs import Inputs, filled
from model.benchmark.members import SCALES, Scale, members


def test_each_fold_is_tested_once_and_never_learned_from():
    folds = outer_folds(["0", "1", None, "0", "2", "1"], "fold")
    assert [fold.name for fold in folds] == ["0", "1", "2"]
    assert sorted(np.concatenate([fold.test for fold in folds])) == [0, 1, 3, 4, 5]
    for fold in folds:
        assert not set(fold.learn) & set(fold.test) and 2 not in fold.learn


def test_the_label_of_a_fold_leads_to_no_other_folder():
    labels = ["../x", "a/b", "a b", "0"]
    slugs = [fold.slug for fold in outer_folds(labels * 2, "fold")]
    assert not any("/" in slug for slug in slugs) and len(set(slugs)) == 4
    assert {"a b", "0"} < set(slugs)  # whose fits were kept under their names


def test_a_split_is_one_fold_that_learns_from_train_and_val():
    (fold,) = outer_folds(["train", "val", "test", "leak", None], "split")
    assert (fold.learn.tolist(), fold.test.tolist()) == ([0, 1], [2])


def test_the_parts_of_a_split_have_the_names_that_a_training_takes():
    (fold,) = outer_folds(["Training", "valid", "TEST", "test", None], "split")
    assert (fold.learn.tolist(), fold.test.tolist()) == ([0, 1], [2, 3])


@pytest.mark.parametrize("values", [[1.5, 2.5, 1.5, 2.5], ["a"] * 4, list("abcd"), [None] * 4])
def test_what_is_no_column_of_folds_is_refused(values):
    with pytest.raises(InputError, match="--folds it: a column of fold numbers"):
        outer_folds(values, "it")


def test_inner_folds_hold_out_each_row_once_and_depend_on_the_seed():
    learn = np.arange(3, 26)
    found = inner_folds(learn, 4, seed=1)
    assert sorted(np.concatenate([held for _, held in found])) == learn.tolist()
    assert all(not set(fit) & set(held) and len(fit) + len(held) == 23 for fit, held in found)
    other = inner_folds(learn, 4, seed=2)
    assert found[0][1].tolist() != other[0][1].tolist()


def test_missing_numbers_are_the_mean_of_what_is_learned_from():
    values = np.array([[1.0, np.nan, 7.0], [3.0, 4.0, 7.0], [np.nan, 100.0, 9.0]])
    # the second and the last column are constant in the rows learned from, once filled
    assert filled(values, np.array([0, 1])).tolist() == [[1], [3], [2]]


@pytest.mark.parametrize("name", SCALES)
def test_a_scale_gives_back_what_it_took_and_leaves_no_range(name):
    targets = np.array([0.0, 3.0, 50.0, 80.0, 1600.0])
    scale = Scale.of(targets, name)
    assert scale.back(scale.to(targets)) == pytest.approx(targets)
    assert scale.to(targets).std() == pytest.approx(1)
    assert scale.back(np.array([-1e9, 1e9])).tolist() == [0, 1600]


def test_shares_are_the_best_of_all_and_add_up_to_one():
    stream = np.random.default_rng(0)
    targets = stream.normal(size=200)
    good, bad = targets + stream.normal(size=200) * 0.1, stream.normal(size=200)
    other = targets + stream.normal(size=200) * 0.1
    found = shares(np.stack([good, bad, other], axis=1), targets)
    assert found.sum() == pytest.approx(1) and (found >= 0).all()
    assert found[1] < 0.05 and min(found[0], found[2]) > 0.3
    table = np.stack([good, bad, other], axis=1)
    least = np.abs(table @ found - targets).mean()
    for tried in stream.dirichlet(np.ones(3), 500):  # none is better than the linear program's
        assert np.abs(table @ tried - targets).mean() >= least - 1e-9


@pytest.mark.parametrize("member", members(), ids=lambda member: member.slug)
def test_every_model_learns_a_rule_and_from_its_rows_alone(member):
    stream = np.random.default_rng(1)
    n = 80
    table = stream.normal(size=(n, 4))
    targets = 10 + 3 * table[:, 0]
    words = ["red stone" if value > 0 else "blue stone" for value in table[:, 0]]
    numbers = {"magpie": table, "descriptors": table}
    texts = {"text": words, "shuffled text": words[::-1]}
    fit, rest = np.arange(60), np.arange(60, n)
    inputs = Inputs([str(row) for row in range(n)], targets, numbers, texts)
    found = dict(member.guesses(inputs.blocks(fit), targets[fit], rest, seed=0))
    errors = {name: np.abs(values - targets[rest]).mean() for name, values in found.items()}
    assert min(errors.values()) < 0.6 * np.abs(targets[rest] - targets[fit].mean()).mean()
    changed = {"magpie": table.copy(), "descriptors": table.copy()}
    for values in changed.values():
        values[rest[1:]] += 50  # other test crystals change nothing of the first one's prediction
    again = Inputs(inputs.ids, targets, changed, texts)
    for name, values in member.guesses(again.blocks(fit), targets[fit], rest[:1], seed=0):
        assert values[0] == pytest.approx(found[name][0])
