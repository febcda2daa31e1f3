"""Read the materials of a dataset: a run, a dataset folder or a dataset on the Hub."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from curate.errors import InputError, first_line
from curate.record import StructureRecord
from curate.run.schema import OF_RECORD, record_of_row
from model.data.rows import LARGE, Rows
from model.model_folder import HUB_NAME

NOT_TARGETS = {"nsites", "spacegroup_number"}


@dataclass(frozen=True, slots=True)
class Material:
    """One row of a dataset: a crystal, its text, and the value to learn; read when needed."""

    id: str
    target: float | None  # in the property's own unit
    split: str | None  # train, val, test, leak or None
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
    if not HUB_NAME.fullmatch(data):
        raise InputError(f"{data!r} is no folder of a run or dataset, nor OWNER/NAME on the Hub")
    try:
        return Rows.from_dataset(load_dataset(data, split="train"))
    except Exception as error:  # the Hub may fail in many ways
        raise InputError(f"no dataset {data!r} on the Hub ({first_line(error)})") from error


def _local_rows(folder: Path) -> Rows:
    """The files themselves: `load_dataset` keeps its copy of a local folder under the folder's name
    and its card, and would give the rows of another run that has the same."""
    files = sorted(folder.glob("default/*.parquet")) or sorted(folder.glob("*.parquet"))
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


def read_materials(rows: Rows, target: str | None, official: bool = False) -> list[Material]:
    """All rows of a dataset as materials.

    Args:
        rows: The rows of a run or dataset.
        target: Property to learn, in the source's own unit; None where only the crystals are wanted.
        official: Whether to read the split of the property's benchmark.

    Raises:
        InputError: The target is unknown, an id occurs twice, or there is no such split.
    """
    if target is not None and target not in known_targets(rows):
        if target in rows.schema.names and pa.types.is_string(rows.schema.field(target).type):
            refuse_text(rows, target)
        known = ", ".join(known_targets(rows)) or "none"
        raise InputError(f"unknown target {target!r}; the dataset's known targets: {known}")
    column = split_column(rows, target) if official and target is not None else None
    ids = rows.column("material_id")
    values = rows.column(target) if target is not None else [None] * len(ids)
    splits = rows.column(column) if column else [None] * len(ids)
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise InputError(f"material_id {twice!r} occurs more than once in the dataset")
    structures, condensed = rows.only(OF_RECORD), rows.only(LARGE)
    return [
        Material(
            name, None if value is None else float(value), split, number, structures, condensed
        )
        for number, (name, value, split) in enumerate(zip(ids, values, splits, strict=True))
    ]


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
    if needs_text and not material.record.description:
        return "no description"
    return None
