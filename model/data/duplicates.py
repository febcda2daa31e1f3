"""Near-duplicates: crystals of one part that another part has too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from curate.record import StructureRecord

if TYPE_CHECKING:
    from pymatgen.core import Structure


def near_duplicates(
    records: Iterable[StructureRecord], known: Iterable[StructureRecord]
) -> set[str]:
    """Ids of the records whose structure matches that of a known one of the same reduced formula.

    Matched by pymatgen's StructureMatcher with its default tolerances (0.2 of the length an atom has,
    0.3 of a length, 5 degrees), volumes scaled.

    Args:
        records: Crystals that are looked for, of a test set.
        known: Crystals among which they are looked for, of the training set.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher()
    of_formula: dict[str, list[StructureRecord]] = defaultdict(list)
    for record in known:
        of_formula[record.chemical_formula_reduced].append(record)
    reduced_of_formula: dict[str, list[Structure]] = {}
    found = set()
    for record in records:
        formula = record.chemical_formula_reduced
        if formula not in of_formula:
            continue
        if formula not in reduced_of_formula:
            reduced_of_formula[formula] = [reduced(twin) for twin in of_formula[formula]]
        structure = reduced(record)
        # most polymorphs differ in the size of the primitive cell, which is told without matching
        alike = (twin for twin in reduced_of_formula[formula] if len(twin) == len(structure))
        if any(matcher.fit(structure, twin, skip_structure_reduction=True) for twin in alike):
            found.add(record.material_id)
    return found


def reduced(record: StructureRecord) -> Structure:
    """The primitive Niggli cell, which the matcher would make anew for each pair."""
    structure = record.to_pymatgen()
    with suppress(ValueError):  # no Niggli cell within the steps that pymatgen takes
        structure = structure.get_reduced_structure()
    return structure.get_primitive_structure()
