"""TF-IDF: by its formula, fitted on the training texts alone, and stored in the model's folder."""

import math
from collections import Counter

import numpy as np
import pytest
from corpus import TEXTS, TINY
from safetensors.numpy import save_file

from curate.errors import InputError
from curate.run.schema import record_of_row
from model.data.materials import label_column, load_rows, read_materials
from model.data.prepare import prepare
from model.model_folder import PREPROCESSING, TEXT_ENCODER, ModelFolder
from model.predict.predictor import Predictor
from model.text.tfidf import MIN_TEXTS, TfidfEncoder, terms_of
from model.training.train import train

WRITTEN = [
    "NaCl is rock salt structured. Na bonds to Cl.",
    "KCl is rock salt structured. K bonds to Cl to Cl.",
    "LiF is rock salt structured. Li bonds to F.",
    "RbCl is salt.",
]


def test_words_keep_their_case_their_joints_and_single_letters():
    assert list(terms_of("K–O is Fm-3m, 2.95 Å.")) == [
        *("K-O", "is", "Fm-3m", "2.95", "A"),
        *("K-O is", "is Fm-3m", "Fm-3m 2.95", "2.95 A"),
    ]


def test_weights_are_the_formulas(tmp_path):
    encoder = TfidfEncoder.fit(WRITTEN)
    counts = [Counter(terms_of(text)) for text in WRITTEN]
    n_texts = Counter(term for count in counts for term in count)
    assert encoder.terms == sorted(term for term, n in n_texts.items() if n >= MIN_TEXTS)
    assert {"salt", "rock salt", "bonds to"} <= set(encoder.terms) and "Na" not in encoder.terms
    found = encoder.weights(counts).toarray()
    for row, count in zip(found, counts, strict=True):
        expected = [
            (1 + math.log(count[term])) * (1 + math.log(5 / (1 + n_texts[term])))
            if term in count
            else 0.0
            for term in encoder.terms
        ]
        assert row == pytest.approx(np.array(expected) / np.linalg.norm(expected), abs=1e-6)


def test_the_reduction_keeps_what_the_texts_differ_in():
    texts = list(TEXTS.values())
    encoder = TfidfEncoder.fit(texts)
    assert encoder.width == len(texts) == 48  # no more directions than texts
    whole = encoder.weights([Counter(terms_of(text)) for text in texts]).toarray()
    vectors = encoder.vectors(texts)
    assert np.mean(vectors**2) == pytest.approx(1, rel=1e-5)
    scale = np.linalg.norm(vectors[0]) / np.linalg.norm(whole[0])
    assert vectors @ vectors.T == pytest.approx(scale**2 * whole @ whole.T, abs=1e-3)


def test_many_texts_are_reduced_to_the_largest_directions():
    chance = np.random.default_rng(0)
    words = [f"w{number}" for number in range(300)]
    texts = [" ".join(chance.choice(words[: 50 + n], 30)) for n in range(200)]
    encoder = TfidfEncoder.fit(texts)
    assert encoder.width == 128
    assert encoder.recipe == TfidfEncoder.fit(texts).recipe  # the same bits each time
    whole = encoder.weights([Counter(terms_of(text)) for text in texts]).toarray()
    largest = np.linalg.svd(whole, compute_uv=False)[:128]
    scale = np.linalg.norm(encoder.components[:, 0])
    found = np.linalg.norm(encoder.vectors(texts), axis=0) / scale
    assert found == pytest.approx(largest, rel=1e-4)


def test_a_text_of_unknown_words_is_zeros_and_none_has_the_width():
    encoder = TfidfEncoder.fit(WRITTEN)
    assert not encoder.vectors(["Gold.", ""]).any()
    assert encoder.vectors([]).shape == (0, encoder.width)


def test_texts_without_a_common_word_are_one_sentence():
    with pytest.raises(InputError, match="no word stands in 3 of the 4 training texts"):
        TfidfEncoder.fit(["gold", "silver", "iron", "tin"])


def test_it_is_fitted_on_the_training_texts_alone(settings, tmp_path, dataset):
    config = settings(tmp_path / "m", text_encoder="tfidf", modality="text", split="official")
    rows = load_rows(dataset)
    column = label_column(rows, config.target, config.split, None)
    materials = read_materials(rows, config.target, column)
    prepared = prepare(config, materials)
    texts = {m.id: m.record.description for m in materials}
    learned = [texts[name] for name in texts if name in set(prepared.parts["train"].ids)]
    assert prepared.encoder.recipe == TfidfEncoder.fit(learned).recipe
    assert prepared.encoder.recipe != TfidfEncoder.fit(texts.values()).recipe
    example = prepared.parts["test"][0]
    assert np.array_equal(example.text, prepared.encoder.vectors([texts[example.id]])[0])


@pytest.fixture(scope="module")
def model(settings, tmp_path_factory):
    config = settings(tmp_path_factory.mktemp("m") / "m", text_encoder="tfidf", network=TINY)
    train(config)
    return config.out


def test_a_model_predicts_from_its_folder_alone(model, dataset, tmp_path):
    moved = model.rename(tmp_path / "elsewhere")
    folder = ModelFolder(moved)
    predictor = Predictor.from_pretrained(moved, tmp_path / "cache")
    known = {row["id"]: float(row["prediction"]) for row in folder.predictions}
    records = [record_of_row(row) for row in load_rows(dataset)]
    found = {p.id: p.value for p in predictor.predict(records)}
    assert found == pytest.approx(known, abs=1e-4)
    assert not (tmp_path / "cache").exists()
    assert TEXT_ENCODER in folder.files
    moved.rename(model)


def test_another_text_encoder_in_the_folder_is_refused(model, silicon, tmp_path):
    stored = ModelFolder(model).read(PREPROCESSING)
    assert stored["text_encoder"] == "tfidf" and stored["text_recipe"]["pooling"] == "tfidf"
    path = model / TEXT_ENCODER
    kept = path.read_bytes()
    TfidfEncoder.fit(WRITTEN).save(path)
    with pytest.raises(InputError, match="is not the one of the training"):
        Predictor.from_pretrained(model, tmp_path).predict([silicon])
    save_file({"idf": np.zeros(3, np.float32)}, path)
    with pytest.raises(InputError, match="is not the text encoder of a model"):
        Predictor.from_pretrained(model, tmp_path).predict([silicon])
    path.unlink()
    with pytest.raises(InputError, match=r"it has no text_encoder\.safetensors"):
        Predictor.from_pretrained(model, tmp_path).predict([silicon])
    path.write_bytes(kept)


def test_a_pooling_beside_it_is_refused(settings, tmp_path):
    with pytest.raises(InputError, match="--text-pooling mean has no meaning"):
        settings(tmp_path / "m", text_encoder="tfidf", text_pooling="mean")
