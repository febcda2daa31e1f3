"""The YAML heads of cards: what the Hub shows and searches of a model and of a Space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.dataset.splits import ids_in_split, task_sizes
from curate.dataset.token_lengths import DEMO_ENCODER
from curate.errors import InputError
from curate.hub_name import is_hub_name
from curate.licenses import card_fields, is_unknown
from curate.record import FOLD_PREFIX
from model.model_folder import PREPROCESSING, ModelFolder

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TAGS = ["chemistry", "materials-science", "crystal-structure", "crysmmnet"]
MINILM = "sentence-transformers/all-MiniLM-L6-v2"  # what the package of `minilm` holds
GRADIO = "6.31.0"  # as tested


def model_metadata(folder: ModelFolder, repo_id: str, license: str | None = None) -> str:
    """The head of a model's card.

    A score is stated where others can find what was tested: data on the Hub, or a public benchmark.

    Args:
        folder: Of the trained model.
        repo_id: OWNER/NAME of the model on the Hub.
        license: Of the weights, as their owner states it.

    Raises:
        InputError: The licence says nothing.
    """
    from huggingface_hub import ModelCardData

    preprocessing, data = folder.read(PREPROCESSING), folder.training["data"]
    reads_text = preprocessing["text_encoder"] is not None
    result = test_result(folder)
    return ModelCardData(
        language=["en"] if reads_text else None,
        **stated(license),
        **base_model(folder),
        library_name="crysmmnet",
        pipeline_tag=task_of(folder),
        tags=TAGS,
        metrics=["mae"],
        datasets=[data] if data else None,
        model_name=repo_id.split("/")[1] if result else None,
        eval_results=[result] if result else None,
    ).to_yaml()


def space_metadata(folder: ModelFolder, license: str | None = None) -> str:
    """The head of a Space's card.

    Args:
        folder: Of the trained model that the Space shows.
        license: Of all that the Space holds, as its owner states it.

    Raises:
        InputError: The licence says nothing.
    """
    from huggingface_hub import SpaceCardData

    data = folder.training["data"]
    return SpaceCardData(
        title=f"CrysMMNet for {folder.metrics['target']}",
        emoji="💎",
        colorFrom="blue",
        colorTo="green",
        sdk="gradio",
        sdk_version=GRADIO,
        python_version="3.11",
        app_file="app.py",
        **stated(license),
        short_description="A crystal's property from its structure and its text",
        datasets=[data] if data else None,
        tags=TAGS,
    ).to_yaml()


def stated(license: str | None) -> dict[str, Any]:
    """The fields of a licence; none where none is stated.

    Raises:
        InputError: The licence says nothing.
    """
    if license is None:
        return {}
    if is_unknown(license):
        raise InputError(f"--license {license!r} says nothing: name a licence, as cc-by-4.0")
    return dict(card_fields([license]))


def task_of(folder: ModelFolder) -> str:
    """The Hub's name for what the model does; regression on texts counts as their classification."""
    return "text-classification" if folder.metrics["modality"] == "text" else "graph-ml"


def base_model(folder: ModelFolder) -> dict[str, Any]:
    """The text encoder that the model was built on, where the Hub has it, and how it was used."""
    if folder.read(PREPROCESSING)["text_encoder"] is None:
        return {}
    name = folder.settings["text_encoder"]
    name = MINILM if name == DEMO_ENCODER else name
    if not is_hub_name(name) or Path(name).is_dir():
        return {}
    is_tuned = folder.settings.get("tune_text", "no") != "no"
    return {
        "base_model": name,
        "base_model_relation": "finetune" if is_tuned else "adapter",
    }


def test_result(folder: ModelFolder) -> EvalResult | None:
    """The error on the test materials; None where nobody else could find them."""
    from huggingface_hub import EvalResult

    metrics, training = folder.metrics, folder.training
    data, benchmark = training["data"], benchmark_of(folder)
    if not (data or benchmark):
        return None
    slug, title = benchmark or (data, f"{data}, {metrics['split']} split")
    return EvalResult(
        task_type=task_of(folder),
        dataset_type=data or slug,
        dataset_name=title,
        dataset_config="default" if data else None,
        dataset_revision=training["revision"],
        metric_type="mae",
        metric_name=f"MAE ({metrics['unit']}) of {metrics['target']}",
        metric_value=metrics["test"]["mae"],
    )


def benchmark_of(folder: ModelFolder) -> tuple[str, str] | None:
    """Name and title of the public benchmark whose test materials were predicted; None where there is none.

    The title says how many of them there were where they are not all.
    """
    metrics = folder.metrics
    column = metrics.get("folds") or ""
    if column.startswith(FOLD_PREFIX):
        name = column.removeprefix("fold_")
        return name, f"Matbench v0.1 {name}, fold {metrics['fold']}"
    if metrics["split"] != "official":
        return None
    tested = {row["id"] for row in folder.predictions if row["split"] == "test"}
    ending = "_" + metrics["target"].replace(" ", "")
    for task in sorted(task_sizes()):
        if task.endswith(ending) and tested <= (wanted := set(ids_in_split(task, "test"))):
            share = "" if tested == wanted else f", {len(tested)} of {len(wanted)} test materials"
            return task, f"JARVIS-Leaderboard {task}{share}"
    return None
