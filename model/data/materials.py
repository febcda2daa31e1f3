"""Dataset in; materials and splits out."""

from __future__ import annotations

import math
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.errors import InputError
from curate.record import StructureRecord
from curate.sources.entries import as_number
from model.config import TrainConfig
from model.data.rows import LARGE, Rows

LEAK = "in more than one official split"
OF_RECORD = (
    "material_id",
    "lattice_vectors",
    "species_at_sites",
    "cartesian_site_positions",
    "source",
    "spacegroup_number",
    "description",
    "description_origin",
)
NOT_TARGETS = {"nsites", "spacegroup_number"}


@dataclass(frozen=True, slots=True)
class Material:
    """One row of a dataset: a crystal, its text, and the value to learn; read when it is asked for."""

    id: str
    target: float | None  # in the property's own unit
    split: str | None  # train, val, test, leak or None
    number: int  # of the row
    rows: Rows
    condensed_rows: Rows

    @property
    def record(self) -> StructureRecord:
        """The crystal with its text."""
        return record_of(self.rows[self.number])

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


@dataclass(frozen=True)
class Split:
    """Disjoint ids, in the dataset's order, and those left out with the reason."""

    train: list[str]
    val: list[str]
    test: list[str]
    dropped: dict[str, list[str]]
    leak: list[str] = field(default_factory=list)  # dropped, for a benchmark has them in two splits


def load_rows(data: str) -> Rows:
    """The rows of a run, of a dataset folder, or of OWNER/NAME on the Hub."""
    from datasets import load_dataset

    place = Path(data)
    if (place / "dataset").is_dir():
        place = place / "dataset"
    if place.is_dir():
        return _local_rows(place)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", data):
        raise InputError(f"{data!r} is no folder of a run or dataset, nor OWNER/NAME on the Hub")
    try:
        return Rows.of_dataset(load_dataset(data, split="train"))
    except Exception as error:  # the Hub may fail in many ways
        raise InputError(f"no dataset {data!r} on the Hub ({_first_line(error)})") from error


def _local_rows(folder: Path) -> Rows:
    """The files themselves: `load_dataset` keeps its copy of a local folder under the folder's name
    and its card, and would give the rows of another run that has the same."""
    files = sorted(folder.glob("default/*.parquet")) or sorted(folder.glob("*.parquet"))
    if not files:
        raise InputError(f"{folder} holds no Parquet files of a dataset")
    try:
        return Rows.of_files(files)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} can't be read ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [repr(error)])[0][:200]


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
    """All rows as materials; InputError where the target is unknown, naming the known ones."""
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
    texts = ((name, value) for name, value in values if value and as_number(value) is None)
    name, value = next(texts, (None, None))
    if name is not None:
        raise InputError(
            f"target {target!r} is a column of text: {name} has {value!r}; leave that value empty "
            "where there is none, and build again"
        )


def record_of(row: dict[str, Any]) -> StructureRecord:
    """A row of the dataset as the structure record it was made of."""
    a, b, c = map(tuple, row["lattice_vectors"])
    return StructureRecord(
        material_id=row["material_id"],
        lattice_vectors=(a, b, c),
        species_at_sites=tuple(row["species_at_sites"]),
        cartesian_site_positions=tuple(map(tuple, row["cartesian_site_positions"])),
        source=row.get("source") or "files",
        spacegroup_number=row.get("spacegroup_number"),
        description=row.get("description"),
        description_origin=row.get("description_origin"),
    )


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


def official_split(materials: Sequence[Material]) -> Split:
    """The split of the dataset's own column; ids it has in two splits are left out of all."""
    parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    dropped: dict[str, list[str]] = defaultdict(list)
    for material in materials:
        if material.split in parts:
            parts[material.split].append(material.id)
        elif material.split == "leak":
            dropped[LEAK].append(material.id)
        else:
            dropped["not in the official split"].append(material.id)
    return Split(**parts, dropped=dict(dropped), leak=dropped.get(LEAK, []))


def split_ids(ids: Sequence[str], seed: int, val: float = 0.1, test: float = 0.1) -> Split:
    """Seeded 80/10/10; at least one id in each part where there are three."""
    shuffled = list(ids)  # in the dataset's order: it is part of a published split
    random.Random(seed).shuffle(shuffled)
    n_val, n_test = (max(1, int(share * len(ids))) for share in (val, test))
    drawn_val, drawn_test = set(shuffled[:n_val]), set(shuffled[n_val : n_val + n_test])
    drawn = drawn_val | drawn_test
    return Split(
        train=[name for name in ids if name not in drawn],
        val=[name for name in ids if name in drawn_val],
        test=[name for name in ids if name in drawn_test],
        dropped={},
    )


def part_of(ids: Sequence[str], fraction: float, seed: int) -> list[str]:
    """A share of the ids drawn with the seed, in their order; a smaller share is part of a larger."""
    shuffled = list(ids)
    random.Random(seed).shuffle(shuffled)
    chosen = set(shuffled[: max(1, round(fraction * len(ids)))])
    return [name for name in ids if name in chosen]


def split_of(materials: Sequence[Material], config: TrainConfig) -> Split:
    """The split that the settings ask for."""
    if config.split == "official":
        return official_split(materials)
    return split_ids([material.id for material in materials], config.seed)
