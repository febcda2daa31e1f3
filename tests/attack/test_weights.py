"""Weights that are missing, too many, misshapen or no numbers give a sentence, never a number."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from curate.errors import InputError
from model.predict.predictor import Predictor


@pytest.fixture
def changed(trained, tmp_path, cache):
    """A predictor of the trained model with its weights changed."""

    def change(how) -> Predictor:
        folder = Path(shutil.copytree(trained, tmp_path / "model"))
        weights = load_file(folder / "model.safetensors")
        how(weights)
        save_file(weights, folder / "model.safetensors")
        return Predictor.from_pretrained(folder, cache)

    return change


def head(weights) -> str:
    return next(name for name in weights if name.startswith("head") and weights[name].ndim == 2)


@pytest.mark.parametrize(
    "how",
    [
        lambda weights: weights.pop(head(weights)),
        lambda weights: weights.update(more=torch.zeros(2)),
        lambda weights: weights.update({head(weights): torch.zeros(3, 3)}),
    ],
)
def test_weights_of_another_network_are_refused(changed, how):
    with pytest.raises(InputError, match="is not the network that"):
        changed(how)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_prediction_that_is_no_number_is_a_failed_one(changed, rutile, value):
    predictor = changed(lambda weights: weights[head(weights)].fill_(value))
    (prediction,) = predictor.predict([rutile])
    assert prediction.value is None and "no number" in prediction.error
