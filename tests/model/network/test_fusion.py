"""Fusion: concatenation as ever, and attention of the atoms to the tokens."""

import json
import shutil
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from corpus import TINY
from small import TEXT_WIDTH, batch, network, reordered
from torch import nn

from curate.errors import InputError
from curate.run.schema import record_of_row
from curate.sources.sample import Sample
from model.config import FusionName, GraphConfig, NetworkConfig
from model.data.materials import load_rows
from model.graphs.build import build_graphs
from model.model_folder import PREPROCESSING, SETTINGS, ModelFolder
from model.network.batch import Example, collate
from model.network.crysmmnet import CrysMMNet, CrysMMNetConfig, refuse_randomness
from model.network.fusion import FUSIONS, ConcatFusion, CrossAttentionFusion, Seen, fusion_class
from model.predict import Predictor
from model.training.train import train

SIZES = NetworkConfig(
    width=16, alignn_layers=1, gcn_layers=1, embedding_width=8, fusion="cross-attention"
)


@pytest.fixture(scope="module")
def sample():
    return list(Sample().records())[:6]


def examples(records, config=None):
    chance = np.random.default_rng(0)
    graphs = build_graphs(records, config or GraphConfig())
    return [
        Example(record.material_id, graph, chance.standard_normal((n, TEXT_WIDTH), np.float32), 0.0)
        for n, (record, graph) in enumerate(zip(records, graphs, strict=True), 3)
    ]


def test_every_fusion_that_can_be_chosen_is_there():
    assert set(FUSIONS) == set(get_args(FusionName))


def test_concatenation_adds_no_weights_and_the_head_reads_both_vectors(sample):
    model, found = network(), batch(sample)
    assert {name.split(".")[0] for name in model.state_dict()} == {
        "graph_encoder",
        "graph_projection",
        "text_projection",
        "head",
    }
    crystal = model.graph_encoder.readout(model.graph_encoder(found))
    expected = (model.graph_projection(crystal), model.text_projection(found.text))
    assert torch.equal(model.fused(found), torch.hstack(expected))
    assert model.fusion.width == model.head[0].in_features == 128


def test_padding_of_a_longer_text_beside_it_changes_nothing(sample):
    model, made = network(sizes=SIZES), examples(sample)
    together = collate(made)
    assert together.text.shape == (6, 8, TEXT_WIDTH)
    assert together.text_mask.sum(1).tolist() == [3, 4, 5, 6, 7, 8]
    alone = torch.cat([model(collate([example])) for example in made])
    assert torch.allclose(model(together), alone, atol=1e-5)


def test_a_fusion_of_atoms_gives_the_same_for_quotients_and_any_order_of_atoms(sample):
    model = network(sizes=SIZES)
    folded, full = (
        model(collate(examples(sample, GraphConfig(graph=g)))) for g in ("quotient", "full")
    )
    assert torch.allclose(folded, full, atol=1e-5)
    turned = model(collate(examples([reordered(record) for record in sample])))
    assert torch.allclose(folded, turned, atol=1e-5)


def test_a_vector_is_a_text_of_one_token(sample):
    model, made = network(sizes=SIZES), examples(sample)
    vectors = collate([replace(example, text=example.text[0]) for example in made])
    tokens = collate([replace(example, text=example.text[:1]) for example in made])
    assert vectors.text_mask is None and tokens.text_mask.all()
    assert torch.equal(model(vectors), model(tokens))


def test_no_dropout_acts_on_single_atoms():
    """So that quotients can be trained on; on crystals it does, as everywhere."""
    model = network(sizes=replace(SIZES, dropout=0.5))
    refuse_randomness(model)
    assert model.graph_projection.dropout.p == 0.5 and model.atom_projection.dropout.p == 0
    model.graph_encoder.dropout = nn.Dropout(0.5)
    with pytest.raises(InputError, match=r"ALIGNNEncoder.dropout draws .* use --graph full"):
        refuse_randomness(model)


def test_attention_by_its_formula(sample):
    """Atom by atom and head by head, from the whole graph."""
    model, made = network(sizes=SIZES), examples(sample, GraphConfig(graph="full"))
    fusion, batch = model.fusion, collate(made)
    features = model.graph_encoder(batch)
    atoms, tokens = model.atom_projection(features.atoms), model.text_projection(batch.text)
    rows = []
    for number, example in enumerate(made):
        own = atoms[features.atoms_of.group == number]
        known = tokens[number, : len(example.text)]
        key, value = fusion.answer(known).split(64, dim=1)
        found = []
        for head in range(4):
            part = slice(16 * head, 16 * head + 16)
            scores = fusion.ask(own)[:, part] @ key[:, part].T / 4
            found.append(scores.softmax(1) @ value[:, part])
        rows.append(fusion.norm(own + fusion.join(torch.hstack(found))).mean(0))
    expected = torch.hstack((model.graph_projection(model.readout(features)), torch.stack(rows)))
    assert torch.allclose(model.fused(batch), expected, atol=1e-5)


