"""A model on the Hub predicts what it predicted at home, and its card says where it comes from."""

import json
import re
import shutil
from pathlib import Path

import pytest
from hub_clients import TOKEN, run

from curate.errors import InputError
from model.files import read_csv, write_csv
from model.model_folder import ModelFolder
from model.publish.push import model_card, plan_push
from model.training.calibration import held_margins
from model.training.train import train

STORED = Path(__file__).parents[2] / "data" / "model_card.md"
TINY = (
    "--width 8 --alignn-layers 1 --gcn-layers 1 --embedding-width 8 --projection-width 8"
    " --epochs 1 --text-encoder minilm --target formation_energy_peratom"
)

PREDICT = """
import json, sys
from curate.sources.sample import Sample
from model.network.crysmmnet import CrysMMNet
from model.predict.predictor import Predictor

print(CrysMMNet.from_pretrained("ada/net").settings.encoder_settings["width"])
records = [r for r in Sample().records() if r.material_id == sys.argv[1]]
for revision in ("main", "v1"):
    print(Predictor.from_pretrained("ada/net", revision=revision).predict(records)[0].value)
"""


def crysmmnet(hub, home, *arguments, token=TOKEN):
    """The command line, as a user runs it."""
    cache = {"XDG_CACHE_HOME": str(home)}
    return run(hub, home, "-m", "model.cli", *map(str, arguments), token=token, **cache)


def masked(card: str) -> str:
    """The card without what differs between machines: scores, hashes, versions, hardware."""
    card = re.sub(r"\b[0-9a-f]{40}([0-9a-f]{24})?\b", "HASH", card)
    card = re.sub(
        r"\| (hardware|python|crysmmnet|torch|transformers|datasets|numpy) \| .*",
        r"| \1 | * |",
        card,
    )
    return re.sub(r"(?<![\w.])\d+\.\d+(e[-+]\d+)?(?![\w.])", "#", card)


def test_a_model_trained_on_a_hub_dataset_comes_back_whole(hub, built, tmp_path):
    home = tmp_path / "home"
    run(hub, home, "-m", "curate", "push", str(built), "ada/crystals")
    model = tmp_path / "net"
    done = crysmmnet(hub, home, "train", "--data", "ada/crystals", "--out", model, *TINY.split())
    assert done.returncode == 0, done.stderr
    learned = json.loads((model / "training.json").read_text())
    assert learned["data"] == "ada/crystals"
    assert learned["revision"] == hub.dataset("ada/crystals").head.oid
    assert learned["seconds"] > 0

    dry = crysmmnet(hub, home, "push", model, "ada/net", "--dry-run", token=None)
    assert dry.stdout.startswith("model ada/net (public)\n"), dry.stderr
    assert ("models", "ada/net") not in hub.repos
    done = crysmmnet(hub, home, "push", model, "ada/net", "--tag", "v1")
    assert done.stdout.startswith("pushed to"), done.stderr
    repo = hub.repos["models", "ada/net"]
    files = repo.files()
    card = files.pop("README.md").decode()
    assert files == {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()}
    assert card == dry.stdout.split("\n\n", 1)[1].removesuffix("\n")
    assert masked(card) == STORED.read_text()

    (row, *_) = read_csv(model / "predictions.csv")
    elsewhere = tmp_path / "elsewhere"
    found = run(hub, elsewhere, "-c", PREDICT, row["id"], token=None, XDG_CACHE_HOME=str(elsewhere))
    width, *values = found.stdout.split()
    assert width == "8", found.stderr
    assert [float(v) for v in values] == pytest.approx([float(row["prediction"])] * 2, abs=1e-5)


def test_the_command_line_predicts_by_name(hub, built, trained, tmp_path, rutile):
    crysmmnet(hub, tmp_path, "push", trained, "lab/net", "--private")
    rutile.to_pymatgen().to(filename=str(tmp_path / "rutile.cif"))
    here, there = (
        crysmmnet(hub, tmp_path, "predict", model, tmp_path / "rutile.cif")
        for model in (trained, "lab/net")
    )
    assert there.returncode == 0, there.stderr
    assert there.stdout == here.stdout
    assert there.stdout.endswith("\teV/atom\n")
    no = crysmmnet(hub, tmp_path / "new", "predict", "lab/net", tmp_path / "rutile.cif", token=None)
    assert no.returncode == 2
    assert no.stderr.startswith("crysmmnet: no model 'lab/net' in a folder or on the Hub (401")


def test_what_is_no_finished_model_is_not_pushed(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "model")
    (tmp_path / "model" / "metrics.json").unlink()
    with pytest.raises(
        InputError, match=r"not the folder of a finished training: it has no metrics"
    ):
        plan_push(tmp_path / "model", "ada/net")


def test_a_dataset_of_that_name_is_not_overwritten(hub, trained, tmp_path):
    hub.add_repo("datasets", "ada/net")
    done = crysmmnet(hub, tmp_path, "push", trained, "ada/net")
    assert done.stderr == (
        "crysmmnet: ada/net is the name of a dataset already: choose another for the model\n"
    )


def test_the_card_of_an_ensemble_says_its_seeds_and_what_its_margins_are_worth(tmp_path, settings):
    config = settings(tmp_path / "m", members=2, modality="graph", epochs=1)
    train(config)
    folder = ModelFolder(config.out)
    rows = [  # 48 crystals have too few for validation: those of training stand in
        ["val" if name == "train" else name for name in row.values()] for row in folder.predictions
    ]
    write_csv(folder.path / "predictions.csv", list(folder.predictions[0]), rows)
    card, held = model_card(folder, "ada/net"), held_margins(folder)
    assert "The mean of 2 networks with seeds from 123. Epochs 1, 1\n" in card
    assert f"At 90 % it held for\n{100 * held['coverage']:.1f} % of the 4 test materials" in card
    assert "wider where the 2 networks differ" in card
    names = [file.path for file in plan_push(config.out, "ada/net").files]
    assert {"members/2/model.safetensors", "neighborhood.safetensors"} <= set(names)
