"""Training on 48 real crystals: splits, choice by validation, interruption, bad targets."""

import csv
import json
import logging
import math
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from corpus import TARGET, TINY, rows, write_dataset
from hostile_pickle import Touch
from small import example

from curate.errors import InputError
from curate.run.schema import record_of_row
from curate.sources.sample import Sample
from model.config import GraphConfig, LossName, NetworkConfig
from model.data.materials import load_rows, read_materials, usable
from model.data.splits import split_of
from model.network.batch import within_angles
from model.predict import Predictor
from model.training.train import train
from model.training.trainer import LOSSES


def read(path: Path) -> list[dict]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_model_folder_holds_all_and_only_what_is_promised(trained):
    assert {path.name for path in trained.iterdir()} == {
        "config.json",
        "model.safetensors",
        "preprocessing.json",
        "question.json",
        "metrics.json",
        "training.json",
        "predictions.csv",
        "history.csv",
        "neighborhood.safetensors",
    }


def test_every_id_is_predicted_once_and_in_its_official_split(trained):
    official = {row["material_id"]: row[f"split_dft_3d_{TARGET}"] for row in rows()}
    predicted = read(trained / "predictions.csv")
    assert len(predicted) == 48
    assert {row["id"]: row["split"] for row in predicted} == official
    truth = {row["material_id"]: row[TARGET] for row in rows()}
    assert all(float(row["target"]) == truth[row["id"]] for row in predicted)


