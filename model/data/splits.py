"""Splits of a dataset: a benchmark's own, or drawn with a seed."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from model.config import TrainConfig
from model.data.materials import Material

PARTS = ("train", "val", "test")
LEAK = "leak"  # a fourth part: ids that the benchmark lists in two parts; predicted, never learned
IN_TWO_PARTS = "in more than one official split"


@dataclass(frozen=True)
class Split:
    """Disjoint ids, in the dataset's order, and those left out with the reason."""

    train: list[str]
    val: list[str]
    test: list[str]
    dropped: dict[str, list[str]]
    leak: list[str] = field(default_factory=list)  # excluded: the benchmark lists them in two parts


def official_split(materials: Sequence[Material]) -> Split:
    """The split of the dataset's own column; ids it has in two splits are left out of all."""
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    dropped: dict[str, list[str]] = defaultdict(list)
    for material in materials:
        if material.split in parts:
            parts[material.split].append(material.id)
        elif material.split == LEAK:
            dropped[IN_TWO_PARTS].append(material.id)
        else:
            dropped["not in the official split"].append(material.id)
    return Split(**parts, dropped=dict(dropped), leak=dropped.get(IN_TWO_PARTS, []))


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
