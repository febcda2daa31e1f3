"""CSV and JSON files of trainings and experiments."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from curate.files import whole_file

FORMULA = re.compile(r"'*[=+\-@\t\r]")  # how a cell begins that a spreadsheet may compute


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV with one header line, atomically.

    A text that a spreadsheet would take for a formula gets an apostrophe before it, which `read_csv`
    takes away again; numbers stay as they are.
    """
    with (
        whole_file(path) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_inert(cell) for cell in row] for row in rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV by the names in its header."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {
                name: cell[1:] if cell and cell[0] == "'" and FORMULA.match(cell) else cell
                for name, cell in row.items()
            }
            for row in csv.DictReader(file)
        ]


def _inert(cell: Any) -> Any:
    if not isinstance(cell, str) or not FORMULA.match(cell):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
