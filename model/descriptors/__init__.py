"""Descriptors by name: numbers of a crystal that need no learning; see `descriptor` for what each offers.

A new descriptor is a class in a file of its own, an entry in `DESCRIPTORS`, its name in `DescriptorName`
(model/config.py), and a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from curate.errors import InputError
from model.descriptors.cell import Cell
from model.descriptors.composition import Composition
from model.descriptors.condensed import Condensed
from model.descriptors.descriptor import Crystal, Described, Descriptor
from model.descriptors.magpie import Magpie

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


def descriptor_values(names: Sequence[str], materials: Iterable[Described]) -> np.ndarray:
    """The numbers of many crystals.

    Args:
        names: Of the descriptors, whose columns stand side by side in this order.
        materials: The crystals, with their condensed structures where a descriptor reads them.

    Returns:
        (n_crystals, n_columns) float64; NaN where a number does not exist for a crystal.

    Raises:
        InputError: A descriptor is unknown.
    """
    descriptors = chosen(names)
    n_columns = sum(len(descriptor.names) for descriptor in descriptors)
    rows = [
        np.concatenate([descriptor.compute(material) for descriptor in descriptors])
        for material in materials
    ]
    return np.array(rows, float).reshape(len(rows), n_columns)
