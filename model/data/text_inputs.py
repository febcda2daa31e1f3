"""Text inputs: the descriptions, parts of them, or uninformative controls."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from curate.describe.text_views import VIEWS, view
from curate.errors import InputError
from curate.record import StructureRecord
from model.config import TextInput
from model.data.materials import Material
from model.data.splits import PARTS

CONSTANT = "A crystal."
N_SPACEGROUPS = 230
SYMPREC = 0.01  # Å, as the descriptions have it


def input_texts(
    materials: Sequence[Material], kind: TextInput, seed: int, parts: Mapping[str, Sequence[str]]
) -> Iterable[str]:
    """A text for each material.

    Args:
        materials: The crystals of all parts.
        kind: `description`; a view, a part of it; `constant`, the same for all; `shuffled`, the description
            of another crystal of the same part.
        seed: Of the shuffling, which has a random stream of its own: it shares none with the split.
        parts: Ids by part of the split.

    Raises:
        InputError: A view is asked for and no condensed structure is known, or texts are to be shuffled
            in a part of one crystal.
    """
    own = (material.record.description or "" for material in materials)
    if kind == "constant":
        return [CONSTANT] * len(materials)
    if kind == "shuffled":
        return shuffled_texts([material.id for material in materials], list(own), seed, parts)
    if kind in VIEWS:
        for material in materials:
            if not material.condensed:
                raise InputError(
                    f"--text {kind}: {material.id} has no condensed structure; the dataset's texts "
                    "must be written by curate"
                )
        return (view(str(material.condensed), kind) for material in materials)
    return own


class Checksum:
    """SHA-256 of texts, taken while they are read by something else."""

    def __init__(self) -> None:
        self._total = hashlib.sha256()

    def over(self, texts: Iterable[str]) -> Iterator[str]:
        """The same texts, in their order."""
        for text in texts:
            self._total.update(f"{len(text)} {text}".encode())
            yield text

    @property
    def hex(self) -> str:
        """Of the texts that were read so far."""
        return self._total.hexdigest()


def shuffled_texts(
    ids: Sequence[str], texts: Sequence[str], seed: int, parts: Mapping[str, Sequence[str]]
) -> list[str]:
    """The texts of each part among its crystals, none with its own.

    No text of a test crystal is learned from, and none of a training crystal is predicted with, whatever
    split was drawn. A crystal outside all parts, which no model reads, keeps its text.
    """
    given = list(texts)
    places = {name: place for place, name in enumerate(ids)}
    for part, names in parts.items():
        own = [places[name] for name in names]
        if len(own) == 1 and part in PARTS:
            raise InputError(
                f"--text shuffled: the split has one crystal for {part}, {names[0]}, and no other text "
                "to give it; take more crystals"
            )
        moved = deranged([texts[place] for place in own], f"shuffled texts, {part}, {seed}")
        for place, text in zip(own, moved, strict=True):
            given[place] = text
    return given


def deranged(texts: list[str], seed: int | str) -> list[str]:
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
