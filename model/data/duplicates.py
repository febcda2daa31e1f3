"""Near-duplicates: crystals of one part that another part has too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
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
    same_formula: dict[str, list[Structure]] = defaultdict(list)
    for record in known:
        same_formula[record.chemical_formula_reduced].append(reduced(record))
    found = set()
    for record in records:
        twins = same_formula.get(record.chemical_formula_reduced, ())
        if not twins:
            continue
        structure = reduced(record)
        if any(matcher.fit(structure, twin, skip_structure_reduction=True) for twin in twins):
            found.add(record.material_id)
    return found


def reduced(record: StructureRecord) -> Structure:
    """The primitive Niggli cell, which the matcher would make anew for each pair."""
    structure = record.to_pymatgen()
    try:
        return structure.get_reduced_structure().get_primitive_structure()
    except ValueError:  # no Niggli cell within the steps that pymatgen takes
        return structure.get_primitive_structure()
