"""Settings that make no sense are refused before anything is read."""

import math

import pytest
from corpus import TARGET, TINY

from curate.errors import InputError
from model.config import (
    AppConfig,
    BenchmarkConfig,
    EncodersConfig,
    EvaluateConfig,
    ExperimentConfig,
    GraphConfig,
    NetworkConfig,
    PredictConfig,
    ReportModelConfig,
    SearchConfig,
    TrainConfig,
)
from model.predict.predictor import property_names


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        ("network", "width", (0, -4)),
        ("network", "projection_width", (0, -1)),
        ("network", "distance_bins", (0,)),
        ("network", "alignn_layers", (-1,)),
        ("network", "dropout", (-0.1, 1.0, math.nan)),
        ("network", "modality_dropout", (-0.1, 1.0)),
        ("graph", "max_neighbors", (0, -3)),
        ("graph", "cutoff_angstrom", (0.0, -2.0, math.nan, math.inf)),
        ("graph", "shell_tolerance", (-1.0, 1.0)),
        ("", "learning_rate", (0.0, math.nan, math.inf)),
        ("", "weight_decay", (-5.0, math.nan)),
        ("", "epochs", (0,)),
    ],
)
def test_a_number_without_meaning_is_refused_by_the_name_of_its_flag(tmp_path, kind, name, values):
    sizes = {"network": NetworkConfig, "graph": GraphConfig}
    for value in values:
        given = {kind: sizes[kind](**{name: value})} if kind else {name: value}
        with pytest.raises(InputError, match=f"^--{name.replace('_', '-')} must be .*, not "):
            TrainConfig(data="data", target=TARGET, out=tmp_path, **given)


def test_a_network_may_have_no_layers_and_no_dropout(tmp_path):
    network = NetworkConfig(alignn_layers=0, gcn_layers=0, dropout=0.0)
    given = {"data": "data", "target": TARGET, "out": tmp_path, "weight_decay": 0.0}
    assert TrainConfig(**given, network=network).network.gcn_layers == 0
    assert TrainConfig(**given, network=TINY).weight_decay == 0


@pytest.mark.parametrize("seed", [-(2**63) - 1, 2**63 - 4])
def test_a_seed_that_a_member_can_not_draw_with_is_refused(tmp_path, seed):
    with pytest.raises(InputError, match=f"--seed must lie between .*, not {seed}"):
        TrainConfig(data="data", target=TARGET, out=tmp_path, seed=seed, members=5)


@pytest.mark.parametrize("seeds", [(), (1, 1), (-1,), (2**32,)])
def test_seeds_of_many_trainings_differ_and_are_those_of_trees(tmp_path, seeds):
    given = {"data": "data", "out": tmp_path, "seeds": seeds}
    with pytest.raises(InputError, match=r"^--seeds "):
        BenchmarkConfig(**given, target=TARGET)
    with pytest.raises(InputError, match=r"^--seeds "):
        ExperimentConfig(**given, kind="text", targets=(TARGET,))


def test_a_target_of_an_experiment_is_named_once(tmp_path):
    with pytest.raises(InputError, match=r"^--targets a a: one is named twice"):
        ExperimentConfig(kind="text", targets=("a", "a"), data="data", out=tmp_path)


def test_what_a_prediction_can_not_use_is_refused_before_the_work(tmp_path):
    crystals, model = ("a.cif",), tmp_path / "m"
    for given, sentence in (
        ({"crystals": ()}, "name the crystals to predict"),
        ({"batch_size": 0}, "--batch-size must be positive, not 0"),
        ({"out": tmp_path}, "is a folder: name a file in it"),
        ({"also": ("gap", "gap")}, "--also gap: the model is named twice"),
        ({"also": (str(model),)}, "m: the model is named twice"),
    ):
        with pytest.raises(InputError, match=sentence):
            PredictConfig(**{"model": model, "crystals": crystals, **given})
    with pytest.raises(InputError, match="--batch-size must be positive, not -1"):
        EvaluateConfig(model, "data", batch_size=-1)
    (tmp_path / "found.csv").mkdir()
    with pytest.raises(InputError, match=r"found.csv is a folder"):
        SearchConfig("data", ("word",), out=tmp_path / "found.csv")
    with pytest.raises(InputError, match=r"found.csv is a folder"):
        ReportModelConfig(model, out=tmp_path / "found.csv")
    with pytest.raises(InputError, match="--n must be positive, not 0"):
        EncodersConfig(n=0)
    with pytest.raises(InputError, match="--port must lie between 1 and 65535, not 99999"):
        AppConfig(model, port=99999)


def test_predictions_of_models_with_one_target_have_a_name_each():
    names = property_names(["gap", "gap", "gap", "energy"], ["a/m", "b/m", "b/n", "c/m"])
    assert names == ["gap (a/m)", "gap (b/m)", "gap (n)", "energy"]
