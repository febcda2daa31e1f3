"""What the Hub asks of a card's YAML head, from its documentation.

huggingface/hub-docs: datasetcard.md, modelcard.md, docs/hub/repositories-licenses.md,
docs/hub/spaces-config-reference.md; huggingface.js: packages/tasks/src/pipelines.ts; the options of
annotations, languages and sizes from `huggingface_hub.DatasetCardData`. The limit of a Space's short
description is the one that the Hub answers with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

LICENSES = {
    *("apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m"),
    *("bigscience-bloom-rail-1.0", "bigcode-openrail-m", "afl-3.0", "artistic-2.0", "bsl-1.0"),
    *("bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0"),
    *("cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
    *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0"),
    *("cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    *("cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0"),
    *("epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "agpl-3.0", "gfdl", "gpl", "gpl-2.0"),
    *("gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "lppl-1.3c", "ms-pl", "mpl-2.0"),
    *("odc-by", "odbl", "openrail++", "osl-3.0", "postgresql", "ofl-1.1", "ncsa", "unlicense"),
    *("zlib", "pddl", "lgpl-lr", "deepfloyd-if-license", "llama2", "gemma", "unknown", "other"),
}
SIZES = {
    *("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"),
    *("1B<n<10B", "10B<n<100B", "100B<n<1T", "n>1T", "other"),
}
CREATORS = {"found", "crowdsourced", "expert-generated", "machine-generated", "other"}
LINGUALITY = {"monolingual", "multilingual", "translation", "other"}
TASKS = {  # those that have to do with text, tables and graphs
    *("text-classification", "token-classification", "question-answering", "summarization"),
    *("feature-extraction", "text-generation", "fill-mask", "sentence-similarity"),
    *("text-retrieval", "text-ranking", "table-to-text", "tabular-to-text"),
    *("tabular-classification", "tabular-regression", "graph-ml"),
}
NOT_OF_MODELS = {"text-retrieval", "table-to-text", "tabular-to-text"}
METRICS = {"mae", "mse", "mape", "smape", "r_squared", "pearsonr", "spearmanr"}  # of evaluate
RELATIONS = {"adapter", "finetune", "merge", "quantized"}
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
SDKS = {"gradio", "streamlit", "docker", "static"}
LISTS = ("tags", "task_categories", "configs", "source_datasets", "datasets", "metrics")
NAME = re.compile(r"[\w.-]+/[\w.-]+")


def front_matter(card: str) -> dict[str, Any] | None:
    """The YAML block of a card; None where there is none."""
    match = re.match(r"---\r?\n(.*?)\r?\n---\s*(\r?\n|$)", card, re.DOTALL)
    return yaml.safe_load(match[1]) if match else None


def check_card(card: str, kind: str) -> tuple[list[str], list[str]]:
    """Errors and warnings about a card's YAML block.

    Args:
        card: Its text.
        kind: Of the repository: dataset, model or space.
    """
    try:
        data = front_matter(card)
    except yaml.YAMLError as error:
        return [f"YAML: {str(error).splitlines()[0]}"], []
    if not data:
        return [], ["empty or missing yaml metadata in repo card"]
    of_kind = {"dataset": of_dataset, "model": of_model, "space": of_space}[kind]
    return [*of_any(data), *of_kind(data)], []


def of_any(data: dict[str, Any]) -> Iterator[str]:
    for license in listed(data, "license"):
        yield from outside("license", license, LICENSES)
        if license == "other" and not re.fullmatch(r"[a-z0-9.-]+", data.get("license_name", "")):
            yield '"license_name" is needed beside "license: other"'
    if not re.fullmatch(r"(https?://\S+|LICENSE(\.md)?)", data.get("license_link", "LICENSE")):
        yield '"license_link" must be an address or a file LICENSE'
    for language in listed(data, "language"):
        if not re.fullmatch("[a-z]{2,3}", str(language)):
            yield f'"language" must be an ISO 639 code, not {language}'
    for key in LISTS:
        if not isinstance(data.get(key, []), list):
            yield f'"{key}" must be an array'
    for name in listed(data, "datasets"):
        if not NAME.fullmatch(name):
            yield f'"datasets" must be names on the Hub, not {name}'


def of_dataset(data: dict[str, Any]) -> Iterator[str]:
    for key, options in (
        ("size_categories", SIZES),
        ("annotations_creators", CREATORS | {"no-annotation"}),
        ("language_creators", CREATORS),
        ("multilinguality", LINGUALITY),
        ("task_categories", TASKS),
    ):
        for value in listed(data, key):
            yield from outside(key, value, options)
    for source in listed(data, "source_datasets"):
        if source not in ("original", "extended") and not NAME.fullmatch(source):
            yield f'"source_datasets" must be original, extended or names, not {source}'
    for number, config in enumerate(data.get("configs", [])):
        if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
            yield f'"configs[{number}].config_name" is required'
        elif not all({"split", "path"} <= set(part) for part in config.get("data_files", [])):
            yield f'"configs[{number}].data_files" must have split and path'


def of_model(data: dict[str, Any]) -> Iterator[str]:
    if "pipeline_tag" in data:
        yield from outside("pipeline_tag", data["pipeline_tag"], TASKS - NOT_OF_MODELS)
    for metric in listed(data, "metrics"):
        yield from outside("metrics", metric, METRICS)
    if "base_model_relation" in data:
        yield from outside("base_model_relation", data["base_model_relation"], RELATIONS)
    for name in listed(data, "base_model"):
        if not NAME.fullmatch(name):
            yield f'"base_model" must be a name on the Hub, not {name}'
    for model in data.get("model-index", []):
        if not isinstance(model.get("name"), str) or not model.get("results"):
            yield '"model-index" needs a name and results'
        for result in model.get("results", []):
            yield from outside("task.type", result["task"]["type"], TASKS - NOT_OF_MODELS)
            if not all(isinstance(result["dataset"].get(key), str) for key in ("type", "name")):
                yield '"model-index" needs type and name of the dataset'
            for metric in result["metrics"]:
                yield from outside("metrics.type", metric["type"], METRICS)
                if not isinstance(metric["value"], float):
                    yield '"model-index" needs a number for each metric'


def of_space(data: dict[str, Any]) -> Iterator[str]:
    yield from outside("sdk", data.get("sdk"), SDKS)
    for key in ("colorFrom", "colorTo"):
        if key in data:
            yield from outside(key, data[key], COLOURS)
    if not isinstance(data.get("title"), str):
        yield '"title" is required'
    if len(data.get("short_description", "")) > 60:
        yield '"short_description" length must be less than or equal to 60 characters long'
    if data.get("emoji", "💎").isascii():
        yield '"emoji" must be an emoji'
    if not re.fullmatch(r"3\.\d+(\.\d+)?", str(data.get("python_version", "3.11"))):
        yield '"python_version" must be 3.x or 3.x.x'


def listed(data: dict[str, Any], key: str) -> list[Any]:
    value = data.get(key, [])
    return value if isinstance(value, list) else [value]


def outside(key: str, value: object, options: set[str]) -> list[str]:
    if value in options:
        return []
    return [f'"{key}" must be one of [{", ".join(sorted(options))}], not {value}']
