"""Normalisation that keeps symmetry, a frozen encoder, and a cache that encodes nothing twice."""

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_clients import run
from hub_store import Blob
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from curate.errors import InputError
from model.text import cache as cache_module
from model.text import encoder as text_module
from model.text.cache import EmbeddingCache
from model.text.encoder import TextEncoder, normalise


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("P\u03051", "P-1"),  # the bar before its digit, as pymatgen writes it
        ("P1\u0305", "P-1"),  # the bar after it, as Unicode has it
        ("P1", "P1"),
        ("Fm\u03053m", "Fm-3m"),
        ("P2₁/c", "P21/c"),
        ("K¹⁺", "K1+"),
        ("O²⁻", "O2-"),
        ("TiO₂", "TiO2"),
        ("2.95 Å", "2.95 A"),
        ("77–80°", "77-80°"),
        ("Fm-3m, Ti(1)", "Fm-3m, Ti(1)"),  # raw text stays as it is
    ],
)
def test_symmetry_and_charges_survive_normalisation(written, expected):
    assert normalise(written) == expected


@pytest.fixture(scope="module")
def minilm():
    return TextEncoder("minilm")


TEXTS = [
    "TiN is Halite, Rock Salt structured and crystallizes in the cubic Fm-3m space group.",
    "Si is diamond structured.",
    "MoS2 crystallizes in the hexagonal P6_3/mmc space group. " * 60,
]


def test_embedding_is_cls_of_the_last_layer(minilm):
    folder = text_module._place("minilm")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    found = dict(minilm.encode(TEXTS))
    for position, written in enumerate(TEXTS):
        tokens = tokenizer(written, truncation=True, max_length=512, return_tensors="pt")
        with torch.inference_mode():
            expected = model(**tokens).last_hidden_state[0, 0].numpy()
        assert found[position] == pytest.approx(expected, abs=1e-5)
    assert minilm.width == model.config.hidden_size == 384


def test_the_mean_of_the_tokens_leaves_out_the_padding(minilm):
    """minilm's own pooling; computed from the tokens of each text alone."""
    encoder = TextEncoder("minilm", pooling="own")
    assert encoder.pooling == "mean" and encoder.recipe == {**minilm.recipe, "pooling": "mean"}
    tokens = dict(TextEncoder("minilm", pooling="tokens").encode(TEXTS))
    for position, vector in encoder.encode(TEXTS):
        expected = tokens[position].astype(float).mean(0)  # of float16
        assert vector == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (None, "cls"),  # as MatSciBERT, which states none
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "mean", "include_prompt": True}, "mean"),  # later versions write it so
        ({"pooling_mode": "lasttoken", "include_prompt": True}, InputError),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, InputError),
        ({"include_prompt": True}, InputError),
    ],
)
def test_an_encoders_own_pooling_is_what_it_states(tmp_path, stated, expected):
    folder = shutil.copytree(text_module._place("minilm"), tmp_path / "encoder")
    shutil.rmtree(folder / "1_Pooling")
    if stated is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(stated))
    encoder = TextEncoder(str(folder), pooling="own")
    if expected is InputError:
        with pytest.raises(InputError, match="choose --text-pooling cls or mean"):
            _ = encoder.pooling
    else:
        assert encoder.pooling == expected


ASK = """
from model.text.encoder import TextEncoder
print(TextEncoder("lab/encoder", pooling="own").pooling)
"""


def test_an_encoder_on_the_hub_is_asked_for_its_pooling(hub, tmp_path):
    folder, repo = Path(text_module._place("minilm")), hub.add_repo("models", "lab/encoder")
    tree = {}
    for name, expected in {"config.json": "cls", "1_Pooling/config.json": "mean"}.items():
        tree[name] = Blob((folder / name).read_bytes())
        repo.commit("main", tree, f"add {name}", "", "ada")
        found = run(hub, tmp_path / expected, "-c", ASK, token=None)
        assert found.stdout.strip() == expected, found.stderr


