"""The graph encoder and the heads against the paper's formulas, and against physics."""

import numpy as np
import pytest
import torch
from plain import plain_crysmmnet
from small import NETWORK, batch, example, network, predict, reordered, rotated, shifted, supercell

from curate import StructureRecord
from curate.sources.sample import Sample
from model.config import GraphConfig, NetworkConfig
from model.graphs.crystal_graph import build_graph
from model.graphs.elements import atom_features, atomic_numbers
from model.network.encoders.layers import RadialBasis


@pytest.fixture(scope="module")
def sample():
    return list(Sample().records())[:12]


@pytest.mark.parametrize("name", ["silicon", "rutile"])
def test_output_is_the_papers_formulas_in_plain_numpy(crystals, name):
    record = crystals[name]
    model, graph = network(), build_graph(record)
    expected = plain_crysmmnet(
        model.state_dict(),
        graph.atomic_numbers,
        graph.src,
        graph.dst,
        graph.vectors,
        example(record).text,
        NETWORK.alignn_layers,
        NETWORK.gcn_layers,
    )
    for kind in ("full", "quotient"):
        found = predict(model, [record], GraphConfig(graph=kind))
        assert found == pytest.approx([expected], abs=1e-5)


def test_radial_functions_are_one_at_their_centre_and_fall_with_the_spacing():
    basis = RadialBasis(0, 8, 80)
    spacing = 8 / 79
    values = basis(torch.tensor([0.0, 3 * spacing]))
    assert values.shape == (2, 80)
    assert values[1, 3].item() == pytest.approx(1)
    assert values[1, 4].item() == pytest.approx(np.exp(-spacing), abs=1e-6)


def test_atom_features_are_one_hot_groups_of_cgcnn():
    features = atom_features()
    assert features.shape == (101, 92)
    sodium, potassium = features[atomic_numbers(["Na", "K"])]
    assert sodium.sum() == potassium.sum() == 9  # nine properties, one bin of each
    assert (sodium[:19] == potassium[:19]).all()  # the same group
    assert (sodium[19:28] != potassium[19:28]).any()  # another period


@pytest.mark.parametrize("way", [rotated, shifted, reordered])
def test_prediction_does_not_depend_on_how_the_crystal_is_written(sample, way):
    model = network()
    written = [way(record) for record in sample]
    assert predict(model, written) == pytest.approx(predict(model, sample), abs=2e-5)


def test_prediction_of_a_supercell_is_that_of_the_crystal(sample, silicon, rutile):
    copper = StructureRecord(
        "copper",
        ((0, 1.8075, 1.8075), (1.8075, 0, 1.8075), (1.8075, 1.8075, 0)),
        ("Cu",),
        ((0, 0, 0),),
    )  # one atom, bonded to its own images only
    crystals = [copper, silicon, rutile, *sample[:5]]
    model = network()
    for times in ((2, 1, 1), (1, 2, 2)):
        larger = [supercell(record, times) for record in crystals]
        assert predict(model, larger) == pytest.approx(predict(model, crystals), abs=2e-5)


def test_a_batch_gives_what_each_crystal_gives_alone(sample):
    model = network()
    alone = [predict(model, [record])[0] for record in sample]
    assert predict(model, sample) == pytest.approx(alone, abs=1e-5)


def test_one_crystal_of_one_atom_can_be_trained_on():
    argon = StructureRecord("argon", ((5.3, 0, 0), (0, 5.3, 0), (0, 0, 5.3)), ("Ar",), ((0, 0, 0),))
    model = network().train()
    output = model(batch([argon]))
    output.sum().backward()
    assert output.shape == (1,)
    assert torch.isfinite(output).all()


def test_the_settings_of_the_paper():
    sizes = NetworkConfig()
    model = network(sizes=sizes, text_width=768)
    n_parameters = sum(p.numel() for p in model.graph_encoder.parameters())
    convolution = 5 * (256 * 256 + 256) + 2 * 2 * 256
    layers = [(92, 256), (80, 64), (64, 256), (40, 64), (64, 256)]
    assert n_parameters == 12 * convolution + sum(i * o + o + 2 * o for i, o in layers)
    assert [model.head[0].in_features, model.head[0].out_features] == [128, 64]
    assert model.head[2].out_features == 1
