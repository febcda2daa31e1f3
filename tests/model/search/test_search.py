"""Texts are found by words, by vectors and by both; an index is made once, and again where it must be."""

import json
import logging
import math
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from corpus import TEXTS, rows, write_dataset

from curate.errors import InputError
from curate.vocabulary import translated
from model import cli
from model.config import SearchConfig
from model.files import read_csv
from model.search import SearchIndex
from model.search.answer import NAMES, search, write
from model.search.bm25 import BM25, K1, B
from model.search.fusion import fused, ranking
from model.search.index import FOLDER, MANIFEST, VECTORS
from model.search.words import matching_sentences, words_of

WRITTEN = [
    "Na(1) is bonded to six Cl(1) atoms to form NaCl6 octahedra. It is Halite.",
    "Zn(1) is bonded to four S(1) atoms to form ZnS4 tetrahedra.",
    "Mo(1) is bonded to six S(1) atoms. The structure is two-dimensional.",
    "",
]


@pytest.fixture(scope="module")
def index(dataset, cache):
    return SearchIndex.open(dataset, "tfidf", cache)


def test_words_are_compared_without_plural_case_and_site_numbers():
    assert list(
        words_of("In each layer, In(1) forms edge-sharing InO6 Octahedra; 2.10 Å (0, 1)")
    ) == [
        *("each", "layer", "In", "form", "edge-sharing", "edge", "sharing", "InO6", "octahedr"),
        *("2.10", "A"),
    ]
    assert list(words_of("octahedral octahedron sheets glass P6_3/mmc")) == [
        *("octahedr", "octahedr", "sheet", "glass", "P6_3/mmc"),
    ]


def test_plain_words_are_read_as_those_of_the_texts():
    text, replaced = translated("layered Tellurides with 6 neighbours, 2.9 Å and lead(2)")
    assert text == "two-dimensional sheet Te with six neighbours, 2.9 Å and Pb(2)"
    assert replaced["layered"] == "two-dimensional sheet" and replaced["Tellurides"] == "Te"
    assert translated("Fm-3m NaCl6 octahedra")[1] == {}


def test_bm25_is_the_formula():
    found = BM25.fit(WRITTEN)
    counts = [Counter(words_of(text)) for text in WRITTEN]
    lengths = [count.total() for count in counts]
    mean = sum(lengths) / 4
    query = {"six": 1.0, "tetrahedr": 2.0, "unknown": 1.0}
    for text, score in enumerate(found.scores(query)):
        expected = 0.0
        for word, weight in query.items():
            having = sum(word in count for count in counts)
            if counts[text][word]:
                idf = math.log(1 + (4 - having + 0.5) / (having + 0.5))
                relative = K1 * (1 - B + B * lengths[text] / mean)
                n = counts[text][word]
                expected += weight * idf * n * (K1 + 1) / (n + relative)
        assert score == pytest.approx(expected, rel=1e-5)
    assert found.scores({"halite": 1.0}).argmax() == 0
    assert not found.scores({"unknown": 1.0}).any()


def test_rankings_join_by_place():
    assert ranking(np.array([1.0, 3.0, 3.0, 0.0, 2.0]), 3).tolist() == [1, 2, 4]
    assert ranking(np.array([1.0, 1.0, 1.0, 2.0]), 2).tolist() == [3, 0]
    assert ranking(np.array([0.0, 1.0]), above=0.0).tolist() == [1]
    numbers, scores = fused([np.array([7, 5]), np.array([5, 9])], k=60)
    assert numbers.tolist() == [5, 7, 9]
    assert scores == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62])
    assert fused([np.zeros(0, np.int64)])[0].tolist() == []


def test_the_sentences_with_the_rarest_words_are_shown():
    weights = {"octahedr": 2.0, "halite": 1.0, "is": 0.1}
    assert matching_sentences(WRITTEN[0], weights, 1) == (
        "Na(1) is bonded to six Cl(1) atoms to form NaCl6 octahedra.",
    )
    assert len(matching_sentences(WRITTEN[0], weights)) == 2
    assert matching_sentences(WRITTEN[1], {"octahedr": 2.0}) == ()
    twice = "The octahedra are tilted. It is cubic. The octahedra are tilted."
    assert matching_sentences(twice, {"octahedr": 2.0}) == ("The octahedra are tilted.",)


@pytest.mark.parametrize("by", ["words", "vectors", "both"])
def test_a_whole_description_finds_its_crystal(index, by):
    assert len(index) == len(TEXTS) == 48
    for name in list(TEXTS)[::6]:
        found = index.search(TEXTS[name], 3, by)
        same = [other for other, text in TEXTS.items() if text == TEXTS[name]]
        assert found[0].id in same


def test_an_answer_says_what_is_known_of_a_crystal(index):
    (row,) = [one for one in rows() if one["material_id"] == "JVASP-1921"]
    match = next(m for m in index.search("Halite RbBr6 octahedra", 5) if m.id == row["material_id"])
    assert (match.formula, match.spacegroup) == (row["chemical_formula_reduced"], "Fm-3m")
    assert match.sentences[0].startswith("RbBr is Halite")
    value = row["formation_energy_peratom"]
    assert match.properties["formation_energy_peratom"] == pytest.approx(value)
    assert match.place_by_words is not None and match.place_by_vectors is not None


def test_what_is_like_a_crystal_is_not_itself(index):
    found = index.like("JVASP-1921", 5)
    assert len(found) == 5
    assert "JVASP-1921" not in [match.id for match in found]
    assert any("Halite" in TEXTS[match.id] for match in found)
    with pytest.raises(
        InputError, match=r"no crystal has the id 'mp-1'; ids are written as 'JVASP-"
    ):
        index.like("mp-1")


