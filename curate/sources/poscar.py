"""The crystal of a POSCAR or CONTCAR; one that names no elements is refused, never guessed."""

from __future__ import annotations

import re
import warnings

import numpy as np

from curate.errors import named
from curate.record import DummySpecies
from curate.sources.entries import Crystal, as_number

ELEMENT = re.compile(r"[A-Z][a-z]?(_|/|$)")
COMMENT = re.compile(r"[#!].*")
NO_DOUBT = ("selective dynamics", "Selective dynamics")  # about flags, which are not read here


def crystal(text: str) -> Crystal:
    """The crystal of a POSCAR's text; ValueError where it is none or leaves its elements open."""
    from pymatgen.io.vasp import Poscar

    notes: list[str] = []
    lines = [COMMENT.sub("", line).rstrip() for line in text.removesuffix("\n").split("\n")]
    if not any(line.strip() for line in lines):
        raise ValueError("the file is empty")
    lines[0] = "POSCAR"  # a comment, which may be anything
    end = check(lines, notes)
    check_rest(lines, end)
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        structure = Poscar.from_str("\n".join(lines[:end]), read_velocities=False).structure
    for doubt in map(str, (warning.message for warning in doubts)):
        if "cannot be determined" in doubt:
            raise ValueError(
                "it names no elements: neither above their numbers nor at the positions"
            )
        if not any(known in doubt for known in NO_DOUBT):
            notes.append(doubt.splitlines()[0])
    return Crystal(structure, note="; ".join(notes) or None)


def check(lines: list[str], notes: list[str]) -> int:
    """Put scale and symbols in the form that pymatgen reads; the number of lines up to the last atom.

    ValueError where a part is missing or does not fit the others.
    """
    if len(lines) < 8:
        raise ValueError(f"it ends after {len(lines)} lines, before its first atom")
    scales = lines[1].split()
    at = 5
    names: list[str] = []
    while at < len(lines) and lines[at].split() and not lines[at].split()[0].isdigit():
        names += lines[at].split()
        at += 1
    symbols_end = at
    if number := next((word for word in names if as_number(word) is not None), None):
        raise ValueError(f"{number!r} stands where a symbol or a whole number of atoms must stand")
    counts: list[int] = []
    while at < len(lines) and all(word.isdigit() for word in lines[at].split()[:1] or ["-"]):
        if not all(word.isdigit() for word in lines[at].split()):
            break
        counts += map(int, lines[at].split())
        at += 1
        if len(counts) >= len(names):
            break
    if not counts:
        raise ValueError("it gives no numbers of atoms")
    if names and len(names) != len(counts):
        raise ValueError(f"it names {len(names)} species and gives {len(counts)} numbers of atoms")
    if names:
        lines[5:symbols_end] = [" ".join(species(name, notes) for name in names)]
        lines[6 : 6 + at - symbols_end] = [" ".join(map(str, counts))]
        at = 7
    if names and 0 in counts:
        empty = {name for name, count in zip(names, counts, strict=True) if not count}
        notes.append(f"species without atoms: {named(empty)}")
    if at < len(lines) and lines[at].strip()[:1] in ("s", "S"):
        at += 1
    if at >= len(lines) or not lines[at].strip()[:1].isalpha():
        raise ValueError("no line says whether its positions are Direct or Cartesian")
    is_cartesian = lines[at].strip()[0] in "cCkK"
    if lines[at].strip()[0] not in "cCkKdDfF":
        notes.append(f"positions under {lines[at].strip()!r} read as fractional, as VASP does")
    first, last = at + 1, at + 1 + sum(counts)
    atoms = lines[first:last]
    if len(atoms) < sum(counts) or not all(line.strip() for line in atoms):
        found = next((i for i, line in enumerate(atoms) if not line.strip()), len(atoms))
        raise ValueError(f"it ends after {found} of {sum(counts)} atoms")
    if any(len(line.split()) < 3 for line in atoms):
        notes.append("numbers that run into each other were told apart by their minus signs")
    vectors = [line.split() for line in lines[2:5]]
    if not all(len(words) == 3 and all_numbers(words) for words in vectors):
        raise ValueError("its lattice is not three lines of three numbers")
    for line in atoms:
        if wrong := next((word for word in line.split()[:3] if "_" in word), None):
            raise ValueError(f"{wrong!r} is not a number")
    beside = [line.split()[3:6] for line in atoms]
    has_flags = all(words and set(words) <= {"T", "F"} for words in beside)
    if not names and has_flags and lines[at - 1].strip()[:1] not in ("s", "S"):
        raise ValueError("it names no elements: T and F at its positions are flags")
    if names:
        compare_names(atoms, lines[5].split(), counts, notes)
    scale(lines, scales, slice(first, last) if is_cartesian else None)
    return last


