"""Graphs are found by words: a head learns which graph belongs to a text, and the model's folder keeps it."""

import shutil

import numpy as np
import pytest
import torch
from corpus import TEXTS

from curate.errors import InputError
from model import cli
from model.config import SearchConfig
from model.files import read_csv
from model.search.contrastive import ContrastiveHead
from model.search.graph_side import HEAD, GraphIndex
from model.training.train import train


def test_the_loss_is_the_cross_entropy_of_both_directions():
    torch.manual_seed(0)
    head = ContrastiveHead(5, 7).eval()
    texts, graphs = torch.randn(4, 5), torch.randn(4, 7)
    likeness = head.text(texts) @ head.graph(graphs).T / 0.07
    right = torch.arange(4)
    rows = -torch.log_softmax(likeness, 1)[right, right].mean()
    columns = -torch.log_softmax(likeness, 0)[right, right].mean()
    assert head.loss(texts, graphs).item() == pytest.approx((rows + columns).item() / 2, rel=1e-4)


def test_pairs_that_share_a_hidden_vector_are_found_again():
    chance = np.random.default_rng(0)
    hidden = chance.standard_normal((600, 6)).astype(np.float32)
    to_text, to_graph = chance.standard_normal((6, 20)), chance.standard_normal((6, 30))
    texts = np.tanh(hidden @ to_text).astype(np.float32)
    graphs = np.tanh(hidden @ to_graph).astype(np.float32)
    head = ContrastiveHead.fit(texts[None, :500], graphs[:500])
    likeness = head.of_texts(texts[500:]) @ head.of_graphs(graphs[500:]).T
    right = np.diagonal(likeness)[:, None]
    assert (
        (likeness > right).sum(1) < 10
    ).mean() > 0.9  # of 100 that were never seen: chance is 0.1
    again = ContrastiveHead.fit(texts[None, :500], graphs[:500])
    assert np.array_equal(again.of_texts(texts[:3]), head.of_texts(texts[:3]))


def test_a_head_is_kept_whole(tmp_path):
    head = ContrastiveHead(5, 7)
    head.save(tmp_path / "head.safetensors", {"pairs": 3})
    again, about = ContrastiveHead.load(tmp_path / "head.safetensors")
    vectors = np.ones((2, 5), np.float32)
    assert about == {"pairs": 3}
    assert np.array_equal(head.eval().of_texts(vectors), again.of_texts(vectors))
    (tmp_path / "head.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="is not the head of a search"):
        ContrastiveHead.load(tmp_path / "head.safetensors")


@pytest.fixture
def model(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "model")


def test_crystals_without_a_text_are_found(
    model, dataset, cache, tmp_path, rock_salt, mos2, capsys
):
    crystals = tmp_path / "crystals"
    crystals.mkdir()
    for record in (rock_salt, mos2):
        record.to_pymatgen().to(filename=str(crystals / f"{record.material_id}.cif"))
    with pytest.raises(InputError, match="search once in the dataset that it was trained on"):
        GraphIndex.open(model, [str(crystals)], cache=cache)
    learned = [row["id"] for row in read_csv(model / "predictions.csv") if row["split"] == "train"]
    index = GraphIndex.open(model, [dataset], cache=cache)
    assert len(index) == 48
    places = []
    for name in learned:
        found = [match.id for match in index.search(TEXTS[name], 48)]
        places.append(found.index(name))
    assert np.mean(np.array(places) < 5) > 0.8  # of 48; they were learned from
    assert [match.id for match in index.like(learned[0], 47)].count(learned[0]) == 0
    written = (model / HEAD).stat().st_mtime_ns
    config = SearchConfig(
        str(crystals), ("salt of Na and Cl octahedra",), model=str(model), cache=cache
    )
    assert cli.run(config) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split("\t")[0] for line in lines[1:]} == {"rock_salt", "mos2"}
    assert (model / HEAD).stat().st_mtime_ns == written  # learned once


def test_what_can_not_be_searched_is_one_sentence(model, dataset, cache, settings, tmp_path):
    with pytest.raises(InputError, match="compares words, and a graph has none"):
        GraphIndex.open(model, [dataset], "bm25", cache)
    index = GraphIndex.open(model, [dataset], cache=cache)
    with pytest.raises(InputError, match="the question is empty"):
        index.search(" ")
    with pytest.raises(InputError, match="no crystal has the id 'x'"):
        index.like("x")
    train(settings(tmp_path / "text", modality="text", epochs=1))
    with pytest.raises(InputError, match="reads texts only"):
        GraphIndex.open(tmp_path / "text", [dataset], cache=cache)
