"""Whether the fast steps give stock Robocrystallographer's texts with what is installed.

The steps of `curate.describe.fast` repeat what the releases in VERIFIED do. With any other release they
describe a few crystals both ways and are left aside where a text differs. That takes half a minute, so
the answer is kept on disk for these releases and this code.
"""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from pymatgen.core import Lattice, Structure
from robocrys import StructureCondenser

from curate.describe.render import as_json, render
from curate.files import cache_folder, write_json

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
    return trust({name: version(name) for name in VERIFIED}, compare, cache_folder())


def trust(installed: Mapping[str, str], compare: Callable[[], list[str]], cache: Path) -> bool:
    """True for the verified releases, else whether no crystal is described in another way.

    Args:
        installed: releases of the libraries in VERIFIED.
        compare: names the crystals that the fast steps describe in another way than stock.
        cache: folder that keeps the answer of `compare`, one file for each set of releases.
    """
    if dict(installed) == VERIFIED:
        return True
    found = ", ".join(f"{name} {number}" for name, number in installed.items())
    path = cache / f"fast-describer-{_digest(installed)}.json"
    different = _kept(path)
    if different is None:
        different = compare()
        _keep(path, {"installed": dict(installed), "differing": different})
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


def compare() -> list[str]:
    """Names of the built-in crystals that the fast steps describe in another way than stock."""
    from curate.describe.fast.condenser import FastCondenser
    from curate.describe.molecules import FormulaOnly, NamingCondenser

    fast = FastCondenser(molecule_namer=FormulaOnly())
    stock = NamingCondenser(molecule_namer=FormulaOnly())
    return differing(fast, stock, built_in_crystals())


def _digest(installed: Mapping[str, str]) -> str:
    """Of the releases and of the code of the fast steps."""
    total = hashlib.sha256(repr(sorted(installed.items())).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def _kept(path: Path) -> list[str] | None:
    try:
        return json.loads(path.read_text())["differing"]
    except (OSError, ValueError, KeyError):  # not there, or damaged: it is made anew
        return None


def _keep(path: Path, content: dict) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)
    except OSError as error:  # a read-only home costs half a minute the next time, no more
        log.info("%s can't be written (%s)", path, error.strerror)


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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return render(as_json(condenser.condense_structure(structure)))
    except Exception as error:  # a release may break either in any way
        return f"{type(error).__name__}: {error}"
