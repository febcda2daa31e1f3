"""Frames of an extended XYZ file, each on its own: a broken one costs itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

from curate.record import DisorderedStructure
from curate.sources.entries import ID_KEYS, Crystal

PAIR = re.compile(r"""(?<!\S)([^\s="']+)\s*=\s*(?:"([^"]*)"|'([^']*)'|\{([^}]*)\}|(\S+))""")
UNITS = {"energy": "eV", "free_energy": "eV", "magmom": "μB"}  # of ASE, which takes these names


def crystals(text: str) -> Iterator[Crystal | Exception]:
    """What each frame gives: the crystal with its properties, or the error against it."""
    for number, frame in enumerate(frames(text.removesuffix("\n").split("\n")), 1):
        if isinstance(frame, Exception):
            yield frame
            continue
        try:
            yield crystal("\n".join(frame) + "\n")
        except DisorderedStructure as error:
            yield error
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

    said = comment_of(frame)
    written = check_columns(frame)
    check_comment(said)
    (atoms,) = iread(StringIO(frame), format="extxyz")
    if not atoms.cell.rank == 3:
        raise ValueError("no Lattice in the comment line")
    results = {} if atoms.calc is None else atoms.calc.results  # where ASE puts energy and forces
    properties = {name: plain(value) for name, value in {**results, **atoms.info}.items()}
    properties |= {name: text for name, text in said if not is_plain(text) and name in properties}
    check_occupancies(atoms)
    material_id = own_id(frame.split("\n", 2)[1])
    directions = sum(map(bool, atoms.pbc))
    notes = []
    if directions < 3:
        notes.append(f"periodic in {directions} directions by its pbc, read as periodic in three")
    pairs = sorted({*zip(written, atoms.get_chemical_symbols(), strict=False)})
    notes += [f"species {word} read as {symbol}" for word, symbol in pairs if word != symbol]
    structure = Structure(
        atoms.cell[:], atoms.get_chemical_symbols(), atoms.positions, coords_are_cartesian=True
    )
    kept = {name: value for name, value in properties.items() if name not in ID_KEYS}
    return Crystal(structure, kept, material_id, "; ".join(notes) or None)


def check_columns(frame: str) -> list[str]:
    """The atoms' species as they are written; ValueError where the comment line states more columns than
    an atom has, for which ASE would make room, or where they leave open what the atoms are."""
    _, comment, *rows = frame.split("\n")
    stated = re.search(r"""(?<!\S)Properties\s*=\s*["']?([^\s"']+)""", comment)
    if stated is None:
        return [row.split()[0] for row in rows if row.strip()]
    asked = sum(int(number[:18]) for number in re.findall(r":(\d+)(?=:|$)", stated[1]))
    there = max((len(row.split()) for row in rows), default=0)
    if asked > there:
        raise ValueError(f"Properties states {asked} columns, and an atom has {there}")
    names = stated[1].split(":")
    if "pos" not in names[::3]:
        raise ValueError("Properties states no column pos of positions")
    if not {"species", "Z", "numbers"} & {*names[::3]}:
        raise ValueError("Properties states no column of species")
    starts: dict[str, int] = {}
    kinds: list[str] = []
    for name, kind, width in zip(names[::3], names[1::3], names[2::3], strict=False):
        starts[name] = len(kinds)
        kinds += [kind] * int(width)
    for row in rows:
        words = row.split()
        for kind, word in zip(kinds, words, strict=False):
            if kind in ("R", "I") and "_" in word:
                raise ValueError(f"{word!r} is not a number")
        for column in {"Z", "numbers"} & starts.keys():
            if words and "species" in starts:
                compare(words[starts["species"]], words[starts[column]])
    if "species" not in starts:
        return []
    return [row.split()[starts["species"]] for row in rows if row.strip()]


def compare(symbol: str, number: str) -> None:
    """ValueError where an atom's symbol and its atomic number are those of two elements."""
    from ase.data import atomic_numbers

    if atomic_numbers[symbol.capitalize()] != int(number):
        raise ValueError(f"an atom is {symbol} by its species and number {number} by its column Z")


def comment_of(frame: str) -> list[tuple[str, str]]:
    """Names and values of a frame's second line, as they are written."""
    found = PAIR.findall(frame.split("\n", 2)[1])
    return [(name, next(filter(None, texts), "")) for name, *texts in found]


def check_comment(said: list[tuple[str, str]]) -> None:
    """ValueError where a frame's second line says a thing twice, or what is not read as it is meant."""
    names = [name for name, _ in said]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"its second line gives {twice} twice")
    values = dict(said)
    if any(re.search(r"\d_\d", word) for word in values.get("Lattice", "").split()):
        raise ValueError(f"Lattice holds {values['Lattice'][:60]!r}, which are not nine numbers")
    pbc = re.sub(r"[\s,\[\]]+", " ", values.get("pbc", "T T T")).split()
    if len(pbc) != 3 or not all(re.fullmatch(r"T|F|True|False|true|false|0|1", p) for p in pbc):
        raise ValueError(f"pbc is {values['pbc'][:40]!r}, not T or F three times")
    for name, value in said:
        if re.fullmatch(r"-?\d+,\d+", value):
            raise ValueError(f"{name} is {value!r}; a number has a point, not a comma")
        is_unit = re.fullmatch(r"(\w+_)?units?", name, re.IGNORECASE)
        if is_unit and re.search(
            r"bohr|a\.?u|hartree|ryd|\bry\b|nm\b|pm\b|kcal|kj", value, re.IGNORECASE
        ):
            raise ValueError(f"{name} is {value!r}; extended XYZ is in Å and eV")


def check_occupancies(atoms: Any) -> None:
    """DisorderedStructure where a column says that a site is not full."""
    for name in ("occupancy", "occupancies", "occ"):
        if name in atoms.arrays and (atoms.arrays[name] < 1).any():
            raise DisorderedStructure(f"its column {name} has sites that are not full")


def is_plain(text: str) -> bool:
    """Whether a value is read as Python would not: `2_1` is no number."""
    return not re.fullmatch(r"[+-]?\d[\d.]*_[\d._]*", text)


def own_id(comment: str) -> str | None:
    """The id in a frame's second line, letter by letter: ASE would read `00123` as a number."""
    for key in ID_KEYS:
        if found := re.search(rf"""(?<!\S){key}\s*=\s*(?:"([^"]*)"|'([^']*)'|(\S+))""", comment):
            return next(text for text in found.groups() if text is not None).strip() or None
    return None


def plain(value: Any) -> Any:
    """numpy's numbers as Python's; all else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value
