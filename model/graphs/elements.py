"""Element features: CGCNN's 92 numbers for each atomic number.

The table is CGCNN's `atom_init.json` (Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018); MIT
licence) as jarvis-tools ships it (NIST; MIT licence): group, period, electronegativity, covalent
radius, valence electrons, ionisation energy, electron affinity, block and atomic volume of each
element, each in one-hot bins. It is read from the installed jarvis-tools, not copied.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib.resources import files

import numpy as np

N_FEATURES = 92
LAST_ELEMENT = 100  # fermium; the table has no later one


GIVEN: ContextVar[np.ndarray | None] = ContextVar("features of the elements", default=None)


def atom_features() -> np.ndarray:
    """(101, 92) float32; row Z belongs to atomic number Z, row 0 is empty."""
    given = GIVEN.get()
    return installed_features() if given is None else given


@contextmanager
def atom_features_from(table: np.ndarray) -> Iterator[None]:
    """Within the block the features are these, (101, 92) float32, so that jarvis-tools is not needed."""
    token = GIVEN.set(table)
    try:
        yield
    finally:
        GIVEN.reset(token)


@lru_cache(maxsize=1)
def installed_features() -> np.ndarray:
    """(101, 92) float32, those of jarvis-tools."""
    table = json.loads((files("jarvis.core") / "atom_init.json").read_text())
    features = np.zeros((LAST_ELEMENT + 1, N_FEATURES), np.float32)
    for number, row in table.items():
        features[int(number)] = row
    return features


def atomic_numbers(symbols: Sequence[str]) -> np.ndarray:
    """(n_atoms,) uint8 of chemical symbols; ValueError names one that the table lacks."""
    numbers = _numbers()
    for symbol in set(symbols):
        if not 1 <= numbers.get(symbol, 0) <= LAST_ELEMENT:
            raise ValueError(f"there are no atom features for {symbol!r}; known: H to Fm")
    return np.array([numbers[symbol] for symbol in symbols], np.uint8)


@lru_cache(maxsize=1)
def _numbers() -> dict[str, int]:
    from pymatgen.core import Element

    return {element.symbol: element.Z for element in Element}
