"""Cell and atoms of a CIF's block, as numbers; what is left open is refused or noted."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from curate.errors import named
from curate.geometry import MIN_DISTANCE
from curate.record import DisorderedStructure, DummySpecies
from curate.sources.cif_formula import Formula
from curate.sources.cif_syntax import UNKNOWN, Block
from curate.sources.entries import as_number

FULL = 1.01  # an occupancy up to here is 1 and an error of rounding or refinement
LAST_NAMED_LOOSELY = 103  # atomic number; NH4 is no nihonium
ATOM_GROUPS = {"NH4", "NH3", "NH2", "H3O", "CO3", "NO3", "NO2", "SO4", "SO3", "PO4", "ClO4", "BH4"}
ATOM_GROUPS |= {"CH4", "CH3", "CH2", "CN", "SCN"}
GROUP = re.compile(r"-?\d+")  # of disorder; some files have letters of other columns there
TWO_ELEMENTS = re.compile(r"[A-Z][a-z]?[\d+-]*/[A-Z]")
OTHER_VOLUME = 0.02  # relative; more is no rounding
WATER = {"wat": 2, "water": 2, "h2o": 2, "oh2": 2, "oh": 1, "o-h": 1}
NO_ELEMENT = {"va", "vac", "x", "q", "m", "t", "du", "dum", "cg", "ct", "cent"}


@dataclass(frozen=True)
class Site:
    """A line of the loop of atoms."""

    label: str
    symbol: str  # chemical symbol; D and T are kept
    written: str  # the type as the file writes it, with its charge
    position: tuple[str, str, str]
    occupancy: float
    multiplicity: float | None  # atoms in the cell, where the file says
    hydrogens: float  # attached atoms that have no line of their own
    part: tuple[str, str]  # assembly and group of its disorder; empty where it has none

    @property
    def element(self) -> str:
        return "H" if self.symbol in ("D", "T") else self.symbol

    @property
    def fractional(self) -> list[float]:
        return [number(text) for text in self.position]


def cell(block: Block, notes: list[str]) -> tuple[list[str], list[str]]:
    """Lengths in Å and angles in degrees, as texts of numbers; what the crystal system settles may be
    left out."""
    for tag, values in block.values.items():
        if tag.startswith(("_cell_length_", "_cell_angle_")) and len(values) > 1:
            raise ValueError(f"it gives {len(values)} values of {tag}")
    lengths = [block.first(f"_cell_length_{axis}") for axis in "abc"]
    angles = [block.first(f"_cell_angle_{name}") for name in ("alpha", "beta", "gamma")]
    system = (block.first("_symmetry_cell_setting", "_space_group_crystal_system") or "").lower()
    if lengths[0] and system in ("cubic", "rhombohedral"):
        lengths = [length or lengths[0] for length in lengths]
    elif lengths[0] and system in ("tetragonal", "hexagonal", "trigonal"):
        lengths[1] = lengths[1] or lengths[0]
    missing = [name for name, text in zip("abc", lengths, strict=True) if text is None]
    if missing:
        raise ValueError(f"it gives no length of {', '.join(missing)}")
    if None in angles:
        if system not in ("cubic", "tetragonal", "orthorhombic", "hexagonal"):
            raise ValueError("it does not give all angles of the cell")
        right = ["90", "90", "120" if system == "hexagonal" else "90"]
        angles = [angle or usual for angle, usual in zip(angles, right, strict=True)]
        notes.append(f"angles that it does not give read as those of a {system} cell")
    texts = [
        [plain_number(text) for text in some if text is not None] for some in (lengths, angles)
    ]
    return texts[0], texts[1]


def cell_vectors(lengths: list[str], angles: list[str]) -> np.ndarray:
    """(3, 3) rows a, b, c in Å; ValueError where they span no volume."""
    a, b, c = (number(text) for text in lengths)
    degrees = [number(text) for text in angles]
    if not all(0 < angle < 180 for angle in degrees):
        raise ValueError(f"a cell with angles of {', '.join(angles)}° has no volume")
    if max(degrees) <= math.pi:
        raise ValueError(f"angles of {', '.join(angles)} are in radians, not in degrees")
    alpha, beta, gamma = (math.cos(math.radians(angle)) for angle in degrees)
    square = 1 - alpha**2 - beta**2 - gamma**2 + 2 * alpha * beta * gamma
    if min(a, b, c) <= 0 or square <= 1e-9:
        raise ValueError(f"a cell of {', '.join(lengths)} Å and {', '.join(angles)}° has no volume")
    metric = np.array(
        [
            [a * a, a * b * gamma, a * c * beta],
            [a * b * gamma, b * b, b * c * alpha],
            [a * c * beta, b * c * alpha, c * c],
        ]
    )
    return np.linalg.cholesky(metric)


def compare_volume(block: Block, lattice: np.ndarray, notes: list[str]) -> None:
    """A note where the block states another volume than its lengths and angles give."""
    stated, volume = block.first("_cell_volume"), abs(np.linalg.det(lattice))
    if stated is None:
        return
    try:
        differs = abs(number(stated) - volume) > OTHER_VOLUME * volume
    except ValueError:
        differs = True
    if differs:
        notes.append(
            f"its lengths and angles give a volume of {volume:.4g} Å3, and it states {stated}; they "
            "were used"
        )


def atom_sites(
    block: Block, formula: Formula | None, notes: list[str]
) -> tuple[list[Site], list[str]]:
    """The atoms of the block, and the labels of hydrogen without a position; ValueError where the block
    has no atoms, or another one without a position."""
    x = block.column("_atom_site_fract_x")
    if x is None:
        cartesian = "_atom_site_cartn_x" in block.values
        raise ValueError(
            "it gives no fractional coordinates" if cartesian else "the block holds no atoms"
        )
    for tag in block.values:
        if tag.startswith("_atom_site_") and not tag.startswith("_atom_site_aniso"):
            block.check_once((tag,))
            if uneven := block.uneven.get(block.loops.get(tag, -1)):
                raise ValueError(f"the loop of its atoms is not whole: {uneven}")
    n = len(x)

    def column(*tags: str) -> list[str | None]:
        values = block.column(*tags)
        if values is None:
            return [None] * n
        if len(values) != n:
            raise ValueError(f"{tags[0]} has {len(values)} values for {n} atoms")
        tag = next(tag for tag in tags if tag in block.values)
        if block.loops.get(tag) != block.loops.get("_atom_site_fract_x"):
            raise ValueError(f"{tag} stands in another loop than the positions")
        return [None if value.strip() in (*UNKNOWN, "") else value.strip() for value in values]

    coordinates = [column(f"_atom_site_fract_{axis}") for axis in "xyz"]
    lines = zip(
        column("_atom_site_label"),
        column("_atom_site_type_symbol"),
        zip(*coordinates, strict=True),
        column("_atom_site_occupancy"),
        column("_atom_site_calc_flag"),
        column("_atom_site_attached_hydrogens"),
        column("_atom_site_symmetry_multiplicity", "_atom_site_site_symmetry_multiplicity"),
        column("_atom_site_disorder_assembly"),
        column("_atom_site_disorder_group"),
        strict=True,
    )
    sites: list[Site] = []
    unlocated: list[str] = []
    guesses, by_type, dummies = set(), set(), set()
    for index, (
        label,
        written,
        position,
        occupancy,
        flag,
        attached,
        multiplicity,
        *part,
    ) in enumerate(lines):
        name = label or written or f"number {index + 1}"
        if flag == "dum":
            dummies.add(name)
        if flag == "dum" or (label is None and written is None and set(position) == {None}):
            continue
        symbol, hydrogens, is_guess = element_of(label, written, formula)
        if is_guess:
            guesses.add(f"{written or name} as {symbol}")
        if label and written and names_other_element(label, symbol):
            by_type.add(f"{label} as {symbol}")
        if None in position:
            if symbol not in ("H", "D", "T"):
                raise ValueError(f"site {name} has no position")
            unlocated.append(name)
            continue
        share = 1.0 if occupancy is None else number(occupancy)
        if share > FULL:
            raise ValueError(f"site {name} has occupancy {share:g}, more than 1")
        if share < 0:
            raise ValueError(f"site {name} has occupancy {share:g}")
        if share == 0:
            notes.append(f"site {name} left out, its occupancy is 0")
            continue
        if share > 1:
            notes.append(f"occupancy {share:g} of {name} read as 1")
        sites.append(
            Site(
                label=name,
                symbol=symbol,
                written=as_pymatgen_reads(written, symbol),
                position=tuple(plain_number(text) for text in position if text),  # type: ignore[arg-type]
                occupancy=share,
                multiplicity=None if multiplicity is None else number(multiplicity),
                hydrogens=hydrogens + (number(attached) if attached else 0.0),
                part=(part[0] or "", part[1] or ""),
            )
        )
    if not sites:
        raise ValueError("the block holds no atoms")
    if formula is None and guesses:
        notes.append(f"elements read from names: {named(guesses, 20)}")
    if by_type:
        notes.append(f"sites read by their types, not their labels: {named(by_type)}")
    if dummies:
        notes.append(f"sites left out as dummies: {named(dummies)}")
    return sites, unlocated


def check_alternatives(sites: list[Site], lattice: np.ndarray) -> None:
    """DisorderedStructure where groups that stand for each other are all there in full; those whose atoms
    overlap are left to the check of overlaps."""
    for assembly in {site.part[0] for site in sites}:
        members = [
            site for site in sites if site.part[0] == assembly and GROUP.fullmatch(site.part[1])
        ]
        groups = {site.part[1] for site in members}
        if len(groups) < 2 or any(site.occupancy < 1 for site in members):
            continue
        positions = np.array([site.fractional for site in members])
        shifts = positions[None] - positions[:, None]
        distances = np.linalg.norm((shifts - np.round(shifts)) @ lattice, axis=2)
        if (distances[~np.eye(len(members), dtype=bool)] >= MIN_DISTANCE).all():
            raise DisorderedStructure(
                f"its groups {named(groups)} of disorder stand for each other and are all there in full"
            )


def composition(sites: list[Site], multiplicities: np.ndarray) -> dict[str, float]:
    """Number of atoms of each element in the cell."""
    counts: dict[str, float] = {}
    for site, multiplicity in zip(sites, multiplicities, strict=True):
        share = min(site.occupancy, 1.0) * float(multiplicity)
        counts[site.element] = counts.get(site.element, 0.0) + share
    return counts


def element_of(
    label: str | None, written: str | None, formula: Formula | None
) -> tuple[str, float, bool]:
    """The element of a site, the number of hydrogens that its name attaches to it, and whether a label
    had to be read that allows another element too; DummySpecies where it names none."""
    if written is not None and is_symbol(written):
        return written, 0.0, False
    from pymatgen.core import Element

    known = formula.elements if formula else frozenset()
    name = written or label
    if name is None:
        raise ValueError("an atom has neither a label nor a type")
    if " + " in name or "," in name or TWO_ELEMENTS.match(name):
        raise DisorderedStructure(f"site {label or name} holds {name}")
    if (hydrogens := WATER.get(re.sub(r"[\d+()*'-]*$", "", name.lower()) or name.lower())) or (
        hydrogens := WATER.get(name.lower())
    ):
        return "O", float(hydrogens), False
    if written and name.rstrip("+-") in ATOM_GROUPS:
        raise DummySpecies(f"site {label or name} holds {name!r}, a group of atoms")
    if not written and re.match(r"W(?![a-z])", name) and {"O", "H"} <= known and "W" not in known:
        return "O", 2.0, False  # W1, as mineralogists call water
    match = re.match(r"[A-Za-z]+", name)
    letters = match[0] if match else ""
    options = [
        symbol
        for symbol in (letters[:2].title(), letters[:1].upper())
        if symbol and Element.is_valid_symbol(symbol)
        if symbol == letters or Element(symbol).Z <= LAST_NAMED_LOOSELY
    ]
    if letters.lower() in NO_ELEMENT and not known & set(options) and written != "T":
        options = []
    is_other_name = len(letters) > 2 or letters[1:].islower()
    if written and is_other_name and letters.title() not in options:
        options = [symbol for symbol in options if symbol in known]  # Va is no vanadium
    if not options:
        raise DummySpecies(f"site {label or name} holds {name!r}, which names no element")
    among = [symbol for symbol in options if {"D": "H", "T": "H"}.get(symbol, symbol) in known]
    is_certain = bool(written) or (len(options) == 1 and options[0] == letters)
    if written and options[0] == letters.title():
        return options[0], 0.0, letters != options[0] and len(options) > 1
    return (among or options)[0], 0.0, not is_certain and letters != options[0]


def names_other_element(label: str, symbol: str) -> bool:
    """Whether a label begins with an element's symbol, and no reading of it is the site's."""
    letters = re.match(r"[A-Za-z]*", label)[0]  # type: ignore[index]
    element = {"D": "H", "T": "H"}.get(symbol, symbol)
    options = {letters[:2].title(), letters[:1].upper()}
    if element in options or not is_symbol(letters[:2].title()):
        return False
    return letters.lower() not in (*NO_ELEMENT, *WATER)


@lru_cache(maxsize=1000)
def is_symbol(text: str) -> bool:
    """Whether a text is an element's symbol and nothing else that CIFs mean by it, as T for a site."""
    from pymatgen.core import Element

    return text not in ("D", "T") and Element.is_valid_symbol(text)


