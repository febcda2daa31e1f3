"""Settings that make no sense are refused before anything is read."""

import math

import pytest
from corpus import TARGET, TINY

from curate.errors import InputError
from model.config import GraphConfig, NetworkConfig, TrainConfig


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
