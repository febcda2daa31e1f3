"""Read the materials of a dataset: a run, a dataset folder or a dataset on the Hub."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.errors import InputError, first_line
from curate.hub_name import is_hub_name
from curate.record import StructureRecord
from curate.run.schema import DATASET, OF_RECORD, record_of_row
from model.config import DRAWN_SPLITS
from model.data.prepared_folder import HEADER
from model.data.rows import LARGE, Rows

NOT_TARGETS = {"nsites", "spacegroup_number"}


@dataclass(frozen=True, slots=True)
class Material:
    """One row of a dataset: a crystal, its text, and the value to learn; read when needed."""

    id: str
    target: float | None  # in the property's own unit
    label: str | None  # in the column of splits or folds: train, val, test, leak; the fold; or None
    number: int  # of the row
    rows: Rows
    condensed_rows: Rows

    @property
    def record(self) -> StructureRecord:
        """The crystal with its text."""
        return record_of_row(self.rows[self.number])

    @property
    def condensed(self) -> str | None:
        """Robocrystallographer's condensed structure, JSON."""
        return self.condensed_rows[self.number].get("condensed_structure")


@dataclass(frozen=True)
class Records(Sequence[StructureRecord]):
    """The records of materials, read when they are asked for."""

    materials: Sequence[Material]

    def __len__(self) -> int:
        return len(self.materials)

    def __getitem__(self, number):
        return self.materials[number].record


def load_rows(data: str) -> Rows:
    """The rows of a dataset; nothing but their schema is read yet.

    Args:
        data: Folder of a run or dataset, or OWNER/NAME on the Hub.

    Raises:
        InputError: There is no such dataset, or its files can't be read.
    """
    from datasets import load_dataset

    place = Path(data)
    if (place / "dataset").is_dir():
        place = place / "dataset"
    if place.is_dir():
        return _local_rows(place)
    if not is_hub_name(data):
        raise InputError(f"{data!r} is no folder of a run or dataset, nor OWNER/NAME on the Hub")
    try:
        return Rows.from_dataset(load_dataset(data, split="train"))
    except Exception as error:  # the Hub may fail in many ways
        raise InputError(
            f"no dataset {data!r} in a folder or on the Hub ({first_line(error)})"
        ) from error


def _local_rows(folder: Path) -> Rows:
    """The files themselves: `load_dataset` keeps its copy of a local folder under the folder's name
    and its card, and would give the rows of another run that has the same."""
    files = sorted(folder.glob("default/*.parquet")) or sorted(folder.glob("*.parquet"))
    if not files and (folder / HEADER).is_file():
        raise InputError(
            f"{folder} was written by `crysmmnet prepare`, which a training alone reads: name the run or "
            "dataset that it was prepared from"
        )
    if not files:
        raise InputError(f"{folder} holds no Parquet files of a dataset")
    try:
        return Rows.from_files(files)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} can't be read ({first_line(error)})") from error


def known_targets(rows: Rows) -> list[str]:
    """Columns that hold numbers of a property."""
    return sorted(
        column.name
        for column in rows.schema
        if (pa.types.is_floating(column.type) or pa.types.is_integer(column.type))
        and column.name not in NOT_TARGETS
    )


def split_column(rows: Rows, target: str) -> str:
    """The column of the official benchmark that splits this property."""
    offered = [name for name in rows.schema.names if name.startswith("split_")]
    ending = "_" + target.replace(" ", "")
    fitting = [name for name in offered if name.endswith(ending)]
    if len(fitting) != 1:
        raise InputError(
            f"--split official needs one column split_<task>_{target.replace(' ', '')}; "
            f"the dataset has {', '.join(offered) or 'none'}"
        )
    return fitting[0]


def label_column(rows: Rows, target: str, split: str, folds: str | None) -> str | None:
    """The column that says in which part or fold each crystal is; None where the parts are drawn.

    Args:
        rows: The rows of a run or dataset.
        target: Property to learn.
        split: As in `TrainSettings`.
        folds: As in `TrainSettings`.

    Raises:
        InputError: There is no such column.
    """
    if folds is None and split in DRAWN_SPLITS:
        return None
    if folds is None and split == "official":
        return split_column(rows, target)
    column, flag = (split, "--split") if folds is None else (folds, "--folds")
    if column not in rows.schema.names:
        known = [name for name in rows.schema.names if name not in DATASET]
        raise InputError(
            f"{flag} {column}: the dataset has no such column; beside structures and texts it has "
            f"{', '.join(known) or 'none'}"
        )
    return column


def read_materials(
    rows: Rows, target: str | None, label_column: str | None = None
) -> list[Material]:
    """All rows of a dataset as materials.

    Args:
        rows: The rows of a run or dataset.
        target: Property to learn, in the source's own unit; None where only the crystals are wanted.
        label_column: Column whose values become the materials' labels, as `label_column` finds it.

    Raises:
        InputError: The target is unknown, or an id occurs twice.
    """
    if target is not None and target not in known_targets(rows):
        if target in rows.schema.names and pa.types.is_string(rows.schema.field(target).type):
            refuse_text(rows, target)
        known = ", ".join(known_targets(rows)) or "none"
        raise InputError(f"unknown target {target!r}; the dataset's known targets: {known}")
    ids = rows.column("material_id")
    values = rows.column(target) if target is not None else [None] * len(ids)
    labels = rows.column(label_column) if label_column else [None] * len(ids)
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise InputError(f"material_id {twice!r} occurs more than once in the dataset")
    structures, condensed = rows.only(OF_RECORD), rows.only(LARGE)
    return [
        Material(
            name,
            None if value is None else float(value),
            as_label(label),
            number,
            structures,
            condensed,
        )
        for number, (name, value, label) in enumerate(zip(ids, values, labels, strict=True))
    ]


def as_label(value: Any) -> str | None:
    """A value of a column of splits or folds as text: fold 3.0 is `3`; None where it is empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() or None


def refuse_text(rows: Rows, target: str) -> None:
    """InputError that names a value that made a column one of text."""
    values = zip(rows.column("material_id"), rows.column(target), strict=True)
    texts = ((name, value) for name, value in values if value and not _is_number(value))
    name, value = next(texts, (None, None))
    if name is not None:
        raise InputError(
            f"target {target!r} is a column of text: {name} has {value!r}; leave that value empty "
            "where there is none, and build again"
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def usable(
    materials: Iterable[Material], log_target: bool, needs_text: bool
) -> tuple[list[Material], dict[str, list[str]]]:
    """Materials a model can learn from, and the ids of the others by reason."""
    kept, dropped = [], defaultdict(list)
    for material in materials:
        reason = _unusable(material, log_target, needs_text)
        if reason:
            dropped[reason].append(material.id)
        else:
            kept.append(material)
    return kept, dict(dropped)


def _unusable(material: Material, log_target: bool, needs_text: bool) -> str | None:
    if material.target is None:
        return "no target"
    if not math.isfinite(material.target):
        return "target not finite"
    if log_target and material.target <= 0:
        return "target not positive, no log10"
    if needs_text and not (material.record.description or "").strip():
        return "no description"
    return None
