"""What validation and test crystals share with the training crystals: a score is read beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from model.data.duplicates import near_duplicates
from model.data.splits import chemical_system, formula

if TYPE_CHECKING:
    from model.data.materials import Material

Overlap = dict[str, dict[str, int]]


def overlap_with_training(
    materials: Sequence[Material], parts: Mapping[str, Sequence[str]]
) -> Overlap:
    """How many crystals of each other part share something with a training crystal.

    Args:
        materials: At least those of the parts, in the dataset's order.
        parts: Ids by part, `train` among them.

    Returns:
        For each other part with crystals: `formula`, crystals whose reduced formula a training crystal has;
        `chemical_system`, whose elements; `near_duplicate`, whose structure too (see `near_duplicates`).
    """
    part_of = {name: part for part, names in parts.items() for name in names}
    formulas: dict[str, str] = {}
    systems: dict[str, str] = {}
    for material in materials:
        if material.id in part_of:
            record = material.record
            formulas[material.id], systems[material.id] = formula(record), chemical_system(record)
    train = set(parts["train"])
    known_formulas = {formulas[name] for name in train}
    known_systems = {systems[name] for name in train}
    seen = {name for name in formulas if name not in train and formulas[name] in known_formulas}
    shared = {formulas[name] for name in seen}
    records = [
        material.record
        for material in materials
        if material.id in seen or (material.id in train and formulas[material.id] in shared)
    ]
    twins = near_duplicates(
        (record for record in records if record.material_id in seen),
        (record for record in records if record.material_id in train),
    )
    return {
        part: {
            "formula": sum(name in seen for name in names),
            "chemical_system": sum(systems[name] in known_systems for name in names),
            "near_duplicate": sum(name in twins for name in names),
        }
        for part, names in parts.items()
        if part != "train" and names
    }


def overlap_line(metrics: Mapping[str, Any]) -> str:
    """In words, how many of a model's test crystals share something with its training crystals.

    Args:
        metrics: The content of a model's metrics.json.
    """
    shared = metrics.get("shared_with_training")
    if shared is None:
        return "trained by an earlier version, which did not count what test and training share"
    test = shared["test"]
    return (
        f"of the test crystals {test['formula']} have their formula in training, "
        f"{test['chemical_system']} their elements, {test['near_duplicate']} a near-duplicate (same "
        "formula, matching structure)"
    )
