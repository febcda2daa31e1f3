"""A model folder: complete or refused, and read by the names that training wrote."""

import re
import shutil

import pytest

from curate.errors import InputError
from model.model_folder import FINISHED, METRICS, ModelFolder


@pytest.fixture
def copy(trained, tmp_path) -> ModelFolder:
    shutil.copytree(trained, tmp_path / "model")
    return ModelFolder(tmp_path / "model")


def test_a_finished_training_is_complete_and_read_by_name(copy):
    copy.check()
    assert copy.is_finished
    assert len(copy.predictions) == sum(
        copy.metrics[part]["n"] for part in ("train", "val", "test")
    ) + sum(row["split"] == "leak" for row in copy.predictions)
    assert len(copy.history) == copy.metrics["epochs"]
    assert copy.network["modality"] == copy.settings["modality"] == copy.metrics["modality"]


@pytest.mark.parametrize("name", FINISHED)
def test_each_missing_file_is_named(copy, name):
    (copy.path / name).unlink()
    with pytest.raises(InputError, match=f"it has no {re.escape(name)}"):
        copy.check()
    assert copy.is_finished == (name != METRICS)


def test_a_path_that_is_no_name_on_the_hub_is_not_looked_for_there(tmp_path):
    folder = ModelFolder.find(tmp_path / "no" / "model")
    with pytest.raises(InputError, match=r"has no metrics\.json"):
        _ = folder.metrics
