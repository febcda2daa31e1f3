"""Symmetry operations of a CIF: as it lists them, or from the tables by the name of its space group."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

TERM = re.compile(r"([+-]?)(?:(\d+/0*[1-9]\d*|\d*\.\d+|\d+\.?)\*?)?([xyz])?")
SAME_METRIC = 0.02  # relative: a cell within 1 % and 1 degree of what the operations ask for
GRID = 240  # translations are told apart in steps of 1/240, which has all fractions of the tables
# What older tables write for e, two glides at once, in groups 67 and 68, by the order of the axes: there
# the letter tells two settings apart. In the other groups with an e every letter means the same.
OLD_GLIDES = {"": "a", "ba-c": "b", "cab": "b", "-cba": "c", "bca": "c", "a-cb": "a"}


@dataclass(frozen=True)
class Operations:
    """Operations x' = Rx + t on fractional coordinates, the lattice's own translations left out."""

    rotations: np.ndarray  # (n, 3, 3) whole numbers
    translations: np.ndarray  # (n, 3)
    texts: tuple[str, ...]  # in the words of CIF: `-x,y+1/2,-z`
    name: str = ""  # the setting of the tables that they come from
    number: int | None = None  # of its space group

    @property
    def choice(self) -> str:
        """Origin, axes or cell that the tables tell settings of one group apart by."""
        return self.name.partition(":")[2].strip("-")

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def codes(self) -> np.ndarray:
        """(n,) whole numbers, the same for the same operation."""
        return _codes(self.rotations, self.translations)

    @cached_property
    def is_group(self) -> bool:
        """Whether any two after each other are a third, as those of every crystal are."""
        codes = np.unique(self.codes)
        rotations = np.einsum("aij,bjk->abik", self.rotations, self.rotations)
        translations = np.einsum("aij,bj->abi", self.rotations, self.translations)
        translations += self.translations[:, None]
        products = _codes(rotations.reshape(-1, 3, 3), translations.reshape(-1, 3))
        return bool(np.isin(products, codes).all())

    def misfit(self, lattice: np.ndarray) -> float:
        """How much they change lengths and angles of the cell, relative; (3, 3) rows a, b, c in Å."""
        metric = lattice @ lattice.T
        lengths = np.sqrt(np.diag(metric))
        images = np.swapaxes(self.rotations, 1, 2) @ metric @ self.rotations
        return float((np.abs(images - metric) / np.outer(lengths, lengths)).max())

    def multiplicities(
        self, sites: np.ndarray, lattice: np.ndarray, tolerance: float
    ) -> np.ndarray:
        """(n_sites,) number of atoms in the cell for each fractional coordinate; images closer than
        `tolerance` in Å are one atom. By Lagrange: the group's order over that of the site's group."""
        images = np.einsum("nij,sj->sni", self.rotations, sites) + self.translations
        shifts = images - sites[:, None]
        shifts -= np.round(shifts)
        fixed = (np.linalg.norm(shifts @ lattice, axis=2) < tolerance).sum(axis=1)
        return len(self) / fixed


@lru_cache(maxsize=1000)
def read_operations(texts: tuple[str, ...]) -> Operations:
    """Operations as a CIF writes them, each once; ValueError names one that can't be read."""
    read = [read_operation(text) for text in texts]
    rotations = np.array([rotation for rotation, _ in read])
    translations = np.array([translation for _, translation in read])
    _, first = np.unique(_codes(rotations, translations), return_index=True)
    kept = np.sort(first)
    plain = tuple(re.sub(r"[\s'\"]", "", texts[index].lower()) for index in kept)
    return Operations(rotations[kept], translations[kept], plain)


def made_of(
    rotations: np.ndarray, translations: np.ndarray, name: str = "", number: int | None = None
) -> Operations:
    """Operations of arrays (n, 3, 3) and (n, 3), their texts written out."""
    return Operations(rotations, translations, as_xyz(rotations, translations), name, number)


def as_xyz(rotations: np.ndarray, translations: np.ndarray) -> tuple[str, ...]:
    """Operations in the words of CIF."""
    return tuple(
        ",".join(_component(row, shift) for row, shift in zip(rotation, translation, strict=True))
        for rotation, translation in zip(rotations, translations, strict=True)
    )


