"""Collect the files of a Hugging Face Space that shows a model: page, code, weights and crystals."""

from __future__ import annotations

import tempfile
from importlib.resources import files
from pathlib import Path

from curate import __version__
from curate.dataset.card import Verbatim
from curate.errors import InputError
from curate.hub.mirror import LocalFile, PushPlan, check_name, files_of
from model.config import PushModelConfig
from model.data.preprocessing import Preprocessing
from model.model_folder import TRAINING_CRYSTALS, ModelFolder
from model.predict.nearest_crystals import TrainingCrystals
from model.predict.predictor import Predictor
from model.publish.metadata import space_metadata
from model.publish.template import filled

PACKAGES = ("curate", "model", "hub_cards")  # the code goes with the page: it is on no index
TEXTS = ("README.md", "requirements.txt")  # filled for the model
TRAINED = "trained"  # folder of the model in the Space; app.py reads it


def plan_space(config: PushModelConfig) -> PushPlan:
    """Say what a push of a Space would do; nothing leaves this machine.

    With `config.data` the Space knows the training crystals and shows similar ones. Raises InputError
    where the folder holds no finished training or needs a text encoder that a Space can't get.
    """
    check_name(config.name, config.tag)
    folder = ModelFolder(config.model)
    folder.check()
    encoder = Preprocessing.load(folder).text_encoder
    if encoder is not None and Path(encoder).is_dir():
        raise InputError(
            f"the model's text encoder is the folder {encoder}, which a Space does not have: "
            "train with one of the Hub"
        )
    found = [LocalFile(f"{TRAINED}/{name}", folder.path / name) for name in folder.files]
    predictor = Predictor.from_pretrained(folder.path, config.cache)
    n_known = 0
    if config.data is not None:
        known = TrainingCrystals.from_dataset(predictor, folder, config.data)
        n_known = len(known.ids)
        found.append(LocalFile(f"{TRAINED}/{TRAINING_CRYSTALS}", stored(known)))
    head = space_metadata(folder, config.license)
    texts = {
        name: filled(
            f"space/{name}",
            metadata=Verbatim(head),
            metrics=folder.metrics,
            n_known=n_known,
            encoder=encoder,
            version=__version__,
        )
        for name in TEXTS
    }
    page = files("hub_cards") / "space" / "app.py"
    written = [LocalFile(name, text.encode()) for name, text in texts.items()]
    written.append(LocalFile("app.py", page.read_bytes()))
    return PushPlan(
        "space",
        config.name,
        config.private,
        config.tag,
        (*written, *found, *code()),
        texts["README.md"],
    )


def stored(known: TrainingCrystals) -> bytes:
    """The training crystals as a file's content."""
    with tempfile.TemporaryDirectory() as folder:
        known.save(ModelFolder(Path(folder)))
        return (Path(folder) / TRAINING_CRYSTALS).read_bytes()


def code() -> list[LocalFile]:
    """The packages that the page imports."""
    return [
        LocalFile(f"{package}/{file.path}", file.source)
        for package in PACKAGES
        for file in files_of(Path(str(files(package))))
        if "__pycache__" not in file.path
    ]
