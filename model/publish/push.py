"""Publish a trained model with its card on the Hugging Face Hub."""

from __future__ import annotations

import logging
from importlib.resources import files
from pathlib import Path

from curate.hub.mirror import LocalFile, PushPlan, check_name
from model.data.preprocessing import Preprocessing
from model.model_folder import PREPROCESSING, ModelFolder
from model.network.encoders import encoder_class
from model.predict.calibration import held_margins

log = logging.getLogger(__name__)


def plan_push(
    folder: Path, repo_id: str, *, private: bool = False, tag: str | None = None
) -> PushPlan:
    """Say what a push of a trained model would do; nothing leaves this machine."""
    check_name(repo_id, tag)
    model = ModelFolder(folder)
    files = model.files
    encoder = Preprocessing.load_for_prediction(model).text_encoder
    if encoder is not None and Path(encoder).is_dir():
        log.warning("the model's text encoder is %s, a folder that others don't have", encoder)
    card = model_card(model, repo_id)
    pushed = [LocalFile(name, folder / name) for name in files]
    return PushPlan(
        "model", repo_id, private, tag, (LocalFile("README.md", card.encode()), *pushed), card
    )


def model_card(folder: ModelFolder, repo_id: str) -> str:
    """The README.md of a trained model, from the files that training left."""
    from jinja2 import Environment, StrictUndefined

    template = (files("hub_cards") / "model_card.md").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters["short"] = lambda number: f"{number:.4g}"
    network = folder.network
    return environment.from_string(template).render(
        metadata=metadata(folder, repo_id),
        repo_id=repo_id,
        metrics=folder.metrics,
        held=held_margins(folder),
        question=folder.settings,
        network=network,
        encoder_reference=encoder_class(network["encoder"]).reference,
        preprocessing=folder.read(PREPROCESSING),
        training=folder.training,
        n_predictions=len(folder.predictions),
    )


def metadata(folder: ModelFolder, repo_id: str) -> str:
    """What the Hub shows and searches of a model, as YAML; test scores where the data are public."""
    from huggingface_hub import EvalResult, ModelCardData

    metrics, training = folder.metrics, folder.training
    data = training["data"]
    results = [
        EvalResult(
            task_type="graph-ml",
            dataset_type=name,
            dataset_name=name,
            dataset_split="test",
            dataset_revision=training["revision"],
            metric_type="mae",
            metric_name=f"MAE ({metrics['unit']}) of {metrics['target']}",
            metric_value=metrics["test"]["mae"],
        )
        for name in ([data] if data else [])
    ]
    return ModelCardData(
        library_name="crysmmnet",
        pipeline_tag="graph-ml",
        tags=["chemistry", "materials-science", "crystal-structure", "crysmmnet"],
        metrics=["mae"],
        datasets=[data] if data else None,
        model_name=repo_id.split("/")[1] if results else None,
        eval_results=results or None,
    ).to_yaml()
