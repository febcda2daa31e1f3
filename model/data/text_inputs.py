"""Text inputs: the descriptions, parts of them, or uninformative controls."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import numpy as np

from curate.describe.text_views import VIEWS, view
from curate.errors import InputError
from curate.record import StructureRecord
from model.config import TextInput
from model.data.materials import Material

CONSTANT = "A crystal."
N_SPACEGROUPS = 230
SYMPREC = 0.01  # Å, as the descriptions have it


def input_texts(materials: Sequence[Material], kind: TextInput, seed: int) -> Iterable[str]:
    """A text for each material.

    `shuffled` gives each the description of another one, drawn with the seed; `constant` gives all
    the same. Raises InputError where a part is asked for and no condensed structure is known.
    """
    own = (material.record.description or "" for material in materials)
    if kind == "constant":
        return [CONSTANT] * len(materials)
    if kind == "shuffled":
        return deranged(list(own), seed)
    if kind in VIEWS:
        for material in materials:
            if not material.condensed:
                raise InputError(
                    f"--text {kind}: {material.id} has no condensed structure; the dataset's texts "
                    "must be written by curate"
                )
        return (view(str(material.condensed), kind) for material in materials)
    return own


def deranged(texts: list[str], seed: int) -> list[str]:
    """The same texts, none where it was: everyone in a drawn circle gets the next one's."""
    circle = list(range(len(texts)))
    random.Random(seed).shuffle(circle)
    given = list(texts)
    for here, following in zip(circle, circle[1:] + circle[:1], strict=True):
        given[here] = texts[following]
    return given


def spacegroups(records: Sequence[StructureRecord]) -> np.ndarray:
    """(n, 230) float32, one-hot space groups: the database's where it tells, else spglib's."""
    numbers = [record.spacegroup_number or found_spacegroup(record) for record in records]
    return np.eye(N_SPACEGROUPS + 1, dtype=np.float32)[numbers][:, 1:]


def found_spacegroup(record: StructureRecord) -> int:
    """The space group's number; 0 where spglib finds none."""
    import spglib

    structure = record.to_pymatgen()
    cell = (
        structure.lattice.matrix.tolist(),
        structure.frac_coords.tolist(),
        list(structure.atomic_numbers),
    )
    found = spglib.get_symmetry_dataset(cell, symprec=SYMPREC)
    return int(found.number) if found is not None else 0
