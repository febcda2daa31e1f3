"""CrysMMNet as a transformers model: modalities, saving, loading, learning by heart."""

import json
import pickle

import pytest
import torch
from hostile_pickle import Touch
from safetensors.torch import load_file, save_file
from small import TEXT_WIDTH, batch, network, predict
from torch.nn import functional as F  # noqa: N812

from curate.errors import InputError
from curate.sources.sample import Sample
from model.network.crysmmnet import CrysMMNet


@pytest.fixture(scope="module")
def sample():
    return list(Sample().records())[:8]


def test_eight_crystals_are_learned_by_heart(sample):
    whole, model = batch(sample), network().train()
    model.graph_projection.dropout.p = model.text_projection.dropout.p = 0.0
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(70):
        optimizer.zero_grad()
        loss = F.mse_loss(model(whole), whole.target)
        loss.backward()
        optimizer.step()
    assert loss.item() < 5e-3
    assert whole.target.var().item() > 0.1


@pytest.mark.parametrize("modality", ["both", "graph", "text"])
def test_a_saved_model_moved_elsewhere_predicts_the_same_numbers(tmp_path, sample, modality):
    model = network(modality)
    model.save_pretrained(tmp_path / "here")
    assert {path.name for path in (tmp_path / "here").iterdir()} == {
        "config.json",
        "model.safetensors",
    }
    (tmp_path / "here").rename(tmp_path / "there")
    loaded = CrysMMNet.from_pretrained(tmp_path / "there")
    assert loaded.settings.modality == modality
    assert predict(loaded, sample) == predict(model, sample)
    weights = loaded.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())


def test_each_modality_sees_only_its_own(sample):
    whole = batch(sample)
    other_text = type(whole)(**{**vars(whole), "text": torch.zeros(len(sample), TEXT_WIDTH)})
    with torch.inference_mode():
        changed = {
            modality: not torch.equal(network(modality)(whole), network(modality)(other_text))
            for modality in ("both", "graph", "text")
        }
    assert changed == {"both": True, "graph": False, "text": True}


def test_a_single_crystal_gives_one_number(sample):
    assert len(predict(network(), sample[:1])) == 1


def test_pickled_weights_are_refused_and_never_run(tmp_path, sample):
    network().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    trap = tmp_path / "trap"
    with (tmp_path / "pytorch_model.bin").open("wb") as file:
        pickle.dump(Touch(str(trap)), file)
    with pytest.raises(InputError, match="safetensors"):
        CrysMMNet.from_pretrained(tmp_path)
    assert not trap.exists()


def test_loading_draws_no_random_number(tmp_path):
    network().save_pretrained(tmp_path)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    CrysMMNet.from_pretrained(tmp_path)
    assert torch.equal(before, torch.random.get_rng_state())


def test_weights_that_lack_a_layer_or_are_cut_are_refused(tmp_path):
    network().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    weights = load_file(path)
    weights.pop("head.0.weight")
    save_file(weights, path)
    with pytest.raises(InputError, match=r"model\.safetensors is not the network"):
        CrysMMNet.from_pretrained(tmp_path)
    path.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"model\.safetensors is not the network"):
        CrysMMNet.from_pretrained(tmp_path)


def test_a_configuration_that_transformers_wrote_is_read(tmp_path):
    """Models that were trained before this class wrote its own configuration."""
    network().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    theirs = {"transformers_version": "5.23.0", "dtype": "float32", "use_cache": False}
    path.write_text(json.dumps({**json.loads(path.read_text()), **theirs}))
    assert CrysMMNet.from_pretrained(tmp_path).settings == network().settings
