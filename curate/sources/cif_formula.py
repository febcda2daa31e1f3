"""The formula that a CIF states, compared with the atoms that its sites give."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from curate.sources.cif_syntax import Block

PART = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)(?:\(\d+\))?(?![a-z])")
ROUNDING = 1e-3  # relative
SUM, STRUCTURAL = "_chemical_formula_sum", "_chemical_formula_structural"


class OtherComposition(ValueError):
    """The sites of a file give another composition than the file states."""


class MissingHydrogen(ValueError):
    """A file states hydrogen that has no positions."""


@dataclass(frozen=True)
class Formula:
    """Amounts of the elements, each with the interval that its rounding leaves open."""

    text: str
    amounts: Mapping[str, tuple[float, float]]  # deuterium and tritium counted as hydrogen
    z: float | None  # formula units in the cell, where stated

    @property
    def elements(self) -> frozenset[str]:
        return frozenset(self.amounts)

    def agrees(self, counts: Mapping[str, float]) -> bool:
        """Whether the atoms are some number of formula units."""
        return (
            self.amounts.keys() == counts.keys() and self._units(counts, self.elements) is not None
        )

    def has_units(self, counts: Mapping[str, float]) -> bool:
        """Whether the cell holds as many formula units as the file says, or is itself the formula."""
        if self.z is None or not self.agrees(counts):
            return True
        low, high = self._units(counts, self.elements) or (0.0, 0.0)
        return any(low - 0.01 <= units <= high + 0.01 for units in (self.z, 1.0))

    def missing_hydrogen(self, counts: Mapping[str, float]) -> float:
        """How many hydrogen atoms a cell of these atoms lacks; 0 where other atoms differ as well."""
        others = self.elements - {"H"}
        if not others or counts.keys() - {"H"} != others or "H" not in self.amounts:
            return 0.0
        units = self._units(counts, others)
        if units is None:
            return 0.0
        fewest = units[0] * self.amounts["H"][0]
        found = counts.get("H", 0.0)
        if found >= fewest - 0.01 * max(1.0, fewest):
            return 0.0
        middle = sum(units) / 2 * sum(self.amounts["H"]) / 2
        return max(round(middle - found, 1), 0.1)

    def _units(
        self, counts: Mapping[str, float], elements: frozenset[str]
    ) -> tuple[float, float] | None:
        """Least and greatest number of formula units that give these atoms; None where none does."""
        low = max(counts[e] / self.amounts[e][1] for e in elements) * (1 - ROUNDING)
        high = min(counts[e] / self.amounts[e][0] for e in elements) * (1 + ROUNDING)
        return (low, high) if low <= high else None


def stated_formula(block: Block, notes: list[str]) -> Formula | None:
    """The formula of a CIF; None where it has none, with a note where it can't be read."""
    units = block.first("_cell_formula_units_z")
    z = float(units) if units and re.fullmatch(r"\d+\.?\d*", units) and float(units) > 0 else None
    text = block.first(SUM)
    if text is None:
        text, z = block.first(STRUCTURAL), None
    if text is None:
        return None
    amounts = read_formula(text)
    if amounts is None:
        notes.append(f"its formula {text!r} can't be read and was not compared")
        return None
    return Formula(" ".join(text.split()), amounts, z)


def read_formula(text: str) -> dict[str, tuple[float, float]] | None:
    """Intervals of the amounts in `C6 H12 O6` or `Mg (O H)2`; None where it is no formula."""
    plain = re.sub(r"(?<![A-Za-z\d.])\d*[+-]\d*\s*$|[,~]", " ", text.strip())
    parts = PART.findall(plain)
    if re.sub(r"[\s,]", "", PART.sub("", plain)):
        return _nested(plain)
    found: dict[str, tuple[float, float]] = {}
    for symbol, digits in parts:
        element = _element(symbol)
        if element is None or digits == ".":
            return None
        amount = float(digits or 1)
        decimals = len(digits.partition(".")[2])
        slack = 0.5 * 10.0**-decimals if decimals else 0.0
        low, high = found.get(element, (0.0, 0.0))
        found[element] = (low + max(amount - slack, 0.0), high + amount + slack)
    return {e: amount for e, amount in found.items() if amount[1] > 0} or None


def _nested(text: str) -> dict[str, tuple[float, float]] | None:
    """A formula with brackets, by pymatgen."""
    from pymatgen.core import Composition

    try:
        amounts = Composition(text.replace(" ", "")).get_el_amt_dict()
    except (ValueError, KeyError, TypeError):
        return None
    found: dict[str, tuple[float, float]] = {}
    for symbol, amount in amounts.items():
        element = _element(symbol)
        if element is None:
            return None
        low, high = found.get(element, (0.0, 0.0))
        found[element] = (low + amount, high + amount)
    return found or None


def _element(symbol: str) -> str | None:
    from pymatgen.core import Element

    if symbol in ("D", "T"):
        return "H"
    return symbol if Element.is_valid_symbol(symbol) else None
