"""Crystals of a CIF, each compared with what the file itself says of its composition.

Cell, symmetry and sites are taken from the file's own items and given to pymatgen; how many atoms of
each element a cell must hold is counted a second time, from the symmetry alone, and both must agree.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from curate.sources.cif_formula import Formula, MissingHydrogen, OtherComposition, stated_formula
from curate.sources.cif_sites import (
    FULL,
    Site,
    atom_sites,
    cell,
    cell_vectors,
    check_alternatives,
    compare_volume,
    composition,
    oxidation_states,
)
from curate.sources.cif_symmetry import (
    SAME_SITE,
    names_another_group,
    names_other_rotations,
    symmetry,
    whole_cell,
)
from curate.sources.cif_syntax import Block, blocks
from curate.sources.entries import Crystal
from curate.sources.symmetry import Operations

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.io.cif import CifParser

MANY_ATOMS = (
    3_000  # in a cell; more take pymatgen, which compares all with all, half a minute and more
)
MOST_ATOMS = 20_000
MODULATED = (
    "_cell_modulation_dimension",
    "_cell_wave_vector",
    "_space_group_ssg",
    "_space_group_symop_ssg",
    "_cell_subsystem",
)
GIVEN_ONCE = (
    "_cell_length_",
    "_cell_angle_",
    "_symmetry_",
    "_space_group_",
    "_chemical_formula_sum",
    "_cell_formula_units_z",
)


def crystals(text: str, allow_missing_hydrogen: bool = False) -> Iterator[Crystal | Exception]:
    """What each block of a CIF that describes a crystal gives: the crystal, or the error against it.

    Blocks of a journal's or a measurement's data describe none. Raises ValueError where no block does.
    """
    found = [block for block in blocks(text) if describes_crystal(block)]
    if not found:
        raise ValueError("none of its data blocks holds a cell or atoms")
    for block in found:
        try:
            yield crystal(block, allow_missing_hydrogen)
        except Exception as error:  # a broken block costs itself only
            yield error


def describes_crystal(block: Block) -> bool:
    """Whether a block has a cell or atoms, however broken."""
    return any(
        tag.startswith(("_cell_length_", "_cell_angle_", "_atom_site_fract_", "_atom_site_label"))
        for tag in block.values
    )


def crystal(block: Block, allow_missing_hydrogen: bool = False) -> Crystal:
    """The crystal of a block, with a note on all that was guessed; ValueError and its kinds where
    the block contradicts itself or leaves open what it describes."""
    if tag := next((tag for tag in block.values if tag.startswith(MODULATED)), None):
        raise ValueError(
            f"a modulated structure ({tag}) has no cell that repeats in three directions"
        )
    block.check_once(GIVEN_ONCE)
    notes: list[str] = []
    lengths, angles = cell(block, notes)
    lattice = cell_vectors(lengths, angles)
    compare_volume(block, lattice, notes)
    formula = stated_formula(block, notes)
    sites, unlocated = atom_sites(block, formula, notes)
    check_alternatives(sites, lattice)
    operations = symmetry(block, sites, lattice, formula, notes)
    if named := names_another_group(block, operations):
        notes.append(
            f"the {len(operations)} operations that it lists are not those of {named!r}, which it "
            "names; they were used"
        )
    elif other := names_other_rotations(block, operations):
        notes.append(
            f"its symmetry operations are not those of {other}, which it names; they were used"
        )
    positions = np.array([site.fractional for site in sites])
    if len(operations) * len(sites) > 48 * MOST_ATOMS:  # 48 is the order of the largest site group
        raise ValueError(f"its cell would hold more than {MOST_ATOMS} atoms")
    multiplicities = operations.multiplicities(positions, lattice, SAME_SITE)
    if multiplicities.sum() > MOST_ATOMS:
        raise ValueError(
            f"its cell would hold {multiplicities.sum():.0f} atoms, more than {MOST_ATOMS}"
        )
    compare_multiplicities(sites, multiplicities, len(operations), notes)
    counts = composition(sites, multiplicities)
    is_full = all(site.occupancy > 1 - 1e-8 for site in sites)
    if is_full and multiplicities.sum() > MANY_ATOMS:
        structure = whole_cell(operations, sites, lattice)
    else:
        text = canonical(lengths, angles, sites, operations, oxidation_states(block))
        structure = merged(expanded(text, notes), sites, multiplicities, notes)
    if is_full and structure.is_ordered:
        check_composition(structure, counts)
        unlocated += [site.label for site in sites if site.hydrogens and "H" not in counts]
        is_missing = check_hydrogen(formula, unlocated, counts, allow_missing_hydrogen, notes)
        if formula is not None and not is_missing:
            check_formula(formula, counts, named is not None, notes)
    return Crystal(structure, note="; ".join(notes) or None)


def compare_multiplicities(
    sites: list[Site], multiplicities: np.ndarray, order: int, notes: list[str]
) -> None:
    """A note where a site has another multiplicity than the block states; older programs state the order
    of the site's own symmetry under that name."""
    for site, found in zip(sites, multiplicities, strict=True):
        if site.multiplicity and not {site.multiplicity, order / site.multiplicity} & {
            float(found)
        }:
            notes.append(
                f"site {site.label} has multiplicity {found:g} by the symmetry that was used, and "
                f"{site.multiplicity:g} by the file"
            )
            return


