"""Several processes train what one would, and a training killed at any step ends where it would have."""

import csv
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from corpus import TARGET, TINY
from safetensors.torch import load_file
from small import batch

from model.config import NetworkConfig
from model.network.crysmmnet import CrysMMNet, CrysMMNetConfig
from model.training.train import train
from model.training.trainer import Trainer

# A bias before a batch norm changes nothing but the running mean: its gradient is rounding alone, which
# AdamW scales up. Two ways of adding up the same numbers drift apart here, and only here.
FREE = ("linear.bias", "src_update.bias", "dst_update.bias", "running_mean")
STEPS = 9  # three epochs of three batches


def values(path, name) -> np.ndarray:
    with path.open() as file:
        return np.array([float(row[name]) for row in csv.DictReader(file)])


NOTING = """
import os, sys
from model import cli
from model.training.trainer import Trainer

gradients = Trainer.gradients

def noted(trainer, group):
    with open(os.environ["NOTES"] + os.environ["RANK"], "a") as file:
        print(*group[0].ids, file=file)
    return gradients(trainer, group)

Trainer.gradients = noted
cli.main()
"""


def test_two_processes_train_what_one_trains_with_the_same_global_batch(
    tmp_path, settings, dataset, cache
):
    """Forty crystals in batches of 18: the last one is short. Dropout would be drawn differently."""
    one, two = tmp_path / "one", tmp_path / "two"
    without_chance = replace(TINY, dropout=0.0)
    train(settings(one, batch_size=18, network=without_chance, learning_rate=0.003))
    (tmp_path / "noting.py").write_text(NOTING)
    launch = ["-m", "torch.distributed.run", "--nproc_per_node=2", str(tmp_path / "noting.py")]
    words = ["train", "--data", dataset, "--target", TARGET, "--out", str(two)]
    words += ["--cache", str(cache), "--text-encoder=minilm"]
    words += ["--epochs=3", "--batch-size=9", "--learning-rate=0.003"]
    sizes = [f"--{name}={value}" for name, value in vars(without_chance).items() if value]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment["NOTES"] = str(tmp_path / "ids-")
    done = subprocess.run(
        [sys.executable, *launch, *words, *sizes, "--dropout=0"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    ranks = [(tmp_path / f"ids-{rank}").read_text().splitlines()[:3] for rank in (0, 1)]
    assert [[len(line.split()) for line in lines] for lines in ranks] == [[9, 9, 2]] * 2
    assert len({name for lines in ranks for line in lines for name in line.split()}) == 40
    losses = [values(out / "history.csv", "train_loss") for out in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    weights = [load_file(out / "model.safetensors") for out in (one, two)]
    for name, value in weights[0].items():
        if not name.endswith(FREE):
            assert torch.allclose(weights[1][name], value, rtol=1e-4, atol=1e-5), name
    predicted = [values(out / "predictions.csv", "prediction") for out in (one, two)]
    assert predicted[1] == pytest.approx(predicted[0], abs=5e-3)  # eV/atom; see FREE


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory, settings) -> bytes:
    out = tmp_path_factory.mktemp("whole") / "m"
    train(settings(out))
    return (out / "model.safetensors").read_bytes()


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_killed_at_any_step_the_weights_end_the_same(tmp_path, settings, never_killed, step):
    config = settings(tmp_path / "m")

    update = Trainer.update

    def doomed(trainer) -> None:
        update(trainer)
        if trainer.state.global_step + 1 == step:  # it is counted afterwards
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        Trainer.update = doomed
        train(config)
        os._exit(0)  # not reached
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not (config.out / "metrics.json").exists()
    train(config)
    assert (config.out / "model.safetensors").read_bytes() == never_killed


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_trains_in_every_precision(tmp_path, settings, precision):
    """By pinned memory, which the data loader uses where there is CUDA."""
    metrics = train(settings(tmp_path / "m", epochs=10, precision=precision))
    assert np.isfinite(metrics["test"]["mae"])
    losses = values(tmp_path / "m" / "history.csv", "train_loss")
    assert losses[-1] < losses[0]


@pytest.mark.gpu
def test_a_pinned_batch_gives_the_outputs_of_the_cpu(crystals):
    torch.manual_seed(0)
    model = CrysMMNet(CrysMMNetConfig.from_settings(NetworkConfig(width=16), "both", 12)).eval()
    here = batch(list(crystals.values()))
    pinned = here.pin_memory()
    assert pinned.graph.src.is_pinned() and pinned.text.is_pinned()
    with torch.inference_mode():
        expected = model(here)
        found = model.to("cuda")(pinned.to("cuda", non_blocking=True)).cpu()
    assert torch.allclose(found, expected, atol=1e-4)
