"""`--compile`: one graph, few versions of it, and the model that a training without it gives."""

import csv
import json
import logging
from dataclasses import replace
from functools import partial

import pytest
import torch
from corpus import TINY
from safetensors.torch import load_file
from torch._dynamo.utils import counters

from model.predict import Predictor
from model.training.train import train
from model.training.trainer import Trainer

NO_CHANCE = replace(TINY, dropout=0.0)  # compiled code draws dropout in its own way
# A bias before a batch norm changes nothing but the running mean: its gradient is rounding alone.
FREE = ("linear.bias", "src_update.bias", "dst_update.bias", "running_mean")


@pytest.fixture
def compile_for(monkeypatch):
    """Says what takes the compiler's graphs: torch's own kernels, so that no C++ is compiled."""
    compile_with = torch.compile

    def choose(backend: str) -> None:
        monkeypatch.setattr(torch, "compile", partial(compile_with, backend=backend))
        torch._dynamo.reset()
        counters.clear()

    return choose


# `aot_eager` is given the backward pass, too. Of forty crystals by thirteen the last batch is of one.
@pytest.mark.parametrize(
    ("modality", "backend", "batch_size", "versions"),
    [("graph", "eager", 13, 2), ("both", "eager", 13, 2), ("both", "aot_eager", 20, 1)],
)
def test_a_compiled_training_gives_the_model_of_one_that_is_not(
    tmp_path, settings, compile_for, modality, backend, batch_size, versions, caplog, rutile
):
    of = partial(settings, modality=modality, network=NO_CHANCE, batch_size=batch_size)
    plain, compiled = of(tmp_path / "plain"), of(tmp_path / "compiled", compile=True)
    compile_for(backend)
    train(plain)
    assert not counters["stats"]["unique_graphs"]
    with caplog.at_level(logging.INFO, logger="model"):
        train(compiled)
    assert counters["stats"]["unique_graphs"] == versions
    assert not counters["graph_break"]
    assert "message passing by torch" in caplog.text
    record = json.loads((compiled.out / "training.json").read_text())
    assert record["message_passing"].startswith("torch ")
    weights = [load_file(one.out / "model.safetensors") for one in (plain, compiled)]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        if not name.endswith(FREE):
            assert torch.allclose(weights[1][name], value, rtol=1e-4, atol=1e-5), name
    rows = [list(csv.DictReader((one.out / "predictions.csv").open())) for one in (plain, compiled)]
    for one, other in zip(*rows, strict=True):
        assert one["id"] == other["id"]
        assert float(one["prediction"]) == pytest.approx(float(other["prediction"]), abs=5e-3)
    found = [Predictor.from_pretrained(one.out).predict([rutile])[0] for one in (plain, compiled)]
    assert found[0].value == pytest.approx(found[1].value, abs=5e-3)


def test_a_compiled_training_that_was_stopped_goes_on(tmp_path, settings, compile_for, monkeypatch):
    compile_for("eager")
    whole, stopped = (
        settings(tmp_path / name, modality="graph", compile=True, batch_size=20)
        for name in ("whole", "stopped")
    )
    train(whole)
    run_epoch = Trainer.run_epoch

    def until_the_last(trainer, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        run_epoch(trainer, epoch)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "run_epoch", until_the_last)
        with pytest.raises(KeyboardInterrupt):
            train(stopped)
    assert (stopped.out / "checkpoints" / "checkpoint-4").is_dir()
    train(stopped)
    assert not counters["graph_break"]
    for name in ("model.safetensors", "history.csv", "predictions.csv"):
        assert (stopped.out / name).read_bytes() == (whole.out / name).read_bytes(), name
