"""Descriptors by name: numbers of a crystal that need no learning; see `descriptor` for what each offers.

A new descriptor is a class in a file of its own, an entry in `DESCRIPTORS`, its name in `DescriptorName`
(model/config.py), and a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from curate.errors import InputError
from curate.files import cache_folder
from curate.record import StructureRecord
from model.descriptors.cell import Cell
from model.descriptors.composition import Composition
from model.descriptors.condensed import Condensed
from model.descriptors.descriptor import Crystal, Described, Descriptor
from model.descriptors.energy import Energy, Potential
from model.descriptors.layers import Layers
from model.descriptors.magpie import Magpie
from model.descriptors.vibrations import Vibrations

__all__ = [
    "DESCRIPTORS",
    "Crystal",
    "Described",
    "Descriptor",
    "chosen",
    "column_names",
    "descriptor_values",
]

DESCRIPTORS: dict[str, Descriptor] = {
    "composition": Composition(),
    "magpie": Magpie(),
    "cell": Cell(),
    "condensed": Condensed(),
    "energy": Energy(),
    "potential": Potential(),
    "layers": Layers(),
    "vibrations": Vibrations(),
}


def chosen(names: Sequence[str]) -> list[Descriptor]:
    """The descriptors of these names, in this order; InputError where one is unknown."""
    for name in names:
        if name not in DESCRIPTORS:
            raise InputError(f"no descriptor {name!r}; known: {', '.join(DESCRIPTORS)}")
    return [DESCRIPTORS[name] for name in names]


def column_names(names: Sequence[str]) -> list[str]:
    """Names of all columns that these descriptors give, as `composition: fraction of Si`."""
    pairs = zip(names, chosen(names), strict=True)
    return [f"{name}: {column}" for name, descriptor in pairs for column in descriptor.names]


def descriptor_values(
    names: Sequence[str], materials: Iterable[Described], cache: Path | None = None
) -> np.ndarray:
    """The numbers of many crystals.

    Args:
        names: Of the descriptors, whose columns stand side by side in this order.
        materials: The crystals, with their condensed structures where a descriptor reads them.
        cache: Folder where what a potential computed is kept; the user's cache folder where it is None.

    Returns:
        (n_crystals, n_columns) float64; NaN where a number does not exist for a crystal.

    Raises:
        InputError: A descriptor is unknown, or needs an extra that is not installed.
    """
    from model.descriptors.kept import kept_values

    descriptors = dict(zip(names, chosen(names), strict=True))
    quick = {name: one for name, one in descriptors.items() if one.potential is None}
    computed: dict[str, list[np.ndarray]] = {name: [] for name in quick}
    records: list[StructureRecord] = []
    n = 0
    for material in materials:
        n += 1
        for name, descriptor in quick.items():
            computed[name].append(descriptor.compute(material))
        if len(quick) < len(descriptors):
            records.append(material.record)
    blocks = {name: np.array(rows, float) for name, rows in computed.items()}
    for of_one_pass in passes(descriptors):
        blocks |= kept_values(of_one_pass, records, cache or cache_folder())
    widths = [len(descriptor.names) for descriptor in descriptors.values()]
    ordered = [blocks[name] for name in descriptors]
    shaped = [block.reshape(n, width) for block, width in zip(ordered, widths, strict=True)]
    return np.hstack([np.zeros((n, 0)), *shaped])


def passes(descriptors: Mapping[str, Descriptor]) -> Iterable[Mapping[str, Descriptor]]:
    """The slow ones of these descriptors; those that a potential gives in one pass stand together."""
    found: dict[str, dict[str, Descriptor]] = {}
    for name, descriptor in descriptors.items():
        if descriptor.potential is not None:
            at = descriptor.potential if descriptor.is_at_rest else name
            found.setdefault(at, {})[name] = descriptor
    return found.values()