def test_metrics_are_those_of_the_predictions_file(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    predicted = read(trained / "predictions.csv")
    of = {part: [r for r in predicted if r["split"] == part] for part in ("train", "val", "test")}
    mean = np.mean([float(row["target"]) for row in of["train"]])
    for part, chosen in of.items():
        target = np.array([float(row["target"]) for row in chosen])
        error = np.array([float(row["prediction"]) for row in chosen]) - target
        assert metrics[part]["mae"] == pytest.approx(np.abs(error).mean())
        assert metrics[part]["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
        assert metrics[part]["mad"] == pytest.approx(np.abs(target - mean).mean())
        assert metrics[part]["n"] == len(chosen)
    assert metrics["unit"] == "eV/atom"


def test_validation_chooses_the_epoch(trained):
    history = read(trained / "history.csv")
    metrics = json.loads((trained / "metrics.json").read_text())
    best = min(history, key=lambda row: float(row["val_mae"]))
    assert [int(row["epoch"]) for row in history] == [1, 2, 3]
    assert metrics["chosen_epoch"] == int(best["epoch"])
    assert metrics["val"]["mae"] == pytest.approx(float(best["val_mae"]), rel=1e-4)


def test_the_schedule_is_one_cycle(tmp_path, settings):
    train(settings(tmp_path / "m", modality="text", epochs=10, batch_size=40))
    rates = [float(row["learning_rate"]) for row in read(tmp_path / "m" / "history.csv")]
    assert max(rates) == pytest.approx(1e-3, rel=0.05)
    assert rates.index(max(rates)) in (2, 3)
    assert rates[-1] < 1e-4


def test_a_killed_training_resumes_to_the_same_end(tmp_path, settings):
    whole, killed = settings(tmp_path / "whole", epochs=8), settings(tmp_path / "killed", epochs=8)
    train(whole)
    flags = [
        f"--{name}={getattr(killed, name)}"
        for name in ("data", "target", "out", "cache", "epochs", "batch_size", "text_encoder")
    ]
    sizes = [f"--{name}={value}" for name, value in vars(TINY).items()]
    command = [sys.executable, "-m", "model.cli", "train", *flags, *sizes]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    updates = 3 * math.ceil(40 / 16)
    while not (killed.out / "checkpoints" / f"checkpoint-{updates}").exists():
        assert process.poll() is None, "the training ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed.out / "metrics.json").exists()
    train(killed)
    for name in ("history.csv", "predictions.csv", "metrics.json"):
        assert (killed.out / name).read_text() == (whole.out / name).read_text()


def test_a_resumed_training_runs_no_pickled_code(tmp_path, settings, monkeypatch):
    config = settings(tmp_path / "m", modality="text")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("model.training.train.write_member", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    for checkpoint in (config.out / "checkpoints").iterdir():
        (checkpoint / "optimizer.pt").write_bytes(pickle.dumps(Touch(str(tmp_path / "trap")), 2))
    with pytest.raises(InputError, match="pickled code"):
        train(config)
    assert not (tmp_path / "trap").exists()


def test_other_settings_are_refused_by_name(trained, settings):
    with pytest.raises(InputError, match=r"width was 8, now 16"):
        train(settings(trained, split="official", network=replace(TINY, width=16)))
    with pytest.raises(InputError, match=r"seed was 123, now 5"):
        train(settings(trained, split="official", seed=5))


def test_a_training_that_could_not_start_leaves_nothing_behind(tmp_path, settings):
    config = settings(tmp_path / "m", text_encoder=str(tmp_path / "nothing"))
    with pytest.raises(InputError, match="no text encoder"):
        train(config)
    assert not config.out.exists()


def test_every_loss_that_can_be_chosen_is_there():
    assert set(LOSSES) == set(get_args(LossName))


@pytest.mark.parametrize("loss", ["mse", "l1", "huber"])
def test_the_loss_of_an_epoch_is_that_of_the_standardised_target(tmp_path, settings, loss):
    """Without dropout, with a rate of next to nothing, the weights do not move: the loss is known."""
    config = settings(
        tmp_path / "m",
        modality="text",
        loss=loss,
        epochs=1,
        batch_size=40,
        learning_rate=1e-12,
        network=replace(TINY, dropout=0.0),
    )
    train(config)
    scale = json.loads((config.out / "preprocessing.json").read_text())
    predicted = [row for row in read(config.out / "predictions.csv") if row["split"] == "train"]
    error = np.array([float(row["prediction"]) - float(row["target"]) for row in predicted])
    error = np.abs(error / scale["std"])
    assert error.min() < 1 < error.max()  # so that the bend of Huber's is seen
    expected = {
        "mse": error**2,
        "l1": error,
        "huber": np.where(error < 1, error**2 / 2, error - 0.5),
    }[loss].mean()
    (epoch,) = read(config.out / "history.csv")
    assert len(error) == 40 and float(epoch["train_loss"]) == pytest.approx(expected, rel=1e-4)


def test_a_record_of_settings_from_before_losses_is_that_of_the_mean_square(
    trained, tmp_path, settings
):
    shutil.copytree(trained, tmp_path / "m")
    record = tmp_path / "m" / "question.json"
    asked = json.loads(record.read_text())
    for name, value in {"loss": "mse", "readout": "encoder"}.items():
        assert asked.pop(name) == value
    record.write_text(json.dumps(asked))
    config = settings(tmp_path / "m", split="official")
    assert train(config)["test"]["n"] == 3
    with pytest.raises(InputError, match="loss was 'mse', now 'l1'"):
        train(replace(config, loss="l1"))


def test_a_training_of_before_shells_had_a_tolerance_goes_on_with_theirs(
    tmp_path, settings, dataset, cache, caplog
):
    """Started with 1e-6, as every training was, and with a record that says nothing of it."""
    config = settings(
        tmp_path / "m",
        modality="graph",
        epochs=1,
        graph=GraphConfig(shell_tolerance=1e-6, self_bond_translations=3),
    )
    metrics = train(config)
    known = {row["id"]: float(row["prediction"]) for row in read(config.out / "predictions.csv")}
    for name, inner in (("question.json", None), ("preprocessing.json", "graph")):
        stored = json.loads((config.out / name).read_text())
        rules = stored[inner] if inner else stored
        assert rules.pop("shell_tolerance") == 1e-6
        assert rules.pop("self_bond_translations") == 3
        (config.out / name).write_text(json.dumps(stored))
    (config.out / "metrics.json").unlink()  # it was interrupted
    assert GraphConfig().shell_tolerance == 1e-3
    caplog.set_level(logging.INFO)
    assert train(replace(config, graph=GraphConfig())) == metrics
    assert "was started with --shell-tolerance 1e-06 and goes on with it" in caplog.text
    records = [record_of_row(row) for row in load_rows(dataset)]
    found = {p.id: p.value for p in Predictor.from_pretrained(config.out).predict(records)}
    assert found == pytest.approx(known, abs=1e-4)
    with pytest.raises(InputError, match=r"shell_tolerance was 1e-06, now 0\.01"):
        train(replace(config, graph=GraphConfig(shell_tolerance=0.01)))


def test_a_readout_of_bonds_is_refused_before_anything_is_written(tmp_path, settings):
    network = NetworkConfig(encoder="cgcnn", readout="atoms+bonds")
    with pytest.raises(InputError, match="--encoder cgcnn updates none"):
        train(settings(tmp_path / "m", modality="graph", network=network))
    assert not (tmp_path / "m").exists()


def test_a_finished_model_is_left_as_it_is(trained, settings):
    before = (trained / "model.safetensors").stat().st_mtime_ns
    assert train(settings(trained, split="official"))["test"]["n"] == 3
    assert (trained / "model.safetensors").stat().st_mtime_ns == before


def test_nan_loss_stops_with_the_ids_of_the_batch(tmp_path, settings):
    with pytest.raises(InputError, match=r"loss became (nan|inf) in update \d+; .*JVASP-\d+"):
        train(settings(tmp_path / "m", modality="graph", learning_rate=1e30))


def test_a_learning_rate_that_loses_the_weights_stops_with_what_to_do(tmp_path, settings):
    """One update: the loss before it is a number, the validation error after it is none."""
    given = settings(tmp_path / "m", learning_rate=1e30, batch_size=64, epochs=1, modality="graph")
    with pytest.raises(
        InputError, match="validation error became nan in epoch 1: lower --learning"
    ):
        train(given)
    assert not (tmp_path / "m" / "metrics.json").exists()


def test_targets_that_reach_too_far_are_refused(tmp_path, settings):
    changed = rows()
    for number, row in enumerate(changed):
        row[TARGET] = (-1) ** number * 1e300
    data = write_dataset(tmp_path / "dataset", changed)
    with pytest.raises(InputError, match=r"from -1e\+300 to 1e\+300, which is too far to learn"):
        train(settings(tmp_path / "m", data=data))


def test_targets_that_are_all_alike_are_said_to_teach_nothing(tmp_path, settings, caplog):
    data = write_dataset(tmp_path / "dataset", [{**row, TARGET: 1.5} for row in rows()])
    train(settings(tmp_path / "m", data=data, epochs=1, modality="graph"))
    assert f"every training crystal has 1.5 as {TARGET}: nothing to learn" in caplog.text


def test_a_text_of_blanks_is_none(tmp_path, settings):
    changed = rows()
    changed[0]["description"] = " \n "
    data = write_dataset(tmp_path / "dataset", changed)
    found = train(settings(tmp_path / "m", data=data, epochs=1))
    assert found["dropped_ids"]["no description"] == [changed[0]["material_id"]]


def test_bad_targets_are_dropped_and_counted(tmp_path, settings):
    changed = rows()
    names = [row["material_id"] for row in changed]
    for row, value in zip(changed, (None, math.nan, math.inf, -math.inf), strict=False):
        row[TARGET] = value
    changed[4]["description"] = None
    data = write_dataset(tmp_path / "dataset", changed)
    metrics = train(settings(tmp_path / "m", data=data, modality="text"))
    assert metrics["dropped_ids"] == {
        "no target": names[:1],
        "target not finite": names[1:4],
        "no description": names[4:5],
    }
    assert sum(metrics[part]["n"] for part in ("train", "val", "test")) == 43


def test_the_split_is_the_same_for_every_modality(tmp_path, settings):
    changed = rows()
    changed[7]["description"] = None
    data = write_dataset(tmp_path / "dataset", changed)
    splits = []
    for modality in ("graph", "text"):
        out = tmp_path / modality
        train(settings(out, data=data, modality=modality, epochs=1))
        splits.append({row["id"]: row["split"] for row in read(out / "predictions.csv")})
    graph, text = splits
    assert graph.keys() - text.keys() == {changed[7]["material_id"]}
    assert all(graph[name] == part for name, part in text.items())


def test_ids_in_two_official_splits_are_left_out_and_counted(tmp_path, settings):
    changed = rows()
    column = f"split_dft_3d_{TARGET}"
    changed[0][column], changed[1][column] = "leak", None
    data = write_dataset(tmp_path / "dataset", changed)
    metrics = train(settings(tmp_path / "m", data=data, modality="text", split="official"))
    assert metrics["dropped_ids"] == {
        "in more than one official split": [changed[0]["material_id"]],
        "not in the official split": [changed[1]["material_id"]],
    }


def test_a_target_learned_in_log10_comes_back_in_its_own_unit(tmp_path, settings):
    config = settings(
        tmp_path / "m", target="bulk_modulus_kv", log_target=True, epochs=30, modality="text"
    )
    metrics = train(config)
    predicted = [row for row in read(config.out / "predictions.csv") if row["split"] == "train"]
    ratio = [float(row["prediction"]) / float(row["target"]) for row in predicted]
    assert all(value > 0 for value in ratio)
    assert np.exp(np.mean(np.log(ratio))) == pytest.approx(1, abs=0.3)  # GPa, not log10(GPa)
    assert metrics["unit"] == "GPa"
    expected = np.abs(np.log10(ratio)).mean()
    assert metrics["train"]["mae_log10"] == pytest.approx(expected)


def test_parts_bounded_by_angles_give_the_gradients_of_the_batch(tmp_path, settings):
    """With batch statistics out of play, text alone, parts change nothing but the order of sums."""
    whole = train(settings(tmp_path / "whole", modality="text", network=replace(TINY, dropout=0.0)))
    parts = train(
        settings(
            tmp_path / "parts", modality="text", network=replace(TINY, dropout=0.0), max_angles=1
        )
    )
    assert parts["test"]["mae"] == pytest.approx(whole["test"]["mae"], rel=1e-4)
    bounded = train(settings(tmp_path / "graph", modality="graph", max_angles=3000))
    assert math.isfinite(bounded["test"]["mae"])


def test_early_stopping_ends_a_training_that_no_longer_improves(tmp_path, settings):
    config = settings(
        tmp_path / "m", modality="text", epochs=60, patience=2, learning_rate=0.3, batch_size=40
    )
    metrics = train(config)
    assert metrics["epochs"] == metrics["chosen_epoch"] + 2 < 60


def test_an_unknown_target_lists_the_known_ones(dataset):
    with pytest.raises(InputError, match=r"unknown target 'gap'.*optb88vdw_bandgap"):
        read_materials(load_rows(dataset), "gap")


@pytest.mark.parametrize("modality", ["graph", "text", "both"])
def test_a_target_without_usable_values_is_one_sentence(settings, tmp_path, modality):
    changed = [{**row, TARGET: None if i % 2 else math.inf} for i, row in enumerate(rows()[:8])]
    data = write_dataset(tmp_path / "dataset", changed)
    sentence = f"no material is left to learn '{TARGET}' from (4 target not finite, 4 no target)"
    with pytest.raises(InputError, match=re.escape(sentence)):
        train(settings(tmp_path / "m", data=data, modality=modality))


def test_two_runs_of_the_same_form_are_not_mixed_up(tmp_path):
    """`load_dataset` itself would give the first run's rows for the second: same name, same card."""
    card = "---\nconfigs:\n- config_name: default\n  data_files: default/*.parquet\n---\n"
    for name, chosen in (("one", rows()[:5]), ("two", rows()[5:12])):
        write_dataset(tmp_path / name / "dataset" / "default", chosen)
        (tmp_path / name / "dataset" / "README.md").write_text(card)
    lengths = [len(load_rows(str(tmp_path / name))) for name in ("one", "two")]
    assert lengths == [5, 7]


def test_an_official_split_needs_its_column(dataset, settings, tmp_path):
    changed = [{k: v for k, v in row.items() if not k.startswith("split_")} for row in rows()]
    data = write_dataset(tmp_path / "dataset", changed)
    with pytest.raises(InputError, match="the dataset has none"):
        train(settings(tmp_path / "m", data=data, split="official"))


def test_parts_hold_at_most_the_angles_asked_for(dataset, settings, tmp_path):
    examples = [example(record) for record in list(Sample().records())[:30]]
    parts = within_angles(examples, 5000)
    assert [e.id for part in parts for e in part] == [e.id for e in examples]
    for part in parts:
        assert len(part) == 1 or sum(e.graph.n_angles for e in part) <= 5000
    assert within_angles(examples, None) == [examples]


def test_usable_and_split_count_everything(dataset, settings, tmp_path):
    materials = read_materials(load_rows(dataset), "shear_modulus_gv")
    kept, dropped = usable(materials, log_target=True, needs_text=True)
    assert len(kept) + sum(map(len, dropped.values())) == len(materials) == 48
    split = split_of(kept, settings(tmp_path))
    assert len(split.train) + len(split.val) + len(split.test) == len(kept)


def test_a_share_may_be_trained_as_many_updates_and_count_validation_labels(tmp_path, settings):
    """40 training crystals in batches of 8 are 5 updates an epoch, 10 of them 2: 2.5 times the epochs."""
    shared = {"modality": "text", "text": "constant", "epochs": 2, "batch_size": 8, "seed": 5}
    whole = train(settings(tmp_path / "whole", equal_updates=True, **shared))
    share = train(
        settings(
            *(tmp_path / "share",),
            **(shared | {"train_fraction": 0.25, "equal_updates": True, "patience": 50}),
            fraction_of_labels=True,
        )
    )
    assert (whole["epochs"], share["epochs"]) == (2, 5)
    assert [share[part]["n"] for part in ("train", "val", "test")] == [10, 1, 4]
    assert [whole[part]["n"] for part in ("train", "val", "test")] == [40, 4, 4]


def test_a_training_records_its_texts_and_its_code(trained):
    origin = json.loads((trained / "training.json").read_text())
    assert len(origin["code_sha256"]) == 64 == len(origin["texts"]["sha256"])
    assert origin["texts"]["written_by"] == ["robocrys 0.2.13"]
    assert origin["texts"]["encoder"] == "minilm" and origin["texts"]["recipe"]["pooling"] == "cls"
