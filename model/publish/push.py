"""Publish a trained model with its card on the Hugging Face Hub."""

from __future__ import annotations

import logging
from pathlib import Path

from curate.dataset.card import Verbatim
from curate.hub.mirror import LocalFile, PushPlan, check_name
from model.data.preprocessing import Preprocessing
from model.model_folder import PREPROCESSING, ModelFolder
from model.network.encoders import encoder_class
from model.publish.metadata import model_metadata
from model.publish.template import filled
from model.training.calibration import held_margins

log = logging.getLogger(__name__)


def plan_push(
    folder: Path,
    repo_id: str,
    *,
    private: bool = False,
    tag: str | None = None,
    license: str | None = None,
) -> PushPlan:
    """Say what a push of a trained model would do; nothing leaves this machine.

    Args:
        folder: Of the trained model.
        repo_id: OWNER/NAME.
        private: Whether only the owner will see it.
        tag: Name of this version.
        license: Of the weights, for the card.

    Raises:
        PublishError: The name is not valid.
        InputError: The folder holds no finished training, or the licence says nothing.
    """
    check_name(repo_id, tag)
    model = ModelFolder(folder)
    files = model.files
    encoder = Preprocessing.load_for_prediction(model).text_encoder
    if encoder is not None and Path(encoder).is_dir():
        log.warning("the model's text encoder is %s, a folder that others don't have", encoder)
    card = model_card(model, repo_id, license)
    pushed = [LocalFile(name, folder / name) for name in files]
    return PushPlan(
        "model", repo_id, private, tag, (LocalFile("README.md", card.encode()), *pushed), card
    )


def model_card(folder: ModelFolder, repo_id: str, license: str | None = None) -> str:
    """The README.md of a trained model, from the files that training left.

    Args:
        folder: Of the trained model.
        repo_id: OWNER/NAME.
        license: Of the weights; the card states none where it is None.
    """
    network = folder.network
    return filled(
        "model_card.md",
        metadata=Verbatim(model_metadata(folder, repo_id, license)),
        repo_id=repo_id,
        license=license,
        metrics=folder.metrics,
        held=held_margins(folder),
        question=folder.settings,
        network=network,
        encoder_reference=encoder_class(network["encoder"]).reference,
        preprocessing=folder.read(PREPROCESSING),
        training=folder.training,
        n_predictions=len(folder.predictions),
    )