def read_operation(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation of `x-y,-y,z+1/3`."""
    parts = re.sub(r"[\s'\"]", "", text.lower()).split(",")
    rotation, translation = np.zeros((3, 3), int), np.zeros(3)
    if len(parts) != 3 or not all(parts):
        raise ValueError(f"{text!r} is not a symmetry operation")
    for row, part in enumerate(parts):
        at = 0
        while at < len(part):
            term = TERM.match(part, at)
            if term is None or term.end() == at or not (term[2] or term[3]):
                raise ValueError(f"{text!r} is not a symmetry operation")
            sign = -1 if term[1] == "-" else 1
            size = Fraction(term[2]) if term[2] else Fraction(1)
            if term[3] and size != 1:
                raise ValueError(f"the symmetry operation {text!r} stretches the cell")
            if term[3]:
                rotation[row, "xyz".index(term[3])] += sign
            else:
                translation[row] += sign * float(size)
            at = term.end()
    if abs(round(float(np.linalg.det(rotation)))) != 1:
        raise ValueError(f"the symmetry operation {text!r} has no inverse")
    return rotation, translation


def of_hall(symbol: str) -> Operations | None:
    """The operations of a Hall symbol; None where the tables don't have it."""
    number = _settings()[0].get(re.sub(r"[\s_]", "", symbol.lower()))
    return None if number is None else setting(number)


def of_name(symbol: str) -> list[Operations]:
    """All settings that a Hermann-Mauguin symbol may stand for, the usual one first.

    An origin or axes that it names (`:2`, `:H`, `S` and `Z` of ICSD) are taken at their word.
    """
    name, choice = _name_and_choice(symbol)
    found = _settings()[1].get(name, [])
    if choice:
        found = [number for number in found if _choice(number).startswith(choice)]
    return _different(found)


def of_number(number: int) -> list[Operations]:
    """All settings of a number of the International Tables, the standard one first."""
    found = _settings()[2].get(number, [])
    two = {"1", "2", "H", "R"}
    usual = [hall for hall in found if _choice(hall) in two] or found[:1]
    return _different([*usual, *(hall for hall in found if hall not in usual)])


def _different(hall_numbers: list[int]) -> list[Operations]:
    """The settings, those with the same operations once."""
    kept: dict[frozenset[int], Operations] = {}
    for operations in map(setting, hall_numbers):
        kept.setdefault(frozenset(operations.codes.tolist()), operations)
    return list(kept.values())


@lru_cache(maxsize=600)
def setting(hall_number: int) -> Operations:
    """One of the 530 settings of the tables."""
    import spglib

    data: Any = spglib.get_symmetry_from_database(hall_number)
    kind = _kind(hall_number)
    name = " ".join(filter(None, (kind.international_short, kind.choice and f":{kind.choice}")))
    rotations, translations = data["rotations"].astype(int), data["translations"].astype(float)
    return made_of(rotations, translations, name, kind.number)


@lru_cache(maxsize=1)
def _settings() -> tuple[dict[str, int], dict[str, list[int]], dict[int, list[int]]]:
    """Settings of the tables by Hall symbol, by Hermann-Mauguin symbol and by number."""
    by_hall: dict[str, int] = {}
    by_name: dict[str, list[int]] = defaultdict(list)
    by_number: dict[int, list[int]] = defaultdict(list)
    for hall in range(1, 531):
        kind = _kind(hall)
        by_hall[re.sub(r"[\s_]", "", kind.hall_symbol.lower())] = hall
        by_number[kind.number].append(hall)
        names = {_plain(part) for part in kind.international.split("=")}
        names.add(_plain(kind.international_full))
        if 3 <= kind.number <= 15:
            names = {name for name in names if name != _plain(kind.international_short)}
            names |= {_short_monoclinic(kind.international_full)}
        else:
            names.add(_plain(kind.international_short))
        if kind.number >= 195:
            names |= {name.replace("-3", "3") for name in names}  # as older tables write m-3m
        glides = OLD_GLIDES[_axes(kind)] if kind.number in (67, 68) else "abc"
        names |= {name[0] + name[1:].replace("e", glide) for name in names for glide in glides}
        for name in sorted(names):
            by_name[name].append(hall)
    for halls in by_name.values():
        halls.sort(key=lambda hall: ("bca".find(_choice(hall).strip("-")[:1]), hall))
    return by_hall, dict(by_name), dict(by_number)


def _choice(hall_number: int) -> str:
    return str(_kind(hall_number).choice)


def _axes(kind: Any) -> str:
    """The order of the axes in the name of an orthorhombic setting, its origin left out."""
    return str(kind.choice).lstrip("12")


def _kind(hall_number: int) -> Any:
    """spglib's names of a setting."""
    import spglib

    return spglib.get_spacegroup_type(hall_number)


def _plain(symbol: str) -> str:
    return re.sub(r"[\s_]", "", symbol.lower())


def _short_monoclinic(full: str) -> str:
    """`P 1 21/c 1` as `p21/c`: the axis that is written 1 says nothing."""
    centring, *axes = full.split()
    return _plain(centring + "".join(axis for axis in axes if axis != "1"))


def _name_and_choice(symbol: str) -> tuple[str, str]:
    """`R -3 m :H` as (`r-3m`, `H`)."""
    text = re.sub(r"</?su[bp]>", "", symbol.lower())
    text = re.sub(r"\((\d)\)", r"\1", text)  # P2(1)/c
    text = re.sub(r"[\s_'\"]", "", text)
    text, _, choice = text.partition(":")
    if not choice and (ending := re.search(r"(?<=.)(o1|o2|[hrsz])$", text)):
        text, choice = text[: ending.start()], ending[1]
    names = {"h": "H", "r": "R", "s": "1", "o1": "1", "z": "2", "o2": "2"}
    return text, names.get(choice, choice)


def _codes(rotations: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """One whole number for each operation; translations that differ by rounding count as the same."""
    twelfths = np.round(translations * 24) / 24
    rounded = np.where(np.abs(twelfths - translations) < 0.005, twelfths, translations)
    steps = np.round(rounded * GRID).astype(np.int64) % GRID
    turns = (rotations.reshape(len(rotations), 9) + 4).astype(np.int64) % 9
    code = np.zeros(len(rotations), np.int64)
    for column in range(9):
        code = code * 9 + turns[:, column]
    for axis in range(3):
        code = code * GRID + steps[:, axis]
    return code


def _component(row: np.ndarray, shift: float) -> str:
    text = "".join(
        f"{'+' if factor > 0 else '-'}{axis}" * abs(int(factor))
        for axis, factor in zip("xyz", row, strict=True)
    ).lstrip("+")
    part = Fraction(shift).limit_denominator(1000) % 1
    return f"{text}+{part}" if part else text
