"""Structure records and descriptions: what travels from a source to a dataset."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pymatgen.core import Structure

Vector = tuple[float, float, float]
Value = float | int | bool | str | None

STATUSES = (
    "described",
    "disordered",  # a site shared by several species or partly occupied
    "dummy_species",  # a site that holds no element
    "unsupported_element",  # no radius, so no bonds can be assigned
    "overlapping_atoms",  # two atoms closer than 0.5 Å, periodic images included
    "empty_cell",  # no sites, or a cell without volume
    "unreadable",  # the source's entry could not be parsed
    "left_out",  # withdrawn, under another licence, not in the database, or without a published text
    "error",  # Robocrystallographer raised
    "timeout",  # longer than the limit for one structure
    "out_of_memory",  # more than the limit for one worker
    "crashed",  # the worker process died
)

SPLIT_LABELS = ("train", "val", "test", "leak")  # leak: the benchmark lists the id in two splits
FOLD_PREFIX = "fold_matbench_"  # of columns that hold a benchmark's own folds
ISOTOPES = {"D": "deuterium", "T": "tritium"}  # of hydrogen, by their symbols


@dataclass(frozen=True)
class StructureRecord:
    """One crystal as a source gives it: ordered, periodic in three directions, lengths in Å."""

    material_id: str
    lattice_vectors: tuple[Vector, Vector, Vector]  # rows a, b, c in Å
    species_at_sites: tuple[str, ...]  # chemical symbols
    cartesian_site_positions: tuple[Vector, ...]  # Å, one row a site
    source: str = "files"  # database the entry comes from
    license: str = "unknown"  # of the entry
    spacegroup_number: int | None = None  # the source's, 1 to 230
    properties: Mapping[str, Value] = field(default_factory=dict)  # by the source's own names
    description: str | None = None  # the source's own text, where it has one
    description_origin: str | None = None  # who wrote that text
    note: str | None = None  # what was changed on reading

    @property
    def nsites(self) -> int:
        """Number of atoms in the cell."""
        return len(self.species_at_sites)

    @property
    def chemical_formula_reduced(self) -> str:
        """Elements in alphabetical order with coprime counts, as OPTIMADE writes it: `NaCl`, `O2Ti`."""
        return reduced_formula(self.species_at_sites)

    def to_pymatgen(self) -> Structure:
        """The same cell as a pymatgen Structure, sites in the same order."""
        from pymatgen.core import Lattice, Structure

        return Structure(
            Lattice(self.lattice_vectors),
            list(self.species_at_sites),
            list(self.cartesian_site_positions),
            coords_are_cartesian=True,
        )

    @classmethod
    def from_pymatgen(cls, structure: Structure, material_id: str, **fields) -> StructureRecord:
        """A record of an ordered structure; oxidation states are left out, deuterium and tritium
        become hydrogen.

        `fields` are other fields of the record. Raises ValueError where a site is shared by several
        species, partly occupied, or holds no element.
        """
        from pymatgen.core import DummySpecies as PymatgenDummy

        symbols, isotopes = [], set()
        for number, site in enumerate(structure):
            if not site.is_ordered:
                raise DisorderedStructure(f"site {number} holds {site.species_string}")
            species = site.specie
            if isinstance(species, PymatgenDummy):
                raise DummySpecies(f"site {number} holds {species}, which is no element")
            symbols.append(species.symbol)  # pymatgen's symbol of deuterium and tritium is H
            isotopes.add(ISOTOPES.get(getattr(species, "element", species).name))
        read = [f"{isotope} read as hydrogen" for isotope in sorted(filter(None, isotopes))]
        note = "; ".join(filter(None, (fields.pop("note", None), *read))) or None
        return cls(
            material_id=material_id,
            lattice_vectors=rows(structure.lattice.matrix),
            species_at_sites=tuple(symbols),
            cartesian_site_positions=rows(structure.cart_coords),
            note=note,
            **fields,
        )


class UnusableStructure(ValueError):
    """A structure that can be read but cannot be described."""

    status: ClassVar[str]  # one of STATUSES


class DisorderedStructure(UnusableStructure):
    """A site is shared by several species or partly occupied."""

    status = "disordered"


class DummySpecies(UnusableStructure):
    """A site holds something that is no chemical element."""

    status = "dummy_species"


@dataclass(frozen=True)
class SkippedEntry:
    """A source's entry that could not become a record, with the reason."""

    material_id: str
    status: str  # one of STATUSES
    error_type: str
    error_message: str

    @classmethod
    def from_error(cls, material_id: str, error: Exception) -> SkippedEntry:
        """The skipped entry for an error that was raised while its structure was read."""
        status = error.status if isinstance(error, UnusableStructure) else "unreadable"
        return cls(material_id, status, type(error).__name__, str(error)[:500])


@dataclass(frozen=True)
class Description:
    """The text for one record, or the reason why there is none."""

    material_id: str
    status: str  # one of STATUSES
    text: str | None = None
    condensed_structure: str | None = None  # JSON, see curate.describe.render
    origin: str | None = None  # who wrote the text
    symprec: float | None = None  # Å, the tolerance that worked
    seconds: float = 0.0  # spent in the worker
    stage: str | None = None  # where it failed: read, check, condense, render, worker
    error_type: str | None = None
    error_message: str | None = None
    note: str | None = None


def reduced_formula(symbols: Sequence[str]) -> str:
    """OPTIMADE's chemical_formula_reduced of the atoms: `("Cl", "Na")` gives `ClNa`."""
    counts = Counter(symbols)
    divisor = reduce(math.gcd, counts.values(), 0) or 1
    parts = ((symbol, counts[symbol] // divisor) for symbol in sorted(counts))
    return "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in parts)


def rows(array) -> tuple[Any, ...]:
    """An (n, 3) array as nested tuples of floats."""
    return tuple(tuple(float(x) for x in row) for row in array)