def oxidation_states(block: Block) -> tuple[list[str], list[str]] | None:
    """Types of atoms and their oxidation numbers, where both are given whole."""
    symbols, states = (
        block.column("_atom_type_symbol"),
        block.column("_atom_type_oxidation_number"),
    )
    if symbols is None or states is None or len(symbols) != len(states):
        return None
    if not all(re.fullmatch(r"[\w+-]+", symbol) for symbol in symbols):
        return None
    if not all(re.fullmatch(r"[+-]?\d+\.?\d*", state) for state in states):
        return None
    return symbols, states


def as_pymatgen_reads(written: str | None, symbol: str) -> str:
    """The type as written, whose charge orders the atoms, where pymatgen finds the same element in it."""
    if written is None or written == symbol:
        return symbol
    from pymatgen.core import Element

    if not re.fullmatch(rf"{symbol}[\d+-]*", written):
        return symbol
    is_longer = Element.is_valid_symbol(written[:2].title()) and len(symbol) == 1
    return symbol if is_longer else written


def number(text: str) -> float:
    """A number as CIF writes it, its uncertainty in brackets left out; ValueError where it is none."""
    value = as_number(plain_number(text))
    if value is None:
        raise ValueError(f"{text!r} is not a number")
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    return value


def plain_number(text: str) -> str:
    """`0.123(4)` as `0.123`, `1/3` as a decimal."""
    if "(" not in text and "/" not in text:
        return text.strip()
    plain = re.sub(r"\([^()]*\)?$", "", text.strip())
    if match := re.fullmatch(r"([+-]?\d+)/(0*[1-9]\d*)", plain):
        return repr(int(match[1]) / int(match[2]))
    return plain
