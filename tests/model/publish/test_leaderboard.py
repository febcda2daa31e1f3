"""Contributions to the JARVIS-Leaderboard: format, ids, and what is refused."""

import csv
import io
import json
import zipfile
from itertools import cycle

import pytest
from corpus import rows, write_dataset

from curate.dataset.splits import ids_in_split, official_splits
from curate.errors import InputError
from model.config import LeaderboardConfig, NetworkConfig
from model.files import read_csv, write_csv
from model.publish.leaderboard import check_contribution, contribute, file_name, write_zip
from model.publish.leaderboard import test_ids as ids_of_test
from model.training.train import train

TASK = "dft_3d_mbj_bandgap"  # one of its test ids is in its training ids too
TARGET = "mbj_bandgap"


@pytest.fixture(scope="module")
def model(tmp_path_factory, settings):
    """A toy model of that benchmark: its test ids, 30 others, and the shared crystals under them."""
    folder = tmp_path_factory.mktemp("benchmark")
    column = f"split_{TASK}"
    labels = official_splits()[TASK]
    few = {
        part: [i for i, label in labels.items() if label == part][:15] for part in ("train", "val")
    }
    leaks = [i for i, label in labels.items() if label == "leak"]
    assert leaks == ["JVASP-96735"]
    wanted = [*ids_of_test(TASK), *few["train"], *few["val"]]
    made = [
        {**row, "material_id": name, column: labels[name], TARGET: 0.01 * number}
        for number, (name, row) in enumerate(zip(sorted(wanted), cycle(rows()), strict=False))
    ]
    config = settings(
        folder / "model",
        data=write_dataset(folder / "data", made),
        target=TARGET,
        split="official",
        modality="graph",
        epochs=1,
        network=NetworkConfig(encoder="cgcnn", width=4, layers=1, projection_width=4),
    )
    train(config)
    return folder / "model"


def config_of(model, tmp_path, task=TASK):
    return LeaderboardConfig(model=model, task=task, out=tmp_path, author_email="ada@example.org")


def test_a_contribution_has_the_form_and_the_ids_of_the_benchmark(model, tmp_path):
    path = contribute(config_of(model, tmp_path))
    assert path.name == "AI-SinglePropertyPrediction-mbj_bandgap-dft_3d-test-mae.csv.zip"
    with zipfile.ZipFile(path) as archive:
        text = archive.read(path.name.removesuffix(".zip")).decode()
    found = list(csv.DictReader(io.StringIO(text)))
    official = set(ids_in_split(TASK, "test"))
    assert len(found) == 1815 and {row["id"] for row in found} == official
    assert "JVASP-96735" in official  # in training too: not learned from, and predicted
    learned = {row["id"] for row in read_csv(model / "predictions.csv") if row["split"] == "train"}
    assert "JVASP-96735" not in learned
    metadata = json.loads((path.parent / "metadata.json").read_text())
    assert metadata["author_email"] == "ada@example.org" and metadata["time_taken_seconds"] >= 0
    first = path.read_bytes()
    assert contribute(config_of(model, tmp_path)).read_bytes() == first


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda found: found.pop("JVASP-96735"), "lacks 1 test ids"),
        (lambda found: found.update({"JVASP-0": ("1", "1")}), "not in the test set"),
        (lambda found: found.update({"JVASP-96735": ("1", "nan")}), "no finite target"),
    ],
)
def test_a_wrong_contribution_is_refused(tmp_path, change, reason):
    path = tmp_path / file_name(TASK)
    found = dict.fromkeys(ids_of_test(TASK), ("1.0", "1.5"))
    write_zip(path, found)
    assert check_contribution(path, TASK) == 1815
    change(found)
    write_zip(path, found)
    with pytest.raises(InputError, match=reason):
        check_contribution(path, TASK)


def test_files_that_are_none_are_refused(tmp_path):
    other = tmp_path / "predictions.csv.zip"
    other.write_bytes(b"")
    with pytest.raises(InputError, match="must be named"):
        check_contribution(other, TASK)
    broken = tmp_path / file_name(TASK)
    broken.write_bytes(b"no zip")
    with pytest.raises(InputError, match="is no zip"):
        check_contribution(broken, TASK)
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr(broken.name.removesuffix(".zip"), "name,value\n")
    with pytest.raises(InputError, match="header id,target,prediction"):
        check_contribution(broken, TASK)


def test_models_of_another_split_or_task_are_refused(model, trained, tmp_path, settings):
    with pytest.raises(InputError, match="no such benchmark; known: dft_3d_bulk"):
        contribute(config_of(model, tmp_path, "dft_3d_hardness"))
    with pytest.raises(InputError, match="lacks"):
        contribute(config_of(trained, tmp_path, "dft_3d_formation_energy_peratom"))
    assert not list(tmp_path.rglob("*.zip"))
    with pytest.raises(InputError, match=r"learned from test ids|lacks"):
        contribute(config_of(model, tmp_path, "dft_3d_optb88vdw_bandgap"))
    train(settings(tmp_path / "random", modality="text", epochs=1))
    with pytest.raises(InputError, match="on the split 'random'"):
        contribute(config_of(tmp_path / "random", tmp_path))


def test_a_model_that_learned_from_test_ids_is_refused(model, tmp_path):
    copy = tmp_path / "model"
    copy.mkdir()
    for name in ("metrics.json", "training.json"):
        (copy / name).write_text((model / name).read_text())
    found = read_csv(model / "predictions.csv")
    next(row for row in found if row["split"] == "test")["split"] = "train"
    write_csv(copy / "predictions.csv", list(found[0]), (list(row.values()) for row in found))
    with pytest.raises(InputError, match="learned from test ids of dft_3d_mbj_bandgap"):
        contribute(config_of(copy, tmp_path))
