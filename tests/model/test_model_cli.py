"""The command line: every flag arrives, errors are one sentence, help is quick."""

import os
import resource
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import torch
import tyro
from corpus import TARGET

from model import cli
from model.config import EvaluateConfig, GraphConfig, NetworkConfig, PredictConfig, TrainConfig

FLAGS = {
    "data": ("--data=somewhere", "somewhere"),
    "target": ("--target=band_gap", "band_gap"),
    "out": ("--out=model", Path("model")),
    "modality": ("--modality=text", "text"),
    "text": ("--text=local", "local"),
    "train_fraction": ("--train-fraction=0.5", 0.5),
    "equal_updates": ("--equal-updates", True),
    "fraction_of_labels": ("--fraction-of-labels", True),
    "text_encoder": ("--text-encoder=minilm", "minilm"),
    "text_pooling": ("--text-pooling=mean", "mean"),
    "tune_text": ("--tune-text=lora", "lora"),
    "tune_epochs": ("--tune-epochs=2", 2),
    "descriptors": (("--descriptors", "cell", "magpie"), ("cell", "magpie")),
    "split": ("--split=formula", "formula"),
    "folds": ("--folds=fold", "fold"),
    "fold": ("--fold=3", "3"),
    "log_target": ("--log-target", True),
    "seed": ("--seed=7", 7),
    "members": ("--members=3", 3),
    "epochs": ("--epochs=5", 5),
    "patience": ("--patience=4", 4),
    "batch_size": ("--batch-size=3", 3),
    "max_angles": ("--max-angles=1000", 1000),
    "accumulate": ("--accumulate=2", 2),
    "loss": ("--loss=huber", "huber"),
    "learning_rate": ("--learning-rate=0.01", 0.01),
    "weight_decay": ("--weight-decay=0.1", 0.1),
    "precision": ("--precision=bf16", "bf16"),
    "compile": ("--compile", True),
    "tensorboard": ("--tensorboard", True),
    "cache": ("--cache=here", Path("here")),
    "max_neighbors": ("--max-neighbors=6", 6),
    "cutoff_angstrom": ("--cutoff-angstrom=5", 5.0),
    "shell_tolerance": ("--shell-tolerance=0.01", 0.01),
    "exact_shell": ("--exact-shell", True),
    "self_bonds": ("--self-bonds", True),
    "self_bond_translations": ("--self-bond-translations=3", 3),
    "encoder": ("--encoder=schnet", "schnet"),
    "width": ("--width=32", 32),
    "layers": ("--layers=2", 2),
    "alignn_layers": ("--alignn-layers=1", 1),
    "gcn_layers": ("--gcn-layers=2", 2),
    "distance_bins": ("--distance-bins=10", 10),
    "angle_bins": ("--angle-bins=11", 11),
    "embedding_width": ("--embedding-width=12", 12),
    "projection_width": ("--projection-width=13", 13),
    "readout": ("--readout=atoms+bonds", "atoms+bonds"),
    "fusion": ("--fusion=concat", "concat"),
    "modality_dropout": ("--modality-dropout=0.2", 0.2),
    "dropout": ("--dropout=0.3", 0.3),
}


FOREIGN = ("encoder", "layers")  # what ALIGNN has not


def flags(names) -> list[str]:
    """The words of these flags on a command line."""
    given = (FLAGS[name][0] for name in names)
    return [word for flag in given for word in ((flag,) if isinstance(flag, str) else flag)]


def command(*words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-m", "model.cli", *words], capture_output=True, text=True, env=environment
    )


def nothing(config, n_train):
    """What a trainer is made of, its crystals without graph and text."""
    from model.data.examples import Prepared
    from model.data.preprocessing import Preprocessing
    from model.network.batch import Example

    scale = Preprocessing.plain(config.graph)
    empty = Example("", None, None, 0.0)
    return Prepared({"train": [empty] * n_train, "val": [empty]}, {}, {}, scale)


def test_every_flag_of_train_arrives():
    config = tyro.cli(cli.Command, args=["train", *flags(FLAGS)])
    assert isinstance(config, TrainConfig)
    arrived = {**vars(config), **vars(config.graph), **vars(config.network)}
    assert {name: arrived[name] for name in FLAGS} == {name: v for name, (_, v) in FLAGS.items()}
    offered = {f.name for kind in (TrainConfig, GraphConfig, NetworkConfig) for f in fields(kind)}
    assert offered - {"graph", "network"} == set(FLAGS)


