"""Fusion: concatenation as ever, and the seam for others, tried with one that reads atoms and tokens."""

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
from model.network.crysmmnet import refuse_randomness
from model.network.fusion import FUSIONS, Fusion
from model.predict import Predictor
from model.training.train import train


class AtomsAskTokens(Fusion):
    """Each atom attends to the tokens; a crystal is the mean of its atoms and of what they found."""

    reads_atoms, reads_tokens = True, True

    def __init__(self, width, n_modalities):
        super().__init__(width, n_modalities)
        self.width = 2 * width
        self.query = nn.Linear(width, width)

    def forward(self, graph, text, atoms_of=None, mask=None):
        tokens = text[atoms_of.group]  # (n_atoms, n_tokens, width)
        scores = torch.einsum("ad,atd->at", self.query(graph), tokens)
        shares = scores.masked_fill(~mask[atoms_of.group], -torch.inf).softmax(1)
        found = torch.einsum("at,atd->ad", shares, tokens)
        return atoms_of.mean(torch.cat((graph, found), dim=1))


SIZES = NetworkConfig(
    width=16, alignn_layers=1, gcn_layers=1, embedding_width=8, dropout=0.0, fusion="atoms"
)


@pytest.fixture
def offered(monkeypatch):
    monkeypatch.setitem(FUSIONS, "atoms", AtomsAskTokens)


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


def test_padding_of_a_longer_text_beside_it_changes_nothing(offered, sample):
    model, made = network(sizes=SIZES), examples(sample)
    together = collate(made)
    assert together.text.shape == (6, 8, TEXT_WIDTH)
    assert together.text_mask.sum(1).tolist() == [3, 4, 5, 6, 7, 8]
    alone = torch.cat([model(collate([example])) for example in made])
    assert torch.allclose(model(together), alone, atol=1e-5)


def test_a_fusion_of_atoms_gives_the_same_for_quotients_and_any_order_of_atoms(offered, sample):
    model = network(sizes=SIZES)
    folded, full = (
        model(collate(examples(sample, GraphConfig(graph=g)))) for g in ("quotient", "full")
    )
    assert torch.allclose(folded, full, atol=1e-5)
    turned = model(collate(examples([reordered(record) for record in sample])))
    assert torch.allclose(folded, turned, atol=1e-5)


def test_a_vector_is_a_text_of_one_token(offered, sample):
    model, made = network(sizes=SIZES), examples(sample)
    vectors = collate([replace(example, text=example.text[0]) for example in made])
    tokens = collate([replace(example, text=example.text[:1]) for example in made])
    assert vectors.text_mask is None and tokens.text_mask.all()
    assert torch.equal(model(vectors), model(tokens))


def test_dropout_on_single_atoms_is_refused(offered):
    refuse_randomness(network(sizes=SIZES))
    with pytest.raises(InputError, match="--graph full or --dropout 0"):
        refuse_randomness(network(sizes=replace(SIZES, dropout=0.1)))


def test_a_fusion_of_tokens_is_trained_and_predicts_what_it_predicted(
    offered, tmp_path, settings, dataset, cache
):
    config = settings(tmp_path / "m", network=replace(TINY, dropout=0.0, fusion="atoms"), epochs=1)
    train(config)
    folder = ModelFolder(config.out)
    assert folder.read(PREPROCESSING)["text_recipe"]["pooling"] == "tokens"
    predictor = Predictor.from_pretrained(config.out, cache)
    assert isinstance(predictor.model.fusion, AtomsAskTokens)
    known = {row["id"]: float(row["prediction"]) for row in folder.predictions}
    records = [record_of_row(row) for row in load_rows(dataset) if row["material_id"] in known]
    found = {p.id: p.value for p in predictor.predict(records)}
    assert found == pytest.approx(known, abs=1e-4)
    empty = [replace(record, description="Gold.") for record in records]
    assert {p.id: p.value for p in predictor.predict(empty)} != found  # it reads the text


def test_a_pooling_beside_a_fusion_of_tokens_is_refused(offered, tmp_path, settings):
    network = replace(TINY, dropout=0.0, fusion="atoms")
    with pytest.raises(InputError, match="--text-pooling mean: --fusion atoms reads every token"):
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
    with pytest.raises(InputError, match="fusion was 'concat', now 'atoms'"):
        train(replace(config, network=replace(config.network, fusion="atoms")))
