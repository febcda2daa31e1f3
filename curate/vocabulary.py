"""Words of a question and what descriptions say instead: Te for telluride, two-dimensional for layered."""

from __future__ import annotations

import re
from collections.abc import Mapping

ELEMENT_NAMES: Mapping[str, str] = {  # up to Cm, the last that descriptions know
    "hydrogen": "H", "helium": "He", "lithium": "Li", "beryllium": "Be", "boron": "B",
    "carbon": "C", "nitrogen": "N", "oxygen": "O", "fluorine": "F", "neon": "Ne", "sodium": "Na",
    "magnesium": "Mg", "aluminum": "Al", "silicon": "Si", "phosphorus": "P", "sulfur": "S",
    "chlorine": "Cl", "argon": "Ar", "potassium": "K", "calcium": "Ca", "scandium": "Sc",
    "titanium": "Ti", "vanadium": "V", "chromium": "Cr", "manganese": "Mn", "iron": "Fe",
    "cobalt": "Co", "nickel": "Ni", "copper": "Cu", "zinc": "Zn", "gallium": "Ga",
    "germanium": "Ge", "arsenic": "As", "selenium": "Se", "bromine": "Br", "krypton": "Kr",
    "rubidium": "Rb", "strontium": "Sr", "yttrium": "Y", "zirconium": "Zr", "niobium": "Nb",
    "molybdenum": "Mo", "technetium": "Tc", "ruthenium": "Ru", "rhodium": "Rh",
    "palladium": "Pd", "silver": "Ag", "cadmium": "Cd", "indium": "In", "tin": "Sn",
    "antimony": "Sb", "tellurium": "Te", "iodine": "I", "xenon": "Xe", "cesium": "Cs",
    "barium": "Ba", "lanthanum": "La", "cerium": "Ce", "praseodymium": "Pr", "neodymium": "Nd",
    "promethium": "Pm", "samarium": "Sm", "europium": "Eu", "gadolinium": "Gd", "terbium": "Tb",
    "dysprosium": "Dy", "holmium": "Ho", "erbium": "Er", "thulium": "Tm", "ytterbium": "Yb",
    "lutetium": "Lu", "hafnium": "Hf", "tantalum": "Ta", "tungsten": "W", "rhenium": "Re",
    "osmium": "Os", "iridium": "Ir", "platinum": "Pt", "gold": "Au", "mercury": "Hg",
    "thallium": "Tl", "lead": "Pb", "bismuth": "Bi", "polonium": "Po", "astatine": "At",
    "radon": "Rn", "francium": "Fr", "radium": "Ra", "actinium": "Ac", "thorium": "Th",
    "protactinium": "Pa", "uranium": "U", "neptunium": "Np", "plutonium": "Pu",
    "americium": "Am", "curium": "Cm",
    "aluminium": "Al", "caesium": "Cs", "sulphur": "S",
}  # fmt: skip
ANIONS = {
    "hydride": "H", "boride": "B", "carbide": "C", "nitride": "N", "oxide": "O", "fluoride": "F",
    "silicide": "Si", "phosphide": "P", "sulfide": "S", "sulphide": "S", "chloride": "Cl",
    "germanide": "Ge", "arsenide": "As", "selenide": "Se", "bromide": "Br", "stannide": "Sn",
    "antimonide": "Sb", "telluride": "Te", "iodide": "I", "plumbide": "Pb", "bismuthide": "Bi",
    "aluminide": "Al", "gallide": "Ga", "indide": "In", "auride": "Au",
    "halide": "F Cl Br I", "chalcogenide": "S Se Te", "pnictide": "N P As Sb Bi",
    "hydroxide": "O H", "carbonate": "C O", "nitrate": "N O", "silicate": "Si O", "borate": "B O",
    "phosphate": "P O", "sulfate": "S O", "sulphate": "S O", "vanadate": "V O", "niobate": "Nb O",
    "titanate": "Ti O", "tungstate": "W O", "molybdate": "Mo O", "manganate": "Mn O",
}  # fmt: skip
SHAPES = {
    "layer": "two-dimensional sheet",
    "layered": "two-dimensional sheet",
    "2d": "two-dimensional sheet",
    "chain": "one-dimensional ribbon",
    "1d": "one-dimensional ribbon",
    "molecule": "zero-dimensional molecule cluster",
    "molecular": "zero-dimensional molecule cluster",
    "0d": "zero-dimensional molecule cluster",
    "van-der-waals": "two-dimensional sheet",
    "corner-linked": "corner-sharing",
    "edge-linked": "edge-sharing",
    "face-linked": "face-sharing",
}
NUMBERS = dict(
    zip(
        map(str, range(1, 25)),
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
         "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
         "twenty-one", "twenty-two", "twenty-three", "twenty-four"),
        strict=True,
    )
)  # fmt: skip
TRANSLATIONS: Mapping[str, str] = {**ELEMENT_NAMES, **ANIONS, **SHAPES, **NUMBERS}
ASKED = re.compile(r"(?<![\w./+(-])[A-Za-z0-9]+(?:-[A-Za-z]+)*(?![\w/+]|[.-]\w)")


def translation(word: str) -> str | None:
    """What descriptions say for a word of a question; None where they have no other word."""
    plain = word.lower()
    return TRANSLATIONS.get(plain) or TRANSLATIONS.get(plain.removesuffix("s"))


def translated(query: str) -> tuple[str, dict[str, str]]:
    """A question in the words of the descriptions.

    Args:
        query: A question in plain words, as `layered telluride`.

    Returns:
        The question with the words replaced that descriptions do not use, `two-dimensional sheet Te`, and
        what was replaced by what: `{"layered": "two-dimensional sheet", "telluride": "Te"}`.
    """
    found: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        other = translation(match[0])
        if other is None:
            return match[0]
        found[match[0]] = other
        return other

    return ASKED.sub(replace, query), found
