"""Tabulated properties of the elements: Magpie's tables, as matminer ships them.

Ward et al., npj Comput. Mater. 2, 16028 (2016).
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

LAST = 118  # atomic number of the last element in the tables


def folder() -> Path:
    """Where the tables lie; found without importing matminer, which takes seconds."""
    spec = find_spec("matminer")
    assert spec is not None and spec.origin is not None  # Robocrystallographer requires it
    return Path(spec.origin).parent / "utils" / "data_files" / "magpie_elementdata"


@lru_cache
def elemental(name: str) -> np.ndarray:
    """A property of every element.

    Args:
        name: Of the table, as `Electronegativity`.

    Returns:
        (119,) by atomic number, entry 0 unused; an element without a value has the mean of the others, as in
        matminer.

    Raises:
        FileNotFoundError: There is no such table.
    """
    values = np.full(LAST + 1, np.nan)
    lines = (folder() / f"{name}.table").read_text().splitlines()
    for number, line in enumerate(lines[:LAST], 1):
        try:
            values[number] = float(line)
        except ValueError:
            continue
    values[np.isnan(values)] = np.nanmean(values[1:])
    return values


@lru_cache
def atomic_numbers() -> dict[str, int]:
    """By chemical symbol."""
    from pymatgen.core import Element

    return {Element.from_Z(number).symbol: number for number in range(1, LAST + 1)}
