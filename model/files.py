"""CSV and JSON files of trainings and experiments."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.files import whole_file


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV with one header line, atomically."""
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV by the names in its header."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A file of a finished training; InputError where it is not there."""
    if not (folder / name).is_file():
        raise InputError(f"{folder} is no folder of a finished training: it has no {name}")
    return json.loads((folder / name).read_text(encoding="utf-8"))