def made(cache):
    return sorted(path.parent for path in (cache / FOLDER).glob(f"*/{MANIFEST}"))


def test_an_index_is_made_once_and_again_where_a_text_changes(tmp_path):
    changed = rows()[:12]
    data = write_dataset(tmp_path / "d", changed)
    SearchIndex.open(data, "tfidf", tmp_path)
    (folder,) = made(tmp_path)
    before = (folder / MANIFEST).stat().st_mtime_ns
    SearchIndex.open(data, "tfidf", tmp_path)
    assert (folder / MANIFEST).stat().st_mtime_ns == before
    changed[3] = {**changed[3], "description": "A wholly different jabberwock."}
    shutil.rmtree(tmp_path / "d")
    write_dataset(tmp_path / "d", changed)
    found = SearchIndex.open(data, "tfidf", tmp_path).search("jabberwock", 1)
    assert [match.id for match in found] == [changed[3]["material_id"]]
    SearchIndex.open(data, "bm25", tmp_path)
    assert len(made(tmp_path)) == 3
    assert not list((tmp_path / FOLDER).glob("*.partial"))


@pytest.mark.parametrize("name", [VECTORS, "weights.npy", "crystals.arrow", MANIFEST])
@pytest.mark.parametrize("how", ["cut", "flipped", "gone"])
def test_a_damaged_index_is_made_again(tmp_path, dataset, caplog, name, how):
    wanted = SearchIndex.open(dataset, "tfidf", tmp_path).search("octahedra of oxygen", 4)
    (folder,) = made(tmp_path)
    path = folder / name
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    with caplog.at_level(logging.WARNING, "model.search.index"):
        found = SearchIndex.open(dataset, "tfidf", tmp_path).search("octahedra of oxygen", 4)
    assert found == wanted
    assert "is made again" in caplog.text or (how == "flipped" and name == MANIFEST)
    assert SearchIndex.open(dataset, "tfidf", tmp_path).search("octahedra of oxygen", 4) == wanted


def test_a_folder_without_texts_is_one_sentence(tmp_path):
    data = write_dataset(tmp_path / "d", [{**row, "description": ""} for row in rows()[:4]])
    with pytest.raises(InputError, match=r"no crystal of .* has a text to search"):
        SearchIndex.open(data, "bm25", tmp_path)
    assert made(tmp_path) == [] and not list((tmp_path / FOLDER).iterdir())


def test_bad_questions_are_one_sentence(index, dataset, cache):
    with pytest.raises(InputError, match="the question is empty"):
        index.search("  ")
    with pytest.raises(InputError, match="no word of 'jabberwock' stands in a text"):
        index.search("jabberwock")
    for given in ({}, {"query": ("a",), "like": "b"}):
        with pytest.raises(InputError, match="ask in words or by --like ID"):
            SearchConfig(dataset, **given)
    with pytest.raises(InputError, match="--n must be positive, not 0"):
        SearchConfig(dataset, ("a",), n=0)
    with pytest.raises(InputError, match=r"--out found\.txt must end in \.csv, \.parquet, \.json"):
        SearchConfig(dataset, ("a",), out=Path("found.txt"))
    with pytest.raises(InputError, match="is no folder of a run or dataset"):
        search(SearchConfig("nowhere", ("a",), cache=cache))


def test_the_command_prints_and_writes(dataset, cache, tmp_path, capsys, caplog):
    words = ("halite", "rubidium", "bromide")
    for ending in ("csv", "parquet", "json"):
        out = tmp_path / f"found.{ending}"
        with caplog.at_level(logging.INFO, "model.search"):
            assert cli.run(SearchConfig(dataset, words, n=3, out=out, cache=cache)) == 0
    head, *lines = capsys.readouterr().out.splitlines()[:4]
    first, formula, spacegroup, *properties, last = head.split("\t")
    assert (first, formula, spacegroup, last) == ("id", "formula", "spacegroup", "sentences")
    every = pq.read_table(tmp_path / "found.parquet").to_pylist()
    for line, row in zip(lines, every, strict=True):  # a number stands under its property's name
        values = dict(zip(properties, line.split("\t")[3:-1], strict=True))
        assert values == {name: "" if row[name] is None else f"{row[name]}" for name in properties}
    assert all(len(line.split("\t")) == len(head.split("\t")) for line in lines)
    assert "reading rubidium as Rb, bromide as Br" in caplog.text
    assert "searching 48 texts, by words and tfidf" in caplog.text
    ids = [line.split("\t")[0] for line in lines]
    assert [row["id"] for row in read_csv(tmp_path / "found.csv")] == ids
    assert pq.read_table(tmp_path / "found.parquet")["id"].to_pylist() == ids
    written = json.loads((tmp_path / "found.json").read_text())
    assert [row["id"] for row in written] == ids
    (salt,) = [row for row in written if row["id"] == "JVASP-1921"]
    assert (salt["formula"], salt["spacegroup"]) == ("BrRb", "Fm-3m")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_without_answers_has_the_columns_of_one_with_them(tmp_path, ending):
    write(tmp_path / f"none.{ending}", [])
    if ending == "csv":
        found = (tmp_path / "none.csv").read_text().strip().split(",")
    else:
        found = pq.read_table(tmp_path / "none.parquet").column_names
    assert found == list(NAMES)


def test_an_encoder_of_sentences_makes_the_vectors(dataset, cache):
    index = SearchIndex.open(dataset, "minilm", cache)
    assert index.vectors.shape == (48, 384)
    assert np.linalg.norm(index.vectors, axis=1) == pytest.approx(1, abs=1e-5)
    name = "JVASP-1921"
    assert index.search(TEXTS[name], 1, "vectors")[0].id == name
