"""Modality dropout: one model that predicts with and without a text, and says which it did."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from corpus import TINY
from small import NETWORK, TEXT_WIDTH, network

from curate.errors import InputError
from curate.run.schema import record_of_row
from curate.sources.sample import Sample
from model.config import GraphConfig, PredictConfig
from model.data.materials import load_rows
from model.graphs.build import build_graphs
from model.model_folder import ModelFolder
from model.network.batch import Example, collate
from model.network.fusion import FUSIONS
from model.predict.predictor import Predictor, predict
from model.predict.sentence_attribution import attribute_sentences
from model.training.train import train


@pytest.fixture(params=list(FUSIONS))
def model(request):
    sizes = replace(NETWORK, fusion=request.param, modality_dropout=0.25, dropout=0.0)
    made = network(sizes=sizes)
    torch.nn.init.normal_(made.no_text)
    return made


@pytest.fixture(scope="module")
def examples():
    records, chance = list(Sample().records())[:8], np.random.default_rng(0)
    return [
        Example(record.material_id, graph, chance.standard_normal((5, TEXT_WIDTH), np.float32))
        for record, graph in zip(records, build_graphs(records, GraphConfig()), strict=True)
    ]


def seen_by(model, examples):
    """Tokens where the fusion reads them, else a vector."""
    if model.fusion.reads_tokens:
        return examples
    return [replace(example, text=example.text[0]) for example in examples]


def without(examples, numbers):
    return [
        replace(example, text=None) if number in numbers else example
        for number, example in enumerate(examples)
    ]


def test_a_missing_text_beside_others_is_as_if_alone_and_changes_no_other(model, examples):
    made = seen_by(model, examples)
    whole = model(collate(made))
    mixed = model(collate(without(made, {1, 4})))
    none = model(collate(without(made, range(8))))
    lacking = torch.tensor([number in (1, 4) for number in range(8)])
    assert torch.allclose(mixed[~lacking], whole[~lacking], atol=1e-6)
    assert torch.allclose(mixed[lacking], none[lacking], atol=1e-6)
    assert (mixed[lacking] - whole[lacking]).abs().min() > 1e-5


def test_the_vector_of_no_text_is_what_the_fusion_reads(model, examples):
    batch = collate(without(seen_by(model, examples), range(8)))
    text, mask = model.projected_text(batch)
    assert torch.equal(text.flatten(0, -2), model.no_text.expand(8, -1))
    assert mask is None or mask.sum(1).tolist() == [1] * 8


def test_while_learning_the_share_asked_for_loses_its_text(model, examples):
    batch = collate(seen_by(model, examples))
    torch.manual_seed(0)
    lost = 0
    for _ in range(200):
        text, mask = model.train().projected_text(batch)
        first = text if mask is None else text[:, 0]
        gone = (first == model.no_text).all(1)
        assert mask is None or torch.equal(mask.sum(1), torch.where(gone, 1, 5))
        lost += int(gone.sum())
    assert lost / 1600 == pytest.approx(0.25, abs=0.04)
    text, _ = model.eval().projected_text(batch)
    assert not (text == model.no_text).all(-1).any()  # never where it predicts
    model.train()(batch).sum().backward()
    assert model.no_text.grad.abs().max() > 0


def test_a_model_that_has_not_learned_it_refuses(examples):
    made = network()
    assert not made.can_lack_text and "no_text" not in made.state_dict()
    with pytest.raises(InputError, match="train with --modality-dropout"):
        made(collate(without([replace(e, text=e.text[0]) for e in examples], {0})))


@pytest.mark.parametrize("modality", ["graph", "text"])
def test_where_there_is_nothing_beside_the_text_none_is_lost(modality):
    made = network(modality, sizes=replace(NETWORK, modality_dropout=0.5))
    assert not made.can_lack_text


@pytest.fixture(scope="module")
def trained_model(settings, tmp_path_factory):
    sizes = replace(TINY, modality_dropout=0.5)
    config = settings(tmp_path_factory.mktemp("m") / "m", network=sizes, epochs=2)
    train(config)
    return config.out


def test_one_model_predicts_with_and_without_text(trained_model, dataset, cache):
    predictor = Predictor.from_pretrained(trained_model, cache)
    known = {row["id"]: float(row["prediction"]) for row in ModelFolder(trained_model).predictions}
    records = [record_of_row(row) for row in load_rows(dataset)][:6]
    found = predictor.predict(records)
    assert not any(p.without_text for p in found)
    assert {p.id: p.value for p in found} == pytest.approx(
        {p.id: known[p.id] for p in found}, abs=1e-4
    )
    bare = predictor.predict(records, without_text=True)
    assert all(p.without_text for p in bare)
    assert all(abs(p.value - other.value) > 1e-5 for p, other in zip(bare, found, strict=True))
    explained = attribute_sentences(predictor, records[0])
    assert explained.without_text == pytest.approx(bare[0].value, abs=1e-5)


def test_a_crystal_that_cannot_be_described_is_predicted_and_said(
    trained_model, cache, silicon, tmp_path, caplog, monkeypatch
):
    predictor = Predictor.from_pretrained(trained_model, cache)
    monkeypatch.setattr(Predictor, "described", lambda self, record: "no description: too large")
    (found,) = predictor.predict([silicon])
    assert found.value is not None and found.without_text
    assert "silicon is predicted without its text: no description: too large" in caplog.text
    silicon.to_pymatgen().to(filename=str(tmp_path / "silicon.cif"))
    places = (str(tmp_path / "silicon.cif"),)
    config = PredictConfig(trained_model, places, without_text=True, cache=tmp_path / "empty")
    assert [p.without_text for p in predict(config)] == [True]
    assert not (tmp_path / "empty").exists()  # no text was read


def test_a_model_without_it_is_not_asked_to(trained, cache, silicon):
    with pytest.raises(InputError, match="has not learned to predict without a text"):
        Predictor.from_pretrained(trained, cache).predict([silicon], without_text=True)


def test_a_model_that_reads_no_text_predicts_without_one(settings, tmp_path, cache, silicon):
    train(settings(tmp_path / "m", modality="graph", epochs=1))
    predictor = Predictor.from_pretrained(tmp_path / "m", cache)
    assert predictor.predict([silicon], without_text=True) == predictor.predict([silicon])


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_is_none_is_refused(settings, tmp_path, share):
    with pytest.raises(InputError, match="--modality-dropout must be at least 0 and below 1"):
        settings(tmp_path / "m", network=replace(TINY, modality_dropout=share))
