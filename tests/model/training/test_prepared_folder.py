"""A training on a prepared folder is the training on its dataset, and needs little else."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import bare_machine
import pytest
from corpus import TARGET, TINY, rows, write_dataset

from curate.errors import InputError
from model import cli
from model.config import EvaluateConfig, GraphConfig, NetworkConfig, PrepareConfig
from model.data.prepared_folder import PreparedFolder
from model.predict.evaluate import evaluate
from model.training.dataset_source import write_prepared
from model.training.train import train

ROOT = Path(__file__).parents[3]
FILES = (
    "model.safetensors",
    "config.json",
    "preprocessing.json",
    "question.json",
    "metrics.json",
    "predictions.csv",
    "history.csv",
)


def prepare(out, settings, **changed):
    """The folder for a training of the tests' settings."""
    config = settings(out, **changed)
    names = ("data", "target", "text_encoder", "cache", "split", "modality", "text", "descriptors")
    names += ("graph", "log_target", "seed", "train_fraction", "fraction_of_labels", "text_pooling")
    given = {name: getattr(config, name) for name in names}
    network = {"encoder": config.network.encoder, "fusion": config.network.fusion}
    write_prepared(PrepareConfig(out=out, **given, **network))
    return out


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, settings) -> Path:
    """Of the training that the fixture `trained` is."""
    return prepare(tmp_path_factory.mktemp("prepared") / "folder", settings, split="official")


def test_what_reads_a_dataset_says_that_a_prepared_folder_is_none(prepared, trained, cache):
    with pytest.raises(
        InputError, match="was written by `crysmmnet prepare`, which a training alone"
    ):
        evaluate(EvaluateConfig(trained, str(prepared), cache=cache))


def on_bare_machine(*words) -> subprocess.CompletedProcess:
    """The command with all other packages hidden, or by the environment without them that BARE names."""
    if bare := os.environ.get("BARE"):
        environment, start = {**os.environ, "PYTHONPATH": str(ROOT)}, [bare, "-m", "model"]
    else:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        start = [sys.executable, bare_machine.__file__]
    command = [*start, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def assert_same_model(one, other):
    for name in FILES:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_without_any_other_library_it_gives_the_same_model(
    prepared, trained, dataset, cache, tmp_path
):
    sizes = [f"--{name}={value}" for name, value in vars(TINY).items() if value]
    words = ["--data", prepared, "--out", tmp_path / "m", "--epochs=3", "--batch-size=16", *sizes]
    done = on_bare_machine("train", *words)
    assert done.returncode == 0, done.stderr
    assert "message passing by torch" in done.stderr  # DGL is hidden there
    assert_same_model(tmp_path / "m", trained)
    origins = [
        json.loads((place / "training.json").read_text()) for place in (tmp_path / "m", trained)
    ]
    for name in ("contents_sha256", "texts", "data", "revision"):
        assert origins[0][name] == origins[1][name]
    assert {"transformers", "datasets"} < origins[0]["versions"].keys()  # what prepared it
    found = evaluate(EvaluateConfig(tmp_path / "m", dataset, cache=cache))
    assert found == evaluate(EvaluateConfig(trained, dataset, cache=cache))


def test_the_bare_machine_lacks_what_reads_a_dataset(dataset, tmp_path):
    words = ["--data", dataset, "--target", TARGET, "--out", tmp_path / "m"]
    done = on_bare_machine("train", *words)
    assert done.returncode == 2
    assert "needs the package pyarrow" in done.stderr and "crysmmnet prepare" in done.stderr
    assert done.stderr.count("\n") == 1


VARIANTS = {
    "graph": {"modality": "graph", "max_angles": 3000},
    "tokens": {"network": replace(TINY, fusion="cross-attention")},
    "tfidf": {"text_encoder": "tfidf"},
    "spacegroup": {"text": "spacegroup"},
    "descriptors": {"descriptors": ("cell", "composition"), "modality": "graph"},
    "matformer": {
        "modality": "graph",
        "graph": GraphConfig(graph="full"),
        "network": NetworkConfig(encoder="matformer", width=16, layers=1, projection_width=8),
    },
    "text": {"modality": "text", "train_fraction": 0.5, "equal_updates": True},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_kind_of_training_comes_out_the_same(name, tmp_path, settings):
    changed = {"epochs": 2, **VARIANTS[name]}
    train(settings(tmp_path / "from-dataset", **changed))
    folder = prepare(tmp_path / "folder", settings, **changed)
    train(settings(tmp_path / "from-folder", **changed, data=str(folder)))
    assert_same_model(tmp_path / "from-folder", tmp_path / "from-dataset")
    assert (name == "tfidf") == (folder / "text_encoder.safetensors").exists()
    if name == "tfidf":
        (one, other) = (tmp_path / place for place in ("from-folder", "from-dataset"))
        encoders = [(place / "text_encoder.safetensors").read_bytes() for place in (one, other)]
        assert encoders[0] == encoders[1]


def test_ids_that_a_benchmark_lists_twice_stay_outside(tmp_path, settings):
    changed = rows()
    column = f"split_dft_3d_{TARGET}"
    changed[0][column], changed[1][column], changed[2][TARGET] = "leak", None, None
    data = write_dataset(tmp_path / "dataset", changed)
    common = {"data": data, "modality": "text", "split": "official", "epochs": 1}
    metrics = train(settings(tmp_path / "from-dataset", **common))
    folder = prepare(tmp_path / "folder", settings, **common)
    found = train(settings(tmp_path / "from-folder", **{**common, "data": str(folder)}))
    assert found == metrics and set(found["dropped_ids"]) == {
        "in more than one official split",
        "not in the official split",
        "no target",
    }


def test_what_is_left_out_on_the_command_line_is_as_it_was_prepared(prepared):
    config = cli.parse(["train", "--data", str(prepared), "--out", "m", "--epochs=2", "--seed=9"])
    assert (config.target, config.split, config.text_encoder) == (TARGET, "official", "minilm")
    assert (config.epochs, config.seed, config.out) == (2, 9, Path("m"))
    PreparedFolder.find(prepared).refuse_others(config)  # no seed draws an official split


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--target=band_gap"], f"--target {TARGET}, not band_gap"),
        (["--split=random"], "--split official, not random"),
        (["--log-target"], "--log-target False, not True"),
        (["--modality=graph"], "--modality both, not graph"),
        (["--text-encoder=tfidf"], "--text-encoder minilm, not tfidf"),
        (["--descriptors", "cell"], "--descriptors none, not cell"),
        (["--max-neighbors=6"], "--max-neighbors 12, not 6"),
        (["--encoder=matformer"], "--encoder alignn, not matformer"),
        (["--fusion=cross-attention"], "--fusion concat, not cross-attention"),
        (["--tune-text=full"], "--tune-text no, not full"),
        (["--train-fraction=0.5"], "--train-fraction 1.0, not 0.5"),
    ],
)
def test_another_flag_than_it_was_prepared_with_is_refused(prepared, tmp_path, words, sentence):
    config = cli.parse(["train", "--data", str(prepared), "--out", str(tmp_path / "m"), *words])
    with pytest.raises(InputError) as refused:
        train(config)
    assert str(refused.value).startswith(f"{prepared} was prepared with {sentence}")
    assert not (tmp_path / "m").exists()


