"""The symmetry of a CIF's block: listed, or named in a way that the tables and the file settle."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from curate.sources.cif_formula import Formula
from curate.sources.cif_sites import Site, composition, number
from curate.sources.cif_syntax import UNKNOWN, Block
from curate.sources.symmetry import (
    SAME_METRIC,
    Operations,
    as_xyz,
    of_hall,
    of_name,
    of_number,
    read_operation,
    read_operations,
)

if TYPE_CHECKING:
    from pymatgen.core import Structure

SAME_SITE = 0.1  # Å: images of one site closer than this are one atom on a special position
MOST_OPERATIONS = 400  # of a group; the largest of a conventional cell has 192
HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
HERMANN_MAUGUIN = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m_full",
    "_space_group_name_h-m_ref",
    "_symmetry_space_group_name_h_m",
    "_space_group_name_h-m",
)
NUMBER = ("_space_group_it_number", "_symmetry_int_tables_number")
OPERATIONS = (
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_operation_xyz_",
    "_symmetry_equiv_pos_as_xyz_",
)
MAGNETIC = ("_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_xyz")
NAMES_GROUP = (
    "_space_group_magn_",
    "_space_group_name_",
    "_space_group_symop",
    "_symmetry_equiv_pos_",
    "_symmetry_space_group_name_",
)


def symmetry(
    block: Block,
    sites: list[Site],
    lattice: np.ndarray,
    formula: Formula | None,
    notes: list[str],
) -> Operations:
    """The operations that the file lists, or those of the space group that it names; ValueError where
    it names one that the tables do not settle."""
    name, listed = block.first(*HERMANN_MAUGUIN), listed_operations(block)
    if listed is not None:
        if not listed.is_group:
            raise ValueError(
                f"its {len(listed)} symmetry operations are no group: some are missing or wrong"
            )
        if listed.misfit(lattice) > SAME_METRIC:
            raise ValueError(
                "its symmetry operations do not fit the lengths and angles of its cell"
            )
        return listed
    hall, it_number = block.first(*HALL), block.first(*NUMBER)
    check_names(block)
    if hall and (operations := of_hall(hall)):
        candidates, what = [operations], f"Hall symbol {hall!r}"
    elif name:
        candidates, what = of_name(name), f"space group {name!r}"
    elif it_number:
        candidates, what = of_number(int(number(it_number))), f"space group number {it_number}"
    elif hall:
        candidates, what = [], f"Hall symbol {hall!r}"
    elif tag := next(
        (tag for tag in block.values if tag.startswith(NAMES_GROUP) and block.first(tag)), None
    ):
        raise ValueError(f"it lists no symmetry operations, and its {tag} is not read")
    else:
        notes.append("it gives no symmetry and was read as P 1")
        return read_operations(("x,y,z",))
    if not candidates:
        raise ValueError(f"it lists no symmetry operations, and its {what} is not in the tables")
    numbers = {operations.number for operations in candidates}
    if it_number and int(number(it_number)) not in numbers:
        raise ValueError(f"its {what} is not number {it_number}, which it names too")
    misfits = [operations.misfit(lattice) for operations in candidates]
    limit = min(SAME_METRIC, min(misfits) + 1e-3)
    fitting = [one for one, misfit in zip(candidates, misfits, strict=True) if misfit <= limit]
    if not fitting:
        raise ValueError(f"the axes of its {what} are not those of its cell")
    chosen = usual_axes(settled(fitting, sites, lattice, formula))
    if len(chosen) > 1:
        names = " or ".join(operations.name for operations in chosen[:4])
        raise ValueError(
            f"its {what} stands for {names}, and nothing in the file says which: list its "
            "operations, or name one of these"
        )
    if len(candidates) > 1:
        notes.append(f"its {what} was read as {chosen[0].name}")
    return chosen[0]


def check_names(block: Block) -> None:
    """ValueError where two symbols of the space group in a block are those of different groups."""
    names = {tag: block.first(tag) for tag in (*HERMANN_MAUGUIN, *HALL)}
    numbers: dict[str, set[int | None]] = {}
    for tag, name in names.items():
        found = of_hall(name or "") if tag in HALL else None
        known = {one.number for one in ([found] if found else of_name(name or ""))}
        if known:
            numbers[str(name)] = known
    if numbers and not set.intersection(*numbers.values()):
        raise ValueError(f"it names several space groups: {', '.join(map(repr, numbers))}")


def names_other_rotations(block: Block, operations: Operations) -> str | None:
    """The space group or number that a block gives, where the operations used are of other kinds than
    its own: as many rotations and reflections of each order, whatever the setting."""
    name, number_text = block.first(*HERMANN_MAUGUIN), block.first(*NUMBER)
    known = {kinds(one) for one in of_name(name or "")}
    if known and kinds(operations) not in known:
        return repr(name)
    if number_text and re.fullmatch(r"\d{1,3}", number_text):
        known = {kinds(one) for one in of_number(int(number_text))}
        if known and kinds(operations) not in known:
            return f"number {number_text}"
    return None


def kinds(operations: Operations) -> tuple[tuple[int, int], ...]:
    """Trace and determinant of each rotation, the same in all settings with as many operations."""
    traces = np.trace(operations.rotations, axis1=1, axis2=2)
    signs = np.round(np.linalg.det(operations.rotations)).astype(int)
    return tuple(sorted(zip(traces.tolist(), signs.tolist(), strict=True)))


def names_another_group(block: Block, operations: Operations) -> str | None:
    """The space group that a block names, where it has another number of operations than those used."""
    name = block.first(*HERMANN_MAUGUIN)
    orders = {len(known) for known in of_name(name or "")}
    return name if orders and len(operations) not in orders else None


def usual_axes(settings: list[Operations]) -> list[Operations]:
    """Without those that differ from the first, the usual one, in the names of the axes alone; two
    origins stay two."""
    first = settings[0]
    if first.choice in ("1", "2"):
        return [one for one in settings if one.choice in ("1", "2")]
    is_monoclinic = first.number is not None and 3 <= first.number <= 15
    return settings[:1] if is_monoclinic or not first.choice else settings


def listed_operations(block: Block) -> Operations | None:
    """The operations of a CIF, or of a magnetic one without their time reversal; None if it has none."""
    lists = []
    for tag in OPERATIONS:
        texts = [text for text in block.column(tag) or () if text.strip() not in UNKNOWN]
        if len(texts) > MOST_OPERATIONS:
            raise ValueError(f"it lists {len(texts)} symmetry operations")
        if texts:
            lists.append(read_operations(tuple(texts)))
    if block.column(*MAGNETIC) or not lists:
        lists += filter(None, [magnetic_operations(block)])
    if len({frozenset(some.codes.tolist()) for some in lists}) > 1:
        raise ValueError("it lists its symmetry operations twice, not the same")
    return lists[0] if lists else None


def magnetic_operations(block: Block) -> Operations | None:
    """The operations of a magnetic CIF on the atoms; None where it lists none and names no group."""
    texts = block.column(*MAGNETIC)
    if texts:
        centrings = block.column("_space_group_symop_magn_centering_xyz") or ["x,y,z,+1"]
        if len(texts) * len(centrings) > MOST_OPERATIONS:
            raise ValueError(f"it lists {len(texts) * len(centrings)} symmetry operations")
        together = []
        for text in texts:
            rotation, shift = read_operation(text.rpartition(",")[0])
            for centring in centrings:
                _, more = read_operation(centring.rpartition(",")[0])
                together.append((rotation, (shift + more) % 1.0))
        rotations, translations = zip(*together, strict=True)
        return read_operations(as_xyz(np.array(rotations), np.array(translations)))
    bns = block.first("_space_group_magn_number_bns")
    if bns is None:
        return None
    from pymatgen.symmetry.maggroups import MagneticSpaceGroup

    setting = block.first("_space_group_magn_transform_bns_pp_abc") or "a,b,c;0,0,0"
    group = MagneticSpaceGroup([int(part) for part in bns.split(".")], setting)
    turns = np.array([op.rotation_matrix for op in group.symmetry_ops])
    shifts = np.array([op.translation_vector for op in group.symmetry_ops])
    return read_operations(as_xyz(np.round(turns).astype(int), shifts))


def settled(
    candidates: list[Operations], sites: list[Site], lattice: np.ndarray, formula: Formula | None
) -> list[Operations]:
    """The settings that go best with the formula, the stated multiplicities and room for the atoms."""
    if len(candidates) == 1:
        return candidates
    positions = np.array([site.fractional for site in sites])
    stated = [(index, site.multiplicity) for index, site in enumerate(sites) if site.multiplicity]
    scores = []
    for operations in candidates:
        multiplicities = operations.multiplicities(positions, lattice, SAME_SITE)
        counts = composition(sites, multiplicities)
        right = sum(abs(multiplicities[index] - wanted) < 0.01 for index, wanted in stated)
        agrees = formula.agrees(counts) or formula.missing_hydrogen(counts) > 0 if formula else True
        units = formula.has_units(counts) if formula else True
        room = has_room(positions, operations, lattice)
        scores.append((agrees, units, right, room))
    best = [one for one, score in zip(candidates, scores, strict=True) if score == max(scores)]
    return best[:1] if len(best) > 1 and same_crystal(best, sites, lattice) else best


def has_room(positions: np.ndarray, operations: Operations, lattice: np.ndarray) -> bool:
    """Whether no two atoms are between SAME_SITE and 0.6 Å apart."""
    images = np.einsum("nij,sj->nsi", operations.rotations, positions)
    images = (images + operations.translations[:, None]).reshape(-1, 3)
    for position in positions:
        shifts = images - position
        distances = np.linalg.norm((shifts - np.round(shifts)) @ lattice, axis=1)
        if ((distances > SAME_SITE) & (distances < 0.6)).any():
            return False
    return True


def orbit(position: np.ndarray, operations: Operations, lattice: np.ndarray) -> np.ndarray:
    """(m, 3) fractional coordinates of a site's atoms; images closer than SAME_SITE are their middle."""
    images = operations.rotations @ position + operations.translations
    shifts = images[None] - images[:, None]
    shifts -= np.round(shifts)
    is_near = np.linalg.norm(shifts @ lattice, axis=2) < SAME_SITE
    firsts = np.unique(is_near.argmax(axis=1))
    return np.array([images[i] + shifts[i][is_near[i]].mean(axis=0) for i in firsts]) % 1.0


def same_crystal(settings: list[Operations], sites: list[Site], lattice: np.ndarray) -> bool:
    """Whether the sites make one and the same crystal in all these settings."""
    made = [whole_cell(operations, sites, lattice) for operations in settings]
    return all(made[0].matches(other, stol=0.05, scale=False) for other in made[1:])


def whole_cell(operations: Operations, sites: list[Site], lattice: np.ndarray) -> Structure:
    """All atoms of the cell, from the operations alone; every site is taken as full."""
    from pymatgen.core import Lattice, Structure

    orbits = [orbit(np.array(site.fractional), operations, lattice) for site in sites]
    symbols = [s.symbol for s, some in zip(sites, orbits, strict=True) for _ in some]
    return Structure(Lattice(lattice), symbols, np.concatenate(orbits)).get_sorted_structure()
