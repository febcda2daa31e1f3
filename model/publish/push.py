"""Trained model in, model with its card on the Hugging Face Hub out."""

from __future__ import annotations

import logging
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import InputError
from curate.hub.mirror import LocalFile, Plan, Pushed, check_name, mirror
from model.data.preprocessing import Preprocessing
from model.files import read_csv, read_json
from model.network.encoders import encoder_class
from model.training.provenance import FILE as TRAINING

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from curate.web.retry import RetryPolicy

log = logging.getLogger(__name__)

FILES = (
    "config.json",
    "model.safetensors",
    "preprocessing.json",
    "metrics.json",
    "predictions.csv",
    "history.csv",
    "question.json",
    TRAINING,
)


def plan_push(folder: Path, repo_id: str, *, private: bool = False, tag: str | None = None) -> Plan:
    """Say what a push of a trained model would do; nothing leaves this machine."""
    check_name(repo_id, tag)
    for name in FILES:
        if not (folder / name).is_file():
            raise InputError(f"{folder} is no folder of a finished training: it has no {name}")
    encoder = Preprocessing.of_predictor(folder).text_encoder
    if encoder is not None and Path(encoder).is_dir():
        log.warning("the model's text encoder is %s, a folder that others don't have", encoder)
    card = model_card(folder, repo_id)
    pushed = [LocalFile(name, folder / name) for name in FILES]
    return Plan(
        "model", repo_id, private, tag, (LocalFile("README.md", card.encode()), *pushed), card
    )


def push(
    folder: Path,
    repo_id: str,
    *,
    private: bool = False,
    tag: str | None = None,
    api: HfApi | None = None,
    retry: RetryPolicy | None = None,
) -> Pushed:
    """Publish a trained model with its card, in one commit; see `curate.hub.mirror`."""
    plan = plan_push(folder, repo_id, private=private, tag=tag)
    return mirror(plan.files, repo_id, "model", private=private, tag=tag, api=api, retry=retry)


def model_card(folder: Path, repo_id: str) -> str:
    """The README.md of a trained model, from the files that training left."""
    from jinja2 import Environment, StrictUndefined

    template = (files("hub_cards") / "model_card.md").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters["short"] = lambda number: f"{number:.4g}"
    network = read_json(folder, "config.json")
    return environment.from_string(template).render(
        repo_id=repo_id,
        metrics=read_json(folder, "metrics.json"),
        question=read_json(folder, "question.json"),
        network=network,
        encoder_reference=encoder_class(network["encoder"]).reference,
        preprocessing=read_json(folder, "preprocessing.json"),
        training=read_json(folder, TRAINING),
        n_predictions=len(read_csv(folder / "predictions.csv")),
    )