def test_the_encoder_is_frozen(minilm, tmp_path):
    """Read from its own files, or, with another activation, through transformers."""
    _, own = minilm._loaded
    assert own.weights and not any(weight.requires_grad for weight in own.weights.values())
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    BertModel(BertConfig(**sizes, intermediate_size=8, hidden_act="relu")).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(text_module._place("minilm")).save_pretrained(tmp_path)
    _, model = TextEncoder(str(tmp_path))._loaded
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_tokens_are_kept_as_the_last_layer_has_them(tmp_path, minilm):
    encoder = TextEncoder("minilm", pooling="tokens")
    texts = [TEXTS[1], "", TEXTS[2], TEXTS[1]]  # two tokens of its own have even an empty text
    found = EmbeddingCache(tmp_path).embed(texts, encoder)
    lengths = [min(len(row), 512) for row in minilm._loaded[0](texts)["input_ids"]]
    assert [len(tokens) for tokens in found] == lengths
    assert lengths[1] == 2 and lengths[2] == 512
    assert found.tokens.shape == (sum(lengths), 384)
    assert np.array_equal(found[-1], found[0])
    first = np.array([tokens[0] for tokens in found])
    vectors = EmbeddingCache(tmp_path).embed(texts, minilm)
    assert vectors.shape == (4, 384)
    assert found.tokens.dtype == first.dtype == np.float16  # which keeps three digits
    assert first.astype(float) == pytest.approx(vectors, abs=2e-3)
    bytes_kept = tmp_path.joinpath("text.sqlite").stat().st_size
    assert bytes_kept < 4 * 384 * sum(lengths)  # float32 would take that much
    again = EmbeddingCache(tmp_path).embed(texts[::-1], encoder)
    assert all(map(np.array_equal, again, list(found)[::-1]))


def test_a_cache_of_vectors_made_by_hand_is_read_as_it_was_written(tmp_path, minilm):
    """The table and the keys that earlier versions wrote: SHA-256 of text and recipe, float32 bytes."""
    recipe = {
        "encoder": minilm.version,
        "normalisation": "ascii-symmetry-1",
        "pooling": "cls",
        "max_tokens": 512,
    }
    key = hashlib.sha256(repr(("A text.", sorted(recipe.items()))).encode()).digest()
    vector = np.arange(384, dtype=np.float32)
    with closing(sqlite3.connect(tmp_path / "text.sqlite")) as database:
        database.execute("CREATE TABLE embedding (key BLOB PRIMARY KEY, vector BLOB)")
        database.execute("INSERT INTO embedding VALUES (?, ?)", (key, vector.tobytes()))
        database.commit()
    assert np.array_equal(EmbeddingCache(tmp_path).embed(["A text."], minilm), vector[None])


def test_a_text_is_encoded_once(tmp_path, minilm, monkeypatch):
    cache = EmbeddingCache(tmp_path)
    first = cache.embed(TEXTS[:2], minilm)
    asked = []
    encode = TextEncoder.encode

    def counted(self, texts):
        asked.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(TextEncoder, "encode", counted)
    again = EmbeddingCache(tmp_path).embed([TEXTS[1], TEXTS[0], TEXTS[1], "Another."], minilm)
    assert asked == ["Another."]
    assert np.array_equal(again[:3], first[[1, 0, 1]])


def test_all_that_changes_an_embedding_is_in_its_key(tmp_path, minilm):
    copied = tmp_path / "encoder"
    shutil.copytree(text_module._place("minilm"), copied)
    assert TextEncoder(str(copied)).version == minilm.version
    config = (copied / "config.json").read_text()
    (copied / "config.json").write_text(
        config.replace('"layer_norm_eps": 1e-12', '"layer_norm_eps": 1e-3')
    )
    assert TextEncoder(str(copied)).version != minilm.version
    assert set(minilm.recipe) == {"encoder", "normalisation", "pooling", "max_tokens"}
    keys = {
        cache_module._key(written, {**minilm.recipe, name: "other"})
        for written in TEXTS
        for name in ("encoder", "normalisation", "pooling", "max_tokens")
    }
    assert len(keys) == 12


def test_an_interrupted_encoding_keeps_what_it_has(tmp_path, minilm, monkeypatch):
    encode = TextEncoder.encode

    def stopped(self, texts):
        for number, pair in enumerate(encode(self, texts)):
            if number == 70:
                raise KeyboardInterrupt
            yield pair

    texts = [f"Crystal number {number}." for number in range(80)]
    monkeypatch.setattr(TextEncoder, "encode", stopped)
    with pytest.raises(KeyboardInterrupt):
        EmbeddingCache(tmp_path).embed(texts, minilm)
    asked = []

    def counted(self, texts):
        asked.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(TextEncoder, "encode", counted)
    assert EmbeddingCache(tmp_path).embed(texts, minilm).shape == (80, 384)
    assert len(asked) == 16  # 64 were kept


def test_an_unknown_encoder_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="no text encoder"):
        _ = TextEncoder(str(tmp_path / "nothing")).width
