"""Structure record in, text of Robocrystallographer as released out; the yardstick of the benchmarks.

One condenser is made for each tolerance and kept, which is the best a user of the library can do.
(Where openbabel is installed the library asks PubChem about molecules; leave it out to measure.)
"""

from __future__ import annotations

import re
import time
import warnings
from dataclasses import dataclass
from functools import lru_cache

from robocrys import StructureCondenser, StructureDescriber

from curate.describe.condense import SYMPRECS
from curate.describe.render import in_fixed_order
from curate.record import StructureRecord


@dataclass(frozen=True)
class StockAnswer:
    """The text, or the first tolerance's error, and CPU seconds."""

    text: str | None
    error: str | None
    seconds: float


def describe_with_stock(record: StructureRecord) -> StockAnswer:
    """Robocrystallographer's text, its numbers and word lists settled."""
    structure = record.to_pymatgen()
    started, first_error = time.process_time(), None
    for symprec in SYMPRECS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                text = describer().describe(condenser(symprec).condense_structure(structure))
            return StockAnswer(settled(text), None, time.process_time() - started)
        except Exception as error:  # the library fails in many ways
            first_error = first_error or f"{type(error).__name__}: {error}"
    return StockAnswer(None, first_error, time.process_time() - started)


def settled(text: str) -> str:
    """Stock text with plain numbers and, where it lists a set of strings, in a fixed order."""
    return in_fixed_order(re.sub(r"np\.int64\((-?\d+)\)", r"\1", text))


@lru_cache
def condenser(symprec: float) -> StructureCondenser:
    """Robocrystallographer's condenser, made once."""
    return StructureCondenser(symprec=symprec)


@lru_cache
def describer() -> StructureDescriber:
    """Robocrystallographer's describer, made once."""
    return StructureDescriber(describe_symmetry_labels=True, fmt="raw")
