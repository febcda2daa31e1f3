"""Find near-duplicates: crystals that a dataset holds twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations

from curate.record import StructureRecord


def near_duplicates(records: Iterable[StructureRecord]) -> list[tuple[str, str]]:
    """Pairs of ids with the same reduced formula and structures that match.

    Matched by pymatgen's StructureMatcher with its default tolerances (0.2 of the length an atom has,
    0.3 of a length, 5 degrees), volumes scaled.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher()
    same_formula: dict[str, list[StructureRecord]] = defaultdict(list)
    for record in records:
        same_formula[record.chemical_formula_reduced].append(record)
    pairs = []
    for group in same_formula.values():
        if len(group) < 2:
            continue
        structures = {record.material_id: record.to_pymatgen() for record in group}
        for (one, first), (other, second) in combinations(structures.items(), 2):
            if matcher.fit(first, second):
                pairs.append((one, other))
    return pairs


def across(pairs: Sequence[tuple[str, str]], train: set[str], test: set[str]) -> set[str]:
    """Test ids that have a near-duplicate among the training ids."""
    return {
        name
        for one, other in pairs
        for name, twin in ((one, other), (other, one))
        if name in test and twin in train
    }
