"""Write a model's contribution to the JARVIS-Leaderboard, checked against the benchmark's ids.

Choudhary et al., npj Comput. Mater. 10, 93 (2024); a contribution is a zipped CSV `id,target,prediction`
of the whole test set, and metadata.json.
"""

from __future__ import annotations

import csv
import io
import math
import re
import zipfile
from collections import Counter
from datetime import date
from pathlib import Path

from curate import __version__
from curate.dataset.splits import ids_in_split, task_sizes
from curate.errors import InputError, named
from curate.files import whole_file, write_json
from model.config import LeaderboardConfig
from model.data.splits import LEAK
from model.model_folder import ModelFolder

DATASETS = ("dft_3d", "megnet")
COLUMNS = ["id", "target", "prediction"]
DATE = (1980, 1, 1, 0, 0, 0)  # of the zip's member: the same predictions give the same bytes


def contribute(config: LeaderboardConfig) -> Path:
    """Write OUT/METHOD with the csv.zip and metadata.json; the path of the csv.zip.

    Raises InputError where the model's test set is not the benchmark's, or it learned from test ids.
    """
    wanted = test_ids(config.task)
    model = ModelFolder(config.model)
    rows, metrics = model.predictions, model.metrics
    if metrics["split"] != "official":
        raise InputError(
            f"{config.model} was trained on the split {metrics['split']!r}; the leaderboard needs "
            "--split official"
        )
    leaked = {row["id"] for row in rows if row["split"] in ("train", "val")} & wanted
    if leaked:
        raise InputError(f"{config.model} learned from test ids of {config.task}: {named(leaked)}")
    found = {
        row["id"]: (row["target"], row["prediction"])
        for row in rows
        if row["split"] == "test" or (row["split"] == LEAK and row["id"] in wanted)
    }
    folder = config.out / config.method
    path = folder / file_name(config.task)
    folder.mkdir(parents=True, exist_ok=True)
    write_zip(path, found)
    try:
        check_contribution(path, config.task)
    except InputError:
        path.unlink()
        raise
    training = model.training
    write_json(
        folder / "metadata.json",
        {
            "model_name": config.method,
            "project_url": config.project_url,
            "date_submitted": date.today().strftime("%m-%d-%Y"),
            "author_email": config.author_email,
            "database_version": training["revision"] or training["contents_sha256"],
            "team_name": config.method,
            "time_taken_seconds": training["seconds"],
            "language": "python",
            "os": "linux",
            "software_used": f"crysmmnet {__version__}, torch {training['versions']['torch']}",
            "hardware_used": training["hardware"],
        },
    )
    return path


def file_name(task: str) -> str:
    """The name under which the leaderboard looks for a contribution."""
    dataset, prop = parts_of(task)
    return f"AI-SinglePropertyPrediction-{prop}-{dataset}-test-mae.csv.zip"


def parts_of(task: str) -> tuple[str, str]:
    """Dataset and property of a task; InputError where it is none."""
    known = sorted(task_sizes())
    if task not in known:
        raise InputError(f"--task {task}: no such benchmark; known: {', '.join(known)}")
    dataset = next(name for name in DATASETS if task.startswith(f"{name}_"))
    return dataset, task.removeprefix(f"{dataset}_")


def test_ids(task: str) -> set[str]:
    """All test ids of a benchmark, those it also lists elsewhere included."""
    parts_of(task)
    return set(ids_in_split(task, "test"))


def write_zip(path: Path, predictions: dict[str, tuple[str, str]]) -> None:
    """The CSV of the predictions in a zip, written atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((name, *values) for name, values in sorted(predictions.items()))
    with (
        whole_file(path) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        member = zipfile.ZipInfo(path.name.removesuffix(".zip"), DATE)
        archive.writestr(member, text.getvalue(), zipfile.ZIP_DEFLATED)


def check_contribution(path: Path, task: str) -> int:
    """How many predictions a csv.zip holds; InputError where the leaderboard would not take it."""
    if path.name != file_name(task):
        raise InputError(f"{path.name} must be named {file_name(task)}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if names != [path.name.removesuffix(".zip")]:
                raise InputError(f"{path} must hold {path.stem} alone, not {', '.join(names)}")
            rows = list(csv.reader(io.TextIOWrapper(archive.open(names[0]), "utf-8")))
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no zip of a CSV file ({error})") from error
    if not rows or rows[0] != COLUMNS:
        raise InputError(f"{path} must begin with the header {','.join(COLUMNS)}")
    ids = [row[0] for row in rows[1:]]
    if twice := {name for name, count in Counter(ids).items() if count > 1}:
        raise InputError(f"{path} has ids twice: {named(twice)}")
    wanted = test_ids(task)
    if missing := wanted - set(ids):
        raise InputError(f"{path} lacks {len(missing)} test ids of {task}: {named(missing)}")
    if strange := set(ids) - wanted:
        raise InputError(f"{path} has ids that are not in the test set of {task}: {named(strange)}")
    for name, *values in rows[1:]:
        if len(values) != 2 or not all(map(is_number, values)):
            raise InputError(f"{path}: {name} has no finite target and prediction")
    return len(ids)


def is_number(text: str) -> bool:
    """Whether a cell is a finite number in plain digits."""
    return bool(re.fullmatch(r"[-+.\deE]+", text)) and math.isfinite(float(text))