def test_every_setting_reaches_the_network_and_the_trainer(tmp_path, settings):
    from model.network.crysmmnet import CrysMMNet, CrysMMNetConfig
    from model.training.trainer import Trainer

    config = tyro.cli(cli.Command, args=["train", *flags(FLAGS.keys() - set(FOREIGN))])
    model = CrysMMNet(CrysMMNetConfig.from_settings(config.network, config.modality, 5))
    arrived = {**asdict(model.settings), **model.settings.encoder_settings}
    for field in fields(NetworkConfig):
        if field.name not in FOREIGN:
            assert arrived[field.name] == FLAGS[field.name][1]
    config = settings(tmp_path, seed=7, epochs=5, batch_size=3, accumulate=2, weight_decay=0.1)
    trainer = Trainer(model, nothing(config, n_train=7), config)
    assert trainer.updates_per_epoch == 2  # of batches of 3, 3 and 1
    assert trainer.schedule.total_steps == 5 * 2
    assert [group["weight_decay"] for group in trainer.optimizer.param_groups] == [0.1, 0.0]
    assert {group["max_lr"] for group in trainer.optimizer.param_groups} == {1e-3}
    assert torch.random.initial_seed() == 7


def test_weights_but_no_biases_and_norms_decay():
    from small import network

    from model.training.trainer import decaying_parameters

    model = network()
    decaying = decaying_parameters(model)
    names = {name for name, _ in model.named_parameters()}
    assert decaying < names
    assert all(name.endswith("weight") for name in decaying)
    assert not any(part in name for name in decaying for part in ("bn", "norm"))
    linear = {name for name in names if name.endswith("weight") and "bn" not in name}
    assert decaying == {name for name in linear if "norm" not in name}


def test_flags_of_the_other_commands_arrive():
    config = tyro.cli(cli.Command, args=["evaluate", "m", "--data", "d", "--out", "o.csv"])
    assert (config.model, config.data, config.out) == (Path("m"), "d", Path("o.csv"))
    assert isinstance(config, EvaluateConfig)
    config = tyro.cli(cli.Command, args=["predict", "m", "a.cif", "b.cif", "--batch-size", "2"])
    assert isinstance(config, PredictConfig)
    assert (config.crystals, config.batch_size) == (("a.cif", "b.cif"), 2)


def test_help_is_quick_and_loads_no_torch():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert command("--help").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1  # CPU seconds
    code = (
        "import sys, model.cli; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def test_train_evaluate_predict_in_a_row(tmp_path, dataset, cache, silicon):
    out = str(tmp_path / "m")
    common = ["--data", dataset, "--cache", str(cache)]
    sizes = ["--width=8", "--alignn-layers=1", "--gcn-layers=1", "--epochs=1", "--modality=graph"]
    done = command("train", *common, "--target", TARGET, "--out", out, *sizes)
    assert done.returncode == 0, done.stderr
    assert "epoch 1 of 1" in done.stderr
    assert "test   MAE" in done.stdout
    cif = str(tmp_path / "silicon.cif")
    silicon.to_pymatgen().to(filename=cif)
    done = command("predict", out, cif, str(tmp_path / "missing.cif"))
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.split("\t")[0::2] == ["silicon", "eV/atom"]
    assert second.startswith("missing\tfailed: ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "--data", "nowhere", "--target", "x", "--out", "m"], "'nowhere' is no folder"),
        (["evaluate", "nowhere", "--data", "d"], "not the folder of a finished training"),
        (["predict", "nowhere", "a.cif"], "not the folder of a finished training"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(monkeypatch, capsys, words, sentence):
    monkeypatch.setattr(sys, "argv", ["crysmmnet", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_two_processes_train_one_model(tmp_path, dataset, cache):
    """As several GPUs would, here on two CPU processes."""
    out = tmp_path / "m"
    words = ["--data", dataset, "--target", TARGET, "--out", str(out), "--cache", str(cache)]
    sizes = ["--width=8", "--alignn-layers=1", "--gcn-layers=1", "--epochs=1", "--batch-size=10"]
    launch = ["-m", "torch.distributed.run", "--nproc_per_node=2", "-m", "model.cli", "train"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, *launch, *words, *sizes, "--modality=graph", "--max-angles=3000"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("epoch 1 of 1") == 1  # one of them speaks
    assert done.stdout.count("test   MAE") == 1
    assert len((out / "predictions.csv").read_text().splitlines()) == 1 + 48
