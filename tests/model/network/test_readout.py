"""The mean of atoms beside that of bonds: polymorphs and volumes that the mean of atoms cannot tell apart."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from corpus import TINY
from pymatgen.core import Lattice, Structure
from small import batch, network, predict, reordered, supercell
from torch import nn
from torch.nn import functional as F  # noqa: N812

from curate import StructureRecord
from curate.errors import InputError
from curate.sources.sample import Sample
from model.config import GraphConfig, NetworkConfig
from model.encoder_settings import ENCODERS
from model.network.crysmmnet import CrysMMNet
from model.network.encoders import encoder_class
from model.predict import Predictor
from model.training.train import train

SIZES = {
    "alignn": NetworkConfig(width=16, alignn_layers=1, gcn_layers=2, embedding_width=8),
    "cogn": NetworkConfig(encoder="cogn", width=16, layers=2),
    "megnet": NetworkConfig(encoder="megnet", width=16, layers=2),
}


@pytest.fixture(params=list(SIZES))
def sizes(request):
    return replace(SIZES[request.param], readout="atoms+bonds")


def crystal(name, group, lattice, species, sites) -> StructureRecord:
    made = Structure.from_spacegroup(group, lattice, species, sites)
    return StructureRecord.from_pymatgen(made.get_primitive_structure(), name)


def pairs() -> dict[str, list[StructureRecord]]:
    """Crystals of one composition whose atoms see neighbours of one kind only."""
    one, two = ["Si"], ["Cs", "Cl"]
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return {
        # the id seeds the text embedding: it must be the same for both
        "diamond and fcc silicon": [
            crystal("Si", "Fd-3m", Lattice.cubic(5.431), one, [[0, 0, 0]]),
            crystal("Si", "Fm-3m", Lattice.cubic(3.885), one, [[0, 0, 0]]),
        ],
        "CsCl at 3.5 and 5.5 Å": [
            crystal("CsCl", "Pm-3m", Lattice.cubic(length), two, sites) for length in (3.5, 5.5)
        ],
    }


@pytest.mark.parametrize("name", pairs())
def test_polymorphs_and_volumes_get_different_numbers(sizes, name):
    one, other = predict(network("graph", sizes=sizes), pairs()[name], FEW)
    assert abs(one - other) > 1e-4


# diamond: the four nearest; fcc: the first shell of twelve; CsCl: the first of eight
FEW = GraphConfig(max_neighbors=4)


@pytest.mark.parametrize("name", pairs())
def test_the_mean_of_alignns_atoms_cannot_tell_them_apart(name):
    one, other = predict(network("graph", sizes=SIZES["alignn"]), pairs()[name], FEW)
    assert one == pytest.approx(other, abs=1e-6)


def test_counts_of_the_quotient_are_respected(sizes):
    sample = list(Sample().records())[:16]
    model = network(sizes=sizes)
    folded, full = (predict(model, sample, GraphConfig(graph=g)) for g in ("quotient", "full"))
    assert batch(sample).graph.edge_counts is not None
    assert folded == pytest.approx(full, abs=2e-5)
    assert predict(model, [reordered(r) for r in sample]) == pytest.approx(folded, abs=2e-5)
    doubled = [supercell(record) for record in sample[:6]]
    assert predict(model, doubled) == pytest.approx(folded[:6], abs=2e-5)


def test_it_is_the_mean_of_all_atoms_beside_the_mean_of_all_bonds(sizes):
    record = list(Sample().records())[3]
    model = network(sizes=sizes)
    features = model.graph_encoder(batch([record], GraphConfig(graph="full")))
    expected = np.hstack([f.detach().numpy().mean(0) for f in (features.atoms, features.bonds)])
    (found,) = model.readout(features).detach().numpy()
    assert found == pytest.approx(expected, abs=1e-6)
    assert model.readout.width == len(found) == 2 * model.graph_encoder.width


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_without_bonds_refuses_it_and_names_those_that_have_them(name):
    encoder = network(sizes=NetworkConfig(encoder=name)).graph_encoder
    sample = list(Sample().records())[:2]
    config = GraphConfig(self_bonds=encoder.self_bonds)
    updates = encoder(batch(sample, config)).bonds is not None
    assert updates == encoder_class(name).updates_bonds == (name in SIZES)
    if not updates:
        sentence = f"--encoder {name} updates none; these do: alignn, megnet, cogn"
        with pytest.raises(InputError, match=sentence):
            network(sizes=NetworkConfig(encoder=name, readout="atoms+bonds"))


def test_gradients_reach_the_bonds(sizes):
    """The mean of atoms never reads what the last layer makes of the bonds."""
    model = network("graph", sizes=sizes).train()
    features = model.graph_encoder(batch(list(Sample().records())[:4]))
    features.bonds.retain_grad()
    model.readout(features).sum().backward()
    assert torch.isfinite(features.bonds.grad).all() and features.bonds.grad.abs().max() > 0


SOFTPLUS, SHIFTED, SILU = F.softplus, lambda x: F.softplus(x) - np.log(2), F.silu
HEADS = {  # what the published codes make of the readout: their layers' widths, and activations between
    "alignn": ([256, 1], [None]),
    "cgcnn": ([64, 128, 1], [SOFTPLUS, SOFTPLUS]),
    "schnet": ([64, 1], [None]),
    "megnet": ([96, 32, 16, 1], [None, SHIFTED, SHIFTED]),
    "gatgnn": ([64, 64, 64, 1], [None, SOFTPLUS, SOFTPLUS]),
    "matformer": ([128, 128, 1], [None, SILU]),
    "cogn": ([128, 1], [None]),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_the_published_head_is_that_of_the_authors_code(name):
    """Each activation acts on what the layer after it reads."""
    model = network("graph", sizes=NetworkConfig(encoder=name, readout="published")).double()
    widths, activations = HEADS[name]
    linear = [m for m in model.head.modules() if isinstance(m, nn.Linear)]
    assert [linear[0].in_features, *(m.out_features for m in linear)] == widths
    x = torch.randn(4, widths[0], dtype=torch.float64)
    expected = x
    for layer, activation in zip(linear, activations, strict=True):
        expected = layer(expected if activation is None else activation(expected))
    assert torch.allclose(model.head(x), expected)
    assert set(model.state_dict()) == {k for k in model.state_dict() if k[:4] in ("grap", "head")}


def test_alignn_and_schnet_have_as_many_weights_as_published():
    """4,026,753, and PyTorch Geometric's 455,809 with one row of the embedding more."""
    for name, expected in (("alignn", 4_026_753), ("schnet", 455_809 + 128)):
        model = network("graph", sizes=NetworkConfig(encoder=name, readout="published"))
        assert sum(p.numel() for p in model.parameters()) == expected