def test_gradients_of_quotients_are_those_of_whole_graphs(sample):
    gradients = []
    for graph in ("quotient", "full"):
        model = network(sizes=SIZES)
        model(collate(examples(sample, GraphConfig(graph=graph)))).sum().backward()
        gradients.append([p.grad for p in model.fusion.parameters()])
        assert model.text_projection.projection.weight.grad.abs().max() > 0
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5)


def test_heads_must_divide_the_width():
    with pytest.raises(InputError, match="--projection-width that 4 divides, not 10"):
        network(sizes=replace(SIZES, projection_width=10))


@pytest.mark.parametrize("name", FUSIONS)
def test_descriptors_are_joined_by_every_fusion(sample, name):
    sizes, chance = replace(SIZES, fusion=name), np.random.default_rng(1)
    config = CrysMMNetConfig.from_settings(sizes, "both", TEXT_WIDTH, descriptor_widths=[2, 3])
    torch.manual_seed(0)
    model = CrysMMNet(config).eval()
    made = [
        replace(example, descriptors=chance.standard_normal(5, np.float32))
        for example in examples(sample)
    ]
    if name != "cross-attention":
        made = [replace(example, text=example.text[0]) for example in made]
    found = model(collate(made))
    changed = [replace(example, descriptors=example.descriptors + 1) for example in made]
    assert found.shape == (6,) and (model(collate(changed)) - found).abs().min() > 1e-5
    model(collate(made)).sum().backward()
    for projection in model.descriptor_projections:
        assert projection.projection.weight.grad.abs().max() > 0


@pytest.mark.parametrize("modality", ["graph", "text"])
def test_without_two_to_join_the_vectors_stand_side_by_side(modality):
    assert [fusion_class(name, modality) for name in FUSIONS] == [ConcatFusion, ConcatFusion]
    assert [fusion_class(name, "both") for name in FUSIONS] == list(FUSIONS.values())


def test_of_one_vector_concatenation_is_the_vector_itself():
    vector = torch.randn(3, 8)
    assert torch.equal(ConcatFusion(8, 1)(Seen(text=vector)), vector)


def test_a_fusion_of_tokens_is_trained_and_predicts_what_it_predicted(
    tmp_path, settings, dataset, cache
):
    config = settings(tmp_path / "m", network=replace(TINY, fusion="cross-attention"), epochs=1)
    train(config)
    folder = ModelFolder(config.out)
    assert folder.read(PREPROCESSING)["text_recipe"]["pooling"] == "tokens"
    predictor = Predictor.from_pretrained(config.out, cache)
    assert isinstance(predictor.model.fusion, CrossAttentionFusion)
    known = {row["id"]: float(row["prediction"]) for row in folder.predictions}
    records = [record_of_row(row) for row in load_rows(dataset) if row["material_id"] in known]
    found = {p.id: p.value for p in predictor.predict(records)}
    assert found == pytest.approx(known, abs=1e-4)
    empty = [replace(record, description="Gold.") for record in records]
    assert {p.id: p.value for p in predictor.predict(empty)} != found  # it reads the text


def test_a_pooling_beside_a_fusion_of_tokens_is_refused(tmp_path, settings):
    network = replace(TINY, fusion="cross-attention")
    with pytest.raises(
        InputError, match="--text-pooling mean: --fusion cross-attention reads every token"
    ):
        train(settings(tmp_path / "m", network=network, text_pooling="mean"))
    assert not (tmp_path / "m").exists()


def test_a_record_of_settings_from_before_fusions_is_that_of_concatenation(
    trained, tmp_path, settings
):
    shutil.copytree(trained, tmp_path / "m")
    record = tmp_path / "m" / SETTINGS
    asked = json.loads(record.read_text())
    assert asked.pop("fusion") == "concat"
    record.write_text(json.dumps(asked))
    config = settings(tmp_path / "m", split="official")
    assert train(config) == ModelFolder(trained).metrics
    with pytest.raises(InputError, match="fusion was 'concat', now 'cross-attention'"):
        train(replace(config, network=replace(config.network, fusion="cross-attention")))
