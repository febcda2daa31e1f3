"""A preset stands for flags; flags beside it change them."""

import pytest
import tyro

from curate.errors import InputError
from model.config import ExperimentConfig, TrainConfig
from model.presets import PRESETS, with_preset

TRAIN = ["train", "--data", "d", "--target", "t", "--out", "o"]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_flags_that_the_commands_know(name):
    tyro.cli(TrainConfig, args=with_preset([*TRAIN, "--preset", name])[1:])
    asked = [
        "experiment",
        "modality",
        "--data",
        "d",
        "--targets",
        "t",
        "--out",
        "o",
        f"--preset={name}",
    ]
    assert tyro.cli(ExperimentConfig, args=with_preset(asked)[1:]).kind == "modality"


def test_the_papers_preset_is_the_released_network():
    config = tyro.cli(TrainConfig, args=with_preset([*TRAIN, "--preset", "paper"])[1:])
    expected = {"text_encoder": "m3rg-iitd/matscibert", "loss": "mse", "descriptors": ()}
    assert {name: getattr(config, name) for name in expected} == expected
    assert config.graph.exact_shell and config.network.fusion == "concat"
    assert config.network.encoder == "alignn" and config.network.readout == "encoder"


def test_a_flag_beside_a_preset_changes_it():
    given = with_preset([*TRAIN, "--loss", "huber", "--preset", "best"])
    config = tyro.cli(TrainConfig, args=given[1:])
    assert config.loss == "huber"
    assert (
        config.descriptors
        == tyro.cli(TrainConfig, args=with_preset([*TRAIN, "--preset", "best"])[1:]).descriptors
    )


def test_without_a_preset_nothing_changes():
    assert with_preset(TRAIN) == TRAIN


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([*TRAIN, "--preset", "worst"], "--preset worst: choose one of paper, best"),
        ([*TRAIN, "--preset"], "choose one of"),
        ([*TRAIN, "--preset", "best", "--preset=paper"], "choose one of"),
        (["predict", "m", "--preset", "best"], "--preset is for train, experiment"),
        (["--preset", "best"], "--preset is for"),
    ],
)
def test_a_wrong_preset_is_one_sentence(given, message):
    with pytest.raises(InputError, match=message):
        with_preset(given)
