"""Tuning the text encoder: it learns from the training texts, goes on where it was stopped."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from corpus import TINY

from curate.errors import InputError
from curate.run.schema import record_of_row
from model.data.materials import load_rows
from model.model_folder import PREPROCESSING, TUNED_ENCODER, ModelFolder
from model.predict.predictor import Predictor
from model.text.encoder import TextEncoder
from model.text.tune import RECORD, TunedOn, tuned_encoder
from model.training.train import train

SHORT = ["salt is cubic.", "salt is hexagonal.", "gold is cubic.", "gold is hexagonal."] * 6


@pytest.fixture(scope="module")
def data():
    """What is cubic is 1, what is hexagonal -1."""
    numbers = np.arange(len(SHORT))
    targets = np.where(["cubic" in text for text in SHORT], 1.0, -1.0)
    return TunedOn(SHORT, targets, numbers % 8 < 6, numbers % 8 >= 6)


@pytest.mark.parametrize(("way", "epochs"), [("full", 8), ("lora", 20)])
def test_an_encoder_learns_what_the_texts_say(way, epochs, data, tmp_path):
    frozen = TextEncoder("minilm", pooling="mean")
    tuned = tuned_encoder(frozen, data, tmp_path / "e", way=way, epochs=epochs, seed=0)
    record = json.loads((tmp_path / "e" / RECORD).read_text())
    errors = record["validation_errors"]
    assert record["way"] == way and len(errors) == epochs
    assert errors[record["chosen_epoch"] - 1] == min(errors) < 0.5 < errors[0]
    assert tuned.pooling == "mean" and tuned.version != frozen.version
    assert not list(tmp_path.glob("*.tuning"))


def test_the_same_seed_tunes_the_same_encoder_and_a_folder_that_has_one_is_read(data, tmp_path):
    frozen = TextEncoder("minilm", pooling="cls")
    made = [
        tuned_encoder(frozen, data, tmp_path / name, way="full", epochs=1, seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    written = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    assert written[0] == written[1] != written[2]
    before = (tmp_path / "a" / "model.safetensors").stat().st_mtime_ns
    again = tuned_encoder(frozen, data, tmp_path / "a", way="full", epochs=1, seed=1)
    assert (tmp_path / "a" / "model.safetensors").stat().st_mtime_ns == before
    assert again.version == made[0].version


KILLED = """
import logging, sys
import numpy as np
from pathlib import Path
from model.text.encoder import TextEncoder
from model.text.tune import TunedOn, tuned_encoder
logging.basicConfig(level=logging.INFO)
texts = {texts!r}
numbers = np.arange(len(texts))
targets = np.where(["cubic" in text for text in texts], 1.0, -1.0)
data = TunedOn(texts, targets, numbers % 8 < 6, numbers % 8 >= 6)
tuned_encoder(TextEncoder("minilm"), data, Path(sys.argv[1]), way="full", epochs=3, seed=5)
"""


def test_a_killed_tuning_goes_on_and_ends_in_the_same_bytes(data, tmp_path):
    code = [sys.executable, "-c", KILLED.format(texts=SHORT)]
    with subprocess.Popen(
        [*code, str(tmp_path / "killed")], stderr=subprocess.PIPE, text=True
    ) as run:
        for line in run.stderr:
            if "epoch 2 of 3" in line:
                break
        state = tmp_path / "killed.tuning" / "state.pt"
        while not state.is_file():
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
    assert not (tmp_path / "killed").exists()
    done = subprocess.run(
        [*code, str(tmp_path / "killed")], capture_output=True, text=True, check=True
    )
    assert "goes on after epoch" in done.stderr
    subprocess.run([*code, str(tmp_path / "whole")], check=True, capture_output=True)
    for name in ("model.safetensors", RECORD):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_model_predicts_with_the_encoder_that_was_tuned_for_it(
    settings, tmp_path, dataset, cache
):
    config = settings(
        tmp_path / "m", tune_text="full", tune_epochs=1, epochs=1, modality="text", network=TINY
    )
    train(config)
    folder = ModelFolder(config.out)
    assert json.loads((config.out / PREPROCESSING).read_text())["text_encoder"] == "tuned"
    assert f"{TUNED_ENCODER}/model.safetensors" in folder.files
    moved = config.out.rename(tmp_path / "moved")
    predictor = Predictor.from_pretrained(moved, cache)
    known = {row["id"]: float(row["prediction"]) for row in ModelFolder(moved).predictions}
    records = [record_of_row(row) for row in load_rows(dataset)]
    found = {p.id: p.value for p in predictor.predict(records)}
    assert found == pytest.approx(known, abs=1e-4)
    assert train(settings(moved, tune_text="full", tune_epochs=1, epochs=1, modality="text"))


def test_words_that_cannot_be_tuned_are_refused(settings, tmp_path):
    with pytest.raises(InputError, match="tfidf has no weights to tune"):
        settings(tmp_path / "m", text_encoder="tfidf", tune_text="full")
    with pytest.raises(InputError, match="--tune-epochs must be positive"):
        settings(tmp_path / "m", tune_epochs=0)


def test_a_state_that_holds_code_is_not_run(data, tmp_path):
    from hostile_pickle import Touch

    (tmp_path / "e.tuning").mkdir()
    torch.save(Touch(tmp_path / "ran"), tmp_path / "e.tuning" / "state.pt")
    with pytest.raises(InputError, match=r"state\.pt holds pickled code"):
        tuned_encoder(TextEncoder("minilm"), data, tmp_path / "e", way="full", epochs=1, seed=0)
    assert not (tmp_path / "ran").exists()
