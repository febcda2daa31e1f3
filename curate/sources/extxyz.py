"""Frames of an extended XYZ file, each on its own: a broken one costs itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

from curate.sources.entries import ID_KEYS, Crystal

UNITS = {"energy": "eV", "free_energy": "eV", "magmom": "μB"}  # of ASE, which takes these names


def crystals(text: str) -> Iterator[Crystal | Exception]:
    """What each frame gives: the crystal with its properties, or the error against it."""
    for number, frame in enumerate(frames(text.splitlines()), 1):
        if isinstance(frame, Exception):
            yield frame
            continue
        try:
            yield crystal("\n".join(frame) + "\n")
        except KeyError as error:
            yield ValueError(f"frame {number}: {error} is no element or column that is known")
        except Exception as error:  # a broken frame costs itself only
            yield ValueError(f"frame {number}: {error}")


def frames(lines: list[str]) -> Iterator[list[str] | Exception]:
    """The lines of each frame, or why one is not whole; the next is looked for by its first lines."""
    at, number = 0, 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        number += 1
        if not re.fullmatch(r"\s*\d+\s*", lines[at]):
            said = lines[at].strip()[:40]
            yield ValueError(f"frame {number} begins with {said!r}, not with a number of atoms")
            at = next((i for i in range(at + 1, len(lines)) if begins_frame(lines, i)), len(lines))
            continue
        n_atoms = int(lines[at])
        end = min(at + 2 + n_atoms, len(lines))
        end = next((i for i in range(at + 2, end) if begins_frame(lines, i)), end)
        if end < at + 2 + n_atoms:
            found = max(end - at - 2, 0)
            yield ValueError(f"frame {number} has {found} atoms, expected {n_atoms}")
        else:
            yield lines[at:end]
        at = end


def begins_frame(lines: list[str], at: int) -> bool:
    """Whether a number of atoms stands here with a frame's properties below it."""
    return (
        at + 1 < len(lines)
        and lines[at].strip().isdigit()
        and re.search(r"(Lattice|Properties)\s*=", lines[at + 1]) is not None
    )


def crystal(frame: str) -> Crystal:
    """The crystal of one frame; ValueError where it has no lattice."""
    from ase.io import iread
    from pymatgen.core import Structure

    check_columns(frame)
    (atoms,) = iread(StringIO(frame), format="extxyz")
    if not atoms.cell.rank == 3:
        raise ValueError("no Lattice in the comment line")
    results = {} if atoms.calc is None else atoms.calc.results  # where ASE puts energy and forces
    properties = {name: plain(value) for name, value in {**results, **atoms.info}.items()}
    material_id = own_id(frame.split("\n", 2)[1])
    directions = sum(map(bool, atoms.pbc))
    note = None
    if directions < 3:
        note = f"periodic in {directions} directions by its pbc, read as periodic in three"
    structure = Structure(
        atoms.cell[:], atoms.get_chemical_symbols(), atoms.positions, coords_are_cartesian=True
    )
    kept = {name: value for name, value in properties.items() if name not in ID_KEYS}
    return Crystal(structure, kept, material_id, note)


def check_columns(frame: str) -> None:
    """ValueError where the comment line states more columns than an atom has; ASE would make room for all."""
    _, comment, *rows = frame.split("\n")
    stated = re.search(r"""(?<!\S)Properties\s*=\s*["']?([^\s"']+)""", comment)
    if stated is None:
        return
    asked = sum(int(number[:18]) for number in re.findall(r":(\d+)(?=:|$)", stated[1]))
    there = max((len(row.split()) for row in rows), default=0)
    if asked > there:
        raise ValueError(f"Properties states {asked} columns, and an atom has {there}")


def own_id(comment: str) -> str | None:
    """The id in a frame's second line, letter by letter: ASE would read `00123` as a number."""
    for key in ID_KEYS:
        if found := re.search(rf"""(?<!\S){key}\s*=\s*(?:"([^"]*)"|'([^']*)'|(\S+))""", comment):
            return next(text for text in found.groups() if text is not None).strip() or None
    return None


def plain(value: Any) -> Any:
    """numpy's numbers as Python's; all else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value