def test_a_seed_that_drew_the_split_is_part_of_it(tmp_path, settings):
    folder = prepare(tmp_path / "folder", settings, modality="text", text="constant")
    config = PreparedFolder.find(folder).config(tmp_path / "m", seed=5)
    with pytest.raises(InputError, match="--seed 123, which drew the split, not 5"):
        train(config)


@pytest.mark.parametrize("name", ["arrays.safetensors", "graphs.npz", "crystals.json"])
@pytest.mark.parametrize("damage", ["gone", "a bit", "cut"])
def test_a_file_that_is_not_the_one_that_was_written_is_named(prepared, tmp_path, name, damage):
    folder = shutil.copytree(prepared, tmp_path / "folder")
    path = folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if damage != "gone":
        path.write_bytes(content if damage == "a bit" else content[:-1])
    with pytest.raises(
        InputError, match=rf"{name} is missing or is not the file that was prepared"
    ):
        train(PreparedFolder.find(folder).config(tmp_path / "m"))
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("change", [('"val"', '"wal"'), ("{", ""), ('"format": 1', '"format": 2')])
def test_a_header_that_was_changed_is_refused(prepared, tmp_path, change):
    folder = shutil.copytree(prepared, tmp_path / "folder")
    header = folder / "prepared.json"
    changed = header.read_text().replace(*change, 1)
    if changed == header.read_text():
        changed = header.read_text().replace("official", "random", 1)
    header.write_text(changed)
    with pytest.raises(InputError, match=r"prepared\.json is missing or is not the file"):
        PreparedFolder.find(folder)


def test_nothing_is_written_into_a_folder_that_holds_something(tmp_path, settings):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("x")
    with pytest.raises(InputError, match="is not empty; use a new --out"):
        prepare(tmp_path / "folder", settings)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["mine"]


def test_a_dataset_that_cannot_be_learned_from_leaves_no_folder(tmp_path, settings):
    changed = [{**row, TARGET: None} for row in rows()[:8]]
    data = write_dataset(tmp_path / "dataset", changed)
    with pytest.raises(InputError, match="no material is left to learn"):
        prepare(tmp_path / "out" / "folder", settings, data=data, modality="graph")
    assert not (tmp_path / "out").exists()