def test_schnets_atoms_are_read_one_by_one():
    """The mean of what the two layers make of each atom."""
    model = network("graph", sizes=NetworkConfig(encoder="schnet", readout="published")).double()
    found = batch([list(Sample().records())[3]], GraphConfig(graph="full"))
    found = replace(found, lengths=found.lengths.double())
    atoms = model.graph_encoder(found).atoms
    expected = model.head(SHIFTED(model.graph_encoder.of_each_atom[0](atoms))).mean()
    assert model(found).item() == pytest.approx(expected.item(), abs=1e-9)


@pytest.mark.parametrize("name", ENCODERS)
def test_published_readouts_respect_counts_and_are_stored(name, tmp_path):
    sizes = NetworkConfig(encoder=name, readout="published", width=16)
    model, sample = network("graph", sizes=sizes), list(Sample().records())[:8]
    rules = GraphConfig(self_bonds=encoder_class(name).self_bonds)
    folded = predict(model, sample, rules)
    assert predict(model, sample, replace(rules, graph="full")) == pytest.approx(folded, abs=5e-5)
    model.save_pretrained(tmp_path)
    assert predict(CrysMMNet.from_pretrained(tmp_path), sample, rules) == folded
    assert model.fused(batch(sample, rules)).shape == (8, model.fusion.width)


def test_a_published_readout_is_of_the_graph_alone(settings, tmp_path):
    network_of = replace(TINY, readout="published")
    for changed in ({"modality": "both"}, {"modality": "graph", "descriptors": ("cell",)}):
        with pytest.raises(InputError, match="add --modality graph, without --descriptors"):
            settings(tmp_path / "m", network=network_of, **changed)
    train(settings(tmp_path / "m", network=network_of, modality="graph", epochs=1))
    (found,) = Predictor.from_pretrained(tmp_path / "m").predict(list(Sample().records())[:1])
    assert np.isfinite(found.value)
