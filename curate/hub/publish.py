"""Publish a dataset folder on the Hugging Face Hub, after checking that it may be published."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
from huggingface_hub import DatasetCard

from curate.hub.faults import PublishError
from curate.hub.mirror import LocalFile, PushPlan, check_name, files_of
from curate.licenses import card_fields, refusal

CONFIGS = ("default", "manifest")  # the rows with a text; one row for each crystal of the source
CHANGES = "changes"  # the config of a dataset that was updated
PLACEHOLDER = "OWNER/NAME"  # in the examples of a card that is not published yet


def plan_push(
    folder: Path, repo_id: str, *, private: bool = False, tag: str | None = None
) -> PushPlan:
    """Check a dataset folder and say what a push would do; nothing is sent.

    The files are pushed as they are, except that the card's examples name the repository.

    Args:
        folder: The dataset folder of a run.
        repo_id: OWNER/NAME.
        private: Whether only the owner will see it.
        tag: Name of this version.

    Raises:
        PublishError: The name is not valid, the dataset is not finished, its licences forbid
            publishing, or its card states another licence than its rows.
    """
    check_name(repo_id, tag)
    files = files_of(folder) if folder.is_dir() else []
    configs = [*CONFIGS, *{file.path.split("/")[0] for file in files} & {CHANGES}]
    shards = {config: shards_of(files, config, folder) for config in configs}
    card = _card(folder, repo_id)
    licenses = set().union(*(licenses_in(folder / shard.path) for shard in shards["default"]))
    if not licenses:
        raise PublishError(f"{folder} holds no described crystals: there is nothing to publish")
    if reason := refusal(licenses, private):
        raise PublishError(f"{folder} can't be published: {reason}")
    stated = DatasetCard(card).data.to_dict().get("license")
    needed = card_fields(licenses)["license"]
    if stated != needed:
        raise PublishError(
            f"README.md states the licence {stated!r}, its rows need {needed!r}: build again"
        )
    filled = [
        LocalFile(file.path, card.encode()) if file.path == "README.md" else file for file in files
    ]
    return PushPlan("dataset", repo_id, private, tag, tuple(filled), card)


def shards_of(files: list[LocalFile], config: str, folder: Path) -> list[LocalFile]:
    """The Parquet shards of one config; PublishError where there are none or one is missing."""
    shards = [file for file in files if re.fullmatch(rf"{config}/train-\d+\.parquet", file.path)]
    if not shards:
        raise PublishError(f"{folder} holds no {config}/train-*.parquet: build the dataset first")
    for number, shard in enumerate(shards):
        if shard.path != f"{config}/train-{number:05d}.parquet":
            raise PublishError(f"{folder / config} lacks train-{number:05d}.parquet: build again")
    return shards


def licenses_in(shard: Path) -> set[str | None]:
    """The different values of the column `license`."""
    if "license" not in pq.read_schema(shard).names:
        return {None}
    return set(pq.read_table(shard, columns=["license"])["license"].unique().to_pylist())


def _card(folder: Path, repo_id: str) -> str:
    path = folder / "README.md"
    if not path.exists():
        raise PublishError(f"{folder} holds no README.md: build the dataset first")
    card = path.read_text(encoding="utf-8").replace(PLACEHOLDER, repo_id)
    if left := re.search(r"\{\{.*?\}\}|\{%.*?%\}", card):
        raise PublishError(f"README.md still holds the placeholder {left[0]}: build again")
    return card
