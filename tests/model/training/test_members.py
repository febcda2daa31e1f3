"""An ensemble in one folder: each network is one training, and the answer is their mean."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from corpus import TINY

from curate.errors import InputError
from model.config import EvaluateConfig
from model.data.materials import load_rows, read_materials
from model.files import read_csv
from model.model_folder import ModelFolder
from model.network.crysmmnet import CrysMMNet
from model.predict.evaluate import evaluate
from model.predict.predictor import Predictor
from model.training.train import train


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory, settings):
    """Three networks on the official split."""
    out = tmp_path_factory.mktemp("ensemble") / "m"
    train(settings(out, split="official", members=3))
    return ModelFolder(out)


@pytest.fixture(scope="module")
def predictor(ensemble, cache):
    return Predictor.from_pretrained(ensemble.path, cache)


def of(rows, column):
    return np.array([float(row[column]) for row in rows])


def test_the_first_network_is_the_model_that_one_network_would_be(ensemble, trained):
    for name in ("config.json", "model.safetensors", "history.csv", "preprocessing.json"):
        assert (ensemble.path / name).read_bytes() == (trained / name).read_bytes()
    assert [member.path.name for member in ensemble.members[1:]] == ["2", "3"]


def test_the_others_are_trainings_of_the_next_seeds_on_the_same_split(ensemble, tmp_path, settings):
    alone = settings(tmp_path / "m", split="official", seed=124)
    train(alone)
    name = "model.safetensors"
    assert (ensemble.path / "members" / "2" / name).read_bytes() == (alone.out / name).read_bytes()
    split = {row["id"]: row["split"] for row in ensemble.predictions}
    assert split == {row["id"]: row["split"] for row in ModelFolder(alone.out).predictions}


def test_a_drawn_split_is_that_of_the_first_seed(tmp_path, settings):
    one, two = settings(tmp_path / "one"), settings(tmp_path / "two", members=2)
    train(one), train(two)
    split = {row["id"]: row["split"] for row in ModelFolder(one.out).predictions}
    assert split == {row["id"]: row["split"] for row in ModelFolder(two.out).predictions}


def test_predictions_are_the_mean_and_the_spread_of_the_networks(
    ensemble, predictor, dataset, cache
):
    materials = read_materials(load_rows(dataset), None)
    records = [material.record for material in materials]
    each = []
    for network in predictor.networks:
        alone = Predictor([network], predictor.preprocessing, cache, ensemble)
        alone.calibration = replace(alone.calibration, scores=np.zeros(0))
        each.append([one.value for one in alone.predict(records)])
    rows = {row["id"]: row for row in ensemble.predictions}
    rows = [rows[record.material_id] for record in records]
    assert of(rows, "prediction") == pytest.approx(np.mean(each, axis=0), abs=1e-5)
    assert of(rows, "spread") == pytest.approx(np.std(each, axis=0), abs=1e-5)
    assert of(rows, "spread").min() > 0
    together = predictor.predict(records)
    assert [one.value for one in together] == pytest.approx(of(rows, "prediction"), abs=1e-5)


def test_the_order_of_the_networks_is_irrelevant(predictor, ensemble, cache, silicon):
    record = replace(silicon, description="Si crystallizes in the cubic Fd-3m space group.")
    turned = Predictor(predictor.networks[::-1], predictor.preprocessing, cache, ensemble)
    (one,), (other,) = predictor.predict([record]), turned.predict([record])
    assert one.value == pytest.approx(other.value, abs=1e-9)
    assert one.margin == pytest.approx(other.margin, abs=1e-9)


def test_metrics_and_evaluation_are_of_the_mean(ensemble, dataset, cache):
    rows = [row for row in ensemble.predictions if row["split"] == "test"]
    mae = np.abs(of(rows, "prediction") - of(rows, "target")).mean()
    assert ensemble.metrics["test"]["mae"] == pytest.approx(mae)
    assert ensemble.metrics["members"] == len(ensemble.metrics["chosen_epochs"]) == 3
    result = evaluate(EvaluateConfig(ensemble.path, dataset, cache=cache))
    assert result["test"]["mae"] == pytest.approx(mae, rel=1e-4)
    seconds = ensemble.training["seconds_by_member"]
    assert ensemble.training["seconds"] == pytest.approx(sum(seconds), abs=0.01)


def test_another_number_of_networks_is_another_folder(ensemble, settings):
    with pytest.raises(InputError, match="members was 3, now 2"):
        train(settings(ensemble.path, split="official", members=2))


def test_a_finished_ensemble_is_left_as_it_is(ensemble, settings):
    before = {p: p.stat().st_mtime_ns for p in ensemble.path.rglob("*")}
    train(settings(ensemble.path, split="official", members=3))
    assert {p: p.stat().st_mtime_ns for p in ensemble.path.rglob("*")} == before


def test_a_missing_network_is_named(ensemble, tmp_path):
    shutil.copytree(ensemble.path, tmp_path / "m")
    (tmp_path / "m" / "members" / "3" / "model.safetensors").unlink()
    copy = ModelFolder(tmp_path / "m")
    with pytest.raises(InputError, match=r"members/3 .*no model\.safetensors"):
        _ = copy.files
    with pytest.raises(InputError, match=r"members/3 has no model\.safetensors"):
        Predictor.from_pretrained(copy.path)


@pytest.mark.parametrize("moment", ["members/2/history.csv", "members/2/checkpoints"])
def test_an_ensemble_killed_between_networks_or_in_one_ends_as_if_it_was_not(
    tmp_path, settings, moment
):
    whole = settings(tmp_path / "whole", epochs=5, members=3)
    killed = settings(tmp_path / "killed", epochs=5, members=3)
    train(whole)
    names = ("data", "target", "out", "cache", "epochs", "batch_size", "text_encoder", "members")
    flags = [f"--{name.replace('_', '-')}={getattr(killed, name)}" for name in names]
    flags += [f"--{name.replace('_', '-')}={value}" for name, value in vars(TINY).items()]
    command = [sys.executable, "-m", "model.cli", "train", *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (killed.out / moment).exists():
        assert process.poll() is None, "the training ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed.out / "metrics.json").exists()
    trained = (killed.out / "model.safetensors").stat().st_mtime_ns
    train(killed)
    assert (killed.out / "model.safetensors").stat().st_mtime_ns == trained
    for path in whole.out.rglob("*"):
        if path.is_file() and path.name not in ("training.json", "question.json"):
            other = killed.out / path.relative_to(whole.out)
            assert other.read_bytes() == path.read_bytes(), path
    assert not list(killed.out.rglob("checkpoints"))
    training = json.loads((killed.out / "training.json").read_text())
    assert len(training["seconds_by_member"]) == 3


def test_columns_of_an_ensembles_predictions(ensemble, trained):
    assert list(read_csv(trained / "predictions.csv")[0]) == ["id", "split", "target", "prediction"]
    assert list(ensemble.predictions[0]) == ["id", "split", "target", "prediction", "spread"]


def test_a_folder_whose_number_of_networks_was_not_recorded_has_one(trained, tmp_path, cache):
    shutil.copytree(trained, tmp_path / "m")
    path = tmp_path / "m" / "question.json"
    known = json.loads(path.read_text())
    del known["members"]
    path.write_text(json.dumps(known))
    (tmp_path / "m" / "neighborhood.safetensors").unlink()
    assert len(Predictor.from_pretrained(tmp_path / "m", cache).networks) == 1


def test_networks_of_an_ensemble_differ(ensemble):
    weights = [
        CrysMMNet.from_pretrained(m.path).head[0].weight.detach().numpy() for m in ensemble.members
    ]
    assert np.abs(weights[0] - weights[1]).max() > 1e-3
    assert np.abs(weights[1] - weights[2]).max() > 1e-3