def check_rest(lines: list[str], end: int) -> None:
    """ValueError where atoms or another crystal follow the last atom; velocities and the like may."""
    if end < len(lines) and len(lines[end].split()) >= 3 and all_numbers(lines[end].split()[:3]):
        raise ValueError(f"positions follow in line {end + 1}, beyond its numbers of atoms")
    for at in range(end, len(lines)):
        is_frame = re.match(r"\s*direct configuration\s*=", lines[at], re.IGNORECASE)
        is_head = at + 6 < len(lines) and (
            all(
                len(line.split()) == 3 and all_numbers(line.split())
                for line in lines[at + 1 : at + 4]
            )
            and lines[at + 4].split() != []
            and all(ELEMENT.match(word) for word in lines[at + 4].split())
            and lines[at + 5].split() != []
            and all(word.isdecimal() for word in lines[at + 5].split())
        )
        if is_frame or is_head:
            raise ValueError(
                f"another crystal begins in line {at + 1}; give each a file of its own"
            )


def all_numbers(words: list[str]) -> bool:
    return all(as_number(word) is not None for word in words)


def species(name: str, notes: list[str]) -> str:
    """The symbol in `Cs`, `Cs_sv` or `Cs_sv/2a7e…`; DummySpecies where it is no element."""
    from pymatgen.core import Element

    symbol = re.split(r"[_/]", name)[0]
    if Element.is_valid_symbol(symbol):
        return symbol
    if Element.is_valid_symbol(symbol.title()):
        notes.append(f"species {name} read as {symbol.title()}")
        return symbol.title()
    raise DummySpecies(f"its species {name!r} is no element")


def compare_names(
    atoms: list[str], symbols: list[str], counts: list[int], notes: list[str]
) -> None:
    """A note where names beside the positions are not those of the species line, which counts."""
    from pymatgen.core import Element

    expected = [s for s, count in zip(symbols, counts, strict=True) for _ in range(count)]
    beside = [line.split()[3:][-1:] for line in atoms]
    for symbol, name in zip(expected, beside, strict=True):
        if name and name[0] not in ("T", "F", symbol) and Element.is_valid_symbol(name[0]):
            notes.append(
                f"a position of {symbol} is called {name[0]}; the order of the species line was used"
            )
            return


def scale(lines: list[str], scales: list[str], cartesian: slice | None) -> None:
    """Write out what pymatgen does not scale as VASP does: three factors, and positions in Å where the
    factor is the cell's volume."""
    if len(scales) not in (1, 3) or not all_numbers(scales):
        raise ValueError(f"{' '.join(scales)!r} stands where one or three scale factors must stand")
    factors = np.array(list(map(float, scales)))
    if len(factors) == 1 and (factors[0] > 0 or cartesian is None):
        return
    lattice = np.array([[float(word) for word in line.split()[:3]] for line in lines[2:5]])
    if len(factors) == 1:
        factors = np.repeat((-factors[0] / abs(np.linalg.det(lattice))) ** (1 / 3), 3)
    elif (factors <= 0).any():
        raise ValueError(f"three scale factors must be above 0, not {' '.join(scales)}")
    lines[1] = "1.0"
    lines[2:5] = [" ".join(map(repr, row)) for row in (lattice * factors).tolist()]
    if cartesian is not None:
        scaled = []
        for line in lines[cartesian]:
            words = line.split()
            position = (np.array([float(word) for word in words[:3]]) * factors).tolist()
            scaled.append(" ".join([*map(repr, position), *words[3:]]))
        lines[cartesian] = scaled