def check_composition(structure: Structure, counts: Mapping[str, float]) -> None:
    """ValueError where the expanded cell does not hold what the symmetry says it must."""
    found: dict[str, int] = {}
    for site in structure:
        found[site.specie.symbol] = found.get(site.specie.symbol, 0) + 1
    if found.keys() != counts.keys() or any(abs(found[e] - counts[e]) > 0.01 for e in found):
        raise ValueError(
            f"two ways to expand its sites disagree: {spelled(found)} and {spelled(counts)}"
        )


def check_hydrogen(
    formula: Formula | None,
    unlocated: list[str],
    counts: Mapping[str, float],
    allow: bool,
    notes: list[str],
) -> bool:
    """Whether atoms of hydrogen are stated that have no position, with a note; MissingHydrogen where
    that is not allowed."""
    missing = formula.missing_hydrogen(counts) if formula else 0.0
    if missing:
        assert formula is not None
        what = f"{missing:g} H of its formula {formula.text!r} have no position"
    elif formula is None and unlocated:
        what = f"the hydrogen at {', '.join(unlocated)} has no position"
    else:
        return False
    if not allow:
        raise MissingHydrogen(f"{what}; --allow-missing-hydrogen describes the rest")
    notes.append(what)
    return True


def check_formula(
    formula: Formula, counts: Mapping[str, float], is_other_group: bool, notes: list[str]
) -> None:
    """OtherComposition where the cell does not hold the file's own formula. Where only the number of
    formula units differs this is noted, or refused if the operations are not the named group's as well."""
    if not formula.agrees(counts):
        raise OtherComposition(
            f"its formula is {formula.text!r} and its atoms are {spelled(counts)}"
        )
    if not formula.has_units(counts):
        what = f"not {formula.z:g} formula units of {formula.text!r}"
        if is_other_group:
            raise OtherComposition(
                f"its cell holds {spelled(counts)}, {what}, and its operations are not those of the "
                "space group that it names"
            )
        notes.append(f"the cell holds {spelled(counts)}, {what}")


def expanded(text: str, notes: list[str]) -> Structure:
    """The whole cell of a canonical CIF, by pymatgen; what its parser doubts is noted."""
    with warnings.catch_warnings(record=True):  # the parser keeps its own list of them
        warnings.simplefilter("always")
        parser = parser_class().from_str(text, occupancy_tolerance=FULL, check_cif=False)
        try:
            (structure,) = parser.parse_structures(primitive=False, on_error="raise")
        except ValueError as error:
            reason = str(error).partition("in CIF.\n")[2] or str(error)
            if shared := re.search(r"Occupancy ([\d.]+) exceeded", reason):
                reason = f"the occupancies of one site sum to {float(shared[1]):g}"
            raise ValueError(reason) from None
    for warning in parser.warnings:  # type: ignore[attr-defined]
        if "rounded to ideal values" not in warning and "sum to > 1" not in warning:
            notes.append(warning.splitlines()[0])
    return structure


