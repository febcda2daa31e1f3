"""Splits of a dataset: a benchmark's own, a column's, one fold of a column's, or drawn with a seed."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from curate.errors import InputError, named
from curate.record import StructureRecord
from model.config import DRAWN_SPLITS, TrainConfig

if TYPE_CHECKING:
    from model.data.materials import Material

PARTS = ("train", "val", "test")
LEAK = "leak"  # a fourth part: ids that the benchmark lists in two parts; predicted, never learned
IN_TWO_PARTS = "in more than one official split"
PART_NAMES = {  # as people write them, in lower case
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    LEAK: LEAK,
}
VAL, TEST = 0.1, 0.1  # shares of a drawn split


def formula(record: StructureRecord) -> str:
    """What a split by formula keeps together: the reduced formula."""
    return record.chemical_formula_reduced


def chemical_system(record: StructureRecord) -> str:
    """What a split by chemical system keeps together: the elements, as `Na-Cl` sorted."""
    return "-".join(sorted(set(record.species_at_sites)))


GROUPS: Mapping[str, Callable[[StructureRecord], str]] = {
    "formula": formula,
    "chemical-system": chemical_system,
}


@dataclass(frozen=True)
class Split:
    """Disjoint ids, in the dataset's order, and those left out with the reason."""

    train: list[str]
    val: list[str]
    test: list[str]
    dropped: dict[str, list[str]]
    leak: list[str] = field(default_factory=list)  # excluded: the benchmark lists them in two parts


def labelled_split(materials: Sequence[Material], split: str) -> Split:
    """The split that the materials' labels are; ids a benchmark has in two parts are left out of all.

    Args:
        materials: With the labels of the column.
        split: `official` or the column, for messages.

    Raises:
        InputError: A label names no part.
    """
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    dropped: dict[str, list[str]] = defaultdict(list)
    outside = "not in the official split" if split == "official" else f"no part in {split}"
    for material in materials:
        if material.label is None:
            dropped[outside].append(material.id)
            continue
        part = PART_NAMES.get(material.label.lower())
        if part is None:
            raise InputError(
                f"--split {split}: {material.id} has {material.label!r} there; write train, val or "
                "test, or leave it empty to leave the crystal out"
            )
        if part == LEAK:
            dropped[IN_TWO_PARTS].append(material.id)
        else:
            parts[part].append(material.id)
    return Split(**parts, dropped=dict(dropped), leak=dropped.get(IN_TWO_PARTS, []))


def fold_split(
    materials: Sequence[Material], folds: str, fold: str, split: str, seed: int
) -> Split:
    """One fold as the test set, and a tenth of the crystals of the others for validation.

    Args:
        materials: With the labels of the column of folds.
        folds: The column, for messages.
        fold: The label of the fold that is tested.
        split: How validation is drawn: `random`, or by whole groups of GROUPS.
        seed: Of that draw.

    Raises:
        InputError: No crystal is in the fold.
    """
    rest = [material for material in materials if material.label not in (None, fold)]
    test = [material.id for material in materials if material.label == fold]
    if not test:
        known = {material.label for material in materials if material.label is not None}
        raise InputError(f"--fold {fold}: {folds} has no such fold; it has {named(known, 20)}")
    val = set(drawn_parts(rest, split, seed, {"val": VAL})["val"])
    outside = [material.id for material in materials if material.label is None]
    return Split(
        train=[material.id for material in rest if material.id not in val],
        val=[material.id for material in rest if material.id in val],
        test=test,
        dropped={f"no fold in {folds}": outside} if outside else {},
    )


def drawn_split(materials: Sequence[Material], split: str, seed: int) -> Split:
    """80/10/10 drawn with the seed, crystal by crystal or by whole groups."""
    ids = [material.id for material in materials]
    parts = drawn_parts(materials, split, seed, {"val": VAL, "test": TEST})
    val, test = set(parts["val"]), set(parts["test"])
    return Split(
        train=[name for name in ids if name not in val | test],
        val=[name for name in ids if name in val],
        test=[name for name in ids if name in test],
        dropped={},
    )


def drawn_parts(
    materials: Sequence[Material], split: str, seed: int, shares: Mapping[str, float]
) -> dict[str, list[str]]:
    """Ids of each part but the training one.

    Args:
        materials: In the dataset's order, which is part of a published split.
        split: `random`, or one of GROUPS, whose groups are kept whole.
        seed: Of the draw.
        shares: Of all materials, by part; at least one material each.
    """
    wanted = {part: max(1, int(share * len(materials))) for part, share in shares.items()}
    if split == "random":
        groups: Iterable[list[str]] = [[material.id] for material in materials]
    else:
        key, by_key = GROUPS[split], defaultdict(list)
        for material in materials:
            by_key[key(material.record)].append(material.id)
        groups = by_key.values()
    shuffled = list(groups)
    random.Random(seed).shuffle(shuffled)
    parts: dict[str, list[str]] = {part: [] for part in shares}
    for group in shuffled:
        for part, ids in parts.items():
            # a group of many goes to the training part, where it does not become the whole test
            if len(ids) < wanted[part] and len(group) <= max(1, wanted[part] // 2, 2):
                ids.extend(group)
                break
    return parts


def part_of(ids: Sequence[str], fraction: float, seed: int) -> list[str]:
    """A share of the ids drawn with the seed, in their order; a smaller share is part of a larger."""
    shuffled = list(ids)
    random.Random(seed).shuffle(shuffled)
    chosen = set(shuffled[: max(1, round(fraction * len(ids)))])
    return [name for name in ids if name in chosen]


def split_of(materials: Sequence[Material], config: TrainConfig) -> Split:
    """The split that the settings ask for; the materials have the labels of its column."""
    if config.folds is not None and config.fold is not None:
        return fold_split(materials, config.folds, config.fold, config.split, config.seed)
    if config.split in DRAWN_SPLITS:
        return drawn_split(materials, config.split, config.seed)
    return labelled_split(materials, config.split)
