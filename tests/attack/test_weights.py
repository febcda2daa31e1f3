"""Weights that are missing, too many, misshapen or no numbers give a sentence, never a number."""

import json
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


def edited(folder: Path, name: str, **values) -> None:
    """Change values of a JSON file; of its graph's rules or its encoder's sizes where they have the name."""
    stored = json.loads((folder / name).read_text())
    for key, value in values.items():
        inner = next((d for d in stored.values() if isinstance(d, dict) and key in d), stored)
        inner[key] = value
    (folder / name).write_text(json.dumps(stored))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("preprocessing.json", {"mean": float("nan")}),
        ("preprocessing.json", {"mean": [1]}),
        ("preprocessing.json", {"std": -1.0}),
        ("preprocessing.json", {"std": 0}),
        ("preprocessing.json", {"log10": "false"}),
        ("preprocessing.json", {"max_neighbors": 0}),
        ("preprocessing.json", {"max_neighbors": 10**9}),
        ("preprocessing.json", {"cutoff_angstrom": float("nan")}),
        ("preprocessing.json", {"more": 1}),
        ("config.json", {"projection_width": -1}),
        ("config.json", {"projection_width": 10**10}),
        ("config.json", {"dropout": 2.0}),
        ("config.json", {"alignn_layers": 10**7}),
        ("config.json", {"encoder_settings": {"more": 1}}),
        ("question.json", {"members": 10**9}),
        ("question.json", {"members": "2"}),
    ],
)
def test_values_that_no_training_writes_are_refused(trained, tmp_path, cache, name, values):
    folder = Path(shutil.copytree(trained, tmp_path / "model"))
    edited(folder, name, **values)
    with pytest.raises(InputError, match="anew"):
        Predictor.from_pretrained(folder, cache)


def test_a_network_of_another_modality_is_refused(trained, tmp_path, cache):
    folder = Path(shutil.copytree(trained, tmp_path / "model"))
    other = (
        "graph"
        if Predictor.from_pretrained(folder, cache).preprocessing.modality == "both"
        else "both"
    )
    edited(folder, "preprocessing.json", modality=other)
    with pytest.raises(InputError, match=f"and the preprocessing of {other}"):
        Predictor.from_pretrained(folder, cache)


@pytest.mark.parametrize("name", ["preprocessing.json", "config.json", "question.json"])
@pytest.mark.parametrize("content", [b"", b'{"a": ', b"[]", b"\xff\xfe\0"])
def test_a_file_of_a_model_that_is_damaged_is_named(trained, tmp_path, cache, name, content):
    folder = Path(shutil.copytree(trained, tmp_path / "model"))
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is damaged"):
        Predictor.from_pretrained(folder, cache)
