"""Installed versions in, whether the fast steps may be trusted out.

The steps of `curate.describe.fast` repeat what these releases do. Under any other release they describe a
few crystals both ways, once a process, and are left aside where a text differs.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version

from pymatgen.core import Lattice, Structure
from robocrys import StructureCondenser

VERIFIED = {
    "robocrys": "0.2.13",
    "matminer": "0.10.1",
    "pymatgen": "2026.10.24",
    "pymatgen-core": "2026.10.16",
}
log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def is_trusted() -> bool:
    """Whether the fast condenser gives stock's texts with what is installed here."""
    from curate.describe.fast.condenser import FastCondenser
    from curate.describe.molecules import FormulaOnly, NamingCondenser

    return trust(
        {name: version(name) for name in VERIFIED},
        fast=FastCondenser(molecule_namer=FormulaOnly()),
        stock=NamingCondenser(molecule_namer=FormulaOnly()),
    )


def trust(
    installed: Mapping[str, str],
    fast: StructureCondenser,
    stock: StructureCondenser,
    crystals: Mapping[str, Structure] | None = None,
) -> bool:
    """True for the verified versions, else whether both condensers describe the crystals alike.

    The built-in crystals take stock half a minute.
    """
    if dict(installed) == VERIFIED:
        return True
    different = differing(fast, stock, crystals or built_in_crystals())
    found = ", ".join(f"{name} {number}" for name, number in installed.items())
    if different:
        log.warning(
            "the fast steps differ from stock Robocrystallographer on %s with %s; "
            "describing with stock",
            ", ".join(different),
            found,
        )
    else:
        log.info("the fast steps agree with stock Robocrystallographer with %s", found)
    return not different


def differing(
    fast: StructureCondenser, stock: StructureCondenser, crystals: Mapping[str, Structure]
) -> list[str]:
    """Names of the crystals that the two condensers do not describe alike."""
    return [
        name
        for name, structure in crystals.items()
        if _text(fast, structure) != _text(stock, structure)
    ]


def built_in_crystals() -> dict[str, Structure]:
    """Two frameworks, a layered and a molecular crystal, from textbooks."""
    return {
        "NaCl": Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
        ),
        "TiO2": Structure.from_spacegroup(
            "P4_2/mnm",
            Lattice.tetragonal(4.594, 2.959),
            ["Ti", "O"],
            [[0, 0, 0], [0.305, 0.305, 0]],
        ),
        "MoS2": Structure.from_spacegroup(
            "P6_3/mmc",
            Lattice.hexagonal(3.16, 12.29),
            ["Mo", "S"],
            [[1 / 3, 2 / 3, 0.25], [1 / 3, 2 / 3, 0.621]],
        ),
        "CO2": Structure.from_spacegroup(
            "Pa-3", Lattice.cubic(5.55), ["C", "O"], [[0, 0, 0], [0.119, 0.119, 0.119]]
        ),
    }


def _text(condenser: StructureCondenser, structure: Structure) -> str:
    """The text, or the error where there is none: both condensers must fail alike."""
    from curate.describe.description import plain, render

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return render(json.dumps(plain(condenser.condense_structure(structure))))
    except Exception as error:  # a release may break either in any way
        return f"{type(error).__name__}: {error}"