@lru_cache(maxsize=1)
def parser_class() -> type[CifParser]:
    """pymatgen's parser, which reads an operation that many files have only once; where a file lists
    operations it would otherwise also go through all names of space groups."""
    from pymatgen.core.operations import SymmOp
    from pymatgen.io.cif import CifParser

    read_once = lru_cache(maxsize=10_000)(SymmOp.from_xyz_str)

    class ListedOperations(CifParser):
        def get_symops(self, data):
            return [read_once(text) for text in data["_symmetry_equiv_pos_as_xyz"]]

    return ListedOperations


def merged(
    structure: Structure, sites: list[Site], multiplicities: np.ndarray, notes: list[str]
) -> Structure:
    """Images of one site closer than SAME_SITE become one atom at their middle."""
    if len(structure) <= round(multiplicities.sum()) or not structure.is_ordered:
        return structure
    first, second, _, _ = structure.get_neighbor_list(SAME_SITE)
    labels = structure.labels
    close = [(a, b) for a, b in zip(first, second, strict=True) if a < b and labels[a] == labels[b]]
    cluster = list(range(len(structure)))
    for a, b in close:
        low, high = sorted((cluster[a], cluster[b]))
        cluster = [low if number == high else number for number in cluster]
    coords = structure.frac_coords
    kept, middles = [], []
    for number in sorted(set(cluster)):
        members = [i for i, of in enumerate(cluster) if of == number]
        shifts = coords[members] - coords[number]
        shifts -= np.round(shifts)
        kept.append(number)
        middles.append((coords[number] + shifts.mean(axis=0)) % 1.0)
    if len(kept) < len(structure):
        names = sorted({sites[int(labels[a].rpartition("_")[2])].label for a, _ in close})
        notes.append(
            f"images of {', '.join(names)} closer than {SAME_SITE} Å are one atom "
            f"({len(structure)} positions, {len(kept)} atoms)"
        )
    return type(structure)(structure.lattice, [structure[i].species for i in kept], middles)


def canonical(
    lengths: list[str],
    angles: list[str],
    sites: list[Site],
    operations: Operations,
    charges: tuple[list[str], list[str]] | None,
) -> str:
    """A CIF of nothing but cell, operations and sites, every doubt of the original settled."""
    lines = ["data_crystal"]
    lines += [f"_cell_length_{axis} {text}" for axis, text in zip("abc", lengths, strict=True)]
    names = ("alpha", "beta", "gamma")
    lines += [f"_cell_angle_{name} {text}" for name, text in zip(names, angles, strict=True)]
    lines += ["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{text}'" for text in operations.texts)]
    if charges is not None:
        lines += ["loop_", "_atom_type_symbol", "_atom_type_oxidation_number"]
        lines += [f"{symbol!r} {state}" for symbol, state in zip(*charges, strict=True)]
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    lines += ["loop_", *(f"_atom_site_{column}" for column in columns)]
    for index, site in enumerate(sites):
        occupancy = min(site.occupancy, 1.0) if site.occupancy <= FULL else site.occupancy
        lines.append(
            f"{site.element}_{index} {site.written} {' '.join(site.position)} {occupancy!r}"
        )
    return "\n".join(lines) + "\n"


def spelled(counts: Mapping[str, float]) -> str:
    """Numbers of atoms as a formula: `Mg H2 O2`."""
    return " ".join(
        f"{element}{'' if abs(count - 1) < 1e-6 else f'{count:.10g}'}"
        for element, count in sorted(counts.items())
    )
